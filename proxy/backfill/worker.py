"""Emptying one row state of one table: rounds over its ranges until a scan finds no such row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from proxy.backfill import bad_rows, rounds
from proxy.backfill.convert import Converter, StoppedAtRow
from proxy.backfill.drive import BadRow, Met, Step, drive
from proxy.backfill.pressure import Cause, Reason
from proxy.backfill.progress import Meter, Progress, Status, publish
from proxy.backfill.ranges import Job
from proxy.backfill.rounds import Next, Turn
from proxy.backfill.session import Session, find_key
from proxy.backfill.throttle import LEAST_ROWS, START_ROWS, BatchSize
from proxy.backfill.watch import Watch
from proxy.database import Connection
from rules.migration import Migration
from rules.phases import RowState

T = TypeVar("T")
OnProgress = Callable[[Progress], None]
StillWanted = Callable[[Connection], Awaitable[bool]]

_LOOK_EVERY_SECONDS = 0.5
#: While another worker has the last range, or scans.
_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class StateResult:
    """What came of emptying one row state.

    Attributes:
        rows: converted by this run.
        bad: rows that cannot be converted, as (`id=7`, PostgreSQL's error), the first of them; they are as they were.
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
    exact: bool = False,
) -> StateResult:
    """Convert every row in `state` to `both`, beside live writers, until a scan finds none.

    Safe to run at any time, in any phase, by any number of workers at once: each batch is one READ COMMITTED statement
    that computes from the rows it locks.

    Args:
        still_wanted: asked about twice a second; a False ends the run.
        exact: count the rows first, instead of estimating them from a sample.

    Raises:
        asyncpg.PostgresError: the conversion cannot work at all (a missing column or function, no privilege).
        TooManyBadRows: the expression is to blame, not the rows.
        StoppedAtRow: the first row that cannot be converted, where the migration says so.
    """
    key = await find_key(await session.connection(), migration)
    run = _Run(session, Job(migration, state, key), on_progress, still_wanted, exact)
    return await run.to_the_end()


class _Run:
    def __init__(
        self,
        session: Session,
        job: Job,
        on_progress: OnProgress,
        still_wanted: StillWanted | None,
        exact: bool,
    ) -> None:
        self._session = session
        self._job = job
        self._meter = Meter(job)
        self._watch = Watch(job.migration)
        self._on_progress = on_progress
        self._still_wanted = still_wanted
        self._exact = exact
        self._wanted = True
        self._looked_at = float("-inf")
        self._size = BatchSize(job.migration.backfill.batch_target_ms)

    async def to_the_end(self) -> StateResult:
        try:
            return await self._rounds()
        except StoppedAtRow as error:
            await self._patiently(partial(rounds.stop, job=self._job, error=str(error)))
            raise

    async def _rounds(self) -> StateResult:
        started = time.monotonic()
        seen: int | None = None
        wait_round: int | None = None
        while True:
            turn = await self._turn(seen)
            if turn.next in (Next.DONE, Next.FAILED) or not self._wanted:
                break
            if turn.next is Next.WAIT:
                await asyncio.sleep(_WAIT_SECONDS)
                continue
            if seen is not None and turn.round != seen:
                # The first round of a run goes around rows that somebody has locked. Later ones wait for the lockers,
                # a few rows at a time, since those that are locked already are kept meanwhile.
                wait_round = turn.round
                self._size = BatchSize(self._size.target_ms, LEAST_ROWS)
            seen, self._meter.rows_total = turn.round, turn.total
            rows = self._meter.rows
            await self._round(wait=turn.round == wait_round)
            if self._wanted and self._meter.rows == rows:
                await asyncio.sleep(_WAIT_SECONDS)
        return await self._result(turn, time.monotonic() - started)

    async def _turn(self, seen: int | None) -> Turn:
        async def work(connection: Connection) -> Turn:
            await self._between(connection)
            if seen is not None:
                await self._say(connection, Status.VERIFYING, "looking for rows that are left")
            return await rounds.turn(connection, self._job, seen=seen, exact=self._exact)

        return await self._patiently(work)

    async def _patiently(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """One piece of work, tried again like a batch."""
        found: list[T] = []

        async def take(connection: Connection, _: int = 1) -> Met:
            found.append(await work(connection))
            return Met(0, None)

        async def once(*_: object) -> None:
            pass

        await drive(self._session, Step(take, take, self._pause), BatchSize(0), once)
        return found[-1]

    async def _round(self, *, wait: bool) -> None:
        converter = Converter(self._job, self._meter, self._watch, wait)
        step = Step(converter.take, converter.blame, self._pause, self._between)
        self._size = await drive(self._session, step, self._size, self._after)
        if self._size.rows < START_ROWS and not wait:
            self._size = BatchSize(self._size.target_ms, START_ROWS)

    async def _after(self, _: Met | BadRow, size: BatchSize, __: float) -> BatchSize | None:
        self._meter.batch_size = size.rows
        self._meter.status = Status.RUNNING
        self._on_progress(self._meter.report("converting"))
        return replace(size, target_ms=self._watch.settings.batch_target_ms) if self._wanted else None

    async def _between(self, connection: Connection) -> None:
        """A look around, twice a second; returns when there is room for the next batch."""
        if time.monotonic() - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        while True:
            if self._still_wanted is not None:
                self._wanted = await self._still_wanted(connection)
            reasons = await self._watch.reasons_to_wait(connection) if self._wanted else ()
            self._looked_at = time.monotonic()
            if not reasons:
                break
            await self._wait_for(connection, reasons)
        if self._meter.rows_total:
            await self._say(connection, Status.RUNNING, "")

    async def _wait_for(self, connection: Connection, reasons: tuple[Reason, ...]) -> None:
        since = time.monotonic()
        words = "; ".join(reason.words for reason in reasons)
        paused = reasons[0].cause is Cause.OPERATOR
        await self._say(connection, Status.PAUSED if paused else Status.THROTTLED, words)
        self._on_progress(self._meter.report(words if paused else f"waiting: {words}"))
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        self._meter.waited_ms[reasons[0].cause.value] += (time.monotonic() - since) * 1000

    async def _say(self, connection: Connection, status: Status, reason: str) -> None:
        self._meter.status, self._meter.reason = status, reason
        await publish(connection, self._meter)

    def _pause(self, why: str) -> None:
        self._on_progress(self._meter.report(why))

    async def _result(self, turn: Turn, seconds: float) -> StateResult:
        job, complete = self._job, turn.next is Next.DONE
        if complete and turn.round == 0:
            return StateResult(job.migration.name, job.state, 0, seconds, (), complete=True)

        async def work(connection: Connection) -> tuple[tuple[str, str], ...]:
            bad = await bad_rows.named(connection, job) if turn.next is Next.FAILED else ()
            status = Status.DONE if complete else Status.FAILED if bad else Status.PENDING
            await self._say(connection, status, "" if complete else words(bad))
            return bad

        def words(bad: tuple[tuple[str, str], ...]) -> str:
            return "done" if complete else f"{len(bad)} rows cannot be converted" if bad else "stopped"

        bad = await self._patiently(work)
        self._on_progress(self._meter.report(words(bad)))
        return StateResult(job.migration.name, job.state, self._meter.rows, seconds, bad, complete)
