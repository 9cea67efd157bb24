"""A dozen short random histories with three proxies and a nemesis; `make chaos` runs long ones, docs/chaos.md tells of
them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rules.phases import Strategy
from tests.chaos.arena import Arena
from tests.chaos.bugs import Bug
from tests.chaos.history import run_history
from tests.chaos.scenario import Harm, Scenario, make_scenario

HISTORIES = 12
#: They mostly wait for each other's clients. A third arena would cost more than it saves: its proxies have to start.
ARENAS = 2
LEASE_S = 3.0
#: A proxy's or the server's start and the end of a lease are waited for in the long run.
HARMS = (Harm.BLINK_PROXY, Harm.CUT_CONTROL, Harm.CUT_OPERATOR, Harm.CUT_WORKER, Harm.CUT_CLIENT)


@pytest.mark.timeout(900)
async def test_nothing_is_lost_stale_or_divergent_whatever_dies() -> None:
    scenarios = iter(
        [
            make_scenario(f"test-{number}", list(Strategy)[number % len(Strategy)], harms=HARMS, clients=3, brief=True)
            for number in range(HISTORIES)
        ]
    )
    async with asyncio.TaskGroup() as arenas:
        for _ in range(ARENAS):
            arenas.create_task(_fill(scenarios))


async def _fill(scenarios: Iterator[Scenario]) -> None:
    async with Arena("18", lease_s=LEASE_S) as arena:
        for scenario in scenarios:
            verdict = await run_history(arena, scenario)
            assert verdict.violations == (), "\n".join([str(verdict), *verdict.story])
            assert verdict.committed
            assert verdict.reads


@pytest.mark.parametrize("bug", Bug)
def test_every_mistake_can_still_be_planted(bug: Bug) -> None:
    """That it is found takes longer: `python -m tests.chaos --bug …`."""
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
