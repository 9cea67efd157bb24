"""A pass as a proof: gone on with after a crash, right whatever changes meanwhile, asked for by steps, made unasked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from proxy.backfill.controls import change_controls
from proxy.backfill.runner import run
from proxy.backfill.session import Session, find_key, open_session
from proxy.cli.status import lines
from proxy.control.registry import read_managed_table
from proxy.database import connect
from proxy.ladder.climb import advance, start
from proxy.ladder.operator import LadderError
from proxy.ladder.status import read_status
from proxy.verify import passes
from proxy.verify.report import VerificationReport, read_verification
from proxy.verify.runner import go_through, prove, verify
from proxy.verify.unasked import verify_unasked
from tests.conftest import Database
from tests.system import ladder_case
from tests.system.expanded import change_type, expand

ROWS = 1200
NAME = "retype_v"


def filled(database: Database, *, key: str = "PRIMARY KEY", up: str = "v::int", **rest: Any) -> psycopg.Connection[Any]:
    """`ROWS` rows of two formats that agree, in `writing_both`; the pass needs several chunks."""
    db = database.connect()
    db.execute(f"CREATE TABLE t (id int {key}, v text, note text)".encode())
    db.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, %s) i", (ROWS,))
    expand(database, change_type("public.t", "v", "integer", up, "v::text", **rest))
    asyncio.run(run(database.url, NAME))
    return db


async def with_session(database: Database, work: Callable[[Session], Awaitable[Any]]) -> Any:
    session = Session(lambda: open_session(database.url, "test"))
    try:
        return await work(session)
    finally:
        await session.close()


def one_chunk(database: Database) -> None:
    """Begin a pass, and leave it after its first chunk of 500 rows."""

    async def work(session: Session) -> None:
        connection = await session.connection()
        row, managed = await read_managed_table(connection, NAME)
        key = await find_key(connection, managed.migration)
        last = await passes.read(connection, NAME)
        number = await passes.begin(connection, row, key, last, repair=False)
        asked = iter((False, True))
        assert not await go_through(session, managed, key, number, stop=lambda: next(asked))

    asyncio.run(with_session(database, work))


def report(database: Database) -> VerificationReport | None:
    async def work(session: Session) -> VerificationReport | None:
        return await read_verification(await session.connection(), NAME)

    return asyncio.run(with_session(database, work))  # type: ignore[no-any-return]


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)


SLOW = (
    "CREATE OR REPLACE FUNCTION slow(v text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_sleep(%s); RETURN v; END'"
)


def test_a_pass_that_is_killed_goes_on_where_it_was_with_what_it_had_found(database: Database) -> None:
    db = database.connect()
    db.execute((SLOW % 0).encode())
    db = filled(database, up="public.slow(v)")
    db.execute("UPDATE t SET v = '0' WHERE id IN (3, 1100)")
    db.execute((SLOW % 0.001).encode())
    command = [sys.executable, "-m", "proxy", "verify", NAME, "--database-url", database.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: db.execute("SELECT 1 FROM pgjanus.verifications WHERE rows_done > 0").fetchone(), "a chunk")
    finally:
        process.kill()
        process.communicate()
    db.execute((SLOW % 0).encode())
    left = report(database)
    assert left is not None
    assert (left.status != "done", 0 < left.rows_done < ROWS, left.found) == (True, True, 1)

    result = asyncio.run(verify(database.url, NAME))

    assert (result.rows, result.keys) == (ROWS, ("id=3", "id=1100"))
    assert db.execute("SELECT pass FROM pgjanus.verifications").fetchone() == (1,)


def test_a_row_that_moves_behind_the_cursor_is_found(database: Database) -> None:
    db = filled(database, key="")
    db.execute("UPDATE t SET v = '0' WHERE id = 1150")
    db.execute("DELETE FROM t WHERE id <= 200")
    db.execute("VACUUM t")
    one_chunk(database)
    # To the free room at the table's beginning, as it is.
    before = db.execute("SELECT ctid::text FROM t WHERE id = 1150").fetchone()
    db.execute("WITH gone AS (DELETE FROM t WHERE id = 1150 RETURNING *) INSERT INTO t SELECT * FROM gone")
    after = db.execute("SELECT ctid::text FROM t WHERE id = 1150").fetchone()
    assert before is not None and after is not None
    assert int(after[0].split(",")[0][1:]) < int(before[0].split(",")[0][1:])

    result = asyncio.run(verify(database.url, NAME))

    assert [f.old["v"] for f in result.findings] == ["0"]


def test_the_end_of_a_pass_is_what_counts(database: Database) -> None:
    db = filled(database)
    db.execute("UPDATE t SET v = '0' WHERE id IN (7, 8)")
    one_chunk(database)
    db.execute("UPDATE t SET v = '7' WHERE id = 7")
    db.execute("DELETE FROM t WHERE id = 8")
    db.execute("UPDATE t SET v = 'n/a' WHERE id = 9")
    db.execute("UPDATE t SET v = '0' WHERE id = 10")

    result = asyncio.run(verify(database.url, NAME))

    assert sorted(result.keys) == ["id=10", "id=9"]
    assert any("invalid input syntax" in f.reason for f in result.findings)


def test_a_table_that_is_written_anew_is_read_anew(database: Database) -> None:
    db = filled(database, key="")
    db.execute("UPDATE t SET v = '0' WHERE id = 1")
    db.execute("CREATE INDEX by_id ON t (id DESC)")
    one_chunk(database)
    # Rows get other places, but stay the versions that they are: the last ones are the first ones now.
    db.execute("CLUSTER t USING by_id")

    result = asyncio.run(verify(database.url, NAME))

    assert (result.rows, result.divergent) == (ROWS, 1)


def test_a_proof_is_brought_up_to_date_and_a_phase_that_is_left_takes_it_away(database: Database) -> None:
    db = filled(database)
    assert asyncio.run(prove(database.url, NAME)).clean
    asked = "SELECT pass, rows_done, checked_at FROM pgjanus.verifications"
    first = db.execute(asked).fetchone()
    assert asyncio.run(prove(database.url, NAME)).clean
    second = db.execute(asked).fetchone()
    assert first is not None and second is not None
    assert (second[:2], second[2] > first[2]) == (first[:2], True)

    db.execute("UPDATE t SET v = '0' WHERE id = 1000")
    assert asyncio.run(prove(database.url, NAME)).keys == ("id=1000",)
    assert asyncio.run(verify(database.url, NAME, repair=True)).clean
    repaired = report(database)
    assert repaired is not None
    assert (repaired.found, repaired.repaired, repaired.proved_s) == (1, 1, None)
    assert asyncio.run(prove(database.url, NAME)).clean
    proved = report(database)
    assert proved is not None and proved.proved_s is not None

    number = db.execute("SELECT pass FROM pgjanus.verifications").fetchone()
    db.execute("UPDATE pgjanus.migrations SET phase = 'reading_new', changed_at = clock_timestamp()")
    stale = report(database)
    assert stale is not None
    assert (stale.current, stale.proved_s) == (False, None)
    assert asyncio.run(prove(database.url, NAME)).clean
    assert number is not None
    assert db.execute("SELECT pass FROM pgjanus.verifications").fetchone() == (number[0] + 1,)


async def test_a_step_needs_a_clean_pass_and_says_which_command_makes_it_possible(database: Database) -> None:
    db = database.connect()
    db.execute(ladder_case.USERS.encode())
    async with ladder_case.operator_of(database) as operator:
        await start(operator, ladder_case.spec())
        await advance(operator, ladder_case.NAME)
        await run(database.url, ladder_case.NAME)
        db.execute("UPDATE users SET _pgjanus_last_name = 'last3', _pgjanus_state = 4 WHERE id = 3")
        wanted = f"pgjanus verify {ladder_case.NAME} lists them, with --repair"
        with pytest.raises(LadderError, match=wanted):
            await advance(operator, ladder_case.NAME)
        status = "\n".join(lines(await read_status(operator.connection)))
        assert f"1 rows differ (table pgjanus.divergences): pgjanus verify {ladder_case.NAME} --repair" in status
        assert (await verify(database.url, ladder_case.NAME, repair=True)).repaired == 1
        assert (await advance(operator, ladder_case.NAME)).phase == "reading_new"
        status = "\n".join(lines(await read_status(operator.connection)))
        assert "in an earlier writing_both: it proves nothing now" in status


def test_the_worker_proves_by_itself_and_rests(database: Database) -> None:
    db = filled(database)
    said: list[str] = []

    async def unasked(session: Session) -> bool:
        return await verify_unasked(session, unready=(), stop=lambda: False, on_error=said.append)

    assert asyncio.run(with_session(database, unasked))
    asked = "SELECT pass, part, checked_at FROM pgjanus.verifications"
    first = db.execute(asked).fetchone()
    assert first is not None and first[:2] == (1, "done")
    assert asyncio.run(with_session(database, unasked))
    assert db.execute(asked).fetchone() == first

    db.execute("UPDATE t SET v = '0' WHERE id = 5")
    db.execute("UPDATE pgjanus.verifications SET checked_at = checked_at - interval '61 s'")
    assert asyncio.run(with_session(database, unasked))
    assert said == [f"{NAME}: the two formats differ in 1 rows: pgjanus verify {NAME} lists them"]
    kept = report(database)
    assert kept is not None and (kept.divergent, kept.proved_s) == (1, None)


async def test_it_waits_for_what_the_backfill_waits_for_and_says_so(database: Database) -> None:
    await asyncio.to_thread(filled, database)
    control = await connect(database.url)
    await change_controls(control, NAME, paused=True, settings={}, reset=False)

    async def unasked(session: Session) -> bool:
        return await verify_unasked(session, unready=(), stop=lambda: False, on_error=print)

    worker = asyncio.ensure_future(with_session(database, unasked))
    try:
        await _until(control, lambda r: r.status == "paused", "a pause")
        kept = await read_verification(control, NAME)
        assert kept is not None and (kept.reason, kept.rows_done) == ("paused by an operator", 0)
        await change_controls(control, NAME, paused=False, settings={}, reset=False)
        await _until(control, lambda r: r.proved_s is not None, "a proof")
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        await control.close()


async def _until(control: Any, true: Callable[[VerificationReport], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while (found := await read_verification(control, NAME)) is None or not true(found):
        assert time.monotonic() < deadline, f"waited for {what}: {found}"
        await asyncio.sleep(0.05)
