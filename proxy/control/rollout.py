"""The proxy's side of a phase change: the current snapshot, who is pinned to it, the lease.

    database ──NOTIFY, poll──► refresh ──► Snapshot(epoch k+1) ──try_pin──► transactions
    database ◄──heartbeat: acknowledged = the lowest epoch that any transaction is pinned to

A transaction keeps the snapshot of its first message; epoch k is acknowledged when none is pinned to an earlier one.
While the lease stands, nobody steps on without that acknowledgement; when it cannot be renewed in time, managed
tables are closed before it ends (`may_serve_managed`), by a clock that only runs forward. A proxy whose lease has ended
registers again, and lets nothing begin before it has caught up. What it had under way the database has ended by then.

While a migration is contracted, new transactions are held. A hold ends only after its outcome was read in the
database; one whose operator is gone is lifted there by whichever proxy comes first.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from proxy.control import leases, registry
from proxy.control.installation import install
from proxy.control.pinned import PinnedTransactions
from proxy.control.reading import Reader, phases
from proxy.control.registry import CHANNEL, State
from proxy.control.roster import Roster
from proxy.control.status import RolloutStatus
from proxy.conversation.pins import ServerProcess
from proxy.database import Connection, connect
from rules.catalog import Catalog
from rules.errors import PgjanusError
from rules.snapshot import Snapshot

LEASE_SECONDS = 10.0
#: Managed tables are closed that long before the lease ends: room for clocks that drift and for a slow statement.
LEASE_MARGIN_SECONDS = 3.0
POLL_SECONDS = 1.0
#: How often the outcome of a hold is looked for, in case its notification is lost.
HOLD_POLL_SECONDS = 0.05
#: DDL by others is noticed at the latest after this time; at once when it passes through the proxy.
CATALOG_POLL_SECONDS = 5.0
_LONGEST_BACKOFF_SECONDS = 2.0
_READING_SECONDS = 30.0

Log = Callable[[str], None]


class RolloutError(PgjanusError):
    """what is registered in the database cannot be served: why, and what to do"""


class Rollout:
    """One per proxy process (or worker). Every method but `start` and `stop` is cheap enough for each transaction.

    Args:
        url: the database whose tables are managed.
        application_name: how this proxy is called in `status` and in messages.
        log: gets one line for each thing worth knowing.
        lease_s: how long after the last heartbeat the others wait for this proxy, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "pgjanus proxy",
        log: Log = lambda line: None,
        lease_s: float = LEASE_SECONDS,
        poll_s: float = POLL_SECONDS,
        catalog_poll_s: float = CATALOG_POLL_SECONDS,
    ) -> None:
        self._url = url
        self._application_name = application_name
        self._log = log
        self._lease_s = lease_s
        self._margin_s = min(LEASE_MARGIN_SECONDS, lease_s * 0.3)
        self._poll_s = poll_s
        self._catalog_poll_s = catalog_poll_s
        self._id = str(uuid.uuid4())
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []
        self._changes = self._changes_read = 0
        self._held_since: float | None = None
        self._last_hold_s: float | None = None
        self._snapshot: Snapshot | None = None
        self._reader = Reader()
        self._roster = Roster(
            url, self._id, f"{application_name}, roster", wake=self._wake_waiting, log=lambda line: log(line)
        )
        #: Registered anew, and not at the epoch found then yet.
        self._catching_up = False
        self._pinned = PinnedTransactions()
        self._lease_until = float("-inf")
        self._acknowledged = 0
        self._closed: str | None = "the rollout has not been started"

    # What sessions use

    @property
    def snapshot(self) -> Snapshot:
        """The newest; for a transaction take `try_pin`."""
        assert self._snapshot is not None, "start() first"
        return self._snapshot

    def try_pin(self) -> Snapshot | None:
        """Pin a transaction that begins now to the newest snapshot; None while new transactions are held, or the newest
        snapshot is one from before the lease ran out."""
        if self._held_since is not None or self._catching_up:
            return None
        return self._pinned.pin()

    def pin_beside(self) -> Snapshot | None:
        """For what touches no managed table, and need not wait for the outcome of `contracted`."""
        return None if self._catching_up else self._pinned.pin()

    def when_released(self, wake: Callable[[], None], process: ServerProcess | None = None) -> None:
        """Call `wake` once, when there is no hold, the catalog is read and the process is known (or refused)."""
        settled = process is None or process.known or process.refused is not None
        if settled and self._held_since is None and not self._catching_up and self.has_read(self._changes):
            wake()
        else:
            self._waiting.append(wake)

    def unpin(self, snapshot: Snapshot) -> None:
        """The transaction has ended. Once for each `try_pin`."""
        if self._pinned.unpin(snapshot):
            self._wake.set()

    def enrol(self, pid: int) -> ServerProcess:
        return self._roster.enrol(pid)

    def may_begin(self, process: ServerProcess | None) -> bool:
        return process is not None and process.known

    def leave(self, process: ServerProcess, then: Callable[[], None], *, ended: bool) -> None:
        """The session is over; `then` is called when the process is gone, too."""
        self._roster.leave(process, then, ended=ended)

    def may_serve_managed(self, snapshot: Snapshot | None = None) -> bool:
        """Whether a statement that touches a managed table may be sent now.

        False when the lease may have ended, and then for good for transactions that were pinned to another epoch than
        the one found afterwards: others may have stepped on without them. Without `snapshot`, any of those closes all.
        """
        return self._closed is None and leases.now() < self._lease_until and not self._pinned.is_fenced(snapshot)

    def catalog_changed(self) -> int:
        """A client changed the schema (or may have): read the catalog again, at once."""
        self._changes += 1
        self._reader.read_at = float("-inf")
        self._wake.set()
        return self._changes

    def has_read(self, change: int) -> bool:
        """Whether the snapshot is younger than that change. True as well where nothing is managed, and where the
        catalog cannot be read just now: other tables are served then as ever."""
        nothing = self._snapshot is None or not self._snapshot.tables
        return nothing or self._changes_read >= change or self._connection is None

    @property
    def closed_because(self) -> str | None:
        """Why managed tables are not served, in words for a client; None if they are."""
        if self._closed is not None:
            return self._closed
        if leases.now() >= self._lease_until:
            return "the proxy has lost its connection to the database that says which phase holds"
        return None

    def status(self) -> RolloutStatus:
        return RolloutStatus(
            epoch=self.snapshot.epoch,
            acknowledged=self._acknowledged,
            transactions=self._pinned.count,
            transactions_behind=self._pinned.count_behind,
            held=self._held_since is not None,
            last_hold_s=self._last_hold_s,
            lease_left_s=max(0.0, self._lease_until - leases.now()),
            closed=self.closed_because,
        )

    # Life

    async def start(self) -> None:
        """Install schema `pgjanus` if it is missing, register, read the first snapshot.

        Raises:
            DatabaseUnreachable: no connection.
            RolloutError: the schema cannot be made, or what is registered cannot be served.
        """
        connection = await connect(self._url, self._application_name)
        try:
            await install(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            await connection.close()
            raise RolloutError(
                "schema pgjanus is not in the database and this role may not make it:"
                " GRANT CREATE ON DATABASE … TO it, or start a migration as the owner first"
            ) from error
        try:
            await self._attach(connection)
            if self._snapshot is None:
                raise RolloutError(self._closed or "nothing could be read from schema pgjanus")
        except BaseException:
            self._drop_connection()
            raise
        self._roster.start()
        self._task = asyncio.create_task(self._run(), name="rollout")

    async def stop(self) -> None:
        """Leave in order: nobody has to wait for the lease."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._closed = "the proxy is stopping"
        await self._roster.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with asyncio.timeout(2):
                    await leases.forget_proxy(connection, self._id)
                    await connection.close()
            connection.terminate()

    async def _run(self) -> None:
        backoff_s = 0.1
        while True:
            try:
                if self._connection is None:
                    await self._attach(await connect(self._url, self._application_name, timeout=self._lease_s / 2))
                    self._log("connected to the database again")
                await self._wait()
                await self._tick()
                backoff_s = 0.1
            except Exception as error:  # Whatever it is, it is tried again, and the lease decides what is served.
                self._log(f"the control connection failed: {' '.join(str(error).split()) or type(error).__name__}")
                self._drop_connection()
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_SECONDS)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        self._wake_waiting()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_POLL_SECONDS if self._held_since is not None else self._poll_s):
                await self._wake.wait()
        self._wake.clear()

    async def _attach(self, connection: Connection) -> None:
        self._connection = connection
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
        await self._tick()

    # One turn: renew the lease, look for news, acknowledge

    async def _tick(self) -> None:
        assert self._connection is not None
        epoch = await self._heartbeat(self._connection)
        if self._needs_refresh(epoch):
            changes = self._changes
            before, closed = self._snapshot, self._closed
            try:
                # It may outlast the lease: then managed tables are closed for a while. Cut short, it would never end.
                async with asyncio.timeout(_READING_SECONDS):
                    await self._refresh(self._connection)
            except asyncpg.LockNotAvailableError:
                # Nothing is lost but time: the epoch stays unacknowledged, and the next turn tries again.
                self._log("the catalog cannot be read: somebody's DDL has a table locked")
            self._changes_read = changes
            self._wake_waiting()
            # Acknowledge at once, or say at once who is still at the epoch before.
            if self._snapshot is not before or self._closed != closed or self._lowest_pinned() != self._acknowledged:
                await self._heartbeat(self._connection)

    def _needs_refresh(self, epoch: int) -> bool:
        return (
            self._snapshot is None
            or self._closed is not None
            or self._held_since is not None
            or self._catching_up
            or epoch != self._snapshot.epoch
            or self._changes_read < self._changes
            or leases.now() - self._reader.read_at >= self._catalog_poll_s
        )

    def _lowest_pinned(self) -> int:
        """The epoch that is acknowledged: no transaction is at an earlier one. 0 as long as nothing can be served."""
        if self._snapshot is None or self._closed is not None:
            return 0
        lowest = self._pinned.lowest_epoch
        return self._snapshot.epoch if lowest is None else lowest

    async def _heartbeat(self, connection: Connection) -> int:
        acknowledged = self._lowest_pinned()
        now = leases.now()
        behind_since = self._pinned.behind_since
        async with asyncio.timeout(self._lease_s / 2):
            epoch = await leases.heartbeat(
                connection,
                self._id,
                self._lease_s,
                acknowledged,
                epoch_seen=0 if self._snapshot is None else self._snapshot.epoch,
                transactions=self._pinned.count,
                transactions_behind=self._pinned.count_behind,
                oldest_behind_s=None if behind_since is None else now - behind_since,
                closed=self._closed if self._snapshot is not None else None,
            )
            if epoch is None:
                return await self._register(connection)
        self._lease_until = now + self._lease_s - self._margin_s
        self._acknowledged = acknowledged
        return epoch

    async def _register(self, connection: Connection) -> int:
        """For the first time, or because the lease has run out: others may have stepped on, so whatever is not at the
        epoch found now stays closed until it ends."""
        now = leases.now()
        self._catching_up = self._snapshot is not None
        await leases.register_proxy(connection, self._id, self._application_name, self._lease_s)
        epoch = await registry.read_epoch(connection)
        if self._snapshot is not None:
            self._log(f"the lease had run out: registered again at epoch {epoch}")
            self._roster.enrol_again()
        self._pinned.fence_all_but(epoch)
        self._acknowledged = 0
        self._lease_until = now + self._lease_s - self._margin_s
        return epoch

    async def _refresh(self, connection: Connection) -> None:
        if self._held_since is not None:
            await self._lift_abandoned_hold(connection)
        state, catalog = await self._reader.read(connection)
        problem = self._adopt_state(state, catalog)
        if problem is not None:
            if self._closed != problem:
                self._log(f"managed tables are closed: {problem}")
            self._closed = problem
        elif self._closed is not None:
            if self._acknowledged:
                self._log("managed tables are served again")
            self._closed = None
        self._catching_up = False
        self._hold(any(row.hold_until is not None for row in state.migrations))

    def _adopt_state(self, state: State, catalog: Catalog) -> str | None:
        """Make it the current snapshot if it says anything new; or why it cannot be served. The previous snapshot stays
        then, so that its tables are still known as managed, and refused."""
        current = self._snapshot
        if current is not None and state.epoch < current.epoch:
            return (
                f"the epoch in the database went back from {current.epoch} to {state.epoch} (a restore or a failover?):"
                " look at the migrations, then pgjanus reopen"
            )
        try:
            tables = registry.managed_tables(state, catalog)
        except PgjanusError as error:
            return str(error)
        if current is not None and state.epoch == current.epoch and phases(tables) != phases(current.tables):
            return (
                f"epoch {state.epoch} is not what it was (a restore or a failover?):"
                " look at the migrations, then pgjanus reopen"
            )
        if current is None or (current.epoch, current.catalog, current.tables) != (state.epoch, catalog, tables):
            self._snapshot = Snapshot(state.epoch, catalog, tables)
            self._pinned.supersede(self._snapshot, leases.now())
        return None

    async def _lift_abandoned_hold(self, connection: Connection) -> None:
        async with connection.transaction():
            if await registry.clear_expired_holds(connection):
                await registry.raise_epoch(connection)
                self._log("lifted a hold whose operator is gone")

    def _hold(self, held: bool) -> None:
        if held and self._held_since is None:
            self._held_since = leases.now()
        elif not held and self._held_since is not None:
            self._last_hold_s = leases.now() - self._held_since
            self._held_since = None
            self._log(f"new transactions were held for {self._last_hold_s * 1000:.0f} ms")
            self._wake_waiting()

    def _wake_waiting(self) -> None:
        """Not while there is a hold, or something to catch up with: its end is what they wait for, too."""
        if self._held_since is not None or self._catching_up:
            return
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()
