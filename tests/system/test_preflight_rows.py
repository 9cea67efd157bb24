"""What a preflight asks of rows: nothing hides anything else, values are compared exactly, large tables are sampled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.preflight import ALL_ROWS, Extent, Report, Severity, extent, rows
from tests.conftest import ALL_SERVERS, Database
from tests.system.test_preflight import TO_INTEGER, look, table


def change(column: str, type_: str, up: str, down: str, **rest: Any) -> dict[str, Any]:
    return {"change_type": {"column": column, "type": type_, "up": up, "down": down, **rest}}


def migration(*operations: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"migration": "m", "table": "public.t", "operations": list(operations), **rest}


def counts(report: Report) -> dict[str, int]:
    """Rows by the words between the number and the keys."""
    return {
        f.message.split(" rows ", 1)[1].split(" (id=")[0].split(": id=")[0]: f.rows
        for f in report.findings
        if f.rows is not None
    }


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_no_row_and_no_question_hides_another(database: Database) -> None:
    """The same rows fail in one change, and break the laws of another; others are duplicates."""
    db = table(database, "id int PRIMARY KEY, a text, b text, c text", values="")
    db.execute("INSERT INTO t SELECT i, i::text, i::text, i::text FROM generate_series(1, 1000) i")
    db.execute("UPDATE t SET a = 'x', b = NULL WHERE id IN (7, 8, 500)")
    db.execute("UPDATE t SET a = 'y', b = '-3' WHERE id = 501")
    db.execute("UPDATE t SET b = '12' WHERE id IN (8, 600)")
    db.execute("UPDATE t SET b = '99999999999' WHERE id IN (900, 901)")
    db.execute("UPDATE t SET c = '0' || c WHERE id IN (8, 100, 501)")
    report = look(
        database,
        migration(
            change("a", "integer", "a::int", "a::text", unique=True),
            change("b", "integer", "b::int", "b::text", not_null=True, unique=True, check="b > 0"),
            change("c", "integer", "c::int", "c::text", check="100 / (c - 44) <> 0"),
        ),
    )
    assert report.rows == 1000
    assert counts(report) == {
        "cannot be converted by up of a": 4,
        "do not fit into b integer": 2,
        "would have NULL in b": 2,
        "would violate CHECK (b > 0) of b": 1,
        "do not come back as they were: c is something else after up and down": 3,
        # 100 / (144 - 44) is 1, which is not 0; 100 / 101 is.
        "would violate CHECK (100 / (c - 44) <> 0) of c": 856,
        "would fail CHECK (100 / (c - 44) <> 0) of c": 1,
        "would share 1 values: '12'": 3,
    }
    (unfit,) = [f for f in report.findings if "do not fit" in f.message]
    assert unfit.keys == ("id=900", "id=901")
    assert unfit.severity is Severity.REFUSAL


JOINED = "public.joined({c})"
#: (type of the old column, type of the new one, up, down, values that come back, values that do not)
EXACT = {
    "scale": ("numeric", "text", "trim_scale({c})::text", "{c}::numeric", "'1', '1.5'", "'1.0', '1.50'"),
    "blanks at the end": ("text", "text", "rtrim({c})", "{c}", "'a', 'a b', ''", "'a ', ' '"),
    "case": ("text", "text", "lower({c})", "{c}", "'a'", "'A'"),
    "empty or NULL": ("text", "text", "nullif({c}, '')", "{c}", "'x', NULL", "''"),
    "NULL or empty": ("text", "text", "coalesce({c}, '')", "{c}", "'x', ''", "NULL"),
    "minus zero": ("float8", "numeric", "{c}::numeric", "{c}::float8", "0.0, 1.5, 'NaN'", "'-0'"),
    "not a number": ("float8", "float8", "nullif({c}, 'NaN')", "{c}", "1", "'NaN'"),
    "the last digit": ("float8", "numeric", "{c}::numeric", "{c}::float8", "0.5", "0.1::float8 + 0.2::float8"),
    "days or hours": ("interval", "interval", "justify_hours({c})", "{c}", "'1 day'", "'24 hours'"),
    "json": ("json", "jsonb", "{c}::text::jsonb", "{c}::text::json", """'{"a": 1}'""", """'{"a":1}'"""),
    "where an array begins": ("int[]", "text", JOINED, "string_to_array({c}, ',')::int[]", "'{1,2}'", "'[0:1]={1,2}'"),
    "padding": ("bpchar", "text", "{c}::text", "{c}::bpchar", "'a'", "'a  '"),
    "time": ("timestamp", "timestamp(3)", "{c}", "{c}", "'2000-01-01 00:00:00.001'", "'2000-01-01 00:00:00.0001'"),
}


@pytest.mark.parametrize("server", ["18"], indirect=True)
def test_values_are_compared_to_the_last_blank_and_digit(database: Database) -> None:
    db = database.connect()
    db.execute(
        "CREATE FUNCTION public.joined(int[]) RETURNS text IMMUTABLE LANGUAGE sql"
        " AS $$SELECT pg_catalog.array_to_string($1, ',')$$"
    )
    names = {what: f"c{i}" for i, what in enumerate(EXACT)}
    columns = ", ".join(f"{names[what]} {case[0]}" for what, case in EXACT.items())
    db.execute(f"CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, {columns})")
    operations: list[dict[str, Any]] = []
    expected: dict[str, list[str]] = {}
    for what, (_, type_, up, down, kept, lost) in EXACT.items():
        c = names[what]
        operations.append(change(c, type_, up.format(c=c), down.format(c=c)))
        for values, breaks in ((kept, False), (lost, True)):
            for value in values.split(", "):
                row = db.execute(f"INSERT INTO t (what, {c}) VALUES (%s, {value}) RETURNING id", (what,)).fetchone()
                if breaks:
                    assert row is not None
                    expected.setdefault(what, []).append(f"id={row[0]}")
    # Rows of the other cases are NULL in this column, which is what "NULL or empty" is about.
    db.execute(f"UPDATE t SET {names['NULL or empty']} = '' WHERE what <> 'NULL or empty'")
    report = look(database, migration(*operations))
    found = {
        what: list(f.keys)
        for f in report.findings
        for what, c in names.items()
        if f"do not come back as they were: {c} is" in f.message
    }
    assert found == expected


def test_what_a_length_or_a_precision_takes_away(database: Database) -> None:
    db = table(database, "id int PRIMARY KEY, v text, n numeric, d text, b text", values="")
    db.execute(
        "INSERT INTO t VALUES (1, 'abc', 1.5, 'ab', '101'), (2, 'abcd', 1.25, 'abc', '1011'),"
        " (3, 'ab   ', 12345, 'a ', '10'), (4, NULL, NULL, NULL, NULL)"
    )

    def operations(**rest: Any) -> list[dict[str, Any]]:
        return [
            change("v", "varchar(3)", "v", "v", **rest),
            change("n", "numeric(4,1)", "n", "n", **rest),
            change("d", "char(2)", "d", "d", **rest),
            change("b", "bit varying(3)", "b::varbit", "b::text", **rest),
        ]

    lost = {
        "would be cut short or rounded in v varchar(3)": 2,
        "would be cut short or rounded in n numeric(4,1)": 1,
        "would be cut short or rounded in d char(2)": 1,
        "would be cut short or rounded in b bit varying(3)": 1,
    }
    strict = look(database, migration(*operations()))
    back = {f"do not come back as they were: {c} is something else after up and down": n for c, n in BACK.items()}
    assert counts(strict) == {**lost, **back, "do not fit into n numeric(4,1)": 1}
    assert all(f.severity is Severity.REFUSAL for f in strict.findings)
    (unfit,) = [f for f in strict.findings if "do not fit" in f.message]
    assert "id=3 (numeric field overflow" in unfit.message

    meant = look(database, migration(*operations(lossy=True)))
    assert counts(meant) == counts(strict)
    assert [f.message for f in meant.refusals] == [unfit.message]


#: 1.5 → 1.5, 1.25 → 1.3; 'ab   ' → 'ab '; 'abc' → 'ab', 'a ' → 'a'.
BACK = {"v": 2, "n": 1, "d": 2, "b": 1}


def test_from_so_many_failing_rows_on_the_other_questions_are_still_answered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_EXAMINED", 20)
    monkeypatch.setattr(rows, "_SKIMMED_ROWS", 100)
    db = table(database, "id int PRIMARY KEY, v text, w text", values="")
    db.execute("INSERT INTO t SELECT i, 'x', nullif(i % 10, 0)::text FROM generate_series(1, 1500) i")
    db.execute("UPDATE t SET w = 'y' WHERE id = 1234")
    definition = migration(
        change("v", "integer", "v::int", "v::text"),
        change("w", "integer", "w::int", "w::text", not_null=True, unique=True),
    )
    report = look(database, definition)
    assert report.rows == 1500
    found = counts(report)
    # Where w itself fails, nothing else is known of it.
    assert 20 < found.pop("would have NULL in w") < 150
    assert found == {"cannot be converted by up of v": 20, "cannot be converted by up of w": 1}
    messages = [f.message for f in report.findings]
    assert any("rows would have NULL in w" in m and m.startswith("at least ") for m in messages)
    assert any(m.startswith("at least 20 rows cannot be converted by up of v: id=1 (") for m in messages)
    assert any(m.startswith("at least 1 rows cannot be converted by up of w: id=1234 (") for m in messages)
    assert "it is not known whether w would be unique: too many rows fail before it" in messages


SHAPES = {
    "primary key": ("id int PRIMARY KEY, v text", "i, i::text"),
    "composite key": ("a int, id int, v text, PRIMARY KEY (a, id)", "i % 7, i, i::text"),
    "uuid": ("id uuid PRIMARY KEY, v text", "md5(i::text)::uuid, i::text"),
    "no key": ("id int, v text", "i, i::text"),
    "partitioned": ("id int PRIMARY KEY, v text", "i, i::text"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_of_a_large_table_a_sample_is_asked(database: Database, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "_RUNS", 20)
    monkeypatch.setattr(rows, "MOST_EXAMINED", 30)
    columns, values = SHAPES[shape]
    db = database.connect()
    if shape == "partitioned":
        db.execute(f"CREATE TABLE t ({columns}) PARTITION BY RANGE (id)")
        db.execute("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (2000)")
        db.execute("CREATE TABLE t2 PARTITION OF t DEFAULT")
    else:
        db.execute(f"CREATE TABLE t ({columns})")
    db.execute(f"INSERT INTO t SELECT {values} FROM generate_series(1, 6000) i")
    small = look(database, TO_INTEGER, extent=Extent(200, 6000))
    assert (small.rows, small.of_rows, small.refusals) == (6000, None, ())
    sampled = look(database, TO_INTEGER, extent=Extent(200, 5999))
    assert 150 <= sampled.rows <= 200
    assert (sampled.of_rows, sampled.refusals) == (6000, ())
    db.execute("UPDATE t SET v = 'n/a'")
    sampled = look(database, TO_INTEGER, extent=Extent(200, 5999))
    (found,) = sampled.refusals
    assert f"at least 30 rows of {sampled.rows} that were looked at cannot be converted by up of v" in found.message
    assert look(database, TO_INTEGER, extent=ALL_ROWS).rows == 6000


def test_what_takes_too_long_is_a_warning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "_WHOLE_TABLE_SECONDS", 0.05)
    db = table(database, values="")
    db.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 300) i")
    db.execute(
        "CREATE FUNCTION slow(text) RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.0005); RETURN $1::int; END'"
    )
    report = look(database, migration(change("v", "integer", "public.slow(v)", "v::text", unique=True)))
    assert report.refusals == ()
    assert "it is not known whether v would be unique: no answer within 0.05 s" in str(report.warnings)


def test_settings_of_the_role_change_neither_keys_nor_comparisons(database: Database) -> None:
    db = table(database, "k float8 PRIMARY KEY, v date", values="")
    db.execute("INSERT INTO t SELECT sqrt(i), '2000-01-01'::date + i FROM generate_series(1, 7000) i")
    role = f"odd_{database.name}"
    db.execute(f"CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET extra_float_digits = -13")
    db.execute(f"ALTER ROLE {role} SET datestyle = 'SQL, DMY'")
    try:
        url = database.url.replace("postgres@", f"{role}@")
        days = migration(change("v", "integer", "v - '2000-01-01'::date", "'2000-01-01'::date + v"))
        report = look(database, days, url)
        assert (report.rows, report.refusals) == (7000, ())
    finally:
        db.execute(f"DROP ROLE {role}")


def test_the_command_line_says_what_it_looked_at(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_EXAMINED", 60)
    db = table(database, values="")
    db.execute(
        "INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'n/a' ELSE i::text END FROM generate_series(1, 3000) i"
    )
    file = tmp_path / "m.yaml"
    file.write_text(json.dumps(TO_INTEGER))

    def pgjanus(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--database-url", database.url])
        return result.exit_code, result.output

    code, said = pgjanus("check", str(file), "--sample-rows", "100")
    assert code == 1
    assert "refused (a sample of 100 of about 3,000 rows checked)" in said
    assert "50 rows of 100 that were looked at cannot be converted" in said
    (report,) = json.loads(pgjanus("check", str(file), "--all-rows", "--json")[1])
    assert (report["rows"], report["sample_of_rows"]) == (3000, None)
    assert report["findings"][0]["rows"] == 60
    assert report["findings"][0]["keys"] == [f"id={i}" for i in (2, 4, 6, 8, 10)]
    assert pgjanus("check", str(file), "--all-rows", "--sample-rows", "9")[0] == 2
    code, said = pgjanus("start", str(file), "--sample-rows", "100")
    assert (code, "50 rows of 100 that were looked at" in said) == (1, True)
    db.execute("UPDATE t SET v = id::text")
    code, said = pgjanus("start", str(file), "--sample-rows", "100")
    assert (code, "a sample of 100 of about 3,000 rows checked" in said) == (0, True)
