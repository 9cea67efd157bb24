"""The background half of observing: takes what was counted, works out what is to become of it, writes it down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import asyncpg

from proxy.conversation.statements import Who
from proxy.database import connect
from proxy.observe import store
from proxy.observe.observation import Describer, Observation
from proxy.observe.sightings import Sighting, Sightings
from proxy.observe.store import Key
from rules.errors import PgjanusError
from rules.forecast import Forecaster
from rules.phases import LADDERS
from rules.snapshot import Snapshot
from rules.unsupported import writes_old_only

#: What waits to be written while the database does not answer.
_ROWS_LIMIT: Final = 10_000
_SAMPLE_CHARACTERS: Final = 4_000
_STATEMENT_TIMEOUT_SECONDS: Final = 5.0
_LAST_ROUND_SECONDS: Final = 3.0


class Recorder:
    """One per proxy process. Works in a thread and on a connection of its own: neither a statement nor the lease waits
    for it. What it cannot write it tries again; what a crash loses are some seconds' counts.

    Args:
        url: the managed database.
        keep_samples: whether a client's own text is kept too, constants and all.
        log: gets one line for each thing worth knowing.
    """

    def __init__(
        self,
        url: str,
        sightings: Sightings,
        *,
        keep_samples: bool = False,
        every_s: float = 2.0,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._url = url
        self._sightings = sightings
        self._keep_samples = keep_samples
        self._every_s = every_s
        self._log = log
        self._rows: Counter[Key] = Counter()
        self._samples: dict[Observation, str] = {}
        self._snapshot: Snapshot | None = None
        self._describers: list[Describer] = []
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._stopping = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        """Write down what there is, if the database takes it now."""
        self._stopping.set()
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_ROUND_SECONDS):
                    await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._stopping.wait()
            try:
                await self.flush()
            except Exception as error:  # a defect must not end it: the next round has other statements
                self._log(f"observing failed: {type(error).__name__}: {' '.join(str(error).split())}")

    async def flush(self) -> None:
        """Never raises for what the database does."""
        taken = self._sightings.take()
        if taken:
            await asyncio.to_thread(self._describe_all, taken)
        if not self._rows:
            return
        rows, self._rows = self._rows, Counter()
        try:
            await self._write(rows)
            self._samples.clear()
            self._failing = False
        except (OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            for key, seen in rows.items():
                self._count(key, seen)
            if not self._failing:
                self._log(f"observations cannot be written, and will be tried again: {' '.join(str(error).split())}")
            self._failing = True

    async def _write(self, rows: Counter[Key]) -> None:
        connection = await connect(self._url, "pgjanus observer")
        try:
            async with asyncio.timeout(_STATEMENT_TIMEOUT_SECONDS):
                # In the same order from every proxy.
                ordered = sorted(rows.items(), key=lambda row: (row[0][0].migration, row[0][0].id, *row[0][1:]))
                await store.add(connection, ordered, self._samples)
                await connection.close()
        finally:
            connection.terminate()

    # in the thread

    def _describe_all(self, taken: list[tuple[Sighting, dict[Who, int]]]) -> None:
        for sighting, counts in taken:
            for observation in self._describe(sighting):
                for (application_name, user), seen in counts.items():
                    self._count((observation, application_name, user), seen)

    def _count(self, key: Key, seen: int) -> None:
        if key in self._rows or len(self._rows) < _ROWS_LIMIT:
            self._rows[key] += seen

    def _describe(self, sighting: Sighting) -> Iterator[Observation]:
        if sighting.snapshot is not self._snapshot:
            self._adopt(sighting.snapshot)
        for describer in self._describers:
            found = describer.describe(sighting.sql, sighting.client)
            if found is not None:
                if self._keep_samples and len(self._samples) < _ROWS_LIMIT:
                    self._samples.setdefault(found, sighting.sql[:_SAMPLE_CHARACTERS])
                yield found

    def _adopt(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._describers = []
        for table in snapshot.tables.values():
            if writes_old_only(table.phase) and not table.is_partition:
                phases = [p for p in LADDERS[table.migration.strategy] if p.expanded]
                forecaster = Forecaster(table.migration, snapshot.catalog, phases, snapshot.tables)
                self._describers.append(Describer(forecaster))
