"""`abort` beside proxies that come along one after the other: no right write is refused, nothing stale is read."""

from __future__ import annotations

import asyncio

import pytest

from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.operator import NotAcknowledged
from rules.migration import Client, ManagedTable
from rules.phases import Shape
from rules.plan import Refuse
from rules.planner import plan
from rules.snapshot import Snapshot
from rules.spec import MigrationSpec
from tests.conftest import Database
from tests.system.ladder_case import NAME, USERS, columns_of, operator_of, phase_of, schema_dump, spec
from tests.system.test_rollout import USERS_TABLE, phase_seen, pinned, rollout_of, until

TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.users'::regclass"


def guarded(guard: str) -> MigrationSpec:
    return MigrationSpec.from_json({**spec().to_json(), "guard": guard})


def serves_new(snapshot: Snapshot) -> bool:
    return not isinstance(plan("SELECT first_name FROM users", snapshot, Client(Shape.NEW)), Refuse)


def table_of(snapshot: Snapshot) -> ManagedTable:
    return snapshot.tables[USERS_TABLE]


@pytest.mark.parametrize("guard", ["reject", "off", "heal"])
async def test_new_clients_are_refused_everywhere_before_old_ones_write_plainly(database: Database, guard: str) -> None:
    session = database.connect()
    session.execute(USERS)
    before = schema_dump(database)
    async with rollout_of(database) as one, rollout_of(database) as other:
        async with operator_of(database) as operator:
            await start(operator, guarded(guard))
            await advance(operator, NAME, "reading_new")
            await rollback(operator, NAME, "expanded")
        assert session.execute("SELECT DISTINCT _pgjanus_state / 2 FROM users").fetchall() == [(2,)], "state both"
        last = pinned(one)
        assert serves_new(last)
        async with operator_of(database) as operator:
            aborting = asyncio.create_task(abort(operator, NAME))
            await until(lambda: not serves_new(one.snapshot) and not serves_new(other.snapshot))
            assert phase_seen(one) == phase_seen(other) == phase_of(database) == "expanded"
            withdrawn = pinned(other)
            one.unpin(last)
            await until(lambda: phase_seen(one) == phase_seen(other) == "announced")
            assert table_of(withdrawn).phase.expanded, "it still sets the row state, as in expanded"
            assert "_pgjanus_state" in columns_of(database)
            assert session.execute(TRIGGERS).fetchone() == (0,)
            session.execute("UPDATE users SET full_name = 'Ada Lovelace' WHERE id = 1")
            other.unpin(withdrawn)
            await aborting
        assert schema_dump(database) == before


async def test_an_abort_that_waits_in_vain_can_be_called_off(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout:
        async with operator_of(database) as operator:
            await start(operator, spec())
        held = pinned(rollout)
        async with operator_of(database, timeout_s=1) as operator:
            with pytest.raises(NotAcknowledged, match="not at epoch"):
                await abort(operator, NAME)
        assert phase_of(database) == "expanded" and not serves_new(rollout.snapshot)
        rollout.unpin(held)
        async with operator_of(database) as operator:
            await advance(operator, NAME, "expanded")
        await until(lambda: serves_new(rollout.snapshot))
