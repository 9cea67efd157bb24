"""What `status` says of the backfill, read from what the workers keep in the database."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import asyncpg

from proxy.backfill.progress import GONE_AFTER_SECONDS, Status
from proxy.database import Connection


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One process at work now. `reason` says why it waits, or is empty."""

    host: str
    pid: int
    status: str
    reason: str
    rows_per_s: float
    batch_rows: int


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """How far one row state is from being empty.

    Attributes:
        status: one of `Status`.
        reason: why it is paused or throttled, or has failed.
        rows_total: estimated from a sample in the first round, counted after it.
        rows_per_s, eta_s: of all workers together, over the last half minute.
        ranges: how many are `pending`, `running` (begun), `failed` (done but for bad rows), `done`.
        waited_s: by cause, all workers of this migration together.
        bad_rows: that cannot be converted, and are as they were.
    """

    empties: str
    status: str
    reason: str
    rows_done: int
    rows_total: int | None
    rows_per_s: float
    eta_s: float | None
    ranges: dict[str, int]
    workers: tuple[WorkerReport, ...]
    waited_s: dict[str, float]
    bad_rows: int
    done: bool
    error: str | None

    @property
    def percent(self) -> float | None:
        if self.done:
            return 100.0
        return min(100.0, 100.0 * self.rows_done / self.rows_total) if self.rows_total else None


_BACKFILLS = """
SELECT b.state, b.rows_total, coalesce(b.done, false) AS done, b.error, r.rows_done, r.pending, r.running,
       r.failed, r.finished,
       (SELECT count(*) FROM pgjanus.backfill_bad_rows x
         WHERE x.migration = b.migration AND x.state = b.state AND x.outcome IS NULL) AS bad_rows,
       coalesce((SELECT paused FROM pgjanus.backfill_controls c WHERE c.migration = b.migration), false) AS paused
  FROM (SELECT coalesce(b.migration, w.migration) AS migration, coalesce(b.state, w.state) AS state,
               b.rows_total, b.done, b.error
          FROM pgjanus.backfills b
          -- one that had to wait before it began
          FULL JOIN (SELECT DISTINCT migration, state FROM pgjanus.backfill_workers
                      WHERE seen_at > clock_timestamp() - make_interval(secs => $2::float8)) w
            ON w.migration = b.migration AND w.state = b.state) b
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(rows_done), 0)::int8 AS rows_done,
              count(*) FILTER (WHERE NOT done AND cursor IS NULL) AS pending,
              count(*) FILTER (WHERE NOT done AND cursor IS NOT NULL) AS running,
              count(*) FILTER (WHERE done AND bad_rows > 0) AS failed,
              count(*) FILTER (WHERE done AND bad_rows = 0) AS finished
         FROM pgjanus.backfill_ranges r WHERE r.migration = b.migration AND r.state = b.state) r
 WHERE b.migration = $1 ORDER BY b.state"""

_WORKERS = """
SELECT state, host, pid, status, reason, rows_per_s, batch_rows, waited_ms::text,
       seen_at > clock_timestamp() - make_interval(secs => $2::float8) AS is_here
  FROM pgjanus.backfill_workers WHERE migration = $1 ORDER BY started_at"""


async def read_backfills(connection: Connection, migration: str) -> tuple[BackfillReport, ...]:
    """One for each row state that was ever to be emptied."""
    rows = await connection.fetch(_BACKFILLS, migration, GONE_AFTER_SECONDS)
    workers = await connection.fetch(_WORKERS, migration, GONE_AFTER_SECONDS)
    return tuple(_report(row, [w for w in workers if w["state"] == row["state"]]) for row in rows)


_AT_WORK = (Status.RUNNING, Status.VERIFYING, Status.THROTTLED, Status.PAUSED)


def _report(row: asyncpg.Record, workers: list[asyncpg.Record]) -> BackfillReport:
    here = [w for w in workers if w["is_here"] and Status(w["status"]) in _AT_WORK]
    status, reason = _status(row, here)
    waited = Counter[str]()
    for worker in workers:
        waited.update(json.loads(worker["waited_ms"]))
    rate = sum(w["rows_per_s"] for w in here)
    left = max(0, (row["rows_total"] or 0) - row["rows_done"])
    return BackfillReport(
        empties=row["state"],
        status=status.value,
        reason=reason,
        rows_done=row["rows_done"],
        rows_total=row["rows_total"],
        rows_per_s=rate,
        eta_s=left / rate if rate > 0 and not row["done"] else None,
        ranges={
            "pending": row["pending"],
            "running": row["running"],
            "failed": row["failed"],
            "done": row["finished"],
        },
        workers=tuple(
            WorkerReport(w["host"], w["pid"], w["status"], w["reason"], w["rows_per_s"], w["batch_rows"]) for w in here
        ),
        waited_s={cause: ms / 1000 for cause, ms in sorted(waited.items())},
        bad_rows=row["bad_rows"],
        done=row["done"],
        error=row["error"],
    )


def _status(row: asyncpg.Record, here: list[asyncpg.Record]) -> tuple[Status, str]:
    """What the busiest worker does; with none at work, how it ended, or that it has not."""
    for status in _AT_WORK:
        for worker in here:
            if worker["status"] == status.value:
                return status, worker["reason"]
    if row["done"]:
        return Status.DONE, ""
    if row["error"]:
        return Status.FAILED, row["error"]
    return (Status.PAUSED, "by an operator") if row["paused"] else (Status.PENDING, "no worker is here")
