"""A few of the kills of `make kills`."""

from __future__ import annotations

from tests.kills import run


def test_whatever_is_killed_every_row_is_converted_once_and_nothing_is_lost() -> None:
    outcome = run(kills=3, rows=3000, seed=20)
    assert outcome.problems == []
    assert set(outcome.kills) == {"worker", "proxy", "PostgreSQL"}
    assert outcome.writes > 0
