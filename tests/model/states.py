"""What a state of the model is made of, and the settings that can be searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rules.migration import Guard
from rules.phases import RowState, Strategy
from tests.model.bugs import Bug
from tests.model.pairs import Pair, Truth
from tests.model.table import Row

#: Further behind than this is a violation, so nothing beyond has to be told apart.
TOO_FAR = 2
GATES = (RowState.OLD, RowState.NEW)
ABSENT, NOT_VALID, VALID = 0, 1, 2
#: Numbers of phases: `announced` is 0; from the second one up they are those of the ladder. In the first of these two
#: the columns are there, and clients of the new shape are refused.
WITHDRAWN, EXPANDED = 1, 2


class Transaction(NamedTuple):
    """An open transaction. `at` is the phase that it is pinned to, -1 if it is not pinned yet; `behind` is how many
    epochs ago that phase was entered. `seen` is the snapshot of a REPEATABLE READ one, `wrote` its uncommitted row."""

    at: int
    behind: int
    seen: tuple[Row, Truth] | None = None
    wrote: tuple[Row, Truth] | None = None


class Proxy(NamedTuple):
    """`at`, `behind`: the phase that its new transactions are pinned to. `stale`: paused, and its lease has expired."""

    at: int
    behind: int
    stale: bool = False
    open: Transaction | None = None


class Step(NamedTuple):
    """What the operator is at: on the way to the phase number `to`, with `moves` still to make."""

    to: int
    moves: tuple[str, ...]


class State(NamedTuple):
    """`guard`: the phase whose guard is installed, -1 if there is none. `gates`: one for each of `GATES`."""

    at: int
    columns: bool
    row: Row
    truth: Truth
    gates: tuple[int, int]
    guard: int
    proxies: tuple[Proxy, ...]
    step: Step | None


class Next(NamedTuple):
    """A move and where it leads; `wrong` says what must not happen in a move."""

    what: str
    state: State
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What to explore.

    Attributes:
        held: a transaction holds its write until it commits, and may be REPEATABLE READ, one at a time; else writes
            commit at once.
        parity: both codes of a row state, which double the states.
        abort: the step from `expanded` back to `announced`, and what follows.
        distance: more than one phase between two transactions is wrong by itself, not only what comes of it.
    """

    strategy: Strategy
    pair: Pair
    guard: Guard = Guard.HEAL
    held: bool = False
    parity: bool = False
    abort: bool = True
    distance: bool = True
    bugs: frozenset[Bug] = frozenset()

    def __str__(self) -> str:
        bugs = "".join(f", planted: {b.value}" for b in self.bugs)
        return f"{self.strategy.value}, {self.pair.name}, guard {self.guard.value}{', held' if self.held else ''}{bugs}"
