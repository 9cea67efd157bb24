"""When the worker waits, and how its batches grow and shrink: pure arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.backfill.pressure import Cause, Readings, Standby, reasons_to_wait
from proxy.backfill.throttle import LEAST_ROWS, MOST_ROWS, START_ROWS, BatchSize
from proxy.foreground import Foreground
from rules.backfill import LIVE, BackfillSpec, with_changes
from rules.pace import BackfillSettings

LIMITS = BackfillSettings(
    max_lag_ms=1000,
    max_lag_bytes=1000,
    max_wal_bytes_per_s=5000,
    max_dead_share=0.2,
    max_waiting=3,
    max_transaction_age_ms=60_000,
    max_active=50,
    max_latency_ms=20,
    ignore_standbys=("delayed",),
)
BUSY = {
    Cause.OPERATOR: Readings(paused=True),
    Cause.STANDBY: Readings(standbys=(Standby("near", 10, 5.0), Standby("far", 10, 1001.0))),
    Cause.WAL: Readings(wal_bytes_per_s=5001.0),
    Cause.VACUUM: Readings(vacuuming=True),
    Cause.DEAD_ROWS: Readings(dead_rows=21, live_rows=79),
    Cause.LOCKS: Readings(waiting=4),
    Cause.TRANSACTION: Readings(oldest_ms=60_001.0, oldest_who="pid 1, report"),
    Cause.SESSIONS: Readings(active=51),
    Cause.LATENCY: Readings(latency_ms=21.0),
    Cause.CHECK: Readings(check="not now"),
}
#: As near to the limits as may be.
CALM = Readings(
    standbys=(Standby("near", 1000, 1000.0), Standby("delayed", 10**9, 10.0**9), Standby("all there", 0, 9999.0)),
    wal_bytes_per_s=5000.0,
    dead_rows=20,
    live_rows=80,
    waiting=3,
    oldest_ms=60_000.0,
    active=50,
    latency_ms=20.0,
)


def test_nothing_within_the_limits_is_a_reason() -> None:
    assert reasons_to_wait(CALM, LIMITS) == ()
    assert reasons_to_wait(Readings(), LIMITS) == ()


def test_every_cause_has_a_reading_that_shows_it() -> None:
    assert BUSY.keys() == set(Cause)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_each_one_alone_is_a_reason_and_has_words(cause: Cause) -> None:
    (reason,) = reasons_to_wait(BUSY[cause], LIMITS)
    assert reason.cause is cause
    assert len(reason.words) > 5


def test_lag_counts_in_bytes_where_no_time_is_known() -> None:
    (reason,) = reasons_to_wait(Readings(standbys=(Standby("s", 5 << 20, None),)), LIMITS)
    assert reason.words == "standby s is 5 MB behind"


def test_a_limit_that_is_off_is_none() -> None:
    off = BackfillSettings(max_lag_bytes=None, wait_for_vacuum=False, max_waiting=None)
    for cause, readings in BUSY.items():
        found = {r.cause for r in reasons_to_wait(readings, off)}
        assert found == ({cause} if cause in (Cause.OPERATOR, Cause.CHECK) else set())


def test_live_settings_replace_those_of_the_file() -> None:
    changed = with_changes(LIMITS, {"max_lag": "250ms", "wait_for_vacuum": False, "max_active_sessions": 7})
    assert changed == replace(LIMITS, max_lag_ms=250, wait_for_vacuum=False, max_active=7)
    assert BackfillSpec.model_fields.keys() - LIVE.keys() == {
        *("check_sql", "check_url", "synchronous_commit", "on_error")
    }


@pytest.mark.parametrize(
    ("took_ms", "met", "rows"),
    [(50, 1000, 2000), (10, 1000, 2000), (80, 1000, 1250), (100, 1000, 1000), (125, 1000, 800), (900, 1000, 500)],
)
def test_a_full_batch_moves_the_next_one_towards_the_target(took_ms: float, met: int, rows: int) -> None:
    assert BatchSize(100, 1000).after(took_ms, met).rows == rows


def test_a_batch_that_is_not_full_says_only_that_it_was_slow() -> None:
    assert BatchSize(100, 1000).after(1, 10).rows == 1000
    assert BatchSize(100, 1000).after(201, 10).rows == 500


def test_the_size_stays_between_its_ends() -> None:
    assert BatchSize(100, MOST_ROWS).after(1, MOST_ROWS).rows == MOST_ROWS
    assert BatchSize(100, LEAST_ROWS).after(9999, LEAST_ROWS).rows == LEAST_ROWS
    assert BatchSize(100, START_ROWS).halved().rows == START_ROWS // 2
    assert BatchSize(100, 1).halved().rows == 1
    # One row was taken after a failure: it grows again.
    assert BatchSize(100, 1).after(1, 1).rows == 2


def test_the_latency_is_what_19_of_20_answers_kept_to() -> None:
    foreground = Foreground()
    assert foreground.take() is None
    for ms in (*range(1, 20), 5000):
        foreground.note(ms / 1000)
    assert foreground.take() == 5000
    for ms in (*range(1, 21), 5000):
        foreground.note(ms / 1000)
    assert foreground.take() == 20
    assert foreground.take() is None
