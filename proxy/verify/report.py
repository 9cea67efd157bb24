"""What `status` says of the verification."""

from __future__ import annotations

import json
from dataclasses import dataclass

from proxy.database import Connection
from proxy.verify import passes
from proxy.verify.passes import GONE_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """The last pass.

    Attributes:
        phase: in which it was begun.
        current: the migration is in that phase, and has not left it since. If not, the pass proves nothing now.
        status: `running`, `throttled`, `paused`, `pending` (nobody is at it) or `done`.
        reason: why it waits.
        found: rows that were not as they have to be; some may have been mended since.
        divergent, forbidden: rows that are listed in `pgjanus.divergences`: those whose formats differ or cannot be
            converted, and those in a row state that the phase forbids.
        proved_s: how long ago it was a proof that all rows agree, in seconds; None if it is none.
        waited_s: by cause.
    """

    phase: str
    current: bool
    status: str
    reason: str
    rows_done: int
    rows_total: int
    rows_per_s: float
    found: int
    divergent: int
    forbidden: int
    repaired: int
    proved_s: float | None
    waited_s: dict[str, float]

    @property
    def percent(self) -> float | None:
        if self.status == "done":
            return 100.0
        return min(100.0, 100.0 * self.rows_done / self.rows_total) if self.rows_total else None


_LAST = """
SELECT v.pass, v.phase, m.phase = v.phase AND m.changed_at = v.entered AS current, v.rows_done, v.rows_total, v.found,
       v.repaired, v.rows_per_s, v.reason, v.waited_ms::text,
       CASE WHEN v.part = 'done' THEN 'done'
            WHEN v.seen_at > clock_timestamp() - make_interval(secs => $2::float8) THEN v.status
            ELSE 'pending' END AS status,
       extract(epoch FROM clock_timestamp() - v.checked_at)::float8 AS checked_s
  FROM pgjanus.verifications v JOIN pgjanus.migrations m ON m.name = v.migration WHERE v.migration = $1"""


async def read_verification(connection: Connection, migration: str) -> VerificationReport | None:
    """None: there was no pass yet."""
    row = await connection.fetchrow(_LAST, migration, GONE_AFTER_SECONDS)
    if row is None:
        return None
    divergent, forbidden = await passes.count(connection, migration, row["pass"])
    waits = row["status"] in ("throttled", "paused")
    return VerificationReport(
        phase=row["phase"],
        current=row["current"],
        status=row["status"],
        reason=row["reason"] if waits else "",
        rows_done=row["rows_done"],
        rows_total=row["rows_total"],
        rows_per_s=row["rows_per_s"],
        found=row["found"],
        divergent=divergent,
        forbidden=forbidden,
        repaired=row["repaired"],
        proved_s=row["checked_s"] if row["current"] and not row["found"] else None,
        waited_s={cause: ms / 1000 for cause, ms in sorted(json.loads(row["waited_ms"]).items())},
    )
