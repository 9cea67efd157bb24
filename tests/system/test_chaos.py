"""Short random histories with three proxies and a nemesis; `make chaos` runs long ones, docs/chaos.md tells of them."""

from __future__ import annotations

import pytest

from rules.phases import Strategy
from tests.chaos.arena import Arena
from tests.chaos.bugs import Bug
from tests.chaos.history import run_history
from tests.chaos.scenario import Harm, make_scenario

#: Scenarios of each strategy. A step of the ladder has every proxy read the catalog, so that more would take minutes.
HISTORIES = (0, 2)
#: Long enough for a machine that has other things to do.
LEASE_S = 5.0
#: The server's start and the end of a lease are waited for in the long run.
HARMS = (Harm.BLINK_PROXY, Harm.CUT_CONTROL, Harm.CUT_OPERATOR, Harm.CUT_WORKER, Harm.CUT_CLIENT)


@pytest.mark.timeout(900)
async def test_nothing_is_lost_stale_or_divergent_whatever_dies() -> None:
    async with Arena("18", lease_s=LEASE_S) as arena:
        for strategy in Strategy:
            for number in HISTORIES:
                scenario = make_scenario(f"test-{number}", strategy, moves=1, harms=HARMS, clients=3)
                verdict = await run_history(arena, scenario)
                assert verdict.violations == (), "\n".join([str(verdict), *verdict.story])
                assert verdict.committed and verdict.reads


@pytest.mark.parametrize("bug", Bug)
def test_every_mistake_can_still_be_planted(bug: Bug) -> None:
    """That it is found takes longer: `python -m tests.chaos --bug …`."""
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
