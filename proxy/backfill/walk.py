"""Walking a table along its key, one limited statement after the other, past rows that make it fail.

The walk is the same for backfill, verification and repair; what one step does is given as a `Step`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg

from proxy.backfill.session import Session
from proxy.backfill.sqlstate import belongs_to_a_row, is_lock_wait, is_worth_a_retry
from proxy.backfill.throttle import BatchSize
from proxy.database import Connection
from rules.errors import PgjanusError

Cursor = tuple[str, ...]

_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)


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
    """So many rows fail that the expression is to blame, not the rows. `bad` has those that were met."""

    def __init__(self, bad: list[BadRow]) -> None:
        super().__init__(
            f"more than {len(bad) - 1} rows fail, the last one: {bad[-1].error};"
            " it is the expression that has to change, not the rows"
        )
        self.bad = bad


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a walk.

    Attributes:
        take: `(connection, cursor, rows)` does up to so many rows after the cursor, commits, and says what it met.
        blame: `(connection, cursor)` deals with exactly one row, the next after the cursor; a `BadRow` if it fails,
            None if there is no such row (any more), else what it met.
        pause: called before each attempt after an error, with what went wrong.
        most_bad_rows: above this the walk gives up.
    """

    take: Callable[[Connection, Cursor | None, int], Awaitable[Met]]
    blame: Callable[[Connection, Cursor | None], Awaitable[Met | BadRow]]
    pause: Callable[[str], None] = lambda _: None
    most_bad_rows: int = 1000


@dataclass(slots=True)
class WalkResult:
    """How far a walk came: rows met, and rows that fail."""

    met: int = 0
    bad: list[BadRow] = field(default_factory=list)


AfterBatch = Callable[[Met, BatchSize, float], Awaitable[bool]]


async def walk(session: Session, step: Step, cursor: Cursor | None, size: BatchSize, after: AfterBatch) -> WalkResult:
    """Take batch after batch until one meets no row.

    `after(met, size, seconds)` is told of each batch, and may return False to end the walk early.

    Raises:
        TooManyBadRows: more than `step.most_bad_rows` rows fail.
        asyncpg.PostgresError, OSError: an error that is neither a row's nor worth another try, or one try too many.
    """
    result = WalkResult()
    failures = 0
    outcome: Met | BadRow
    while True:
        started = time.monotonic()
        try:
            connection = await session.connection()
            if size.rows == 1:
                outcome = await step.blame(connection, cursor)
            else:
                try:
                    outcome = await step.take(connection, cursor, size.rows)
                except asyncpg.PostgresError as error:
                    if not belongs_to_a_row(error):
                        raise
                    size = size.halved()
                    continue
        except Exception as error:
            if not is_worth_a_retry(error) or (failures >= len(_PAUSES_SECONDS) and not is_lock_wait(error)):
                raise
            pause = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)]
            failures += 1
            size = size.halved()
            step.pause("waiting for a row lock" if is_lock_wait(error) else f"trying again: {_one_line(error)}")
            if not isinstance(error, asyncpg.PostgresError):
                await session.drop()
            await asyncio.sleep(pause)
            continue
        failures = 0
        took_ms = (time.monotonic() - started) * 1000
        if isinstance(outcome, BadRow):
            result.bad.append(outcome)
            if len(result.bad) > step.most_bad_rows:
                raise TooManyBadRows(result.bad)
            cursor = outcome.key
            continue
        result.met += outcome.rows
        taken, size = size.rows, size.after(took_ms, outcome.rows)
        if outcome.last is not None:
            cursor = outcome.last
            if not await after(outcome, size, took_ms / 1000):
                return result
        if outcome.rows < taken:
            return result


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
