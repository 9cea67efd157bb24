"""The roster: which processes of PostgreSQL's this proxy talks to, kept in `pgjanus.sessions`.

    client connects ─► BackendKeyData ─► enrol ─► one INSERT for all that are new ─► the first statement is sent
    proxy is stopped, its lease ends ─► whoever steps on ends the processes on its roster first (fencing)

So a proxy that wakes up after an hour finds dead connections, whatever it was about to send. A process stays on the
roster, and its transaction pinned, until PostgreSQL says that it is gone: one whose connection we cut may be at work.

It has a connection of its own: the lease must not wait for it, nor a new client for the catalog.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from proxy.conversation.pins import ServerProcess
from proxy.database import Connection, connect

#: How long a new client waits while the roster cannot be written.
PATIENCE_SECONDS = 5.0
_ROUND_SECONDS = 0.5
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 2.0

_UNWRITABLE = "the proxy has lost its control connection to the database"
_UNKNOWN = (
    "the database of the proxy's control connection has no server process {pid}:"
    " --server and --database-url must lead to the same PostgreSQL, with no pooler in between"
)

#: The process itself or, for a role that may not see when it began, at least one of that number in this database.
_ENROL = """
INSERT INTO pgjanus.sessions (proxy, number, pid, backend_start)
SELECT p.id, n.number, n.pid, coalesce(a.backend_start, clock_timestamp())
  FROM pgjanus.proxies p
 CROSS JOIN unnest($2::int8[], $3::int4[]) AS n(number, pid)
  JOIN pg_stat_activity a ON a.pid = n.pid AND a.datname = current_database()
 WHERE p.id = $1::text::uuid AND p.lease_until > clock_timestamp()
ON CONFLICT (proxy, number) DO UPDATE SET pid = excluded.pid RETURNING number"""
_IS_LEASED = "SELECT lease_until > clock_timestamp() FROM pgjanus.proxies WHERE id = $1::text::uuid"
_STRIKE_OUT = "DELETE FROM pgjanus.sessions WHERE proxy = $1::text::uuid AND number = ANY ($2::int8[])"
_STILL_THERE = """
SELECT s.number FROM pgjanus.sessions s
  JOIN pg_stat_activity a ON a.pid = s.pid AND a.datname = current_database()
   AND coalesce(a.backend_start <= s.backend_start, true)
 WHERE s.proxy = $1::text::uuid AND s.number = ANY ($2::int8[])"""
_STRIKE_OUT_GONE = """
DELETE FROM pgjanus.sessions s WHERE s.proxy = $1::text::uuid AND NOT EXISTS (
    SELECT FROM pg_stat_activity a WHERE a.pid = s.pid AND coalesce(a.backend_start <= s.backend_start, true))"""


class Roster:
    """One per proxy. `enrol` and `leave` are called from the event loop's thread and return at once.

    Args:
        wake: called when processes have become known, or were refused.
        log: gets one line for each thing worth knowing.
    """

    def __init__(
        self, url: str, proxy: str, application_name: str, *, wake: Callable[[], None], log: Callable[[str], None]
    ) -> None:
        self._url = url
        self._proxy = proxy
        self._application_name = application_name
        self._wake = wake
        self._log = log
        self._numbers = itertools.count(1)
        self._processes: dict[int, ServerProcess] = {}
        #: Not on the roster yet, and since when.
        self._new: dict[int, float] = {}
        self._gone: set[int] = set()
        #: Cut off by us; what to do when they are gone.
        self._cut: dict[int, Callable[[], None]] = {}
        self._work = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def enrol(self, pid: int) -> ServerProcess:
        process = ServerProcess(pid, next(self._numbers))
        self._processes[process.number] = process
        self._new[process.number] = time.monotonic()
        self._work.set()
        return process

    def leave(self, process: ServerProcess, then: Callable[[], None], *, ended: bool) -> None:
        """`then` is called once the process is gone; at once if it has ended already."""
        del self._processes[process.number]
        was_new = self._new.pop(process.number, None) is not None
        if ended or (was_new and not process.known):
            self._gone.add(process.number)
            then()
        else:
            self._cut[process.number] = then
        self._work.set()

    def enrol_again(self) -> None:
        """What is on record may not be there any more: it is written down anew, and looked for, while all go on."""
        now = time.monotonic()
        for number in self._processes:
            self._new.setdefault(number, now)
        if self._new:
            self._work.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="roster")

    async def stop(self) -> None:
        """Those that are gone are struck out; what still runs stays on record, for whoever steps on."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with asyncio.timeout(2):
                    await self._connection.execute(_STRIKE_OUT, self._proxy, list(self._gone))
                    await self._connection.execute(_STRIKE_OUT_GONE, self._proxy)
                    await self._connection.close()
            self._connection.terminate()

    async def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self._wait()
                if self._connection is None:
                    self._connection = await connect(self._url, self._application_name, timeout=PATIENCE_SECONDS)
                    # It may be another server now, or one that has crashed meanwhile and lost the roster.
                    self.enrol_again()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._write(self._connection)
                backoff_s = _FIRST_BACKOFF_SECONDS
            except Exception as error:  # Whatever it is, it is tried again; new clients wait, but not for ever.
                self._log(f"the roster cannot be written: {' '.join(str(error).split()) or type(error).__name__}")
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_SECONDS)
            self._refuse_who_waited_too_long()

    async def _wait(self) -> None:
        idle = not (self._new or self._gone or self._cut)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if idle else _ROUND_SECONDS):
                await self._work.wait()
        self._work.clear()

    async def _write(self, connection: Connection) -> None:
        if self._new:
            await self._enrol(connection)
        if self._gone:
            gone = list(self._gone)
            await connection.execute(_STRIKE_OUT, self._proxy, gone)
            self._gone.difference_update(gone)
        if self._cut:
            cut = list(self._cut)
            there = {row[0] for row in await connection.fetch(_STILL_THERE, self._proxy, cut)}
            for number in set(cut) - there:
                self._gone.add(number)
                self._cut.pop(number)()

    async def _enrol(self, connection: Connection) -> None:
        """Some may leave while we write; those are struck out in the same round, behind this."""
        asked = {number: self._processes[number].pid for number in self._new}
        rows = await connection.fetch(_ENROL, self._proxy, list(asked), list(asked.values()))
        known = {row[0] for row in rows}
        unknown = set(asked) - known
        if unknown and not await connection.fetchval(_IS_LEASED, self._proxy):
            unknown = set()  # they wait until the lease is back
        for number in known | unknown:
            self._new.pop(number, None)
            process = self._processes.get(number)
            if process is not None:
                process.known = number in known
                process.refused = None if process.known else _UNKNOWN.format(pid=process.pid)
        if known or unknown:
            self._wake()

    def _refuse_who_waited_too_long(self) -> None:
        now = time.monotonic()
        late = [n for n, since in self._new.items() if now - since > PATIENCE_SECONDS and not self._processes[n].known]
        for number in late:
            del self._new[number]
            self._processes[number].refused = _UNWRITABLE
        if late:
            self._wake()
