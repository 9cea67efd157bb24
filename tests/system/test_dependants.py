"""Views and policies on old columns: rebuilt on the way up, as they were on the way down, or refused with a reason."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.dependants import StillDependedOn
from proxy.ladder.status import read_status
from rules.phases import LADDERS, Strategy
from tests.conftest import Database
from tests.system.ladder_case import NAME, SPLIT, USERS, operator_of, phase_of, schema_dump, spec

every_server = pytest.mark.parametrize("server", ["18", "16"], indirect=True)

#: What reads `full_name` in some way, by the name of the view.
VIEWS = {
    "plain": "CREATE VIEW plain AS SELECT * FROM users",
    "renamed": "CREATE VIEW renamed (a, b) AS SELECT id, full_name FROM users; ALTER VIEW renamed RENAME b TO c",
    "quoted": """CREATE SCHEMA "Odd ""Schema"; CREATE VIEW "Odd ""Schema"."Vi'e\\w;" AS"""
    """ SELECT id AS "I ""d", full_name AS "na\\me", 'it''s \\ ;'::text AS "t" FROM users AS "U ""s\""""
    """ WHERE full_name > ''""",
    "on_a_view": "CREATE VIEW on_a_view AS SELECT c || '!' AS d, a FROM renamed",
    "joined": "CREATE VIEW joined AS SELECT u.id, v.full_name AS f, w.a FROM users u JOIN users v USING (id, full_name)"
    " JOIN renamed w ON w.c = v.full_name",
    "outer_joined": "CREATE VIEW outer_joined AS SELECT g, u.full_name FROM generate_series(-1, 2) g"
    " LEFT JOIN users u ON u.id = g",
    "grouped": "CREATE VIEW grouped AS SELECT id, full_name, count(*) AS n, max(full_name) AS m FROM users u"
    " GROUP BY id HAVING max(full_name) > '' ORDER BY full_name DESC LIMIT 5",
    "by_name": "CREATE VIEW by_name AS SELECT full_name, count(*) AS n FROM users GROUP BY ROLLUP (full_name)",
    "barrier": "CREATE VIEW barrier WITH (security_barrier, security_invoker = true) AS"
    " SELECT id, lower(full_name) AS l FROM users WHERE full_name LIKE 'F%'",
    "nested": "CREATE VIEW nested AS WITH w AS (SELECT full_name AS x FROM users) SELECT x, (SELECT full_name FROM"
    " users WHERE full_name = x) AS y, EXISTS (SELECT FROM users u WHERE u.full_name = w.x AND u.id < 3) AS z FROM w"
    " UNION ALL SELECT full_name, NULL, row_number() OVER (ORDER BY full_name) > 2 FROM users",
    "distinct_on": "CREATE VIEW distinct_on AS SELECT DISTINCT ON (full_name) full_name AS id, age FROM users"
    " ORDER BY full_name, users.id",
    "written": "CREATE VIEW written AS SELECT id, full_name FROM users; CREATE FUNCTION w() RETURNS trigger LANGUAGE"
    " plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER wt INSTEAD OF INSERT OR UPDATE ON written FOR EACH ROW"
    " EXECUTE FUNCTION w(); GRANT ALL ON written TO PUBLIC",
}
ODD = """"Odd ""Schema"."Vi'e\\w;\""""
DECORATED = """
COMMENT ON VIEW plain IS 'all of them'; COMMENT ON COLUMN plain.full_name IS 'the name';
ALTER VIEW plain ALTER COLUMN full_name SET DEFAULT 'x';
GRANT SELECT ON plain TO PUBLIC; GRANT SELECT (a, c) ON renamed TO PUBLIC;
"""


