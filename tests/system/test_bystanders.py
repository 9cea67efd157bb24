"""Faults of every kind beside clients that work. `make bystanders` has 500 of them and results of a gigabyte."""

from __future__ import annotations

from tests.bystanders import run


def test_whatever_happens_to_others_nobody_notices() -> None:
    run(50, large=256)
