"""One operator at a time, who waits for every proxy and takes table locks only for a moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from proxy.control import fencing, leases
from proxy.control.fencing import StaleSession
from proxy.control.installation import LOCK_CLASS, OPERATOR_LOCK, install
from proxy.control.leases import ProxyRow
from proxy.database import Connection, connect
from proxy.ladder.blockers import Blockers, describe_session, holders, oldest_transaction, watching
from rules.catalog import TableName
from rules.ddl.locking import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, at_once, lock_table, strongest
from rules.ddl.statements import Lock, Statement
from rules.errors import PgjanusError

Say = Callable[[str], None]
#: What is done in a transaction before it locks a table; the statements that need the lock are its result.
Work = Callable[[Connection], Awaitable[Sequence[Statement]]]

DEFAULT_TIMEOUT_SECONDS = 60.0
#: Between two attempts on the lock those writers must get through.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_PROXY_POLL_SECONDS = 0.05
_TRANSACTIONS_SHOWN = 3
#: PostgreSQL calls an autovacuum off for us once we have waited for deadlock_timeout, which is a second by default.
_AUTOVACUUM_SECONDS = 5.0
#: How long a predecessor that has just been killed may take to be noticed by the server.
_PREDECESSOR_SECONDS = 3.0
#: Rows of proxies that ended without saying so are kept that long, for whoever looks.
_FORGET_PROXIES_SECONDS = 3600.0

# A deadlock that PostgreSQL has found, and a lock_timeout or statement_timeout of ours.
_NOT_LOCKED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError)
_NOBODY = Blockers()


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

    def __init__(self, message: str, blockers: Blockers = _NOBODY) -> None:
        super().__init__(message)
        self.blockers = blockers


class OperatorBusy(LadderError):
    """somebody else moves a migration of this database right now"""


@dataclass(slots=True)
class Operator:
    """A control connection that holds the operator's lock; nobody else changes phases while it lives.

    `pid` is its session's. `timeout_s` bounds each wait for proxies and for a lock; backfill and scans take as long as
    they take.
    """

    url: str
    connection: Connection
    pid: int
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
                self.say(f"waiting for {await self._describe(missing)}")
                announced = True
            await asyncio.sleep(_PROXY_POLL_SECONDS)

    async def _describe(self, proxies: tuple[ProxyRow, ...]) -> str:
        """Each with its oldest transactions: process, application, state, age, query."""
        running = await leases.transactions_of(self.connection, proxies)
        texts = []
        for proxy in proxies:
            pids = running.get(proxy.id, ())[: min(_TRANSACTIONS_SHOWN, proxy.transactions_behind)]
            oldest = "".join([f"; {await describe_session(self.connection, pid)}" for pid in pids])
            texts.append(f"{proxy}{oldest}")
        return "; ".join(texts)

    async def _not_arrived(
        self,
        epoch: int,
        timeout_s: float,
        missing: tuple[ProxyRow, ...],
        stale: tuple[StaleSession, ...],
        why_not: str | None,
    ) -> NotAcknowledged:
        if missing:
            names = await self._describe(missing)
            return NotAcknowledged(f"not at epoch {epoch} after {timeout_s:g} s: {names}", missing)
        cure = f" ({why_not}): {await fencing.grant_needed(self.connection)}, or end them yourself" if why_not else ""
        return SessionsLeft(f"sessions of proxies that do not answer are still open: {fencing.listed(stale)}{cure}", ())

    async def attempt(self, table: TableName, work: Work) -> None:
        """`work`, then what it asks for under the table's lock, in one transaction; the lock is held for one message.

        Raises:
            TableIsBusy: the lock was not to be had this time, and who has it; nothing of `work` has happened.
        """
        connection = self.connection
        statements: Sequence[Statement] = ()
        began = time.monotonic()
        try:
            await connection.execute(f"BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            statements = await work(connection)
            began = time.monotonic()
            await connection.execute(at_once(table, statements))
        except BaseException as error:
            spent_ms = (time.monotonic() - began) * 1000
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            if isinstance(error, asyncpg.QueryCanceledError) and spent_ms >= STATEMENT_TIMEOUT_MS:
                raise TableIsBusy(f"the change took more than {STATEMENT_TIMEOUT_MS} ms under the lock") from error
            if isinstance(error, _NOT_LOCKED):
                tables = dict.fromkeys([table, *(t for s in statements for t in s.also)])
                found = await holders(connection, tables, strongest(statements))
                raise TableIsBusy(str(found), found) from error
            raise

    async def briefly(self, what: str, table: TableName, work: Work) -> None:
        """`attempt` again and again, with pauses in which everybody gets through, until the lock is free.

        Args:
            what: for the message.

        Raises:
            TableIsBusy: after `timeout_s`; nothing of `work` has happened.
        """
        deadline = time.monotonic() + self.timeout_s
        pause = _FIRST_PAUSE_SECONDS
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self.attempt(table, work)
            except TableIsBusy as error:
                if time.monotonic() >= deadline:
                    times = f"{attempts} attempts of {LOCK_TIMEOUT_MS} ms"
                    raise TableIsBusy(
                        f"{what}: no lock on {table} within {self.timeout_s:g} s ({times}): {error}", error.blockers
                    ) from error
                self.say(f"{what}: waiting for {error}")
                if any(b.makes_way for b in error.blockers.shown):
                    await self._outlast_autovacuum(table)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def execute_briefly(self, what: str, table: TableName, statements: Iterable[Statement]) -> None:
        """`briefly` for nothing but statements."""
        await self.briefly(what, table, _nothing_but(statements))

    async def try_once(self, what: str, table: TableName, statements: Iterable[Statement]) -> None:
        """For cleaning up behind a failure that is about to be reported: what cannot be done now is only said."""
        try:
            await self.attempt(table, _nothing_but(statements))
        except TableIsBusy as error:
            self.say(f"note: {what} has to wait for the next command: {error}")

    async def patiently(self, what: str, table: TableName, statement: Statement) -> None:
        """A scan that takes as long as it takes, once it has its lock, which blocks no writer while it is waited for.

        Raises:
            TableIsBusy: it waited for somebody for `timeout_s`.
        """
        seen = Blockers()

        def tell(found: Blockers) -> None:
            nonlocal seen
            if [b.pid for b in found.shown] != [b.pid for b in seen.shown]:
                self.say(f"{what}: waiting for {found}")
            seen = found

        try:
            async with watching(self.url, self.pid, tell):
                await self.connection.execute(statement.sql)
        except _NOT_LOCKED as error:
            # Waiting for older transactions, an index build waits for no table.
            who = seen or await holders(self.connection, [table], statement.lock)
            who = who or await oldest_transaction(self.connection)
            raise TableIsBusy(f"{what}: waited {self.timeout_s:g} s for {who}", who) from error

    async def _outlast_autovacuum(self, table: TableName) -> None:
        """PostgreSQL ends an autovacuum that is in the way, but our lock_timeout is too short for that.

        So wait for a lock that nobody has to queue behind but another VACUUM.
        """
        with suppress(*_NOT_LOCKED):
            async with self.connection.transaction():
                await self.connection.execute(f"SET LOCAL lock_timeout = '{_AUTOVACUUM_SECONDS:g}s'")
                await self.connection.execute(lock_table(table, Lock.SHARE_UPDATE_EXCLUSIVE).sql)


def _nothing_but(statements: Iterable[Statement]) -> Work:
    wanted = tuple(statements)

    async def work(_: Connection) -> Sequence[Statement]:
        return wanted

    return work


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
        await connection.execute(f"SET lock_timeout = '{round(timeout_s * 1000)}ms'")
        await _take_the_lock(connection)
        await install(connection)
        await leases.forget_dead_proxies(connection, _FORGET_PROXIES_SECONDS)
        async with fencing.watching(url, say):
            yield Operator(url, connection, connection.get_server_pid(), say, timeout_s)
    finally:
        with suppress(
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
        ):
            await connection.close(timeout=5)
        connection.terminate()


async def _take_the_lock(connection: Connection) -> None:
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1::int4, $2::int4)", LOCK_CLASS, OPERATOR_LOCK):
        if time.monotonic() >= deadline:
            holder = await connection.fetchval(
                "SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted"
                " AND l.classid = $1::int8::oid AND l.objid = $2::int8::oid AND l.objsubid = 2"
                " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                *(LOCK_CLASS, OPERATOR_LOCK),
            )
            who = await describe_session(connection, holder) if holder else "it has just ended; try again"
            raise OperatorBusy(f"another operator is at work in this database: {who}")
        await asyncio.sleep(0.1)
