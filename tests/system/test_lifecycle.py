"""Each recipe's whole way, with clients of both shapes and every driver on each rung, on each version of PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from rules.operations import OPERATIONS
from rules.phases import LADDERS, RowState, Shape
from tests.clients import DRIVERS, Asyncpg, Driver, PsycopgPrepared, ServerError
from tests.conftest import Database, StartProxy
from tests.lifecycle import Clients
from tests.world import World, migration_file

ROWS = 150
UNDEFINED_COLUMN = "42703"

OLDER = "16"
#: What the older server could do otherwise shows in any driver's answers: two of them, and so a third of the time.
FEW_DRIVERS = (PsycopgPrepared, Asyncpg)
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


@every_recipe
def test_up_down_and_up_to_the_end_under_traffic(world: World) -> None:
    walk(world)


@pytest.mark.parametrize("server", [OLDER], indirect=True)
@every_recipe
def test_up_down_and_up_to_the_end_on_an_older_server(world: World) -> None:
    walk(world, FEW_DRIVERS)


@pytest.mark.parametrize("strategy", ["dual_read", "both"])
def test_the_other_strategies_lead_to_the_same_end(
    database: Database, start_proxy: StartProxy, strategy: str, tmp_path: Path
) -> None:
    definition = yaml.safe_load(migration_file("several").read_text())
    file = tmp_path / "several.yaml"
    file.write_text(yaml.safe_dump({**definition, "strategy": strategy}))
    world = World("several", database, start_proxy(database), file)
    world.fill(ROWS, random.Random(strategy))
    walk(world)


@pytest.mark.parametrize("kind", ["several"])
@pytest.mark.parametrize("phase", ["expanded", "writing_both", "new_only"])
def test_an_abort_leaves_everything_as_it_was(world: World, phase: str) -> None:
    name, before = world.migration.name, world.schema()
    with ExitStack() as stack:
        clients = Clients(world, stack)
        clients.join(Shape.OLD)
        clients.work("before", again=True)
        world.pgjanus("start", str(world.file))
        clients.join(Shape.NEW)
        if phase != "expanded":
            world.pgjanus("advance", name, "--to", phase)
        clients.work(phase, again=True)
        world.pgjanus("abort", name)
        clients.leave(Shape.NEW)
        world.model.forget_new_shape()
        clients.work("after an abort", again=True)
        assert world.schema() == before
        # And it can begin anew.
        world.pgjanus("start", str(world.file))
        clients.work("expanded, once more", again=True)


def walk(world: World, drivers: Sequence[Driver] = DRIVERS) -> None:
    name = world.migration.name
    ladder = [p.name for p in LADDERS[world.migration.strategy] if p.policy is not None and p.expanded]
    with ExitStack() as stack:
        clients = Clients(world, stack, drivers)
        clients.join(Shape.OLD)
        clients.work("before")
        world.pgjanus("start", str(world.file))
        clients.join(Shape.NEW)
        clients.work(ladder[0])
        check_row_states(world, ladder[0])
        seen = {ladder[0]}
        for command, phases in (("advance", ladder[1:]), ("rollback", ladder[-2::-1]), ("advance", ladder[1:])):
            for phase in phases:
                if command == "advance":
                    world.pgjanus("backfill", name)
                assert f"is in phase {phase}." in world.pgjanus(command, name)
                clients.work(phase, again=phase in seen)
                seen.add(phase)
                check_row_states(world, phase)
                world.pgjanus("verify", name)
        world.pgjanus("advance", name, "--force")
        for traffic in clients.leave(Shape.OLD):
            if traffic.focus[0] not in world.model.columns[Shape.NEW]:
                with pytest.raises(ServerError) as caught:
                    traffic.read_columns()
                assert caught.value.sqlstate == UNDEFINED_COLUMN
        clients.work("contracted")
    assert "_pgjanus" not in world.schema()
    assert world.proxy.stop() == 0
