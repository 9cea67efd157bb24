"""How often something took how long: counted in buckets that are never looked at on the way."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final

#: Upper bounds in seconds, from a short text's planning to what would hold the event loop.
BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Durations:
    """`total_s` is the sum of all."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.total_s = 0.0

    def note(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Pairs of a bound and how many took no longer, as Prometheus wants them."""
        return list(zip((*map(str, BOUNDS), "+Inf"), accumulate(map(float, self._counts)), strict=True))
