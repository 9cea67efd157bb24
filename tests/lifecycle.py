"""The lifecycle harness: a migration's table walks up and down its ladder while clients of both shapes work on it.

tests.world     the table behind a running proxy, and for every row what each shape has to see
tests.clients   the drivers
tests.traffic   every kind of statement, each answer compared with the model
here            a session of each driver and shape, kept open from the first rung to the last
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from rules.phases import Shape
from tests.clients import DRIVERS, Driver, PsycopgPrepared
from tests.traffic import Traffic
from tests.world import World


class Clients:
    """A session of each driver per shape, kept open; each does everything on every rung."""

    def __init__(self, world: World, stack: ExitStack, drivers: Sequence[Driver] = DRIVERS) -> None:
        self._world, self._stack, self._drivers = world, stack, drivers
        self._traffic: dict[Shape, list[Traffic]] = {}

    def join(self, shape: Shape) -> None:
        self._traffic[shape] = []
        for driver in self._drivers:
            session = driver(self._world.proxy.url(shape.value))
            self._stack.callback(session.close)
            seed = f"{self._world.kind} {shape} {session.driver}"
            self._traffic[shape].append(Traffic(self._world, session, shape, seed))

    def leave(self, shape: Shape) -> list[Traffic]:
        return self._traffic.pop(shape)

    def work(self, phase: str, *, again: bool = False) -> None:
        """The shapes take turns, driver by driver, so that each finds rows that the other has just written."""
        do = Traffic.half if again else Traffic.everything
        for traffic in [t for pair in zip(*self._traffic.values(), strict=True) for t in pair]:
            do(traffic, phase)
        for shape in self._traffic:
            # A connection opened now has to find the same as one that has been there since the beginning.
            session = PsycopgPrepared(self._world.proxy.url(shape.value))
            try:
                Traffic(self._world, session, shape, f"{phase} {shape}").half(f"{phase}, opened now")
            finally:
                session.close()
        self._world.check_table(phase)
