"""What a session asks of the control side: which snapshot its next transaction is pinned to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rules.snapshot import Snapshot


class Pins(Protocol):
    """Every method is called from the event loop's thread and returns at once."""

    def try_pin(self) -> Snapshot | None:
        """Pin a transaction to the newest snapshot; None while new transactions are held (a contract step)."""

    def when_released(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, when `try_pin` or `has_read` is worth trying again."""

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


class FixedPins:
    """Always the same snapshot: a proxy without a control connection, and tests."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def try_pin(self) -> Snapshot | None:
        return self.snapshot

    def when_released(self, wake: Callable[[], None]) -> None:
        wake()

    def unpin(self, snapshot: Snapshot) -> None:
        pass

    def may_serve_managed(self, snapshot: Snapshot | None = None) -> bool:
        return True

    def catalog_changed(self) -> int:
        return 0

    def has_read(self, change: int) -> bool:
        return True
