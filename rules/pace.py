"""What the side worker keeps to: its pace, what it keeps out of the way of, what it does with rows that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rules.changes import Expression


class OnError(Enum):
    """What becomes of a row that cannot be converted.

    `FAIL`: the backfill stops at it. `SKIP_AND_REPORT`: it is listed and left as it is, so the gate stays shut.
    `DEFAULT`: it is listed, and gets the value of an expression.
    """

    FAIL = "fail"
    SKIP_AND_REPORT = "skip_and_report"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class BackfillSettings:
    """What the worker keeps to; None switches a limit off. Lengths of time are in milliseconds.

    Attributes:
        max_dead_share: dead rows of the table, as a share of all.
        max_waiting: sessions that wait for somebody's lock.
        check_sql, check_url: asked as well; the first one's value has to be true, the second one's status 2xx.
        on_error: None where the file does not say: as `SKIP_AND_REPORT`, but `start` insists on there being none.
        defaults: by visible name of a new column.
    """

    batch_target_ms: int = 100
    max_lag_ms: int = 5000
    max_lag_bytes: int | None = 512 << 20
    ignore_standbys: tuple[str, ...] = ()
    max_wal_bytes_per_s: int | None = None
    wait_for_vacuum: bool = True
    max_dead_share: float | None = None
    max_waiting: int | None = 10
    max_transaction_age_ms: int | None = None
    max_active: int | None = None
    max_latency_ms: int | None = None
    check_sql: str | None = None
    check_url: str | None = None
    synchronous_commit: str = "off"
    lock_timeout_ms: int = 2000
    statement_timeout_ms: int = 60_000
    on_error: OnError | None = None
    defaults: Mapping[str, Expression] = field(default_factory=dict)
