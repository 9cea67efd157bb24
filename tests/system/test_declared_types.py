"""Parameters whose types the client declares, as many drivers do: fitting ones, and ones that cannot be meant."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rules.errors import FEATURE_NOT_SUPPORTED
from rules.phases import Phase, Shape, Strategy, phase_named
from tests.conftest import ALL_SERVERS, Server
from tests.twin import TABLES, Case, Transcript, case_files, differences, open_twins, policy_name, read_cases

#: text, varchar, bpchar, int2, int4, int8, numeric, float4, float8, bool, timestamp, timestamptz, json, jsonb, uuid.
TYPES = [25, 1043, 1042, 21, 23, 20, 1700, 700, 701, 16, 1114, 1184, 114, 3802, 2950]
PHASES = [phase_named(Strategy.DUAL_WRITE, "writing_both"), phase_named(Strategy.DUAL_WRITE, "new_only")]
CASES = [case for file in case_files() for case in read_cases(file) if case.parameters]


def declared(case: Case) -> Case:
    """The same types for a case in every run; two fifths are left to the server."""
    rng = random.Random(str(case))
    return replace(case, types=tuple(rng.choice(TYPES) if rng.random() < 0.6 else 0 for _ in case.parameters))


def is_another_word_for_the_same(direct: Transcript, managed: Transcript) -> bool:
    """A type that no cast leads to the column's from: we convert the value before PostgreSQL assigns it."""
    return (direct[0][1].sqlstate, managed[0][1].sqlstate) == ("42804", "42846")


@pytest.mark.parametrize("server", ALL_SERVERS[:1], indirect=True)
def test_a_declared_type_means_the_same_on_a_managed_table(server: Server) -> None:
    different: list[str] = []
    with open_twins(server) as make:
        runs: list[tuple[Phase, Shape]] = [(phase, shape) for phase in PHASES for shape in Shape]
        for phase, shape in runs:
            twin = make(phase, shape)
            for case in map(declared, CASES):
                if shape not in case.shapes or case.exception == policy_name(phase, shape).partition("-")[0]:
                    continue
                direct = twin.transcript(case, TABLES, rewrite=False)
                managed = twin.transcript(case, TABLES, rewrite=True)
                refused = managed[0][1].by_planner and managed[0][1].sqlstate == FEATURE_NOT_SUPPORTED
                if refused or is_another_word_for_the_same(direct, managed):
                    continue
                different += [f"{case} {case.types}: {case.sql}\n  {d}" for d in differences(direct, managed)]
    assert not different, "\n".join(different)
