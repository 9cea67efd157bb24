"""How far a backfill is: what is shown, and what is kept in the database so that another worker can go on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from proxy.backfill.walk import Cursor
from proxy.database import Connection
from rules.phases import RowState


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. `rows_total` is an estimate and may be passed; `rate` is in rows per second since this run began.

    `state` is a few words for a person: "converting", "waiting for a row lock", "done" …
    """

    migration: str
    empties: RowState
    rows_done: int
    rows_total: int
    rate: float
    eta_s: float | None
    batch_size: int
    state: str


@dataclass(slots=True)
class Meter:
    """Counts rows of this run; `rows_before` were done by earlier ones."""

    migration: str
    empties: RowState
    rows_before: int
    rows_total: int
    rows: int = 0
    batch_size: int = 0
    _started: float = field(default_factory=time.monotonic)

    def report(self, state: str) -> Progress:
        seconds = time.monotonic() - self._started
        rate = self.rows / seconds if seconds > 0 else 0.0
        done = self.rows_before + self.rows
        left = max(0, self.rows_total - done)
        return Progress(
            self.migration,
            self.empties,
            done,
            max(self.rows_total, done),
            rate,
            left / rate if rate > 0 else None,
            self.batch_size,
            state,
        )


@dataclass(frozen=True, slots=True)
class Stored:
    cursor: Cursor | None
    rows_done: int


async def load(connection: Connection, migration: str, empties: RowState) -> Stored:
    """Where the last worker stopped."""
    row = await connection.fetchrow(
        "SELECT cursor, rows_done FROM pgjanus.backfills WHERE migration = $1 AND state = $2",
        *(migration, empties.value),
    )
    if row is None:
        return Stored(None, 0)
    return Stored(tuple(row["cursor"]) if row["cursor"] else None, row["rows_done"])


async def begin(connection: Connection, migration: str, empties: RowState, rows_left: int) -> None:
    """Make the row that the batches update; count anew unless the last worker was interrupted."""
    await connection.execute(
        """
        INSERT INTO pgjanus.backfills AS b (migration, state, rows_total) VALUES ($1, $2, $3)
        ON CONFLICT (migration, state) DO UPDATE SET
            rows_total = excluded.rows_total + CASE WHEN b.done THEN 0 ELSE b.rows_done END,
            rows_done = CASE WHEN b.done THEN 0 ELSE b.rows_done END,
            started_at = CASE WHEN b.done THEN clock_timestamp() ELSE b.started_at END,
            done = false, error = NULL, updated_at = clock_timestamp()
        """,
        *(migration, empties.value, rows_left),
    )


async def advance(connection: Connection, migration: str, empties: RowState, rows: int, cursor: Cursor) -> None:
    """In the transaction of the batch itself: the cursor can never be ahead of the rows (TRAPS.md C10)."""
    await connection.execute(
        "UPDATE pgjanus.backfills SET cursor = $3, rows_done = rows_done + $4, updated_at = clock_timestamp()"
        " WHERE migration = $1 AND state = $2",
        *(migration, empties.value, list(cursor), rows),
    )


async def end(connection: Connection, migration: str, empties: RowState, error: str | None) -> None:
    """The scan is over: none left (`error` None), or some that cannot be converted. The next run starts at the top."""
    await connection.execute(
        "UPDATE pgjanus.backfills SET cursor = NULL, done = $3::text IS NULL, error = $3,"
        " updated_at = clock_timestamp() WHERE migration = $1 AND state = $2",
        *(migration, empties.value, error),
    )
