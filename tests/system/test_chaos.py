"""Short random histories with three proxies and a nemesis; `make chaos` runs long ones, docs/chaos.md tells of them."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.arena import Arena
from tests.chaos.bugs import Bug
from tests.chaos.history import Verdict, run_history
from tests.chaos.scenario import Harm, make_scenario

HISTORIES = 20
ARENAS = 2
#: Long enough for a machine that has other things to do.
LEASE_S = 5.0
#: The server's start and the leases of the dead are waited for in the long run.
HARMS = (Harm.KILL_PROXY, Harm.BLINK_PROXY, Harm.CUT_CONTROL, Harm.CUT_OPERATOR, Harm.CUT_WORKER, Harm.CUT_CLIENT)


@pytest.mark.timeout(600)
async def test_nothing_is_lost_stale_or_divergent_whatever_dies() -> None:
    numbers = iter(range(HISTORIES))
    verdicts: list[Verdict] = []

    async def fill() -> None:
        async with Arena("18", lease_s=LEASE_S) as arena:
            for number in numbers:
                verdicts.append(
                    await run_history(arena, make_scenario(f"test-{number}", moves=1, harms=HARMS, clients=4))
                )

    async with asyncio.TaskGroup() as group:
        for _ in range(ARENAS):
            group.create_task(fill())
    assert {str(v): v.violations for v in verdicts if v.violations} == {}
    assert len(verdicts) == HISTORIES
    assert all(v.committed and v.reads for v in verdicts)


@pytest.mark.parametrize("bug", Bug)
def test_every_mistake_can_still_be_planted(bug: Bug) -> None:
    """That it is found takes longer: `python -m tests.chaos --bug …`."""
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
