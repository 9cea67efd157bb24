"""Breadth-first search through every state that can be reached, and the shortest way to one that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from rules.phases import RowState
from tests.model.states import GATES, NOT_VALID, Next, Setting, State
from tests.model.world import World

#: More than any setting has; a model that grows beyond does not belong into every run of the tests.
LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """`trace` is empty if no state is wrong; else the moves to the one that is, and `wrong` says in which way."""

    states: int
    moves: int
    wrong: str | None = None
    trace: tuple[Next, ...] = ()


def search(setting: Setting, limit: int = LIMIT) -> Result:
    """Look at every state of the setting."""
    world = World(setting)
    first = world.first()
    came: dict[State, tuple[State, str] | None] = {first: None}
    frontier = [first]
    moves = 0
    while frontier:
        found = []
        for state in frontier:
            for move in world.moves(state):
                moves += 1
                if move.wrong is not None:
                    return Result(len(came), moves, move.wrong, (*_way(came, state), move))
                if move.state not in came:
                    came[move.state] = state, move.what
                    wrong = world.checks(move.state)
                    if wrong is not None:
                        return Result(len(came), moves, wrong, _way(came, move.state))
                    found.append(move.state)
        assert len(came) <= limit, f"more than {limit} states: {setting}"
        frontier = found
    return Result(len(came), moves)


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[Next, ...]:
    way = []
    while (step := came[state]) is not None:
        way.append(Next(step[1], state))
        state = step[0]
    return tuple(reversed(way))


def describe(setting: Setting, result: Result) -> str:
    """What was searched, and the trace: one move a line, and how the row stands after it where that has changed."""
    lines = [f"{setting}: {result.states:,} states, {result.moves:,} moves, {result.wrong or 'nothing wrong'}"]
    shown = None
    for number, (what, state, wrong) in enumerate(result.trace, 1):
        row = describe_row(setting, state)
        lines.append(f"{number:4}. {what}" + (f"  ✗ {wrong}" if wrong else ""))
        if row != shown:
            lines.append(f"        {row}")
            shown = row
    return "\n".join(lines)


def describe_row(setting: Setting, state: State) -> str:
    """`name='ba' | head='a' tail='b' | state 4 (both), true: ba = b a; gates: old NOT VALID`."""
    pair = setting.pair
    shapes = []
    at = 0
    for names in (pair.old, pair.new):
        shapes.append(" ".join(f"{n}={v!r}" for n, v in zip(names, state.row[at : at + len(names)], strict=True)))
        at += len(names)
    true = " = ".join(" ".join(values) for values in state.truth)
    gates = [f"{s.value}{' NOT VALID' if g == NOT_VALID else ''}" for s, g in zip(GATES, state.gates, strict=True) if g]
    code = state.row[-1]
    stored = " | ".join([*shapes, f"state {code} ({_state_of(code)})"]) if state.columns else shapes[0]
    return f"{stored}, true: {true}" + (f"; gates: {', '.join(gates)}" if gates else "")


def _state_of(code: object) -> str:
    assert isinstance(code, int)
    return max((s for s in RowState if s.lowest <= max(code, RowState.OLD.lowest)), key=lambda s: s.lowest).value
