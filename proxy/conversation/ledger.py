"""The ledger: the replies that the server still owes, in order. It explains all of the protocol's bookkeeping.

    reply                              completes          what it says
    1 ParseComplete                    PARSE
    2 BindComplete                     BIND
    3 CloseComplete                    CLOSE
    T RowDescription, n NoData         DESCRIBE           within QUERY: describes statement number `statement`
    C, I, s                            EXECUTE            within QUERY: one statement less
    E ErrorResponse                    all up to SYNC     within QUERY, SYNC, FUNCTION: nothing, Z follows
    G CopyInResponse                   –                  Syncs up to the end of the copy are not answered
    Z ReadyForQuery                    QUERY, SYNC, FUNCTION, STARTUP

Source: src/backend/tcop/postgres.c (`ignore_till_sync`, `doing_extended_query_message`), commands/copyfromparse.c.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from typing import Any, Final

from rules.commands import Command
from rules.plan import PositionMap, Refuse, ResultPatch

#: Beyond this the client is not read any more. The server flushes its replies after 8 KB (`PqSendBufferSize`), that is
#: after at most 1,638 of the shortest ones, so a client that waits for them always gets on.
LEDGER_LIMIT: Final = 16_384


class Step(Enum):
    """What a message of the client's makes the server do."""

    STARTUP = auto()
    QUERY = auto()
    FUNCTION = auto()
    SYNC = auto()
    PARSE = auto()
    BIND = auto()
    DESCRIBE = auto()
    EXECUTE = auto()
    CLOSE = auto()
    #: CopyDone or CopyFail: no reply, but the end of Syncs that are ignored. Stray ones are ignored by the server.
    COPY_END = auto()


#: An error within one of these makes the server ignore everything up to the next Sync.
EXTENDED: Final = frozenset({Step.PARSE, Step.BIND, Step.DESCRIBE, Step.EXECUTE, Step.CLOSE})
#: These are over with ReadyForQuery.
CYCLES: Final = frozenset({Step.STARTUP, Step.QUERY, Step.FUNCTION, Step.SYNC})


@dataclass(slots=True)
class Change:
    """A table of names as it will be if the server does what it was told: `name` means `after` instead of `before`.

    `statement` is the number of the statement of a Query that does it; a negative one is done before all of them,
    whether they fail or not.
    """

    table: dict[bytes, Any]
    name: bytes
    after: Any
    before: Any
    statement: int = 0
    #: In which group of messages it was sent; Sync and Query end a group.
    group: int = 0

    @property
    def key(self) -> tuple[int, bytes]:
        return id(self.table), self.name


@dataclass(frozen=True, slots=True)
class Renewal:
    """A prepared statement is dropped or made again in the client's place; `undo` if it turns out not to be."""

    undo: Callable[[], None]
    statement: int = 0


@dataclass(slots=True)
class Expected:
    """One entry. Its replies go to the client unless `injected` says that the client never asked for them.

    `results` and `commands` have an entry for each statement that the server sees; those in `silent` are our own.
    """

    step: Step
    injected: bool = False
    positions: PositionMap | None = None
    results: Sequence[ResultPatch | None] = ()
    commands: Sequence[Command | None] = ()
    silent: Collection[int] = ()
    refused: Refuse | None = None
    changes: Sequence[Change | Renewal] = ()
    #: The prepared statement that a Bind or Describe means.
    name: bytes | None = None
    #: How many statements of a Query are complete.
    statement: int = 0

    @property
    def result(self) -> ResultPatch | None:
        """How the next RowDescription has to be patched."""
        return self.results[self.statement] if self.statement < len(self.results) else None

    @property
    def command(self) -> Command | None:
        """What the next statement to be complete does with names."""
        return self.commands[self.statement] if self.statement < len(self.commands) else None


