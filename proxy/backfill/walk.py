"""Walking a whole table along its key, for whoever reads it: verification, repair, preflight."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from proxy.backfill import drive
from proxy.backfill.drive import BadRow, Cursor, Met, TooManyBadRows
from proxy.backfill.session import Session
from proxy.backfill.throttle import BatchSize
from proxy.database import Connection

__all__ = ["AfterBatch", "BadRow", "Cursor", "Met", "Step", "TooManyBadRows", "WalkResult", "walk"]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a walk.

    Attributes:
        take: `(connection, cursor, rows)` does up to so many rows after the cursor, commits, and says what it met.
        blame: `(connection, cursor)` deals with exactly one row, the next after the cursor; a `BadRow` if it fails.
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
    """Take batch after batch until one meets fewer rows than it might.

    `after(met, size, seconds)` is told of each batch, and may return False to end the walk early.

    Raises:
        TooManyBadRows: more than `step.most_bad_rows` rows fail.
        asyncpg.PostgresError, OSError: as `drive`.
    """
    result = WalkResult()
    ended = False

    async def take(connection: Connection, rows: int) -> Met | None:
        nonlocal ended
        if ended:
            return None
        met = await step.take(connection, cursor, rows)
        ended = met.rows < rows
        return met

    async def blame(connection: Connection) -> Met | BadRow | None:
        nonlocal ended
        if ended:
            return None
        outcome = await step.blame(connection, cursor)
        ended = isinstance(outcome, Met) and outcome.rows == 0
        return outcome

    async def note(outcome: Met | BadRow, size: BatchSize, seconds: float) -> BatchSize | None:
        nonlocal cursor
        if isinstance(outcome, BadRow):
            result.bad.append(outcome)
            if len(result.bad) > step.most_bad_rows:
                raise TooManyBadRows(result.bad, len(result.bad))
            cursor = outcome.key
            return size
        result.met += outcome.rows
        if outcome.last is None:
            return size
        cursor = outcome.last
        return size if await after(outcome, size, seconds) else None

    await drive.drive(session, drive.Step(take, blame, step.pause), size, note)
    return result
