"""Counting transactions: an acknowledgement is never ahead of the oldest of them."""

from __future__ import annotations

import random

import pytest

from proxy.control.pinned import PinnedTransactions
from rules.catalog import Catalog
from rules.snapshot import Snapshot

CATALOG = Catalog(180000, {})


def test_the_lowest_epoch_is_that_of_the_oldest_transaction_whatever_the_order_of_their_ends() -> None:
    rng = random.Random(1)
    for _ in range(200):
        pinned = PinnedTransactions()
        running: list[Snapshot] = []
        epoch = 1
        pinned.supersede(Snapshot(epoch, CATALOG), 0.0)
        for _ in range(60):
            match rng.choice(("pin", "pin", "unpin", "unpin", "step")):
                case "pin":
                    running.append(pinned.pin())
                    assert running[-1].epoch == epoch
                case "unpin" if running:
                    ended = running.pop(rng.randrange(len(running)))
                    last = ended.epoch != epoch and all(s is not ended for s in running)
                    assert pinned.unpin(ended) is last
                case "step":
                    epoch += 1
                    pinned.supersede(Snapshot(epoch, CATALOG), float(epoch))
            assert pinned.lowest_epoch == min((s.epoch for s in running), default=None)
            assert pinned.count == len(running)
            behind = [s.epoch for s in running if s.epoch != epoch]
            assert pinned.count_behind == len(behind)
            assert pinned.behind_since == (min(behind) + 1 if behind else None)


def test_two_snapshots_of_one_epoch_are_told_apart() -> None:
    pinned = PinnedTransactions()
    pinned.supersede(Snapshot(1, CATALOG), 0.0)
    first = pinned.pin()
    pinned.supersede(Snapshot(1, CATALOG), 1.0)
    second = pinned.pin()
    assert first == second
    assert first is not second
    assert pinned.unpin(first)
    assert not pinned.unpin(second)
    with pytest.raises(AssertionError, match="without a pin"):
        pinned.unpin(second)


def test_a_fence_lasts_as_long_as_the_transactions_that_it_is_for() -> None:
    pinned = PinnedTransactions()
    pinned.supersede(Snapshot(1, CATALOG), 0.0)
    old, older_too = pinned.pin(), pinned.pin()
    pinned.supersede(Snapshot(3, CATALOG), 1.0)
    new = pinned.pin()
    pinned.fence_all_but(3)
    assert [pinned.is_fenced(s) for s in (old, new, None)] == [True, False, True]
    pinned.unpin(old)
    assert pinned.is_fenced(None)
    pinned.unpin(older_too)
    assert not pinned.is_fenced(None)
