"""Emptying one row state of one table: passes over the table until a scan finds no such row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from proxy.backfill import progress as stored
from proxy.backfill.progress import Meter, Progress
from proxy.backfill.session import Session, find_key
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.throttle import BatchSize
from proxy.backfill.walk import BadRow, Cursor, Met, Step, walk
from proxy.database import Connection
from rules.batches import Key, batch_sql, count_sql, next_key_sql, one_row_sql
from rules.migration import Migration
from rules.phases import RowState

OnProgress = Callable[[Progress], None]
StillWanted = Callable[[Connection], Awaitable[bool]]

_ASK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StateResult:
    """What came of emptying one row state.

    Attributes:
        rows: converted by this run.
        bad: rows that cannot be converted, as (`id=7`, PostgreSQL's error); they are left as they are.
        complete: a scan found no row in the state. False with no bad rows means that the phase moved on meanwhile.
    """

    migration: str
    empties: RowState
    rows: int
    seconds: float
    bad: tuple[tuple[str, str], ...]
    complete: bool


async def empty_state(
    session: Session,
    migration: Migration,
    state: RowState,
    *,
    on_progress: OnProgress = lambda _: None,
    still_wanted: StillWanted | None = None,
    keep_progress: bool = True,
) -> StateResult:
    """Convert every row in `state` to `both`, beside live writers, until a scan finds none.

    Safe to run at any time, in any phase, by any number of workers: each batch is one READ COMMITTED statement
    that computes from the rows it locks.

    Args:
        still_wanted: asked once a second; a False ends the run.
        keep_progress: commit the cursor with each batch in `pgjanus.backfills` (needs the control schema).

    Raises:
        asyncpg.PostgresError: the conversion cannot work at all (a missing column or function, no privilege).
        TooManyBadRows: the expression is to blame, not the rows.
    """
    started = time.monotonic()
    connection = await session.connection()
    key = await find_key(connection, migration)
    total: int = await connection.fetchval(count_sql(migration.table, state))
    if total == 0:
        if keep_progress:
            await stored.end(connection, migration.name, state, None)
        return StateResult(migration.name, state, 0, time.monotonic() - started, (), complete=True)
    before = stored.Stored(None, 0)
    if keep_progress:
        await stored.begin(connection, migration.name, state, total)
        before = await stored.load(connection, migration.name, state)
    meter = Meter(migration.name, state, before.rows_done, before.rows_done + total)
    run = _Run(migration, state, key, meter, on_progress, keep_progress)
    size = BatchSize(migration.backfill.batch_target_ms)
    cursor, wait, wanted, left = before.cursor, False, True, total
    bad: list[BadRow] = []
    asked = started

    async def after(_: Met, next_size: BatchSize, __: float) -> bool:
        nonlocal asked, wanted, size
        size = next_size
        meter.batch_size = size.rows
        on_progress(meter.report("converting"))
        if time.monotonic() - asked > _ASK_EVERY_SECONDS:
            connection = await session.connection()
            await _let_replicas_catch_up(connection, migration, lambda why: on_progress(meter.report(why)))
            if still_wanted is not None:
                wanted = await still_wanted(connection)
            asked = time.monotonic()
        return wanted

    while left and wanted:
        bad = (await walk(session, run.step(wait=wait), cursor, size, after)).bad
        left = await (await session.connection()).fetchval(count_sql(migration.table, state))
        if left <= len(bad):
            break
        # The first pass goes around rows that somebody has locked, and around rows that appear behind it. Later ones
        # begin at the top and wait for the lockers.
        cursor, wait = None, True

    complete = left == 0
    failed = tuple((key.describe(row.key), row.error) for row in bad)
    if keep_progress and wanted:
        error = None if complete else f"{len(failed)} rows cannot be converted, such as {' : '.join(failed[0])}"
        await stored.end(await session.connection(), migration.name, state, error)
    on_progress(
        meter.report("done" if complete else f"{len(failed)} rows cannot be converted" if failed else "stopped")
    )
    return StateResult(migration.name, state, meter.rows, time.monotonic() - started, failed, complete)


_LAG = "SELECT coalesce(max(extract(epoch FROM replay_lag)) * 1000, 0)::float8 FROM pg_stat_replication"


async def _let_replicas_catch_up(connection: Connection, migration: Migration, pause: Callable[[str], None]) -> None:
    """Wait while a replica is more than `max_lag` behind; without the right to see that, nobody is behind."""
    while (lag_ms := await connection.fetchval(_LAG)) > migration.backfill.max_lag_ms:
        pause(f"waiting for a replica that is {lag_ms / 1000:.1f} s behind")
        await asyncio.sleep(_ASK_EVERY_SECONDS / 2)


@dataclass(slots=True)
class _Run:
    migration: Migration
    state: RowState
    key: Key
    meter: Meter
    on_progress: OnProgress
    keep_progress: bool

    def step(self, *, wait: bool) -> Step:
        async def take(connection: Connection, cursor: Cursor | None, rows: int) -> Met:
            sql = batch_sql(self.migration, self.key, self.state, after=cursor is not None, wait=wait)
            async with connection.transaction():
                found = await connection.fetchrow(sql, rows, *(cursor or ()))
                assert found is not None
                met, done, last = found
                if last and self.keep_progress:
                    await stored.advance(connection, self.migration.name, self.state, done, last)
            self.meter.rows += done
            return Met(met, tuple(last) if last else None)

        async def blame(connection: Connection, cursor: Cursor | None) -> Met | BadRow:
            async with connection.transaction():
                sql = next_key_sql(self.migration, self.key, self.state, after=cursor is not None, wait=wait)
                last = await connection.fetchval(sql, *(cursor or ()))
                if last is None:
                    return Met(0, None)
                row = tuple(last)
                try:
                    async with connection.transaction():
                        await connection.execute(one_row_sql(self.migration, self.key, self.state), *row)
                except asyncpg.PostgresError as error:
                    if not belongs_to_a_row(error):
                        raise
                    return BadRow(row, " ".join(str(error).split()))
                if self.keep_progress:
                    await stored.advance(connection, self.migration.name, self.state, 1, row)
            self.meter.rows += 1
            return Met(1, row)

        def pause(why: str) -> None:
            self.on_progress(self.meter.report(why))

        return Step(take, blame, pause)
