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

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from rules.catalog import TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl import Lock, Statement
from rules.phases import HIDDEN_PREFIX, Phase, Policy, Reads, Shape, Strategy, Writes, neighbours

_READABLE_BYTES = 30
BY_HAND = "make one by hand where you need it"


class Use(Enum):
    """Whose reads an index serves, and over what. The value is part of its name."""

    OLD_BY_ROW_STATE = "ox"
    NEW_BY_ROW_STATE = "nx"
    NEW = "cx"

    @property
    def shape(self) -> Shape:
        return Shape.OLD if self is Use.OLD_BY_ROW_STATE else Shape.NEW

    def is_read(self, reads: Reads) -> bool:
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

    def includes(self, policy: Policy) -> bool:
        early = policy == Policy(Writes.OLD, Reads.OLD)
        return self is Season.THROUGHOUT or (self is Season.EARLY) == early


@dataclass(frozen=True, slots=True)
class TransitionIndex:
    """One index that pgjanus makes.

    `readable` is the name of the index or column that it stands for. `body` is its definition from ON on. `final` is
    the name that it gets in `contracted`, where that is free, and `is_constraint` that it becomes a UNIQUE constraint
    then; both of use `NEW` only.
    """

    use: Use
    table: TableName
    readable: str
    body: str
    is_unique: bool = False
    season: Season = Season.THROUGHOUT
    final: str = ""
    is_constraint: bool = False

    @property
    def name(self) -> str:
        digest = hashlib.sha256(f"{self.table} {self.is_unique} {self.body}".encode()).hexdigest()[:8]
        readable = self.readable.encode()[:_READABLE_BYTES].decode(errors="ignore")
        return f"{HIDDEN_PREFIX}{self.use.value}_{readable}_{digest}"

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
        if phase.policy is None or not phase.expanded:
            return False
        return self.use.is_read(phase.policy.reads) and self.season.includes(phase.policy)

    def __str__(self) -> str:
        return f"{'unique ' if self.is_unique else ''}index for the {self.use.shape.value} shape, as {self.readable}"


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
    gaps: tuple[Gap, ...] = ()

    def wanted(self, phase: Phase) -> tuple[TransitionIndex, ...]:
        return tuple(i for i in self.indexes if i.is_wanted(phase))

    def kept(self, strategy: Strategy, phase: Phase) -> tuple[TransitionIndex, ...]:
        """Those wanted in the phase or a neighbour of it; where two differ in being unique only, this phase's one."""
        here = self.wanted(phase)
        bodies = {i.body for i in here}
        beside = [p for p in neighbours(strategy, phase.name) if p is not None]
        return here + tuple(
            i for i in self.indexes if i not in here and i.body not in bodies and any(i.is_wanted(p) for p in beside)
        )

    @property
    def counterparts(self) -> tuple[TransitionIndex, ...]:
        """Those that stay when the migration is over."""
        return tuple(i for i in self.indexes if i.use is Use.NEW)

    def without(self, refused: Mapping[TransitionIndex, str]) -> Transition:
        """Without those that PostgreSQL does not take, each with its reason."""
        gaps = [Gap(i.readable, i.use.shape, f"no counterpart, {reason}", BY_HAND) for i, reason in refused.items()]
        kept = tuple(i for i in self.indexes if i not in refused)
        return Transition(kept, tuple(dict.fromkeys([*self.gaps, *gaps])))


def is_ours(name: str) -> bool:
    """Whether a name is that of an index made here."""
    return any(name.startswith(f"{HIDDEN_PREFIX}{use.value}_") for use in Use)


def drop_in_background(table: TableName, name: str) -> Statement:
    return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {_qualified(table, name)}", Lock.SHARE_UPDATE_EXCLUSIVE)


def analyze_expressions(table: TableName) -> Statement:
    """Statistics of the indexes' expressions too, which a list of columns would leave out."""
    return Statement(f"ANALYZE {quote_table(table)}", Lock.SHARE_UPDATE_EXCLUSIVE)


def _qualified(table: TableName, name: str) -> str:
    return f"{quote_identifier(table.schema)}.{quote_identifier(name)}"
