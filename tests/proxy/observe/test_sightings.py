from __future__ import annotations

from dataclasses import replace

from proxy.observe.sightings import OTHERS, SIGHTINGS_LIMIT, TEXT_LIMIT, Sightings
from rules.migration import Client
from rules.phases import Shape
from rules.snapshot import Snapshot
from tests.rules.managed import snapshot

OLD = Client(Shape.OLD)
ME, YOU = ("billing", "me"), ("billing", "you")


def test_what_is_sent_is_counted_by_who_sent_it_until_it_is_taken() -> None:
    sightings = Sightings()
    sighting = sightings.watch("SELECT 1 FROM users", snapshot("expanded"), OLD)
    assert sighting is not None
    assert sightings.take() == []
    for who in (ME, YOU, ME):
        sighting.saw(who)
    assert sightings.take() == [(sighting, {ME: 2, YOU: 1})]
    assert sightings.take() == []
    sighting.saw(ME)
    assert sightings.take() == [(sighting, {ME: 1})]


def test_nothing_is_watched_above_the_first_phase_nor_where_nothing_is_managed() -> None:
    sightings = Sightings()
    for phase, watched in (("announced", True), ("expanded", True), ("writing_both", False), ("new_only", False)):
        assert (sightings.watch("SELECT 1", snapshot(phase), OLD) is not None) is watched
    assert sightings.watch("SELECT 1", replace(Snapshot(1, snapshot("expanded").catalog)), OLD) is None
    assert sightings.watch("x" * (TEXT_LIMIT + 1), snapshot("expanded"), OLD) is None


def test_everything_is_bounded() -> None:
    sightings, at = Sightings(), snapshot("expanded")
    for i in range(SIGHTINGS_LIMIT + 7):
        sighting = sightings.watch(f"SELECT {i}", at, OLD)
        assert sighting is not None
        sighting.saw(ME)
    assert len(sightings) == SIGHTINGS_LIMIT
    assert sightings.missed == 7
    first, _ = sightings.take()[0]
    for i in range(200):
        first.saw((f"worker {i}", "me"))
    ((_, counts),) = sightings.take()
    assert len(counts) <= 51
    assert sum(counts.values()) == 200
    assert counts[OTHERS] == 150
