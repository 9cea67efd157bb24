"""The background half: writes down what was counted. What it cannot write it keeps, and tries again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg

from proxy.database import connect
from proxy.usage import store
from proxy.usage.counting import OTHERS, SENDERS_LIMIT, Sender, Usage, Use
from rules.errors import PgjanusError
from rules.text.fingerprint import fingerprint_of

_SAMPLE_CHARACTERS: Final = 1_000
#: A longer text is not looked at: it would keep the process busy.
_TEXT_LIMIT: Final = 1 << 16
_TOO_LONG: Final = "(too long to be shown)"
_STATEMENT_TIMEOUT_SECONDS: Final = 5.0
_LAST_ROUND_SECONDS: Final = 3.0
#: Rounds from one look for minutes that are too old to the next.
_ROUNDS_PER_CLEANING: Final = 300


class UsageRecorder:
    """One per proxy process, on a connection of its own that is open for a moment only.

    Args:
        url: the managed database.
        log: gets one line for each thing worth knowing.
    """

    def __init__(
        self, url: str, usage: Usage, *, every_s: float = 2.0, log: Callable[[str], None] = lambda line: None
    ) -> None:
        self._url = url
        self._usage = usage
        self._every_s = every_s
        self._log = log
        self._waiting: dict[Sender, Use] = {}
        self._rounds = 0
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="usage recorder")

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
            except Exception as error:  # a defect must not end it: nobody would know who still uses what
                self._log(f"counting use failed: {type(error).__name__}: {' '.join(str(error).split())}")

    async def flush(self) -> None:
        """Never raises for what the database does."""
        for sender, use in (await asyncio.to_thread(_shown, self._usage.take())).items():
            self._keep(sender, use)
        if not self._waiting:
            return
        try:
            await self._write()
            self._waiting = {}
            self._failing = False
        except (OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not self._failing:
                self._log(f"use cannot be written down, and will be tried again: {' '.join(str(error).split())}")
            self._failing = True

    def _keep(self, sender: Sender, use: Use) -> None:
        if sender not in self._waiting and len(self._waiting) >= SENDERS_LIMIT:
            sender = Sender(sender.migration, sender.shape, *OTHERS)
        known = self._waiting.setdefault(sender, Use(0, use.sql))
        known.statements += use.statements
        known.sql = use.sql

    async def _write(self) -> None:
        connection = await connect(self._url, "pgjanus usage")
        try:
            async with asyncio.timeout(_STATEMENT_TIMEOUT_SECONDS):
                await store.add(connection, self._waiting)
                if self._rounds % _ROUNDS_PER_CLEANING == 0:
                    await store.forget_minutes(connection)
                self._rounds += 1
                await connection.close()
        finally:
            connection.terminate()


def _shown(uses: dict[Sender, Use]) -> dict[Sender, Use]:
    """With the texts without their constants; takes a while."""
    return {sender: Use(use.statements, sample_of(use.sql)) for sender, use in uses.items()}


def sample_of(sql: str) -> str:
    """A text as it may be kept: without the constants in it, which are somebody's data."""
    return fingerprint_of(sql).text[:_SAMPLE_CHARACTERS] if len(sql) <= _TEXT_LIMIT else _TOO_LONG
