"""Keeping out of the way between chunks, by what the backfill keeps to, and saying so."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from proxy.backfill.pressure import Cause
from proxy.backfill.watch import Watch
from proxy.database import Connection
from proxy.verify import passes

_LOOK_EVERY_SECONDS = 0.5
Report = Callable[[str], None]


class Stopped(Exception):
    """This process has something better to do; whoever comes next goes on."""


class Pace:
    """One per run. It looks around twice a second; without `look_first`, a pass that is over by then is not held up."""

    def __init__(
        self,
        migration: str,
        number: int,
        watch: Watch,
        rows: Callable[[], int],
        stop: Callable[[], bool],
        *,
        look_first: bool,
    ) -> None:
        self._migration = migration
        self._number = number
        self._watch = watch
        self._rows = rows
        self._stop = stop
        self._began = time.monotonic()
        self._looked_at = float("-inf") if look_first else self._began
        self._waited_ms: defaultdict[str, float] = defaultdict(float)

    @property
    def rows_per_s(self) -> float:
        seconds = time.monotonic() - self._began
        return self._rows() / seconds if seconds > 0 else 0.0

    async def between(self, connection: Connection, report: Report) -> None:
        """Returns when there is room for the next chunk.

        Raises:
            Stopped: it is not wanted any more.
        """
        if self._stop():
            raise Stopped
        if time.monotonic() - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        while reasons := await self._watch.reasons_to_wait(connection):
            since = time.monotonic()
            paused = reasons[0].cause is Cause.OPERATOR
            words = "; ".join(reason.words for reason in reasons)
            await self._say(connection, "paused" if paused else "throttled", words)
            report(words if paused else f"waiting: {words}")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            self._waited_ms[reasons[0].cause.value] += (time.monotonic() - since) * 1000
            if self._stop():
                raise Stopped
        self._looked_at = time.monotonic()
        await self._say(connection, "running", "")

    async def _say(self, connection: Connection, status: str, reason: str) -> None:
        await passes.say(connection, self._migration, self._number, status, reason, self.rows_per_s, self._waited_ms)
