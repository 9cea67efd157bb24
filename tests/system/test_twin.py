"""Every case, in every phase, for both shapes: nothing may tell the managed table from an unmigrated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rules.phases import LADDERS, Phase, Shape, Strategy
from tests.conftest import ALL_SERVERS, Server
from tests.twin import TABLES, Twin, case_files, open_twins, phases, policy_name, read_cases

COMBINATIONS = [(p, s) for p in phases() for s in Shape if p.expanded or s is Shape.OLD]
#: Every policy on the newest server; on the others the two in which the default strategy rewrites most, because an
#: older server differs only in how it answers.
RUNS = [
    pytest.param(server, combination, id=f"{policy_name(*combination)}-{server}")
    for server in ALL_SERVERS
    for combination in COMBINATIONS
    if server == ALL_SERVERS[0] or combination[0] in LADDERS[Strategy.DUAL_WRITE][2:4]
]


@pytest.fixture(scope="module")
def make_twin(server: Server) -> Iterator[Callable[[Phase, Shape], Twin]]:
    """Databases are made once per module and server, and dropped at its end; cases roll back what they do."""
    with open_twins(server) as make:
        yield make


@pytest.mark.parametrize(("server", "combination"), RUNS, indirect=["server"])
def test_no_statement_can_tell_a_managed_table_from_its_twin(
    make_twin: Callable[[Phase, Shape], Twin], combination: tuple[Phase, Shape]
) -> None:
    twin = make_twin(*combination)
    policy = policy_name(*combination).partition("-")[0]
    cases = [
        case
        for file in case_files()
        for case in read_cases(file)
        if combination[1] in case.shapes and case.exception != policy
    ]
    different = [f"{case}: {case.sql}\n  {d}" for case in cases for d in twin.run(case, TABLES)]
    assert not different, f"{len(different)} differences in {len(cases)} cases\n" + "\n".join(different)
