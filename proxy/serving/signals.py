"""What the process is told from outside, as events."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Orders:
    """`stop` and `at_once` are set by the first and second SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.stop, self.at_once = asyncio.Event(), asyncio.Event()
        self._reload = asyncio.Event()
        # A SIGHUP that comes too early would end the process; the settings are read afterwards anyway.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # a worker's, which may have one waiting

    def obey(self, lifeline: int | None) -> None:
        """From now on. The end of the file descriptor `lifeline` is as good as a SIGTERM: the parent is gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if lifeline is not None:
            loop.add_reader(lifeline, self._lose_parent, lifeline)

    async def reload(self, do: Callable[[], object]) -> None:
        """Once after each SIGHUP, for ever; several in a row may be one."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            do()

    def _stop(self) -> None:
        (self.at_once if self.stop.is_set() else self.stop).set()

    def _lose_parent(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self.stop.set()
