"""The twin oracle through a real proxy: `python -m tests.protocols` walks every phase, this does one of each kind."""

from __future__ import annotations

import pytest

from rules.phases import LADDERS, Strategy
from tests.conftest import Server
from tests.protocols import Way, all_cases, inlined, open_wire, shapes_in, walk
from tests.twin import Case

#: Between them: writes old, both and new; reads old, coalesce and new.
STRATEGY = Strategy.BOTH
CASES_AT_LEAST = 400


@pytest.mark.timeout(400)
def test_no_way_of_sending_a_statement_can_tell_a_managed_table_from_its_twin(server: Server) -> None:
    cases = all_cases()
    with open_wire(server) as wire:
        for turn, phase in enumerate(p for p in LADDERS[STRATEGY] if p.policy is not None and p.expanded):
            wire.enter(STRATEGY, phase)
            for shape in shapes_in(phase):
                found = list(wire.compare([(c, [way(c, turn)]) for c in cases], phase, shape))
                assert not found, f"{len(found)} differences\n" + "\n".join(map(str, found))
        assert wire.compared > 3 * len(cases)


def way(case: Case, turn: int) -> Way:
    """Another one in each phase, so that each case goes all four ways; `make twin` goes all of them in every phase."""
    return list(Way)[(case.line + turn) % len(Way)]


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(all_cases()) >= CASES_AT_LEAST


def test_a_walk_goes_through_every_phase_up_and_down() -> None:
    names = [phase.name for phase in walk(Strategy.DUAL_WRITE)]
    assert names[:5] == ["announced", "expanded", "writing_both", "reading_new", "new_only"]
    assert names[5:] == ["reading_new", "writing_both", "expanded", "announced"]


def test_parameters_are_written_into_the_text_as_literals() -> None:
    case = Case("x.sql", 1, "SELECT $1, $2::int, $1", (), ("it's", None))
    assert inlined(case) == "SELECT 'it''s', NULL::int, 'it''s'"
