"""What clients saw and were told, and what was found in the table at the end: all that the checker gets.

Times are seconds of one clock for all clients; a statement began when it was sent and ended when its answer was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from rules.phases import Shape
from tests.chaos.register import Write

Values = tuple[str | int | None, ...]


class Outcome(Enum):
    """What a client knows of its transaction. `UNKNOWN`: the connection was cut where both are possible."""

    DONE = auto()
    UNDONE = auto()
    UNKNOWN = auto()


class Isolation(Enum):
    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


@dataclass(slots=True, eq=False)
class Written:
    """One row as one statement wrote it. `write` is None for a DELETE, whose version is that of the absent row.

    Attributes:
        inserted: the row came to be with it, as version 1.
        version: what RETURNING said, None while (or if) no answer came.
        returned: the managed columns, if RETURNING had them.
        discarded: undone by ROLLBACK TO.
    """

    writer: str
    row_id: int
    write: Write | None
    inserted: bool = False
    version: int | None = None
    returned: Values | None = None
    discarded: bool = False


@dataclass(frozen=True, slots=True)
class SeenRow:
    version: int
    writer: str
    values: Values


@dataclass(frozen=True, slots=True)
class Seen:
    """What one SELECT found. `asked` are the ids it would have found all of; `own` the transaction's writes so far."""

    began: float
    ended: float
    shape: Shape
    asked: tuple[int, ...]
    rows: Mapping[int, SeenRow]
    own: tuple[Written, ...] = ()


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction of one client, be it of a single statement. `snapshot_at`: when its first query was sent."""

    client: str
    isolation: Isolation
    outcome: Outcome = Outcome.UNDONE
    began: float = 0.0
    ended: float = 0.0
    snapshot_at: float | None = None
    written: list[Written] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def own(self) -> tuple[Written, ...]:
        return tuple(w for w in self.written if not w.discarded)

    @property
    def is_snapshot(self) -> bool:
        return self.isolation is not Isolation.READ_COMMITTED


@dataclass(frozen=True, slots=True)
class Found:
    """Rows at the end, when nobody writes any more: one format of the table, or what a new client of a shape reads."""

    where: str
    shape: Shape
    rows: Mapping[int, SeenRow]
    is_whole: bool = True


class Wrong(Enum):
    LOST = "lost"
    STALE = "stale"
    DIVERGENT = "divergent"
    REFUSED = "refused"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Violation:
    wrong: Wrong
    what: str

    def __str__(self) -> str:
        return f"{self.wrong.value}: {self.what}"


@dataclass(slots=True)
class Records:
    """One history. `versions`: what the table's trigger kept, as (row, version, writer), '' for a DELETE."""

    transactions: list[Transaction] = field(default_factory=list)
    versions: list[tuple[int, int, str]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    #: What was noticed while it ran: errors that no client may meet, and what did not end.
    violations: list[Violation] = field(default_factory=list)
