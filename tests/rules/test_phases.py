"""The ladders: what makes any two neighbouring phases safe side by side, and what each step owes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rules.phases import (
    ANNOUNCED,
    CONTRACTED,
    LADDERS,
    Phase,
    Policy,
    Reads,
    RowState,
    Shape,
    Strategy,
    Writes,
    neighbours,
    phase_named,
    step_between,
)

STRATEGIES = list(Strategy)


def with_columns(strategy: Strategy) -> list[Phase]:
    return [p for p in LADDERS[strategy] if p.expanded]


def policy(phase: Phase) -> Policy:
    assert phase.policy is not None
    return phase.policy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_ladder_goes_from_announced_over_expanded_to_contracted(strategy: Strategy) -> None:
    ladder = LADDERS[strategy]
    assert (ladder[0], ladder[-1]) == (ANNOUNCED, CONTRACTED)
    assert policy(ladder[1]) == Policy(Writes.OLD, Reads.OLD)
    assert policy(ladder[-2]) == Policy(Writes.NEW, Reads.NEW)
    assert len({p.name for p in ladder}) == len(ladder)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_phase_writes_what_its_neighbour_cannot_read(strategy: Strategy) -> None:
    for below, above in pairwise(with_columns(strategy)):
        for writer in (below, above):
            for reader in (below, above):
                assert policy(writer).writes.leaves is not policy(reader).reads.forbids, (writer.name, reader.name)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_on_every_walk_the_gates_that_stand_forbid_only_what_nobody_writes(strategy: Strategy) -> None:
    """Up to the top, and from each rung down to the bottom and up again: a phase has the gate that its reads need, and
    no gate is in the way of the writers of the two phases that run side by side."""
    phases = with_columns(strategy)
    for top in range(1, len(phases)):
        gates = {RowState.NEW}
        up = list(range(top + 1))
        for a, b in pairwise([*up, *reversed(up[:-1]), *up[1:]]):
            before, after = phases[a], phases[b]
            step = step_between(before, after)
            if step.empties is not None:
                gates.add(step.empties)
            assert policy(before).writes.leaves not in gates, "the gate is added while the phase before still runs"
            gates -= set(step.drops)
            assert policy(after).writes.leaves not in gates
            assert policy(after).reads.forbids in {None, *gates}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_that_empties_a_state_is_taken_from_a_phase_that_does_not_write_it(strategy: Strategy) -> None:
    for below, above in pairwise(with_columns(strategy)):
        for before, after in ((below, above), (above, below)):
            assert step_between(before, after).empties is not policy(before).writes.leaves


@pytest.mark.parametrize("state", list(RowState))
def test_the_next_code_is_of_its_state_and_differs_from_whatever_is_stored(state: RowState) -> None:
    for stored in range(8):
        code = eval(state.next_code(str(stored)))
        assert code != stored
        assert code in (state.lowest, state.lowest + 1)


def test_reads_of_one_format_are_valid_for_that_shape_only() -> None:
    assert [r.is_always_valid(s) for r in Reads for s in Shape] == [True, False, False, False, False, True]


def test_neighbours_and_names() -> None:
    assert neighbours(Strategy.DUAL_WRITE, "announced") == (None, phase_named(Strategy.DUAL_WRITE, "expanded"))
    assert neighbours(Strategy.DUAL_WRITE, "contracted") == (phase_named(Strategy.DUAL_WRITE, "new_only"), None)
    with pytest.raises(KeyError):
        phase_named(Strategy.DUAL_WRITE, "dual")
