"""One operator at a time, who waits for every proxy and takes table locks only for a moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from proxy import fencing, leases
from proxy.database import Connection, connect
from proxy.fencing import StaleSession
from proxy.installation import LOCK_CLASS, OPERATOR_LOCK, install
from proxy.leases import ProxyRow
from rules.ddl.statements import Statement
from rules.errors import PgjanusError

T = TypeVar("T")
Say = Callable[[str], None]

DEFAULT_TIMEOUT_SECONDS = 60.0
#: A longer lock_timeout would stall every writer that queues behind us.
LOCK_TIMEOUT_MS = 100
#: Between two attempts on the lock those writers must get through.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_PROXY_POLL_SECONDS = 0.05
#: How long a predecessor that has just been killed may take to be noticed by the server.
_PREDECESSOR_SECONDS = 3.0
#: Rows of proxies that ended without saying so are kept that long, for whoever looks.
_FORGET_PROXIES_SECONDS = 3600.0


class LadderError(PgjanusError):
    """a step is refused, or what it needs does not hold"""


class NotAcknowledged(LadderError):
    """proxies that have not come along within the timeout, each with its address and what holds it"""

    def __init__(self, message: str, proxies: tuple[ProxyRow, ...]) -> None:
        super().__init__(message)
        self.proxies = proxies


class SessionsLeft(NotAcknowledged):
    """sessions of proxies that do not answer could not be ended: which, and what the role of the operator lacks"""


class TableIsBusy(LadderError):
    """the lock was not to be had within the timeout: who holds it, with what, for how long"""


class OperatorBusy(LadderError):
    """somebody else moves a migration of this database right now"""


@dataclass(slots=True)
class Operator:
    """A control connection that holds the operator's lock; nobody else changes phases while it lives.

    `timeout_s` bounds each wait for proxies and for a lock. Backfill and scans take as long as they take.
    """

    url: str
    connection: Connection
    say: Say
    timeout_s: float

    async def wait_for_proxies(self, epoch: int, timeout_s: float | None = None) -> None:
        """Until every live proxy has acknowledged the epoch: none of their transactions runs at an earlier one. The
        sessions of those that do not live are ended.

        Raises:
            NotAcknowledged: names who is missing. Nothing has been changed.
            SessionsLeft: the same, for want of a privilege.
        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        started = time.monotonic()
        announced = False
        ended: set[int] = set()
        while True:
            # In this order: a lease that ends in between makes its sessions stale.
            proxies = await leases.read_proxies(self.connection)
            missing = tuple(p for p in proxies if p.is_live and p.epoch_acked < epoch)
            stale = await fencing.stale_sessions(self.connection)
            waited = time.monotonic() - started
            if not missing and not stale:
                live = sum(p.is_live for p in proxies)
                if live:
                    self.say(f"{live} {'proxy' if live == 1 else 'proxies'} at epoch {epoch} after {waited:.1f} s")
                await fencing.forget_sessions(self.connection)
                return
            why_not = await fencing.end_sessions(self.connection, stale)
            if not ended.issuperset(s.pid for s in stale):
                ended.update(s.pid for s in stale)
                self.say(f"ending sessions of proxies that do not answer: {fencing.listed(stale)}")
            if waited >= timeout_s:
                raise await self._not_arrived(epoch, timeout_s, missing, stale, why_not)
            if missing and not announced and waited > 1:
                self.say(f"waiting for {'; '.join(map(str, missing))}")
                announced = True
            await asyncio.sleep(_PROXY_POLL_SECONDS)

    async def _not_arrived(
        self,
        epoch: int,
        timeout_s: float,
        missing: tuple[ProxyRow, ...],
        stale: tuple[StaleSession, ...],
        why_not: str | None,
    ) -> NotAcknowledged:
        if missing:
            names = "; ".join(map(str, missing))
            return NotAcknowledged(f"not at epoch {epoch} after {timeout_s:g} s: {names}", missing)
        cure = f" ({why_not}): {await fencing.grant_needed(self.connection)}, or end them yourself" if why_not else ""
        return SessionsLeft(f"sessions of proxies that do not answer are still open: {fencing.listed(stale)}{cure}", ())

    async def briefly(self, what: str, tables: Iterable[int], work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` in one transaction under a short lock_timeout, again and again until the locks are free.

        Args:
            what: for the message.
            tables: OIDs of the tables it locks.

        Raises:
            TableIsBusy: after `timeout_s`; nothing of `work` has happened.
        """
        deadline = time.monotonic() + self.timeout_s
        pause = _FIRST_PAUSE_SECONDS
        oids = list(tables)
        while True:
            try:
                async with self.connection.transaction():
                    await self.connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
                    return await work(self.connection)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                holders = await self.holders(oids)
                if time.monotonic() >= deadline:
                    raise TableIsBusy(
                        f"{what}: no lock on the table within {self.timeout_s:g} s"
                        f" ({LOCK_TIMEOUT_MS} ms at a time): {holders or 'the holder is gone now; try again'}"
                    ) from error
                self.say(f"{what}: waiting for {holders or 'a lock'}")
            await self._call_off_autovacuum(oids)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def execute_briefly(self, what: str, table_oid: int, statements: Iterable[Statement]) -> None:
        """`briefly` for nothing but statements."""

        async def work(connection: Connection) -> None:
            for statement in statements:
                await connection.execute(statement.sql)

        await self.briefly(what, [table_oid], work)

    async def patiently(self, what: str, table_oid: int, statement: Statement) -> None:
        """A scan that takes as long as it takes, once it has its lock, which blocks no writer while it is waited for.

        Raises:
            TableIsBusy: the lock was not to be had within `timeout_s`.
        """
        await self.connection.execute(f"SET lock_timeout = '{round(self.timeout_s * 1000)}ms'")
        try:
            await self.connection.execute(statement.sql)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            holders = await self.holders([table_oid]) or await self._oldest_transaction()
            raise TableIsBusy(f"{what}: waited {self.timeout_s:g} s for {holders}") from error
        finally:
            if not self.connection.is_closed():
                await self.connection.execute("SET lock_timeout = 0")

    async def _oldest_transaction(self) -> str:
        """CREATE INDEX CONCURRENTLY waits for every transaction that began before it, whatever it touches."""
        row = await self.connection.fetchrow(
            "SELECT a.pid, a.application_name, a.state, a.query, a.backend_type,"
            " extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s FROM pg_stat_activity a"
            " WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() ORDER BY a.xact_start LIMIT 1"
        )
        return _holder(row) if row else "somebody who is gone now; try again"

    async def holders(self, tables: list[int]) -> str:
        """Who has a lock on one of the tables: pid, application, state, age of the transaction, query."""
        rows = await self.connection.fetch(
            "SELECT DISTINCT ON (l.pid, l.virtualtransaction) l.pid, a.application_name, a.state, a.query,"
            " extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s, a.backend_type"
            " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'relation' AND l.granted AND (l.relation = ANY ($1::int8[]::oid[])"
            " OR l.relation IN (SELECT p.relid FROM unnest($1::int8[]::oid[]) o, pg_partition_tree(o) p))"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.pid IS DISTINCT FROM pg_backend_pid() ORDER BY l.pid, l.virtualtransaction LIMIT 5",
            tables,
        )
        return "; ".join(_holder(r) for r in rows)

    async def _call_off_autovacuum(self, tables: list[int]) -> None:
        """PostgreSQL cancels an autovacuum that is in the way only after deadlock_timeout; ours is shorter."""
        with suppress(asyncpg.InsufficientPrivilegeError):
            await self.connection.execute(
                "SELECT pg_cancel_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                " WHERE l.relation = ANY ($1::int8[]::oid[]) AND a.backend_type = 'autovacuum worker'"
                " AND a.query NOT LIKE '%(to prevent wraparound)%'",
                tables,
            )


def _holder(row: asyncpg.Record) -> str:
    if row["pid"] is None:
        return "a prepared transaction (see pg_prepared_xacts)"
    query = " ".join((row["query"] or "").split())[:120]
    age = f"{row['age_s']:.1f} s" if row["age_s"] is not None else "unknown time"
    return f"pid {row['pid']} ({row['application_name'] or row['backend_type']}, {row['state']}, for {age}): {query}"


@asynccontextmanager
async def operate(
    url: str, command: str, *, say: Say = lambda line: None, timeout_s: float = DEFAULT_TIMEOUT_SECONDS
) -> AsyncIterator[Operator]:
    """Connect and become the operator; `command` is what others are told meanwhile.

    Raises:
        DatabaseUnreachable: no connection.
        OperatorBusy: somebody else is.
    """
    connection = await connect(url, f"pgjanus {command}")
    try:
        # So that a statement of ours does not go on for hours after we were killed.
        with suppress(asyncpg.InvalidParameterValueError):  # a platform that cannot tell
            await connection.execute("SELECT set_config('client_connection_check_interval', '1s', false)")
        await _take_the_lock(connection)
        await install(connection)
        await leases.forget_dead_proxies(connection, _FORGET_PROXIES_SECONDS)
        async with fencing.watching(url, say):
            yield Operator(url, connection, say, timeout_s)
    finally:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=5)
        connection.terminate()


async def _take_the_lock(connection: Connection) -> None:
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1::int4, $2::int4)", LOCK_CLASS, OPERATOR_LOCK):
        if time.monotonic() >= deadline:
            holder = await connection.fetchrow(
                "SELECT a.pid, a.application_name, a.state, a.query, a.backend_type,"
                " extract(epoch FROM clock_timestamp() - a.backend_start)::float8 AS age_s"
                " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
                " AND l.classid = $1::int8::oid AND l.objid = $2::int8::oid AND l.objsubid = 2"
                " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                *(LOCK_CLASS, OPERATOR_LOCK),
            )
            who = _holder(holder) if holder else "it has just ended; try again"
            raise OperatorBusy(f"another operator is at work in this database: {who}")
        await asyncio.sleep(0.1)
