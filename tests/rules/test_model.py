"""The ladders, searched exhaustively on one row, and proof that the search finds what is wrong (docs/model.md)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rules.catalog import Column, Constraint, Relation, TableName
from rules.ddl.ladder import climb
from rules.loader import load_text
from rules.migration import Guard
from rules.phases import LADDERS, RowState, Strategy
from tests.model.bugs import Bug
from tests.model.pairs import PAIRS, REFINED, SPLIT, Pair
from tests.model.search import describe, search
from tests.model.states import ABSENT, EXPANDED, GATES, VALID, Setting, Step
from tests.model.world import World


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
@pytest.mark.parametrize("strategy", Strategy)
def test_no_state_of_a_ladder_is_wrong(strategy: Strategy, pair: Pair) -> None:
    setting = Setting(strategy, pair, abort=not pair.apart)  # two changes have four times the states
    found = search(setting)
    assert found.wrong is None, describe(setting, found)
    assert found.states > 1000


def test_no_state_is_wrong_with_uncommitted_rows_and_snapshots() -> None:
    setting = Setting(Strategy.BOTH, REFINED, held=True, abort=False)
    found = search(setting)
    assert found.wrong is None, describe(setting, found)


@pytest.mark.parametrize("guard", [Guard.REJECT, Guard.OFF])
def test_no_state_is_wrong_under_another_guard(guard: Guard) -> None:
    setting = Setting(Strategy.BOTH, SPLIT, guard)
    found = search(setting)
    assert found.wrong is None, describe(setting, found)


@pytest.mark.parametrize("bug", Bug)
def test_a_planted_mistake_is_found(bug: Bug) -> None:
    """Not by its distance alone: something is read or written wrongly in the end."""
    abort = bug is Bug.NOT_WITHDRAWN
    setting = Setting(Strategy.BOTH, SPLIT, abort=abort, distance=False, bugs=frozenset([bug]))
    found = search(setting)
    assert found.wrong is not None and found.trace
    assert f"planted: {bug.value}" in describe(setting, found)


@pytest.mark.parametrize("bug", [Bug.NO_ACKNOWLEDGEMENT, Bug.STALE_SESSIONS_LIVE])
def test_two_transactions_more_than_one_phase_apart_are_found_at_once(bug: Bug) -> None:
    found = search(Setting(Strategy.DUAL_WRITE, SPLIT, bugs=frozenset([bug])))
    assert found.wrong is not None and "runs beside phase" in found.wrong


def test_a_trace_says_what_happens_and_how_the_row_stands() -> None:
    setting = Setting(Strategy.DUAL_WRITE, SPLIT, abort=False, bugs=frozenset([Bug.GATE_TOO_EARLY]))
    text = describe(setting, search(setting))
    assert "reading_new is entered" in text
    assert "name='ab' | head=None tail=None | state 2 (old), true: ab = a b" in text
    assert "the new shape reads (None, None), true is ('a', 'b')" in text


# The model against the product


@pytest.mark.parametrize("strategy", Strategy)
def test_the_steps_upwards_are_those_that_plan_prints(strategy: Strategy) -> None:
    """Gates: which are added and proved on the way to each rung, and which are standing there."""
    table = TableName("public", "t")
    columns = (Column("id", 1, 23, -1, "integer"), Column("name", 2, 25, -1, "text"))
    relation = Relation(1, table, "r", columns, ("id",), constraints=(Constraint("t_pkey", ("id",)),))
    migration = load_text(
        f"table: public.t\nstrategy: {strategy.value}\noperations:{SPLIT.operations}", "t.yaml"
    ).compile(relation)
    planned = {rung.phase.name: [s.sql for s in rung.statements] for rung in climb(migration, relation)}
    world = World(Setting(strategy, SPLIT))
    gates = world._entered(world.first(), Step(EXPANDED, ("expand",)), "expand")[1].gates
    rungs = [p for p in LADDERS[strategy] if p.policy is not None and p.expanded]
    for before, after in pairwise(rungs):
        at = world.ladder.index(before)
        state = world.first()._replace(at=at, columns=True, gates=gates)
        moves = world._moves_to(state, at + 1)
        text = "\n".join(planned[after.name])
        assert ("NOT VALID" in text) == ("add" in moves), after.name
        assert ("VALIDATE" in text) == ("validate" in moves), after.name
        assert after.policy is not None
        if (empties := after.policy.reads.forbids) is not None:
            gates = tuple(VALID if g is empties else known for g, known in zip(GATES, gates, strict=True))  # type: ignore[assignment]
        gates = world._entered(state._replace(gates=gates), Step(at + 1, ("enter",)), "enter")[1].gates
        for state_, gate in zip(GATES, gates, strict=True):
            if f'DROP CONSTRAINT IF EXISTS "_pgjanus_gate_{state_.value}"' in text:
                assert gate == ABSENT, (after.name, state_)


def test_the_two_codes_of_a_row_state_are_alike_to_everything_but_the_next_write() -> None:
    """The searches above leave the parity out; this is why they may."""
    world = World(Setting(Strategy.BOTH, SPLIT, parity=True))
    table = world.table
    rows = [("ab", "a", "b", code) for state in RowState for code in (state.lowest, state.lowest + 1)]
    for row, other in zip(rows[::2], rows[1::2], strict=True):
        for at in range(len(world.ladder)):
            for shape, writes in table.writes.items():
                assert table.read(at, shape, row) == table.read(at, shape, other)
                for write in writes:
                    one, two = (table.write(at, shape, write, r, insert=False) for r in (row, other))
                    if one is None or two is None:
                        assert one is two
                        continue
                    assert one[:-1] == two[:-1] and table.state(one) is table.state(two)
                    if world.ladder[at].expanded:
                        assert one[-1] != row[-1] and two[-1] != other[-1], "a write always changes the code"
