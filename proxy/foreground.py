"""How long applications wait for their answers, for a backfill that shall keep out of their way."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Final

import asyncpg

from proxy.database import Connection, connect
from rules.errors import PgjanusError

_EVERY_SECONDS: Final = 1.0
_AFTER_FAILURE_SECONDS: Final = 5.0
#: Of the answers between two reports; more than these would not change what is said of them.
_MOST_SAMPLES: Final = 5000
_SHARE: Final = 0.95

_IS_ANYBODY_INTERESTED = """
SELECT EXISTS (SELECT FROM pgjanus.backfill_workers WHERE seen_at > clock_timestamp() - interval '5 s')"""

_PUBLISH = """
INSERT INTO pgjanus.backfill_foreground (proxy, latency_ms, seen_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (proxy) DO UPDATE SET latency_ms = excluded.latency_ms, seen_at = excluded.seen_at"""


class Foreground:
    """Counts on the data path, where it has to cost nothing."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def note(self, seconds: float) -> None:
        if len(self._seconds) < _MOST_SAMPLES:
            self._seconds.append(seconds)

    def take(self) -> float | None:
        """Milliseconds within which 19 of 20 answers came since the last call; None if there were none."""
        seconds, self._seconds = sorted(self._seconds), []
        return 1000 * seconds[int(len(seconds) * _SHARE)] if seconds else None


class ForegroundReporter:
    """One per proxy process: writes it down once a second, while a worker is there to read it."""

    def __init__(self, url: str, foreground: Foreground) -> None:
        self._url = url
        self._foreground = foreground
        self._id = uuid.uuid4()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="foreground")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._drop()

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.sleep(_EVERY_SECONDS)
                await self._report()
            except (OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # Nothing depends on it: a worker that reads nothing goes by its other limits.
                self._drop()
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)

    async def _report(self) -> None:
        latency_ms = self._foreground.take()
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, "pgjanus proxy, latency")
        async with asyncio.timeout(_AFTER_FAILURE_SECONDS):
            if await self._connection.fetchval(_IS_ANYBODY_INTERESTED):
                await self._connection.execute(_PUBLISH, self._id, latency_ms)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
