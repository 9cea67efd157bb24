"""How this process and the migrations of its database stand, read when somebody wants to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from proxy.backfill.report import read_backfills
from proxy.control import leases, registry
from proxy.control.installation import is_installed
from proxy.database import Connection, connect
from proxy.usage import store as usages
from proxy.verify.report import read_verification
from rules.errors import PgjanusError

_BEAT_SECONDS: Final = 0.25
#: What was read a moment ago is good enough for two who ask.
_FRESH_SECONDS: Final = 2.0
#: Whoever scrapes does not wait longer for the database.
_PATIENCE_SECONDS: Final = 3.0

Sample = tuple[str, tuple[str, ...], float]


class LoopLag:
    """How late the event loop is: what a client waits for besides its own statement."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    def take(self) -> float:
        """The longest in seconds since it was last asked for."""
        longest, self._longest_s = self._longest_s, 0.0
        return longest

    async def watch(self) -> None:
        """For ever."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            self._longest_s = max(self._longest_s, time.monotonic() - before - _BEAT_SECONDS)


class Standing:
    """
    Args:
        url: the managed database; None: there is none.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._samples: list[Sample] = []
        self._read_at = float("-inf")
        self._alone = asyncio.Lock()

    def samples(self) -> list[Sample]:
        """As it was when last refreshed."""
        return self._samples

    async def refresh(self) -> None:
        """Never raises for what the database does: that it cannot be read is what there is to say then."""
        if self._url is None:
            return
        async with self._alone:
            if time.monotonic() - self._read_at < _FRESH_SECONDS:
                return
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    self._samples = [("database_reachable", (), 1), *await _read(self._url)]
            except (OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._samples = [("database_reachable", (), 0)]
            self._read_at = time.monotonic()


async def _read(url: str) -> list[Sample]:
    connection = await connect(url, "pgjanus metrics")
    try:
        if not await is_installed(connection):
            return []
        found: list[Sample] = []
        live = [proxy.is_live for proxy in await leases.read_proxies(connection)]
        found += [("proxies", (str(state).lower(),), live.count(state)) for state in (True, False)]
        for row in (await registry.read_state(connection)).migrations:
            found.append(("migration_phase", (row.name, str(row.table), row.phase.name), 1))
            found += [sample async for sample in _of_migration(connection, row.name)]
        shapes: dict[tuple[str, str], tuple[float, int]] = {}
        for used in await usages.read(connection):
            key = (used.sender.migration, used.sender.shape.value)
            age_s, count = shapes.get(key, (used.age_s, 0))
            shapes[key] = (min(age_s, used.age_s), count + used.statements)
        for key, (age_s, count) in shapes.items():
            found += [("shape_last_used_seconds", key, age_s), ("shape_statements", key, count)]
        return found
    finally:
        connection.terminate()


async def _of_migration(connection: Connection, name: str) -> AsyncIterator[Sample]:
    for b in await read_backfills(connection, name):
        labels = (name, b.empties)
        yield "backfill_rows_done", labels, b.rows_done
        yield "backfill_rows_per_second", labels, b.rows_per_s
        yield "backfill_workers", labels, len(b.workers)
        yield "backfill_bad_rows", labels, b.bad_rows
        if b.rows_total is not None:
            yield "backfill_rows", labels, b.rows_total
        if b.eta_s is not None:
            yield "backfill_eta_seconds", labels, b.eta_s
        for cause, seconds in b.waited_s.items():
            yield "backfill_waited_seconds", (*labels, cause), seconds
    verification = await read_verification(connection, name)
    if verification is not None:
        yield "divergent_rows", (name,), verification.divergent
