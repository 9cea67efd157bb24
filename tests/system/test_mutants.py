"""Do the oracles bite? A few mutants of `python -m tests.mutants`, and that the others can still be made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.phases import Phase, Shape
from tests.conftest import Server
from tests.model.bugs import Bug
from tests.mutants import MUTANTS, QUICK, Mutant
from tests.mutants.hunt import RUNGS, Hunt
from tests.twin import Twin, case_files, open_twins

ROOT = Path(__file__).parents[2]
TRAPS = (ROOT / "docs/traps.md").read_text()
MUTANTS_AT_LEAST = 20


@pytest.mark.timeout(400)
def test_a_treatment_that_is_taken_out_is_missed(server: Server) -> None:
    """Of these, a case finds each within the first phases that are looked at."""
    with open_twins(server) as make:
        hunt = Hunt(make)
        survivors = [m.name for m in MUTANTS if m.name in QUICK and not hunt.killer(m)]
    assert survivors == []


def test_a_spoiled_twin_kills_no_mutant(server: Server) -> None:
    """Neither do plans that another mutant made, nor rows that are not what they were."""
    harmless = Mutant("nothing is taken out", "rules.reads:is_stored", "return", "return")
    deadly = next(m for m in MUTANTS if m.name == "stars reach the server")
    made: list[Twin] = []
    with open_twins(server) as make:

        def make_and_keep(phase: Phase, shape: Shape) -> Twin:
            made.append(make(phase, shape))
            return made[-1]

        hunt = Hunt(make_and_keep, RUNGS[:1], ["attack.sql"])
        assert hunt.killer(deadly)
        assert hunt.killer(harmless) == ""
        assert len(made) == 1
        made[0].managed.execute("DELETE FROM users WHERE id = 2")
        assert hunt.killer(harmless) == ""
    assert len(made) > 1


def test_every_mutant_can_still_be_made() -> None:
    assert len(MUTANTS) >= MUTANTS_AT_LEAST
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    assert {m.name for m in MUTANTS} >= set(QUICK)
    for mutant in MUTANTS:
        with mutant.applied():
            pass


def test_the_list_of_traps_names_every_mutant() -> None:
    assert [m.name for m in MUTANTS if m.name not in " ".join(TRAPS.split())] == []


def test_the_list_of_traps_names_tests_and_files_that_exist() -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TRAPS)
    assert tests
    for file, name in tests:
        assert (ROOT / file).exists(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
    named = set(re.findall(r"`(\w+\.sql)`", TRAPS))
    assert named - {*case_files(), "refused.sql"} == set()


def test_the_list_of_traps_names_mistakes_that_can_be_planted_in_the_model() -> None:
    named = {" ".join(name.split()) for name in re.findall(r"(?<!\*)\*\*([^*]+)\*\*(?!\*)", TRAPS)}
    assert named - {"bold"} <= {bug.value for bug in Bug}
