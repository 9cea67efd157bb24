"""Whether the database has room for the worker just now. Pure: readings and limits in, reasons to wait out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from rules.pace import BackfillSettings


class Cause(Enum):
    """What a worker waits for; `status` counts the time by it."""

    OPERATOR = "operator"
    STANDBY = "standby"
    WAL = "wal"
    VACUUM = "vacuum"
    DEAD_ROWS = "dead rows"
    LOCKS = "locks"
    TRANSACTION = "transaction"
    SESSIONS = "sessions"
    LATENCY = "latency"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Standby:
    """`behind_ms` is None where nothing is to be replayed."""

    name: str
    behind_bytes: int
    behind_ms: float | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What the database said of itself at one moment.

    Attributes:
        wal_bytes_per_s: since the reading before; None for the first one.
        oldest_ms, oldest_who: the transaction that has been open for longest.
        check: why a check of the user's says no, or None.
    """

    standbys: tuple[Standby, ...] = ()
    wal_bytes_per_s: float | None = None
    vacuuming: bool = False
    dead_rows: int = 0
    live_rows: int = 0
    waiting: int = 0
    oldest_ms: float = 0.0
    oldest_who: str = ""
    active: int = 0
    latency_ms: float | None = None
    paused: bool = False
    check: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    cause: Cause
    words: str


def reasons_to_wait(now: Readings, limits: BackfillSettings) -> tuple[Reason, ...]:
    """All of them, the gravest first; none: go on."""
    return tuple(Reason(cause, words) for cause, words in _reasons(now, limits))


def _reasons(now: Readings, limits: BackfillSettings) -> Iterator[tuple[Cause, str]]:
    if now.paused:
        yield Cause.OPERATOR, "paused by an operator"
    for standby in now.standbys:
        # One that has everything keeps the lag of the last time that it had not.
        if standby.name in limits.ignore_standbys or standby.behind_bytes <= 0:
            continue
        if standby.behind_ms is not None and standby.behind_ms > limits.max_lag_ms:
            yield Cause.STANDBY, f"standby {standby.name} is {standby.behind_ms / 1000:.1f} s behind"
        elif limits.max_lag_bytes is not None and standby.behind_bytes > limits.max_lag_bytes:
            yield Cause.STANDBY, f"standby {standby.name} is {_size(standby.behind_bytes)} behind"
    if _above(now.wal_bytes_per_s, limits.max_wal_bytes_per_s):
        yield Cause.WAL, f"{_size(now.wal_bytes_per_s or 0)} of WAL per second"
    if now.vacuuming and limits.wait_for_vacuum:
        yield Cause.VACUUM, "the table is being vacuumed"
    share = now.dead_rows / max(1, now.dead_rows + now.live_rows)
    if _above(share, limits.max_dead_share):
        yield Cause.DEAD_ROWS, f"{share:.0%} of the table are dead rows"
    if _above(now.waiting, limits.max_waiting):
        yield Cause.LOCKS, f"{now.waiting} sessions wait for a lock"
    if _above(now.oldest_ms, limits.max_transaction_age_ms):
        yield Cause.TRANSACTION, f"a transaction has been open for {now.oldest_ms / 1000:.0f} s ({now.oldest_who})"
    if _above(now.active, limits.max_active):
        yield Cause.SESSIONS, f"{now.active} sessions are at work"
    if _above(now.latency_ms, limits.max_latency_ms):
        yield Cause.LATENCY, f"statements of applications take {now.latency_ms or 0:.0f} ms"
    if now.check is not None:
        yield Cause.CHECK, now.check


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GB"
