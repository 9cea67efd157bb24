"""What both directions of a conversation share."""

from __future__ import annotations

from proxy.conversation.actions import Action, Tally
from proxy.conversation.judge import Judge
from proxy.conversation.ledger import Ledger
from proxy.conversation.pins import Pins, ServerProcess
from proxy.conversation.statements import Bound, Statement
from rules.snapshot import Snapshot


class State:
    """Attributes: `snapshot` is what the running transaction is pinned to, `actions` what has yet to be told."""

    __slots__ = (
        "actions",
        "beside",
        "buffer_limit",
        "catalog_moved",
        "change",
        "cycles",
        "failed",
        "follows",
        "judge",
        "lasting",
        "ledger",
        "pins",
        "portals",
        "process",
        "savepoints",
        "snapshot",
        "stalled",
        "statements",
        "tally",
        "times_ready",
        "unread",
    )

    def __init__(self, pins: Pins, judge: Judge, tally: Tally, buffer_limit: int) -> None:
        self.pins = pins
        self.judge = judge
        self.tally = tally
        self.buffer_limit = buffer_limit
        self.ledger = Ledger()
        self.statements: dict[bytes, Statement] = {}
        self.portals: dict[bytes, Bound] = {}
        #: Cursors WITH HOLD of transactions that were committed.
        self.lasting: list[Bound] = []
        #: Savepoints of the running transaction, with the portals that there were.
        self.savepoints: list[tuple[str | None, list[Bound]]] = []
        #: There was an error since the server was last ready for a query.
        self.failed = False
        #: The server has a prepared statement that the client wrote differently: every text is followed from then on.
        self.follows = False
        #: A text that could not be looked into may have prepared statements of which nothing is known.
        self.unread = False
        self.snapshot: Snapshot | None = None
        #: New transactions are held, and this one is let through because its only message concerns no managed table.
        self.beside = False
        #: What serves this client; None until the server says so.
        self.process: ServerProcess | None = None
        self.catalog_moved = False
        #: The number of this client's last change to the catalog, until a snapshot knows of it; then 0.
        self.change = 0
        #: How often the server was ready for a query since it last owed nothing.
        self.cycles = 0
        #: How often it was at all; the first time says that the login is over.
        self.times_ready = 0
        #: The next message of the client's can only be understood when the server has answered earlier ones.
        self.stalled = False
        self.actions: list[Action] = []

    @property
    def manages_tables(self) -> bool:
        return self.snapshot is not None and bool(self.snapshot.tables)

    @property
    def codec(self) -> str:
        """For names and messages that go to the client."""
        return self.judge.settings.codec or "utf-8"

    def end_transaction(self, *, committed: bool) -> None:
        """As far as portals are concerned; the server says so, as of now."""
        self.savepoints.clear()
        if committed:
            now = self.ledger.as_of_now(self.portals)
            self.lasting = [bound for bound in now.values() if bound.holds]
        if not len(self.ledger) and not self.lasting:
            self.portals.clear()
        elif self.portals:
            self.ledger.retain(self.portals, self.lasting)

    def release(self) -> None:
        """The transaction is over."""
        snapshot, self.snapshot = self.snapshot, None
        self.beside = False
        if self.catalog_moved:
            self.catalog_moved = False
            self.change = self.pins.catalog_changed()
        if snapshot is not None:
            self.pins.unpin(snapshot)
