"""Transition indexes: what serves the reads of a shape whose format is not valid in every row.

Such a shape reads `rules.reads.by_row_state`, and PostgreSQL matches an index to a predicate only on the same
expression. So each index over a managed column has a counterpart over exactly that expression for as long as a phase
reads it, and an index over the new columns themselves for the phases that read those.

    old email ── CREATE INDEX … ON users (email)
        ├─ OLD_BY_ROW_STATE  … ON users ((CASE WHEN _pgjanus_state < 6 THEN email WHEN … END))   reads=coalesce, new
        ├─ NEW_BY_ROW_STATE  … ON users ((CASE WHEN _pgjanus_state >= 4 THEN _pgjanus_mail … END)) reads=old, coalesce
        └─ NEW               … ON users (_pgjanus_mail)                                          reads=new, and for good

Names tell definitions apart: they end in a digest, so an index that is there under its name is the one that is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from rules.catalog import TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl.statements import Lock, Statement, reserved_name
from rules.phases import HIDDEN_PREFIX, Phase, Policy, Reads, Shape, Strategy, Writes, neighbours

#: What 63 bytes have room for beside the prefix and the digest: errors show this part of a name.
_READABLE_BYTES = 42
#: While only the old format is written and read.
FIRST_POLICY = Policy(Writes.OLD, Reads.OLD)
BY_HAND = "make one by hand where you need it"


class Use(Enum):
    """Whose reads an index serves, and over what. The value is part of its name."""

    OLD_BY_ROW_STATE = "ox"
    NEW_BY_ROW_STATE = "nx"
    NEW = "cx"

    @property
    def shape(self) -> Shape:
        return Shape.OLD if self is Use.OLD_BY_ROW_STATE else Shape.NEW

    def is_read_in(self, phase: Phase) -> bool:
        if phase.policy is None or not phase.expanded:
            return False
        reads = phase.policy.reads
        match self:
            case Use.OLD_BY_ROW_STATE:
                return reads is not Reads.OLD
            case Use.NEW_BY_ROW_STATE:
                return reads is not Reads.NEW
            case Use.NEW:
                return reads is Reads.NEW


class Season(Enum):
    """When an index is there, of the phases that read what it is over.

    While only the old format is written and read, an old application must not notice anything, so an index that could
    make its writes fail (unique, or over an expression that may fail) comes `LATER`; `EARLY` is one that serves reads
    until a unique one takes over.
    """

    THROUGHOUT = "throughout"
    LATER = "later"
    EARLY = "early"

    def includes(self, policy: Policy | None) -> bool:
        return self is Season.THROUGHOUT or (self is Season.EARLY) == (policy == FIRST_POLICY)


@dataclass(frozen=True, slots=True)
class TransitionIndex:
    """One index that pgjanus makes.

    `readable` is the name of the index or column that it stands for, `body` its definition from ON on. `final` is the
    name that a new-shape index has in `contracted`, where that is free, and `is_constraint` (of use `NEW` only) that it
    becomes a UNIQUE constraint then. `measured` are the columns whose own expression is a key for all rows: ANALYZE has
    statistics of those.
    """

    use: Use
    table: TableName
    readable: str
    body: str
    is_unique: bool = False
    season: Season = Season.THROUGHOUT
    final: str = ""
    is_constraint: bool = False
    measured: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        definition = f"{self.table} {self.is_unique} {self.body}"
        return reserved_name(self.use.value, self.final or self.readable, definition, readable_bytes=_READABLE_BYTES)

    @property
    def add(self) -> Statement:
        return Statement(self._create(f"INDEX CONCURRENTLY {quote_identifier(self.name)}"), Lock.SHARE_UPDATE_EXCLUSIVE)

    @property
    def trial(self) -> str:
        """The same on an empty table, to learn whether PostgreSQL takes it."""
        return self._create("INDEX")

    def _create(self, what: str) -> str:
        return f"CREATE {'UNIQUE ' if self.is_unique else ''}{what} {self.body}"

    @property
    def drop(self) -> Statement:
        return Statement(f"DROP INDEX IF EXISTS {_qualified(self.table, self.name)}", Lock.ACCESS_EXCLUSIVE)

    def is_wanted(self, phase: Phase) -> bool:
        """Whether a client of that phase reads what this index is over."""
        return self.use.is_read_in(phase) and self.season.includes(phase.policy)

    def is_beside(self, strategy: Strategy, phase: Phase) -> bool:
        """Whether it is wanted in a neighbour of the phase only."""
        return not self.is_wanted(phase) and any(self.is_wanted(p) for p in _neighbours(strategy, phase))

    def __str__(self) -> str:
        return f"{'unique ' if self.is_unique else ''}index for the {self.use.shape.value} shape, as {self.readable}"


@dataclass(frozen=True, slots=True)
class TransitionStatistics:
    """What PostgreSQL is to know of an expression that no index is over: it would guess one row in 200 otherwise."""

    use: Use
    table: TableName
    column: str
    expression: str

    @property
    def name(self) -> str:
        kind = f"{self.use.value[0]}s"
        return reserved_name(kind, self.column, f"{self.table} {self.expression}", readable_bytes=_READABLE_BYTES)

    @property
    def add(self) -> Statement:
        sql = f"CREATE STATISTICS {_qualified(self.table, self.name)} ON {self.expression} FROM"
        return Statement(f"{sql} {quote_table(self.table)}", Lock.SHARE_UPDATE_EXCLUSIVE)

    def is_wanted(self, phase: Phase) -> bool:
        return self.use.is_read_in(phase)

    def is_beside(self, strategy: Strategy, phase: Phase) -> bool:
        return not self.is_wanted(phase) and any(self.is_wanted(p) for p in _neighbours(strategy, phase))


@dataclass(frozen=True, slots=True)
class Gap:
    """An index whose counterpart is missing, or less than itself: why, and what to do."""

    index: str
    shape: Shape
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"index {self.index}, for the {self.shape.value} shape: {self.reason}"


@dataclass(frozen=True, slots=True)
class Transition:
    """Every index that the migration needs in some phase, and what it cannot have."""

    indexes: tuple[TransitionIndex, ...] = ()
    statistics: tuple[TransitionStatistics, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def wanted(self, phase: Phase) -> tuple[TransitionIndex, ...]:
        return tuple(i for i in self.indexes if i.is_wanted(phase))

    def kept(self, strategy: Strategy, phase: Phase) -> tuple[TransitionIndex, ...]:
        """Those wanted in the phase, and those of a neighbour that could be in this one."""
        return self.wanted(phase) + tuple(
            i for i in self.indexes if i.is_beside(strategy, phase) and i.season.includes(phase.policy)
        )

    def kept_statistics(self, strategy: Strategy, phase: Phase) -> tuple[TransitionStatistics, ...]:
        return tuple(s for s in self.statistics if s.is_wanted(phase) or s.is_beside(strategy, phase))

    @property
    def counterparts(self) -> tuple[TransitionIndex, ...]:
        """Those that stay when the migration is over."""
        return tuple(i for i in self.indexes if i.use is Use.NEW)

    def without(self, refused: Mapping[TransitionIndex, str]) -> Transition:
        """Without those that PostgreSQL does not take, each with its reason."""
        gaps = [Gap(i.readable, i.use.shape, f"no counterpart, {reason}", BY_HAND) for i, reason in refused.items()]
        kept = tuple(i for i in self.indexes if i not in refused)
        return Transition(kept, self.statistics, tuple(dict.fromkeys([*self.gaps, *gaps])))


def _neighbours(strategy: Strategy, phase: Phase) -> list[Phase]:
    return [p for p in neighbours(strategy, phase.name) if p is not None]


def is_ours(name: str) -> bool:
    """Whether a name is that of an index made here."""
    return any(name.startswith(f"{HIDDEN_PREFIX}{use.value}_") for use in Use)


def drop_in_background(table: TableName, name: str) -> Statement:
    return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {_qualified(table, name)}", Lock.SHARE_UPDATE_EXCLUSIVE)


def analyze_expressions(table: TableName) -> Statement:
    """Statistics of the indexes' expressions too, which a list of columns would leave out."""
    return Statement(f"ANALYZE {quote_table(table)}", Lock.SHARE_UPDATE_EXCLUSIVE)


def drop_statistics(table: TableName, name: str) -> Statement:
    return Statement(f"DROP STATISTICS IF EXISTS {_qualified(table, name)}", Lock.SHARE_UPDATE_EXCLUSIVE)


def _qualified(table: TableName, name: str) -> str:
    return f"{quote_identifier(table.schema)}.{quote_identifier(name)}"
