"""Predicates keep their indexes and estimates in every phase; `make plans` shows it for a million rows."""

from __future__ import annotations

import pytest

from proxy.embedded import EmbeddedPostgres
from rules.phases import LADDERS, Strategy
from tests.plans import SETTINGS, compare


@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", [Strategy.DUAL_WRITE, Strategy.BOTH])
def test_what_used_an_index_before_uses_one_in_every_phase(strategy: Strategy) -> None:
    with EmbeddedPostgres(18, settings=SETTINGS) as server:
        found = list(compare(server, 20_000, (strategy,), lambda line: None, back=False))
    assert {c.phase for c in found} == {p.name for p in LADDERS[strategy] if p.policy is not None and p.expanded}
    assert [str(c) for c in found if not c.is_good] == []
    assert sum(not c.twin.reads_all for c in found) > len(found) / 2, "if the twin uses none there is nothing to lose"
