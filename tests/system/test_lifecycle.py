"""Each recipe's whole way, with clients of both shapes and every driver on each rung, on each version of PostgreSQL."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from rules.operations import OPERATIONS
from rules.phases import LADDERS, RowState, Shape
from tests.clients import ServerError
from tests.conftest import Database, StartProxy
from tests.lifecycle import UNDEFINED_COLUMN, Clients, World

ROWS = 150

both_versions = pytest.mark.parametrize("server", ["18", "16"], indirect=True)
every_recipe = pytest.mark.parametrize("kind", [*OPERATIONS, "several"])


@pytest.fixture
def world(database: Database, start_proxy: StartProxy, kind: str) -> World:
    world = World(kind, database, start_proxy(database))
    world.fill(ROWS, random.Random(kind))
    return world


def check_row_states(world: World, phase: str) -> None:
    """No row is in the state that the phase's gate forbids."""
    policy = next(p for p in LADDERS[world.migration.strategy] if p.name == phase).policy
    assert policy is not None
    codes = world.row_states()
    if policy.reads.forbids is RowState.OLD:
        assert min(codes) >= RowState.BOTH.lowest
    if policy.reads.forbids is RowState.NEW:
        assert max(codes) < RowState.NEW.lowest


@both_versions
@every_recipe
def test_up_down_and_up_to_the_end_under_traffic(world: World) -> None:
    name = world.migration.name
    ladder = [p.name for p in LADDERS[world.migration.strategy] if p.policy is not None and p.expanded]
    with ExitStack() as stack:
        clients = Clients(world, stack)
        clients.join(Shape.OLD)
        clients.work("before")
        world.pgjanus("start", str(world.file))
        clients.join(Shape.NEW)
        clients.work(ladder[0])
        check_row_states(world, ladder[0])
        seen = {ladder[0]}
        for command, phases in (("advance", ladder[1:]), ("rollback", ladder[-2::-1]), ("advance", ladder[1:])):
            for phase in phases:
                if phase == "reading_new" and command == "advance":
                    world.pgjanus("backfill", name)
                assert f"is in phase {phase}." in world.pgjanus(command, name)
                clients.work(phase, again=phase in seen)
                seen.add(phase)
                check_row_states(world, phase)
                world.pgjanus("verify", name)
        world.pgjanus("advance", name)
        for traffic in clients.leave(Shape.OLD):
            if traffic.focus[0] not in world.model.columns[Shape.NEW]:
                with pytest.raises(ServerError) as caught:
                    traffic.read_columns()
                assert caught.value.sqlstate == UNDEFINED_COLUMN
        clients.work("contracted")
    assert "_pgjanus" not in world.schema()
    assert world.proxy.stop() == 0
