"""What a session asks of the control side: which snapshot its next transaction is pinned to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rules.snapshot import Snapshot


@dataclass(slots=True, eq=False)
class ServerProcess:
    """What serves one client on the other side: PostgreSQL's process, as its BackendKeyData told.

    `known`: the database has it on record, and can end it should this proxy stop. Nothing is sent before that.
    `refused`: why it never will be, in words for the client.
    """

    pid: int
    number: int = 0
    known: bool = False
    refused: str | None = None


class Pins(Protocol):
    """Every method is called from the event loop's thread and returns at once."""

    def try_pin(self) -> Snapshot | None:
        """Pin a transaction to the newest snapshot; None while new transactions are held (a contract step)."""

    def pin_beside(self) -> Snapshot | None:
        """While transactions are held: pin one that touches no managed table and ends with its only message."""

    def when_released(self, wake: Callable[[], None], process: ServerProcess | None = None) -> None:
        """Call `wake` once, when `try_pin`, `has_read` or `may_begin` of that process is worth trying again."""

    def unpin(self, snapshot: Snapshot) -> None:
        """The transaction is over; exactly once for each `try_pin` that gave a snapshot."""

    def may_serve_managed(self, snapshot: Snapshot | None = None) -> bool:
        """False once the lease is lost: statements on managed tables are refused until it is back.

        With a snapshot: for a transaction that is pinned to it.
        """

    def catalog_changed(self) -> int:
        """A client changed the catalog and committed: it has to be read anew. Returns the change's number."""

    def has_read(self, change: int) -> bool:
        """Whether the newest snapshot knows of that change, or nobody can say when one will."""

    def enrol(self, pid: int) -> ServerProcess:
        """A session is served by that process of PostgreSQL's from now on."""

    def may_begin(self, process: ServerProcess | None) -> bool:
        """Whether a transaction may be sent there. None: the server has not said yet which process it is."""

    def leave(self, process: ServerProcess, then: Callable[[], None], *, ended: bool) -> None:
        """The session is over; call `then` once nothing of it runs any more.

        `ended`: the server closed the connection itself, or nothing was running. Else the process may go on for some
        time.
        """


class FixedPins:
    """Always the same snapshot: a proxy without a control connection, and tests."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def try_pin(self) -> Snapshot | None:
        return self.snapshot

    def pin_beside(self) -> Snapshot | None:
        return self.snapshot

    def when_released(self, wake: Callable[[], None], process: ServerProcess | None = None) -> None:
        wake()

    def unpin(self, snapshot: Snapshot) -> None:
        pass

    def may_serve_managed(self, snapshot: Snapshot | None = None) -> bool:
        return True

    def catalog_changed(self) -> int:
        return 0

    def has_read(self, change: int) -> bool:
        return True

    def enrol(self, pid: int) -> ServerProcess:
        return ServerProcess(pid, known=True)

    def may_begin(self, process: ServerProcess | None) -> bool:
        return True

    def leave(self, process: ServerProcess, then: Callable[[], None], *, ended: bool) -> None:
        then()
