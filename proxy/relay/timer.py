"""One thing that happens in a while, unless it is called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float, then: Callable[[], None]) -> None:
        """In place of what was set before."""
        self.clear()
        self._handle = asyncio.get_running_loop().call_later(seconds, then)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
