"""Rows that cannot be converted: named, left, given a default, or the end of it, as the migration says."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest

from proxy.backfill.convert import StoppedAtRow
from proxy.backfill.runner import BackfillResult, run
from proxy.database import connect
from proxy.ladder.climb import advance, start
from proxy.ladder.gates import RowsCannotBeConverted
from proxy.ladder.operator import LadderError, operate
from proxy.preflight import Report, preflight, worker
from proxy.verify.runner import verify
from rules.spec import MigrationSpec
from tests.conftest import Database
from tests.system.expanded import change_type, expand
from tests.system.test_backfill import value

ROWS = 3000
BAD = "SELECT description, value->>'v', sqlstate, error, outcome FROM pgjanus.backfill_bad_rows ORDER BY key[1]::int"


def bad_table(database: Database) -> psycopg.Connection[Any]:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute(
        "INSERT INTO t SELECT i, CASE WHEN i %% 500 = 7 THEN 'n/a ' || i ELSE i::text END"
        " FROM generate_series(1, %s) i",
        (ROWS,),
    )
    return db


def definition(on_error: object = None) -> dict[str, Any]:
    rest = {} if on_error is None else {"backfill": {"on_error": on_error}}
    return change_type("public.t", "v", "integer", "v::int", "v::text", **rest)


def backfill(database: Database) -> BackfillResult:
    return asyncio.run(run(database.url, "retype_v"))


def test_they_are_kept_with_key_value_and_error_until_they_are_mended(database: Database) -> None:
    db = bad_table(database)
    expand(database, definition())
    assert len(backfill(database).bad) == 6
    assert db.execute(BAD).fetchall() == [
        (f"id={i}", f"n/a {i}", "22P02", f'invalid input syntax for type integer: "n/a {i}"', None)
        for i in range(7, ROWS, 500)
    ]
    db.execute("UPDATE t SET v = '0' WHERE id < 2000 AND v LIKE 'n/a%'")
    assert len(backfill(database).bad) == 2
    assert [row[0] for row in db.execute(BAD)] == ["id=2007", "id=2507"]
    db.execute("DELETE FROM t WHERE v LIKE 'n/a%'")
    assert backfill(database).complete
    assert db.execute(BAD).fetchall() == []


def thirty_seven_of(database: Database, rows: int) -> None:
    """The whole way: `start` warns, `advance` names them all and stays, and goes on when they are mended."""
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, %s) i", (rows,))
    bad = random.Random(37).sample(range(1, rows + 1), 37)
    db.execute("UPDATE t SET v = 'n/a ' || id WHERE id = ANY (%s)", (bad,))
    spec = MigrationSpec.from_json(definition("skip_and_report"))
    said: list[str] = []

    async def story() -> str | None:
        async with operate(database.url, "test", say=said.append) as operator:
            await start(operator, spec)
            await advance(operator, "retype_v", "writing_both")
            with pytest.raises(RowsCannotBeConverted, match=r"37 rows of public\.t cannot be converted: id="):
                await advance(operator, "retype_v", "reading_new")
            assert value(db, "SELECT phase FROM pgjanus.migrations") == "writing_both"
            assert db.execute(BAD).fetchall() == [
                (f"id={i}", f"n/a {i}", "22P02", f'invalid input syntax for type integer: "n/a {i}"', None)
                for i in sorted(bad)
            ]
            assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_state < 4") == 37
            done = "SELECT count(*) FROM t WHERE CASE WHEN _pgjanus_state >= 4 THEN _pgjanus_v = v::int END"
            assert value(db, done) == rows - 37
            db.execute("UPDATE t SET v = '-1' WHERE v LIKE 'n/a%'")
            return (await advance(operator, "retype_v", "reading_new")).phase

    assert asyncio.run(story()) == "reading_new"
    assert db.execute(BAD).fetchall() == []
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_v IS DISTINCT FROM v::int OR _pgjanus_state < 4") == 0
    assert any("37 rows cannot be converted" in line and "leaves them as they are" in line for line in said)


def test_rows_that_cannot_be_converted_are_all_named_and_mended_before_the_gate_opens(database: Database) -> None:
    thirty_seven_of(database, ROWS)
    with pytest.raises(LadderError, match="6 rows cannot be converted"):
        asyncio.run(_start_again(database, "fail"))


async def _start_again(database: Database, on_error: str) -> None:
    async with operate(database.url, "test") as operator:
        await operator.connection.execute(
            "CREATE TABLE public.u AS SELECT id, 'n/a' AS v FROM generate_series(1, 6) id"
        )
        spec = change_type("public.u", "v", "integer", "v::int", "v::text", backfill={"on_error": on_error})
        await start(operator, MigrationSpec.from_json({**spec, "migration": "second"}))


def test_fail_stops_at_the_first_one_and_goes_on_from_there(database: Database) -> None:
    db = bad_table(database)
    expand(database, definition("fail"))
    with pytest.raises(StoppedAtRow, match="id=7 cannot be converted: invalid input syntax"):
        backfill(database)
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_state >= 4") == 6
    assert "id=7" in value(db, "SELECT error FROM pgjanus.backfills")
    db.execute("UPDATE t SET v = '0' WHERE v LIKE 'n/a%'")
    assert backfill(database).complete
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_state < 4") == 0
    assert value(db, "SELECT error FROM pgjanus.backfills") is None


def test_default_converts_them_and_the_comparison_knows_of_them(database: Database) -> None:
    db = bad_table(database)
    expand(database, definition({"default": {"v": "-length(v)"}}))
    result = backfill(database)
    assert (result.complete, result.rows) == (True, ROWS)
    assert db.execute("SELECT v, _pgjanus_v FROM t WHERE id IN (7, 2007) ORDER BY id").fetchall() == [
        ("n/a 7", -5),
        ("n/a 2007", -8),
    ]
    assert {row[4] for row in db.execute(BAD)} == {"default"}
    assert asyncio.run(verify(database.url, "retype_v")).clean

    # A value that only looks like the default, and one that the default is not.
    db.execute("UPDATE t SET _pgjanus_v = -4 WHERE id = 1000")
    db.execute("UPDATE t SET _pgjanus_v = -6 WHERE id = 7")
    assert set(asyncio.run(verify(database.url, "retype_v")).keys) == {"id=1000", "id=7"}


def test_triggers_that_nothing_silences_are_a_question(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, '1')")
    db.execute(
        "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER each BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop();"
        "CREATE TRIGGER down BEFORE UPDATE OF v ON t FOR EACH ROW EXECUTE FUNCTION noop();"
        "CREATE TRIGGER insert BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noop();"
        "CREATE TRIGGER always AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop();"
        "ALTER TABLE t ENABLE ALWAYS TRIGGER always"
    )
    role = f"owner_{database.name}"
    db.execute(f"CREATE ROLE {role} LOGIN; ALTER TABLE t OWNER TO {role}")
    db.execute(f"GRANT CREATE, TEMP ON DATABASE {database.name} TO {role}")
    try:
        (question,) = _report(database.url).questions
        assert "fires triggers of public.t for every row: always (ALWAYS)" in question.message
        report = _report(database.url.replace("postgres@", f"{role}@"))
        (question,) = report.questions
        assert "every row: always (ALWAYS), down (on the way down), each:" in str(question)
        assert any("does not see what other sessions" in w.message for w in report.warnings)
        asked: list[str] = []
        with pytest.raises(LadderError, match="pgjanus start --yes"):
            asyncio.run(_start(database, asked, agree=False))
        asyncio.run(_start(database, asked, agree=True))
        assert len(asked) == 2
    finally:
        db.execute(f"ALTER TABLE t OWNER TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


def _report(url: str) -> Report:
    async def ask() -> Report:
        connection = await connect(url)
        try:
            return await preflight(connection, MigrationSpec.from_json(definition()))
        finally:
            await connection.close()

    return asyncio.run(ask())


async def _start(database: Database, asked: list[str], *, agree: bool) -> None:
    def consent(question: str) -> bool:
        asked.append(question)
        return agree

    async with operate(database.url, "test") as operator:
        await start(operator, MigrationSpec.from_json(definition()), consent)


def test_check_says_why_updates_cannot_stay_on_their_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LARGE_BYTES", 1)
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, '1')")

    def hot() -> list[str]:
        return [w.message for w in _report(database.url).warnings if "HOT" in w.message]

    assert ["its pages are full (fillfactor 100)" in message for message in hot()] == [True]
    db.execute("ALTER TABLE t SET (fillfactor = 70)")
    assert hot() == []
    db.execute("CREATE INDEX by_v ON t (lower(v))")
    assert ["public.by_v has a column of the migration" in message for message in hot()] == [True]
