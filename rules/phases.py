"""The ladders. A phase is a name for one `Policy(writes, reads)`; everything else is derived from that.

Which gate a phase needs, which row state its writers leave behind, what has to be backfilled before
a step: all of it follows from the two columns of the tables below, upwards and downwards alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Shape(Enum):
    """The set of columns that a client sees; also used for the format that belongs to that shape."""

    OLD = "old"
    NEW = "new"

    @property
    def other(self) -> Shape:
        return Shape.NEW if self is Shape.OLD else Shape.OLD


class Strategy(Enum):
    DUAL_WRITE = "dual_write"
    DUAL_READ = "dual_read"
    BOTH = "both"


class RowState(Enum):
    """Which format of one row holds the truth.

    The state column stores a code: `lowest` or `lowest + 1`. A proxied write always changes the code
    that is stored (see `next_code`), a write that knows nothing of pgjanus leaves it as it is, and that is
    how the guard tells them apart. Code 0 is the column's default: state `old`, never written by a proxy.
    """

    OLD = "old"
    BOTH = "both"
    NEW = "new"

    @property
    def lowest(self) -> int:
        return {RowState.OLD: 2, RowState.BOTH: 4, RowState.NEW: 6}[self]

    def next_code(self, stored: str) -> str:
        """SQL for a code of this state that differs from `stored`, the SQL of the code stored now."""
        return f"{self.lowest + 1} - ({stored} & 1)"


#: Codes below are state `old`, codes from here on have a valid new format.
NEW_IS_VALID_FROM = RowState.BOTH.lowest
#: Codes below have a valid old format.
OLD_IS_VALID_BELOW = RowState.NEW.lowest

STATE_COLUMN = "_pgjanus_state"
HIDDEN_PREFIX = "_pgjanus_"


class Writes(Enum):
    OLD = "old"
    BOTH = "both"
    NEW = "new"

    @property
    def leaves(self) -> RowState:
        """The row state after a write."""
        return RowState(self.value)

    def includes(self, shape: Shape) -> bool:
        return self is Writes.BOTH or self.value == shape.value


class Reads(Enum):
    OLD = "old"
    COALESCE = "coalesce"
    NEW = "new"

    @property
    def forbids(self) -> RowState | None:
        """The row state that no row may be in while somebody reads this way: the gate."""
        return {Reads.OLD: RowState.NEW, Reads.COALESCE: None, Reads.NEW: RowState.OLD}[self]

    def is_always_valid(self, shape: Shape) -> bool:
        """Whether the gate promises that this shape's own format is valid in every row."""
        return self.value == shape.value


@dataclass(frozen=True, slots=True)
class Policy:
    writes: Writes
    reads: Reads


@dataclass(frozen=True, slots=True)
class Phase:
    """One rung. `policy` is None only after the last step, when the table is no longer managed.

    In `announced` the hidden columns do not exist yet: proxies already expand `*` and column lists, refuse
    new-shape clients, and write nothing but what the client wrote. `serves_new`: clients of the new shape are served.
    """

    name: str
    policy: Policy | None
    expanded: bool = True
    serves_new: bool = True

    @property
    def withdrawn(self) -> Phase:
        """The same without clients of the new shape: between `expanded` and `announced` on the way down, so that nobody
        reads new columns any more when proxies begin to write the old ones only."""
        return replace(self, serves_new=False)


def _phase(name: str, writes: str, reads: str) -> Phase:
    return Phase(name, Policy(Writes(writes), Reads(reads)))


ANNOUNCED = Phase("announced", Policy(Writes.OLD, Reads.OLD), expanded=False, serves_new=False)
CONTRACTED = Phase("contracted", None, expanded=False)

LADDERS: dict[Strategy, tuple[Phase, ...]] = {
    Strategy.DUAL_WRITE: (
        ANNOUNCED,
        _phase("expanded", "old", "old"),
        _phase("writing_both", "both", "old"),
        _phase("reading_new", "both", "new"),
        _phase("new_only", "new", "new"),
        CONTRACTED,
    ),
    Strategy.DUAL_READ: (
        ANNOUNCED,
        _phase("expanded", "old", "old"),
        _phase("reading_both", "old", "coalesce"),
        _phase("writing_new", "new", "coalesce"),
        _phase("new_only", "new", "new"),
        CONTRACTED,
    ),
    Strategy.BOTH: (
        ANNOUNCED,
        _phase("expanded", "old", "old"),
        _phase("dual", "both", "coalesce"),
        _phase("new_only", "new", "new"),
        CONTRACTED,
    ),
}


def phase_named(strategy: Strategy, name: str) -> Phase:
    """The rung of that name; KeyError if the ladder has none."""
    for phase in LADDERS[strategy]:
        if phase.name == name:
            return phase
    raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Step:
    """One move between neighbouring rungs, and what follows from their policies.

    Attributes:
        empties: the row state that must have no row left before `after` may be entered (the gate to validate), or None.
        drops: the gates that must be gone before any proxy enters `after`, because its writers produce that state.
    """

    before: Phase
    after: Phase
    empties: RowState | None
    drops: tuple[RowState, ...]


def step_between(before: Phase, after: Phase) -> Step:
    """Derive a step, up or down; both phases must have a policy."""
    assert before.policy is not None and after.policy is not None
    empties = after.policy.reads.forbids
    return Step(before, after, empties, (after.policy.writes.leaves,))


def neighbours(strategy: Strategy, name: str) -> tuple[Phase | None, Phase | None]:
    """The rung below and the rung above."""
    ladder = LADDERS[strategy]
    at = ladder.index(phase_named(strategy, name))
    return (ladder[at - 1] if at > 0 else None, ladder[at + 1] if at + 1 < len(ladder) else None)