def views_of(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute("DELETE FROM users WHERE id > 5")
    for view in VIEWS.values():
        session.execute(view)
    session.execute(DECORATED)


def seen(session: psycopg.Connection[Any]) -> dict[str, Any]:
    """Columns and rows of each view."""
    found: dict[str, Any] = {}
    for name in VIEWS:
        cursor = session.execute(f"SELECT * FROM {ODD if name == 'quoted' else name}")
        result = cursor.pgresult
        assert result is not None
        describe = (result.fname, result.ftype, result.fmod, result.ftable, result.ftablecol)
        columns = [tuple(f(n) for f in describe) for n in range(result.nfields)]
        found[name] = (columns, sorted(cursor.fetchall(), key=repr))
    return found


def new_only_writes(session: psycopg.Connection[Any]) -> None:
    """What a client of the new shape does there, and the same name for whoever reads the old column."""
    session.execute(
        "UPDATE users SET full_name = 'Stale', _pgjanus_first_name = 'First1', _pgjanus_last_name = 'Last1',"
        " _pgjanus_state = 7 - (_pgjanus_state & 1) WHERE id = 1"
    )


@pytest.mark.parametrize(("server", "strategy"), [("18", "dual_read"), ("16", "dual_write")], indirect=["server"])
async def test_views_show_the_same_in_every_phase_and_are_what_they_were_on_the_way_back(
    database: Database, strategy: str
) -> None:
    views_of(database)
    session = database.connect()
    before, dump = seen(session), schema_dump(database)
    ladder = [p.name for p in LADDERS[Strategy(strategy)]][2:]
    async with operator_of(database) as operator:
        await start(operator, spec(strategy=strategy))
        for phase in ladder[:-1]:
            await advance(operator, NAME, phase)
            assert seen(session) == before, phase
        new_only_writes(session)
        assert seen(session) == before
        for phase in reversed(ladder[:-2]):
            await rollback(operator, NAME, phase)
            assert seen(session) == before, phase
        await abort(operator, NAME)
        assert seen(session) == before
        assert schema_dump(database) == dump
        await start(operator, spec(strategy=strategy))
        await advance(operator, NAME, ladder[-2])
        new_only_writes(session)
        await advance(operator, NAME)
    assert phase_of(database) == "contracted"
    assert seen(session) == before


# Policies


POLICIES = """
CREATE TABLE notes (owner text, note text); INSERT INTO notes VALUES ('First1 Last1', 'a'), ('nobody', 'b');
ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON users USING (full_name <> 'First2 Last2');
CREATE POLICY "Odd "" policy" ON users AS RESTRICTIVE FOR UPDATE TO PUBLIC
    USING (id < 5) WITH CHECK (users.full_name NOT LIKE 'Forbidden%');
CREATE POLICY noted ON notes FOR SELECT USING (EXISTS (SELECT FROM users u WHERE u.full_name = owner));
CREATE VIEW of_owner AS SELECT u.full_name, n.note FROM users u JOIN notes n ON n.owner = u.full_name;
CREATE VIEW of_nobody AS SELECT full_name FROM users;
COMMENT ON POLICY own ON users IS 'mine';
"""


READS = [
    "SELECT id FROM users ORDER BY 1",
    "SELECT * FROM notes",
    "SELECT * FROM of_owner",
    "SELECT * FROM of_nobody",
]


def allowed(session: psycopg.Connection[Any], role: str, query: str) -> object:
    """What the role gets: rows, how many it may write, or why not."""
    session.execute(f"BEGIN; SET LOCAL ROLE {role}")
    try:
        cursor = session.execute(query)
        return cursor.fetchall() if cursor.description else cursor.rowcount
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        session.execute("ROLLBACK")


def visible(session: psycopg.Connection[Any], role: str) -> dict[str, object]:
    return {query: allowed(session, role, query) for query in READS}


@every_server
async def test_policies_hide_the_same_rows_in_every_phase(database: Database) -> None:
    session = database.connect()
    role, stranger = f"reader_{database.name}", f"stranger_{database.name}"
    session.execute(USERS)
    session.execute("DELETE FROM users WHERE id > 5")
    session.execute(POLICIES)
    session.execute(
        f"CREATE ROLE {role}; CREATE ROLE {stranger}; GRANT CREATE ON SCHEMA public TO {stranger};"
        f"GRANT SELECT, UPDATE ON users TO {role}; GRANT SELECT ON notes, of_owner, of_nobody TO {role};"
        f"ALTER VIEW of_nobody OWNER TO {stranger}"
    )
    dump = schema_dump(database)
    try:
        async with operator_of(database) as operator:
            await start(operator, spec())
            before = visible(session, role)
            assert before[READS[0]] == [(1,), (3,), (4,), (5,)]
            assert before["SELECT * FROM of_nobody"] == "42501", "its owner may not read the table"
            await advance(operator, NAME, "new_only")
            new_only_writes(session)
            assert visible(session, role) == before
            for name, may in {"Forbidden": "42501", "Allowed": 1}.items():
                write = f"_pgjanus_first_name = '{name}', _pgjanus_state = 7 - (_pgjanus_state & 1)"
                assert allowed(session, role, f"UPDATE users SET {write} WHERE id = 1") == may
                assert allowed(session, role, f"UPDATE users SET {write} WHERE id = 5") == 0
            await rollback(operator, NAME)
            assert visible(session, role) == before
            await abort(operator, NAME)
            assert schema_dump(database) == dump
            await start(operator, spec())
            await advance(operator, NAME, "contracted")
        assert visible(session, role) == before
        for name, may in {"Forbidden": "42501", "Allowed": 1}.items():
            assert allowed(session, role, f"UPDATE users SET first_name = '{name}' WHERE id = 1") == may
            assert allowed(session, role, f"UPDATE users SET first_name = '{name}' WHERE id = 5") == 0
    finally:
        session.execute(f"RESET ROLE; DROP OWNED BY {role}, {stranger}; DROP ROLE {role}; DROP ROLE {stranger}")


# What is in the way


WHY_NOT = {
    "CREATE MATERIALIZED VIEW v AS SELECT full_name FROM users": "a materialized view cannot be replaced",
    "CREATE VIEW v AS SELECT full_name, to_jsonb(u) AS j FROM users u": "view public.v by its whole rows",
    "CREATE VIEW v AS SELECT relname, full_name FROM users, pg_class": "it reads system catalogs",
    "CREATE VIEW v AS SELECT g, u.note FROM generate_series(1, 2) g LEFT JOIN users u ON u.id = g": (
        "`down` of note makes a value of nothing"
    ),
    "CREATE VIEW v AS SELECT full_name FROM users; GRANT UPDATE (full_name) ON v TO PUBLIC": (
        "PUBLIC may write full_name"
    ),
    "CREATE VIEW v AS SELECT full_name FROM users; CREATE VIEW w AS SELECT * FROM v; GRANT INSERT ON w TO PUBLIC": (
        "PUBLIC may write full_name"
    ),
    "CREATE TEMP VIEW v AS SELECT full_name FROM users": "it is temporary",
    "CREATE VIEW v AS SELECT age FROM users": "the change of age is lossy",
    "CREATE POLICY p ON users USING (age > 7)": "policy p on table public.users .*the change of age is lossy",
    "CREATE VIEW v AS SELECT id, gone FROM users": "nothing in the new columns says what was in gone",
    "CREATE VIEW v AS SELECT id FROM users; CREATE RULE r AS ON INSERT TO v DO INSTEAD INSERT INTO users (full_name)"
    " VALUES ('x')": "rule r on view public.v",
}
OPERATIONS = [
    SPLIT,
    {"change_type": {"column": "age", "type": "boolean", "up": "age > 5", "down": "age::int", "lossy": True}},
    {"drop_column": {"column": "gone", "down": "NULL"}},
    {
        "change_columns": {
            "old": {"note": "coalesce(remark, 'none')"},
            "new": {"remark": {"type": "text", "up": "nullif(note, 'none')"}},
        }
    },
]


@every_server
async def test_what_cannot_be_rebuilt_exactly_is_refused_and_nothing_is_changed(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute("ALTER TABLE users ADD note text NOT NULL DEFAULT 'none', ADD gone text")
    async with operator_of(database) as operator:
        await start(operator, spec(*OPERATIONS))
        await advance(operator, NAME, "reading_new")
        session.execute("CREATE VIEW good AS SELECT full_name FROM users")
        good = session.execute("SELECT pg_get_viewdef('good'::regclass)").fetchone()
        for make, why in WHY_NOT.items():
            session.execute(f"BEGIN; {make}; COMMIT")
            with pytest.raises(StillDependedOn, match=why):
                await advance(operator, NAME)
            assert phase_of(database) == "reading_new", make
            assert session.execute("SELECT pg_get_viewdef('good'::regclass)").fetchone() == good
            shown = (await read_status(operator.connection, NAME)).migrations[0].dependants
            assert next(d for d in shown if d.description == "view public.good").state.startswith("will be rebuilt")
            assert any(d.state.startswith("has to go") for d in shown), shown
            session.execute("DROP POLICY IF EXISTS p ON users")
            kind = "MATERIALIZED VIEW" if "MATERIALIZED" in make else "VIEW"
            if kind in make:
                session.execute(f"DROP {kind} v CASCADE")
        assert (await advance(operator, NAME)).phase == "new_only"