class Ledger:
    """Entries in order; tables of names change when a message is sent, and change back if it turns out to fail."""

    __slots__ = ("_entries", "_group", "_unsettled", "copying", "skipping")

    def __init__(self) -> None:
        self._entries: deque[Expected] = deque([Expected(Step.STARTUP)])
        self._group = 0
        #: Names whose latest change is not answered yet, with its group.
        self._unsettled: dict[tuple[int, bytes], int] = {}
        #: The server ignores everything up to the next Sync, which the client has not sent yet.
        self.skipping = False
        #: The server reads copy data, and the client has not ended it yet.
        self.copying = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def head(self) -> Expected | None:
        return self._entries[0] if self._entries else None

    @property
    def ends_with_cycle(self) -> bool:
        """Whether the server will say ReadyForQuery for the last entry without anything more from the client."""
        return bool(self._entries) and self._entries[-1].step in CYCLES

    def push(self, entry: Expected) -> None:
        self._entries.append(entry)
        for change in entry.changes:
            if isinstance(change, Change):
                change.group = self._unsettled[change.key] = self._group
                self._assign(change, change.after)
        if entry.step in CYCLES:
            self._group += 1

    def is_settled(self, table: dict[bytes, Any], name: bytes) -> bool:
        """Whether a name will mean, when the server reads the next message, what its table says now.

        Not so if it was changed in an earlier group that may yet fail: a failure there does not skip the next message.
        """
        return self._unsettled.get((id(table), name), self._group) == self._group

    def end_copy(self) -> None:
        """The client sent CopyDone or CopyFail."""
        if self.copying:
            self.copying = False
        elif self._entries:
            self._entries.append(Expected(Step.COPY_END))

    def complete(self, step: Step) -> Expected | None:
        """Take the head if it is that step."""
        if self._entries and self._entries[0].step is step:
            return self._pop()
        return None

    def complete_cycle(self) -> Expected | None:
        if self._entries and self._entries[0].step in CYCLES:
            return self._pop()
        return None

    def begin_copy(self) -> None:
        """CopyInResponse: Syncs up to the end of the copy will not be answered."""
        entries = self._entries
        ahead = list(takewhile(lambda entry: entry.step is not Step.COPY_END, entries))
        kept = [entry for i, entry in enumerate(ahead) if i == 0 or entry.step is not Step.SYNC]
        rest = list(entries)[len(ahead) :]
        self.copying = not rest
        entries.clear()
        entries.extend(kept + rest[1:])

    def fail(self) -> list[Expected]:
        """An ErrorResponse for the head: take it, and whatever the server will skip, and undo what they changed.

        A Query stays, because ReadyForQuery follows; what its failed statement and those behind it changed is undone.
        """
        self.copying = False
        if not self._entries:
            return []
        head = self._entries[0]
        if head.step not in EXTENDED:
            failed_here = [c for c in head.changes if c.statement >= head.statement]
            head.changes = [c for c in head.changes if c.statement < head.statement]
            self._undo_all(failed_here)
            return []
        failed: list[Expected] = []
        while self._entries and self._entries[0].step is not Step.SYNC:
            failed.append(self._entries.popleft())
        self.skipping = not self._entries
        self._undo_all([change for entry in failed for change in entry.changes])
        return failed

    def _undo_all(self, changes: Sequence[Change | Renewal]) -> None:
        for change in reversed(changes):
            if isinstance(change, Change):
                self._settle(change)
                self._undo(change)
            else:
                change.undo()

    def retain(self, table: dict[bytes, Any], kept: Collection[Any]) -> None:
        """The server has forgotten every name of a table but those that mean one of `kept`: as of now."""
        for name, value in self.as_of_now(table).items():
            if not any(value is item for item in kept):
                self.forget(table, name)

    def as_of_now(self, table: dict[bytes, Any]) -> dict[bytes, Any]:
        """A table of names without the changes that are not answered yet."""
        names = dict(table)
        for entry in reversed(self._entries):
            for change in reversed(entry.changes):
                if isinstance(change, Change) and change.table is table and self._is_pending(entry, change):
                    names[change.name] = change.before
        return {name: value for name, value in names.items() if value is not None}

    def forget(self, table: dict[bytes, Any], name: bytes) -> None:
        """The server says that this name means nothing: as of now, so what was sent later still holds."""
        later = self._next_change(table, name)
        if later is not None:
            later.before = None
        else:
            table.pop(name, None)

    def _undo(self, change: Change) -> None:
        later = self._next_change(change.table, change.name)
        if later is not None:
            later.before = change.before
        else:
            self._assign(change, change.before)

    def _next_change(self, table: dict[bytes, Any], name: bytes) -> Change | None:
        for entry in self._entries:
            for change in entry.changes:
                if isinstance(change, Change) and change.table is table and change.name == name:
                    if self._is_pending(entry, change):
                        return change
        return None

    def _is_pending(self, entry: Expected, change: Change) -> bool:
        """Whether the server has yet to do it: the head may be a Query of which a part is done."""
        return change.statement >= entry.statement or entry is not self._entries[0]

    def _assign(self, change: Change, value: Any) -> None:
        if value is None:
            change.table.pop(change.name, None)
        else:
            change.table[change.name] = value

    def _settle(self, change: Change) -> None:
        if self._unsettled.get(change.key) == change.group:
            del self._unsettled[change.key]

    def _pop(self) -> Expected:
        entry = self._entries.popleft()
        for change in entry.changes:
            if isinstance(change, Change):
                self._settle(change)
        while self._entries and self._entries[0].step is Step.COPY_END:
            self._entries.popleft()
        return entry
