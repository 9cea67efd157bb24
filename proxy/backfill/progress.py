"""How far a backfill is, as one worker tells it: what is shown, and what others can see of it in the database."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import Enum

from proxy.backfill.ranges import Job
from proxy.database import Connection
from rules.phases import RowState

#: The rate, and so the time that is left, is an average over that long.
RATE_WINDOW_SECONDS = 30.0
#: A worker that was not heard of for that long is gone.
GONE_AFTER_SECONDS = 10.0


class Status(Enum):
    """What becomes of a row state at the moment. `PENDING`: nobody is at work."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    THROTTLED = "throttled"
    FAILED = "failed"
    VERIFYING = "verifying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. Rows are of all workers, `rate` (rows per second) and `batch_size` of this one.

    `rows_total` is an estimate in the first round. `state` is a few words for a person: "converting", "waiting for a
    row lock", "done" …
    """

    migration: str
    empties: RowState
    rows_done: int
    rows_total: int
    rate: float
    eta_s: float | None
    batch_size: int
    state: str
    status: Status = Status.RUNNING


@dataclass(slots=True)
class Meter:
    """Counts the rows of one worker, and the time that it waited, by cause.

    `rows_of_all` is what all workers had done, and `all_per_s` how fast they were, when somebody last looked.
    """

    job: Job
    rows_total: int = 0
    rows: int = 0
    rows_of_all: int = 0
    all_per_s: float = 0.0
    batch_size: int = 0
    status: Status = Status.RUNNING
    reason: str = ""
    waited_ms: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _unseen: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def count(self, rows: int) -> None:
        self.rows += rows
        self._unseen += rows
        self._note()

    def look(self, rows_of_all: int, all_per_s: float) -> None:
        """What the database says of all workers, this one's last batch included."""
        self.rows_of_all, self._unseen, self.all_per_s = rows_of_all, 0, all_per_s

    @property
    def rate(self) -> float:
        """Rows per second over the last `RATE_WINDOW_SECONDS`, waiting included."""
        self._note()
        (first, before), (last, now) = self._recent[0], self._recent[-1]
        return (now - before) / (last - first) if last > first else 0.0

    def _note(self) -> None:
        now = time.monotonic()
        if not self._recent:
            self._recent.append((now, self.rows))
            return
        self._recent.append((now, self.rows))
        while len(self._recent) > 2 and self._recent[1][0] < now - RATE_WINDOW_SECONDS:
            self._recent.popleft()

    def report(self, state: str) -> Progress:
        rate = self.rate
        done = self.rows_of_all + self._unseen
        left = max(0, self.rows_total - done)
        together = max(rate, self.all_per_s)
        return Progress(
            self.job.migration.name,
            self.job.state,
            done,
            max(self.rows_total, done),
            rate,
            left / together if together > 0 else None,
            self.batch_size,
            state,
            self.status,
        )


async def publish(connection: Connection, meter: Meter) -> None:
    """Let `status` see this worker, and see what the others have done. One statement, outside any batch."""
    job = meter.job
    row = await connection.fetchrow(
        """
        WITH me AS (
            INSERT INTO pgjanus.backfill_workers AS w (id, migration, state, host, pid, status, reason, rows_done,
                   rows_per_s, batch_rows, waited_ms)
            VALUES ($3, $1, $2, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)
            ON CONFLICT (id) DO UPDATE SET status = excluded.status, reason = excluded.reason,
                   rows_done = excluded.rows_done, rows_per_s = excluded.rows_per_s, batch_rows = excluded.batch_rows,
                   waited_ms = excluded.waited_ms, seen_at = clock_timestamp())
        SELECT (SELECT sum(rows_done)::int8 FROM pgjanus.backfill_ranges WHERE migration = $1 AND state = $2),
               (SELECT rows_total FROM pgjanus.backfills WHERE migration = $1 AND state = $2),
               (SELECT sum(rows_per_s) FROM pgjanus.backfill_workers WHERE migration = $1 AND state = $2 AND id <> $3
                   AND seen_at > clock_timestamp() - make_interval(secs => $12::float8))
        """,
        *(*job.name, job.worker, socket.gethostname(), os.getpid(), meter.status.value, meter.reason),
        *(meter.rows, meter.rate, meter.batch_size, json.dumps({k: round(v) for k, v in meter.waited_ms.items()})),
        GONE_AFTER_SECONDS,
    )
    assert row is not None
    rows, total, others_per_s = row
    meter.look(int(rows or 0), meter.rate + (others_per_s or 0.0))
    meter.rows_total = total or 0
