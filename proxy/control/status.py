"""How the control side of one proxy stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """What the status page shows. `closed` says why managed tables are not served, None if they are."""

    epoch: int
    acknowledged: int
    transactions: int
    transactions_behind: int
    held: bool
    last_hold_s: float | None
    lease_left_s: float
    closed: str | None
