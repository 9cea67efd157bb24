"""One limited statement after the other, through locks, lost connections and rows that make it fail.

    between ──► take n rows ──► after ──► between ──► …
                  │ a row's error: n/2 … 1 ──► blame that row, go past it
                  └ anything that may pass: wait, n/2, again

The same for backfill, verification and repair; what one statement does is given as `Step`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from proxy.backfill.session import Session
from proxy.backfill.sqlstate import belongs_to_a_row, is_disconnect, is_lock_wait, is_worth_a_retry
from proxy.backfill.throttle import BatchSize
from proxy.database import Connection
from rules.errors import PgjanusError

Cursor = tuple[str, ...]

_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)
#: A failover or a restart may take that long.
_PATIENCE_WITHOUT_SERVER_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Met:
    """What one statement came across: `rows` it met, the last one's key; `last` is None if it met none."""

    rows: int
    last: Cursor | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that a statement fails on, and PostgreSQL's words for it."""

    key: Cursor
    error: str


class TooManyBadRows(PgjanusError):
    """So many rows fail that the expression is to blame, not the rows. `bad` has those that were met, or some."""

    def __init__(self, bad: list[BadRow], count: int) -> None:
        super().__init__(
            f"more than {count - 1} rows fail, the last one: {bad[-1].error};"
            " it is the expression that has to change, not the rows"
        )
        self.bad = bad


async def _no_pause(_: Connection) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of many.

    Attributes:
        take: `(connection, rows)` does up to so many rows, commits, and says what it met; None if nothing is left.
        blame: `(connection)` does exactly one row; a `BadRow` if that fails, and the next call is for the next one.
        pause: called before each attempt after an error, with what went wrong.
        between: awaited before each statement; returns when the next one may begin.
    """

    take: Callable[[Connection, int], Awaitable[Met | None]]
    blame: Callable[[Connection], Awaitable[Met | BadRow | None]]
    pause: Callable[[str], None] = lambda _: None
    between: Callable[[Connection], Awaitable[None]] = _no_pause


#: Told of each outcome, the size of the next batch, and how long it took in seconds; returns that size, or another one,
#: or None to end it early.
After = Callable[[Met | BadRow, BatchSize, float], Awaitable[BatchSize | None]]


async def drive(session: Session, step: Step, size: BatchSize, after: After) -> BatchSize:
    """Until a step has nothing left, or `after` says so; returns the size of the batch that would be next.

    Raises:
        asyncpg.PostgresError, OSError: an error that is neither a row's nor worth another try, or one try too many.
    """
    patience = _Patience()
    while True:
        try:
            connection = await session.connection()
            await step.between(connection)
            started = time.monotonic()
            try:
                outcome = await (step.blame(connection) if size.rows == 1 else step.take(connection, size.rows))
            except asyncpg.PostgresError as error:
                if size.rows == 1 or not belongs_to_a_row(error):
                    raise
                size = size.halved()
                continue
        except Exception as error:
            pause = patience.after(error)
            if pause is None:
                raise
            size = size.halved()
            step.pause("waiting for a row lock" if is_lock_wait(error) else f"trying again: {one_line(error)}")
            if is_disconnect(error):
                await session.drop()
            await asyncio.sleep(pause)
            continue
        patience = _Patience()
        if outcome is None:
            return size
        took_s = time.monotonic() - started
        if isinstance(outcome, Met):
            size = size.after(took_s * 1000, outcome.rows)
        following = await after(outcome, size, took_s)
        if following is None:
            return size
        size = following


class _Patience:
    """How often one statement is tried again, and after how long; anew after each success."""

    def __init__(self) -> None:
        self._failures = 0
        self._since: float | None = None

    def after(self, error: Exception) -> float | None:
        """Seconds until the next try; None: give up."""
        if not is_worth_a_retry(error):
            return None
        pause = _PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS) - 1)]
        self._failures += 1
        if is_disconnect(error):
            self._since = self._since or time.monotonic()
            waited = time.monotonic() - self._since
            return pause * random.uniform(0.5, 1.0) if waited < _PATIENCE_WITHOUT_SERVER_SECONDS else None
        # Whoever holds the lock is a person's transaction perhaps: it is waited for as long as it takes.
        return pause if is_lock_wait(error) or self._failures <= len(_PAUSES_SECONDS) else None


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
