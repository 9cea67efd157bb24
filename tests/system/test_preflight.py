"""Every finding of a preflight, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.database import connect
from proxy.preflight import USUAL, Extent, Report, preflight
from rules.loader import load_text
from rules.spec import MigrationSpec
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import SPLIT, USERS, change_type, expand

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)


def look(
    database: Database, definition: dict[str, Any] | MigrationSpec, url: str | None = None, extent: Extent = USUAL
) -> Report:
    async def run() -> Report:
        connection = await connect(url or database.url)
        try:
            spec = definition if isinstance(definition, MigrationSpec) else MigrationSpec.from_json(definition)
            return await preflight(connection, spec, extent)
        finally:
            await connection.close()

    return asyncio.run(run())


def refusals(database: Database, definition: dict[str, Any] | MigrationSpec, url: str | None = None) -> str:
    return "\n".join(map(str, look(database, definition, url).refusals))


def warnings(database: Database, definition: dict[str, Any]) -> str:
    report = look(database, definition)
    assert report.refusals == ()
    return "\n".join(map(str, report.warnings))


def table(database: Database, columns: str = "id int PRIMARY KEY, v text", values: str = "(1, '1')") -> Any:
    db = database.connect()
    db.execute(f"CREATE TABLE t ({columns})")
    if values:
        db.execute(f"INSERT INTO t VALUES {values}")
    return db


TO_INTEGER = change_type("public.t", "v", "integer", "v::int", "v::text")


@every_server
def test_a_good_migration_has_no_finding_and_leaves_nothing_behind(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute("INSERT INTO users (id, full_name) SELECT i, 'F L' || i FROM generate_series(1, 12000) i")
    before = db.execute("SELECT count(*), max(oid) FROM pg_class").fetchone()
    report = look(database, SPLIT)
    assert report.findings == ()
    assert report.rows == 12_000
    assert db.execute("SELECT count(*), max(oid) FROM pg_class").fetchone() == before


def test_a_missing_table(database: Database) -> None:
    assert "there is no table public.users in this database" in refusals(database, SPLIT)


def test_a_missing_column(database: Database) -> None:
    table(database, "id int PRIMARY KEY, vv text", "(1, 'a')")
    assert "has no column v" in refusals(database, TO_INTEGER)


KINDS = {
    "CREATE VIEW t AS SELECT 1 AS id, 'a'::text AS v": "only plain and partitioned tables",
    "CREATE TABLE t (id int, v text) PARTITION BY LIST (id)": "has no primary key",
    "CREATE TABLE p (id int, v text) PARTITION BY LIST (id); CREATE TABLE t PARTITION OF p DEFAULT": "is a partition",
    "CREATE TABLE p (id int, v text); CREATE TABLE t () INHERITS (p)": "inherits from public.p",
    "CREATE TABLE t (id int, v text); CREATE TABLE c () INHERITS (t)": "public.c inherit from public.t",
    "CREATE TYPE y AS (id int, v text); CREATE TABLE t OF y": "typed table",
}


@pytest.mark.parametrize("sql", KINDS)
def test_kinds_of_relations_that_cannot_be_migrated(database: Database, sql: str) -> None:
    database.connect().execute(sql)
    assert KINDS[sql] in refusals(database, TO_INTEGER)


EXPRESSIONS = {
    "a function that is not there": ("integer", "nope(v)", "v::text", "up of v: function nope(text) does not exist"),
    "stable up": ("timestamptz", "v::timestamptz", "v::text", "it must be IMMUTABLE"),
    "stable down": ("date", "'2000-01-01'::date + length(v)", "to_char(v, 'YYYY')", "it must be IMMUTABLE"),
    "an unknown type": ("public.mood", "v::public.mood", "v::text", 'type of v: type "public.mood" does not exist'),
    "types that do not convert": ("integer[]", "length(v)", "v[1]::text", "cannot cast type integer to integer[]"),
    "not boolean": ("text", "CASE WHEN v THEN 'a' END", "v", "must be type boolean"),
}


@pytest.mark.parametrize("what", EXPRESSIONS)
def test_expressions_that_postgresql_does_not_take(database: Database, what: str) -> None:
    type_, up, down, message = EXPRESSIONS[what]
    table(database)
    assert message in refusals(database, change_type("public.t", "v", type_, up, down))


def with_attributes(up: str = "v::int", **attributes: Any) -> dict[str, Any]:
    operation = {"column": "v", "type": "integer", "up": up, "down": "v::text", **attributes}
    return {"migration": "m", "table": "public.t", "operations": [{"change_type": operation}]}


def test_a_default_that_does_not_fit(database: Database) -> None:
    table(database)
    assert "default of v: " in refusals(database, with_attributes(default="'x'::text || 'y'"))


def test_a_check_that_is_no_condition(database: Database) -> None:
    table(database)
    assert "CHECK (v + 1) of column v: argument of CHECK must be type boolean" in refusals(
        database, with_attributes(check="v + 1")
    )


def test_an_index_on_a_type_that_has_no_order(database: Database) -> None:
    table(database, values="(1, '{}')")
    operation = {"column": "v", "type": "json", "up": "v::json", "down": "v::text", "index": True}
    definition = {"migration": "m", "table": "public.t", "operations": [{"change_type": operation}]}
    assert "has no default operator class" in refusals(database, definition)


def test_rows_that_cannot_be_converted_are_named(database: Database) -> None:
    table(database, values="(1, '1'), (7, 'n/a'), (8, '2'), (9, '')")
    found = refusals(database, TO_INTEGER)
    assert '2 rows cannot be converted by up of v: id=7 (invalid input syntax for type integer: "n/a"); id=9 (' in found


def test_many_rows_that_cannot_be_converted_are_counted_up_to_a_limit(database: Database) -> None:
    table(database, values="").execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1000) i")
    assert "at least 500 rows cannot be converted" in refusals(database, TO_INTEGER)


def test_rows_that_do_not_come_back_as_they_were(database: Database) -> None:
    table(database, values="(1, '1'), (2, ' 2'), (3, '03')")
    found = refusals(database, TO_INTEGER)
    assert "2 rows do not come back as they were: v is something else after up and down (id=2; id=3)" in found
    lossy = {
        **TO_INTEGER,
        "operations": [{"change_type": {**TO_INTEGER["operations"][0]["change_type"], "lossy": True}}],
    }
    assert refusals(database, lossy) == ""


def test_nulls_that_meet_not_null(database: Database) -> None:
    table(database, values="(1, '1'), (2, NULL)")
    assert "1 rows would have NULL in v (id=2)" in refusals(database, with_attributes(not_null=True))


def test_rows_that_violate_a_check(database: Database) -> None:
    table(database, values="(1, '1'), (2, '-2'), (3, NULL)")
    assert "1 rows would violate CHECK (v > 0) of v (id=2)" in refusals(database, with_attributes(check="v > 0"))


def test_duplicates_that_meet_unique(database: Database) -> None:
    table(database, values="(1, '1'), (2, '2'), (3, '2'), (4, NULL), (5, NULL)")
    found = refusals(database, with_attributes(unique=True))
    assert "v would not be unique: 2 rows would share 1 values: '2' (id=2; id=3)" in found


def test_references_that_point_nowhere(database: Database) -> None:
    db = table(database, values="(1, '1'), (2, '2'), (3, NULL)")
    definition = with_attributes(references="public.r(a)")
    assert "v references public.r, which is not there" in refusals(database, definition)
    db.execute("CREATE TABLE r (a int, b int PRIMARY KEY)")
    assert "v references public.r(a), which is not unique there" in refusals(database, definition)
    db.execute("ALTER TABLE r ADD UNIQUE (a); INSERT INTO r VALUES (1, 1)")
    assert "public.r does not have: id=2 ('2')" in refusals(database, definition)
    db.execute("INSERT INTO r VALUES (2, 2)")
    assert refusals(database, definition) == ""
    assert refusals(database, with_attributes(references="public.r")) == ""


def test_another_migration_on_the_table(database: Database) -> None:
    table(database)
    expand(database, TO_INTEGER)
    other = {**TO_INTEGER, "migration": "another"}
    assert "already has migration 'retype_v' in phase writing_both" in refusals(database, other)


def test_a_column_in_the_way(database: Database) -> None:
    table(database, "id int PRIMARY KEY, v text, _pgjanus_v int", "(1, '1', 1)")
    assert "has a column _pgjanus_v already" in refusals(database, TO_INTEGER)


def test_a_user_who_may_not(database: Database) -> None:
    db = table(database)
    role = f"weak_{database.name}"
    db.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}")
    try:
        url = database.url.replace("postgres@", f"{role}@")
        assert "does not own public.t" in refusals(database, TO_INTEGER, url)
        db.execute(f"ALTER TABLE t OWNER TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        assert "row security hides rows of public.t" in refusals(database, TO_INTEGER, url)
    finally:
        db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


SURROUNDINGS = {
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    " CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()": "BEFORE triggers of public.t",
    "CREATE RULE r AS ON DELETE TO t DO ALSO SELECT 1": "rules on public.t rewrite statements once more: r",
    "CREATE VIEW w AS SELECT v FROM t": (
        "view public.w depends on an old column: it is rebuilt before new_only; v can no longer be written through it"
    ),
    "CREATE MATERIALIZED VIEW w AS SELECT v FROM t": "drop or move it before new_only (a materialized view cannot be",
    "CREATE UNIQUE INDEX i ON t (v)": "index public.i (column v) depends",
    "ALTER TABLE t ADD g text GENERATED ALWAYS AS (v || '!') STORED": "depends on an old column",
    "CREATE POLICY p ON t USING (v <> '')": "policy p on table public.t depends on an old column: it is",
    "CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT max(v) FROM t'": "function public.g() seems to use v",
    "CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT max(V) FROM T'": "function public.g() seems to use v",
    "CREATE FUNCTION g(t) RETURNS text LANGUAGE sql AS 'SELECT $1.v'": "function public.g(public.t) seems to use v",
    "CREATE FUNCTION g(text) RETURNS SETOF t LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT v; END'": "seems to use v",
    "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM NEW.v; RETURN NULL; END';"
    " CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()": "function public.g() seems to use v",
    "CREATE FUNCTION g() RETURNS text BEGIN ATOMIC SELECT max(v) FROM t; END": "function public.g() (column v) depends",
    "CREATE PROCEDURE g() BEGIN ATOMIC INSERT INTO t VALUES (9, 'x'); END": "function public.g() (column v) depends",
    "CREATE PROCEDURE g() BEGIN ATOMIC UPDATE t SET v = 'x'; END": "function public.g() (column v) depends",
    "CREATE FUNCTION g() RETURNS SETOF json BEGIN ATOMIC SELECT to_json(t) FROM t; END": "public.g() by its whole rows",
    "CREATE VIEW w AS SELECT row_to_json(t) AS j FROM t": "rule _RETURN on view public.w by its whole rows",
    "CREATE TABLE o (x text); CREATE POLICY p ON o USING (EXISTS (SELECT FROM t WHERE t.v = x))": (
        "policy p on table public.o depends on an old column: it is rebuilt before new_only"
    ),
    "CREATE POLICY p ON t WITH CHECK (t IS NOT NULL)": "policy p on table public.t by its whole rows",
    "CREATE TABLE o (x text); CREATE RULE r AS ON INSERT TO o DO ALSO UPDATE t SET v = NEW.x": (
        "rule r on table public.o (column v) depends"
    ),
    "CREATE RULE r AS ON UPDATE TO t WHERE NEW.v = '' DO INSTEAD NOTHING": "rule r on table public.t (column v)",
    "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION g()": (
        "triggers of public.t look at whole rows in WHEN, which have columns of pgjanus meanwhile: g"
    ),
    "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.v <> '') EXECUTE FUNCTION g()": (
        "trigger g on table public.t (column v) depends"
    ),
    "GRANT SELECT (v) ON t TO PUBLIC": "PUBLIC: privileges on single columns",
    "CREATE PUBLICATION p FOR TABLE t": "public.t is published in p",
    "ALTER TABLE t DROP CONSTRAINT t_pkey": "has no primary key",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sql", SURROUNDINGS)
def test_what_hangs_on_the_table_is_a_warning(database: Database, sql: str) -> None:
    table(database).execute(sql)
    assert SURROUNDINGS[sql] in warnings(database, TO_INTEGER)


def test_findings_say_where_in_the_file(database: Database) -> None:
    table(database)
    text = (
        "table: public.t\noperations:\n  - change_type:\n      column: v\n      type: integer\n"
        '      up: "nope(v)"\n      down: "v::text"\n'
    )
    assert str(look(database, load_text(text, "m.yaml")).refusals[0]).startswith("m.yaml:6:11: up of v: function nope")


def test_the_command_line(database: Database, tmp_path: Path) -> None:
    table(database)
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("table: public.t\noperations:\n  - rename_column: {column: v, to: w}\n")
    bad.write_text("table: public.t\noperations:\n  - rename_column: {column: nope, to: w}\n")

    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proxy", "check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        done.stdout = done.stdout.replace(f"{tmp_path}/", "")
        return done

    alone = check(str(good), str(bad))
    assert (alone.returncode, alone.stdout) == (0, "good.yaml: ok\nbad.yaml: ok\n")

    both = check(str(good), str(bad), "--database-url", database.url)
    assert both.returncode == 1
    assert both.stdout.splitlines()[0] == "good.yaml: ok (all 1 rows checked)"
    assert both.stdout.splitlines()[1].startswith("bad.yaml:3:29: public.t has no column nope")

    as_json = check(str(bad), "--json", "--database-url", database.url)
    assert as_json.returncode == 1
    (report,) = json.loads(as_json.stdout)
    assert (report["ok"], report["findings"][0]["line"], report["findings"][0]["severity"]) == (False, 3, "refusal")

    (tmp_path / "broken.yaml").write_text("table: public.t\noperations: []\nsurprise: 1\n")
    broken = check(str(tmp_path / "broken.yaml"))
    assert broken.returncode == 1
    assert [line.split(" ")[0] for line in broken.stdout.splitlines()] == ["broken.yaml:2:13:", "broken.yaml:3:1:"]
    assert check().returncode == 2
    missing = check("nothing.yaml")
    assert (missing.returncode, missing.stderr) == (1, "")
    assert "nothing.yaml" in missing.stdout
