"""The proxy's side of a phase change, against a real server and a real operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from proxy.control import leases, registry
from proxy.control.installation import install
from proxy.control.rollout import Rollout, RolloutError
from proxy.database import connect
from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.operator import LadderError, NotAcknowledged
from proxy.ladder.reopen import reopen
from proxy.ladder.status import read_status
from rules.catalog import TableName
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.system.ladder_case import NAME, USERS, Lines, columns_of, operator_of, phase_of, spec

USERS_TABLE = TableName("public", "users")
PATIENCE_SECONDS = 10

every_server = pytest.mark.parametrize("server", ["18", "16"], indirect=True)


@asynccontextmanager
async def rollout_of(database: Database, **options: Any) -> AsyncIterator[Rollout]:
    rollout = Rollout(database.url, application_name="the proxy", **options)
    await rollout.start()
    try:
        yield rollout
    finally:
        await rollout.stop()


@asynccontextmanager
async def rollout_that_can_be_cut_off(
    database: Database, lease_s: float
) -> AsyncIterator[tuple[Rollout, Callable[[], None], Callable[[], None]]]:
    """With two functions: one that takes its connection and does not let it connect again, and one that does."""
    session = database.connect()
    role = f"rollout_{database.name}"
    session.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")

    def cut_off() -> None:
        session.execute(f"ALTER ROLE {role} NOLOGIN")
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])

    def connect_again() -> None:
        session.execute(f"ALTER ROLE {role} LOGIN")

    rollout = Rollout(database.url.replace("postgres@", f"{role}@"), lease_s=lease_s, poll_s=0.1)
    await rollout.start()
    try:
        yield rollout, cut_off, connect_again
    finally:
        await rollout.stop()
        session.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


async def until(condition: Callable[[], bool]) -> None:
    """Fails the test if it does not come true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the database or in another task
            await asyncio.sleep(0.01)


async def manage_people(database: Database) -> None:
    """Proxies look at the catalog only while a migration is active."""
    database.connect().execute(USERS.replace("users", "people"))
    async with operator_of(database) as operator:
        await start(operator, spec(name="people", table="public.people"))


def pinned(rollout: Rollout) -> Snapshot:
    snapshot = rollout.try_pin()
    assert snapshot is not None
    return snapshot


def phase_seen(rollout: Rollout) -> str | None:
    table = rollout.snapshot.tables.get(USERS_TABLE)
    return table.phase.name if table else None


# Snapshots


@every_server
async def test_a_proxy_sees_each_phase_and_the_columns_of_that_phase(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout, operator_of(database) as operator:
        assert rollout.snapshot.tables == {}
        await start(operator, spec())
        for expected in ("expanded", "writing_both", "reading_new", "new_only"):
            assert phase_seen(rollout) == expected, "the operator waited until the proxy was there"
            table = rollout.snapshot.tables[USERS_TABLE]
            assert [c.name for c in table.relation.columns] == columns_of(database)
            assert rollout.snapshot.catalog.relations[USERS_TABLE] is table.relation
            if expected != "new_only":
                await advance(operator, NAME)
        await advance(operator, NAME)
        assert phase_seen(rollout) is None
        assert rollout.snapshot.catalog.relations == {}, "nothing is asked of it any more"


async def test_the_announcement_reaches_proxies_before_the_table_is_touched(database: Database) -> None:
    database.connect().execute(USERS)
    seen: list[tuple[str | None, list[str]]] = []
    async with rollout_of(database) as rollout:
        held = pinned(rollout)
        async with operator_of(database) as operator:
            starting = asyncio.create_task(start(operator, spec()))
            await until(lambda: phase_seen(rollout) == "announced")
            seen.append((phase_of(database), columns_of(database)))
            rollout.unpin(held)
            await starting
    assert seen == [("announced", ["id", "full_name", "age"])]


async def test_the_snapshot_stays_the_same_object_until_something_changes(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    await manage_people(database)
    async with rollout_of(database, poll_s=0.02, catalog_poll_s=0.02) as rollout:
        first = rollout.snapshot
        session.execute("INSERT INTO public.users (full_name) VALUES ('x y')")
        session.execute("CREATE TEMPORARY TABLE mine (x int); ANALYZE public.users")
        rollout.catalog_changed()
        for _ in range(5):
            beats = session.execute("SELECT heartbeat_at FROM pgjanus.proxies").fetchone()
            await until(lambda b=beats: session.execute("SELECT heartbeat_at FROM pgjanus.proxies").fetchone() != b)  # type: ignore[misc]
        assert rollout.snapshot is first
        session.execute("ALTER TABLE public.users ADD COLUMN extra int")
        await until(lambda: rollout.snapshot is not first)
        assert rollout.snapshot.epoch == first.epoch
        assert rollout.snapshot.catalog.relations[USERS_TABLE].column("extra") is not None


async def test_ddl_through_the_proxy_is_seen_without_waiting_for_the_poll(database: Database) -> None:
    session = database.connect()
    await manage_people(database)
    async with rollout_of(database, poll_s=1000, catalog_poll_s=1000, lease_s=10000) as rollout:
        session.execute("CREATE TABLE public.fresh (x int)")
        rollout.catalog_changed()
        await until(lambda: TableName("public", "fresh") in rollout.snapshot.catalog.relations)


async def test_a_registered_migration_that_does_not_fit_its_table_any_more_closes_it(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database, catalog_poll_s=0.05, poll_s=0.05) as rollout:
        async with operator_of(database) as operator:
            await start(operator, spec())
        database.connect().execute("ALTER TABLE public.users RENAME TO people")
        await until(lambda: not rollout.may_serve_managed())
        assert "pgjanus abort" in str(rollout.closed_because)
        assert USERS_TABLE in rollout.snapshot.tables, "still known as managed, and so refused"
        with pytest.raises(RolloutError, match="pgjanus abort"):
            await Rollout(database.url).start()
        database.connect().execute("ALTER TABLE public.people RENAME TO users")
        await until(rollout.may_serve_managed)


async def test_an_epoch_that_goes_back_closes_managed_tables(database: Database) -> None:
    session = database.connect()
    async with rollout_of(database, poll_s=0.05) as rollout:
        session.execute("UPDATE pgjanus.epoch SET epoch = 100; NOTIFY pgjanus")
        await until(lambda: rollout.snapshot.epoch == 100)
        session.execute("UPDATE pgjanus.epoch SET epoch = 99; NOTIFY pgjanus")
        await until(lambda: not rollout.may_serve_managed())
        assert "went back from 100 to 99" in str(rollout.closed_because)
        async with operator_of(database, timeout_s=0.3) as operator:
            with pytest.raises(NotAcknowledged, match="serves no managed table"):
                await operator.wait_for_proxies(99)
        async with operator_of(database) as operator:
            assert await reopen(operator) == (99, 101), "one that nobody has seen"
        await until(rollout.may_serve_managed)
        assert rollout.snapshot.epoch == 101


async def test_an_epoch_of_another_history_is_not_taken_for_the_own_one(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with rollout_of(database, poll_s=0.05, catalog_poll_s=0.05) as rollout:
        async with operator_of(database) as operator:
            await start(operator, spec())
        epoch = rollout.snapshot.epoch
        # As if the database had gone back, and somebody had moved it on while this proxy was cut off.
        session.execute("UPDATE pgjanus.migrations SET phase = 'reading_new'")
        await until(lambda: not rollout.may_serve_managed())
        assert f"epoch {epoch} is not what it was" in str(rollout.closed_because)
        assert phase_seen(rollout) == "expanded"
        async with operator_of(database) as operator:
            assert await reopen(operator) == (epoch, epoch + 1)
        await until(rollout.may_serve_managed)
        assert phase_seen(rollout) == "reading_new"


async def test_a_role_that_may_not_install_is_told_what_to_grant(database: Database) -> None:
    session = database.connect()
    session.execute("DROP ROLE IF EXISTS rollout_nobody; CREATE ROLE rollout_nobody LOGIN")
    try:
        with pytest.raises(RolloutError, match="GRANT CREATE ON DATABASE"):
            await Rollout(database.url.replace("postgres@", "rollout_nobody@")).start()
    finally:
        session.execute("DROP ROLE rollout_nobody")


# Pins and acknowledgements


@every_server
async def test_a_transaction_keeps_its_snapshot_and_the_operator_waits_for_it_by_name(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout:
        async with operator_of(database) as operator:
            await start(operator, spec())
            await advance(operator, NAME)
        held = pinned(rollout)
        lines = Lines()
        async with operator_of(database, timeout_s=0.3, say=lines) as operator:
            outcome = await advance(operator, NAME)
            assert outcome.phase == "reading_new"
            assert "1 transaction of an earlier epoch still open" in str(outcome.missing)
            assert held.tables[USERS_TABLE].phase.name == "writing_both"
            later = pinned(rollout)
            assert later.tables[USERS_TABLE].phase.name == "reading_new"
            for step in (advance, rollback, abort):
                with pytest.raises(
                    NotAcknowledged, match=r"proxy the proxy \(host .*, pid \d+\) is at epoch"
                ) as caught:
                    await step(operator, NAME)
                assert [p.application_name for p in caught.value.proxies] == ["the proxy"]
            assert phase_of(database) == "reading_new"
        async with operator_of(database) as operator:
            advancing = asyncio.create_task(advance(operator, NAME))
            rollout.unpin(held)
            rollout.unpin(later)
            assert (await advancing).phase == "new_only"


async def test_an_announcement_that_nobody_acknowledges_is_taken_back(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout:
        held = pinned(rollout)
        async with operator_of(database, timeout_s=0.3) as operator:
            with pytest.raises(NotAcknowledged):
                await start(operator, spec())
        assert phase_of(database) is None
        assert columns_of(database) == ["id", "full_name", "age"]
        rollout.unpin(held)
        await until(lambda: rollout.snapshot.tables == {})


async def test_a_proxy_that_registers_while_a_step_is_under_way_is_waited_for(database: Database) -> None:
    """It registers with nothing acknowledged before it reads its first snapshot."""
    database.connect().execute(USERS)
    connection = await connect(database.url)
    await install(connection)
    await leases.register_proxy(connection, "0e8fa2a6-3b6e-4ab7-93cd-31f0a5ae4a50", "newborn", 60)
    async with operator_of(database, timeout_s=0.2) as operator:
        with pytest.raises(NotAcknowledged, match=r"proxy newborn .* is at epoch 0"):
            await start(operator, spec())
    await connection.close()


async def test_a_stopped_proxy_is_not_waited_for_and_a_dead_one_only_for_its_lease(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout:
        pinned(rollout)
    dead = Rollout(database.url, lease_s=1.0, poll_s=0.1)
    await dead.start()
    pinned(dead)
    task = dead._task
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    began = time.monotonic()
    async with operator_of(database) as operator:
        await start(operator, spec())
        status = await read_status(operator.connection)
    assert 0.2 < time.monotonic() - began < 5
    assert [p.is_live for p in status.proxies] == [False]
    await dead.stop()


# The lease


async def test_managed_tables_are_closed_before_the_lease_ends_and_open_again_afterwards(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_that_can_be_cut_off(database, lease_s=1.5) as (rollout, cut_off, connect_again):
        async with operator_of(database) as operator:
            await start(operator, spec())
        current = pinned(rollout)
        assert rollout.may_serve_managed()
        cut_off()
        await until(lambda: not rollout.may_serve_managed())
        live = database.connect().execute("SELECT lease_until > clock_timestamp() FROM pgjanus.proxies").fetchone()
        assert live == (True,), "closed before anybody may go on without it"
        assert "lost its connection" in str(rollout.closed_because)
        connect_again()
        await until(rollout.may_serve_managed)
        assert rollout.may_serve_managed(current), "the epoch is still the same"
        rollout.unpin(current)


async def test_a_transaction_from_before_the_lease_ran_out_never_serves_again(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_that_can_be_cut_off(database, lease_s=1.0) as (rollout, cut_off, connect_again):
        async with operator_of(database) as operator:
            await start(operator, spec())
        old = pinned(rollout)
        cut_off()
        async with operator_of(database) as operator:
            await advance(operator, NAME, "reading_new")
        assert not rollout.may_serve_managed()
        connect_again()
        await until(lambda: phase_seen(rollout) == "reading_new" and rollout.may_serve_managed(rollout.snapshot))
        assert not rollout.may_serve_managed(old)
        assert not rollout.may_serve_managed()
        async with operator_of(database, timeout_s=0.3) as operator:
            with pytest.raises(NotAcknowledged):
                await advance(operator, NAME)
        rollout.unpin(old)
        assert rollout.may_serve_managed()
        async with operator_of(database) as operator:
            await advance(operator, NAME)


# contracted


@every_server
async def test_contracting_holds_new_transactions_briefly_and_none_runs_across_it(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as one, rollout_of(database) as two:
        async with operator_of(database) as operator:
            await start(operator, spec())
            await advance(operator, NAME, "new_only")
        served = 0
        longest_s = 0.0
        stop = asyncio.Event()

        async def client(rollout: Rollout) -> None:
            """Transactions back to back: the table has the columns of the snapshot from the first to the last."""
            nonlocal served, longest_s
            connection = await connect(database.url)
            while not stop.is_set():
                asked = time.monotonic()
                while (snapshot := rollout.try_pin()) is None:
                    released = asyncio.get_running_loop().create_future()
                    rollout.when_released(lambda done=released: done.set_result(None))  # type: ignore[misc]
                    await released
                longest_s = max(longest_s, time.monotonic() - asked)
                table = snapshot.tables.get(USERS_TABLE)
                expected = ["id", "age", "first_name", "last_name"]
                if table is not None:
                    expected = [c.name for c in table.relation.columns]
                async with connection.transaction():
                    for _ in range(2):
                        rows = await connection.fetch("SELECT * FROM public.users LIMIT 1")
                        assert list(rows[0].keys()) == expected
                rollout.unpin(snapshot)
                served += 1
            await connection.close()

        clients = [asyncio.create_task(client(rollout)) for rollout in (one, two) for _ in range(2)]
        await until(lambda: served > 50)
        async with operator_of(database) as operator:
            outcome = await advance(operator, NAME)
        before = served
        await until(lambda: served > before + 50)
        stop.set()
        await asyncio.gather(*clients)
        assert outcome.held_ms is not None
        assert outcome.held_ms < 1000
        assert longest_s < 1
        assert one.status().last_hold_s is not None
        assert one.snapshot.tables == {} == two.snapshot.tables


async def test_a_transaction_that_does_not_end_is_named_and_everybody_else_goes_on(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout:
        async with operator_of(database) as operator:
            await start(operator, spec())
            await advance(operator, NAME, "new_only")
        long = pinned(rollout)
        lines = Lines()
        async with operator_of(database, timeout_s=2.5, say=lines) as operator:
            with pytest.raises(LadderError, match=r"could not be contracted.*1 transaction of an earlier epoch"):
                await advance(operator, NAME)
        await until(lambda: rollout.try_pin() is not None)
        assert phase_of(database) == "new_only"
        assert "released" in lines.text
        rollout.unpin(long)


async def test_a_hold_whose_operator_is_gone_is_lifted_by_the_proxies(database: Database) -> None:
    database.connect().execute(USERS)
    async with rollout_of(database) as rollout, operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "new_only")
        async with operator.connection.transaction():
            await registry.set_hold(operator.connection, NAME, 0.7)
            epoch = await registry.raise_epoch(operator.connection)
        await operator.wait_for_proxies(epoch)
        assert rollout.try_pin() is None
        released = asyncio.get_running_loop().create_future()
        rollout.when_released(lambda: released.set_result(None))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await released
        assert phase_seen(rollout) == "new_only"
        rollout.unpin(pinned(rollout))
        assert not await registry.lock_held_migration(operator.connection, NAME)
        held_s = rollout.status().last_hold_s
        assert held_s is not None
        assert 0.5 < held_s < 2


async def test_an_operator_whose_hold_has_run_out_does_not_contract(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the drain and the DDL it may have been asleep for an hour."""
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "new_only")
        monkeypatch.setattr("proxy.ladder.contract.HOLD_SECONDS", -0.001)
        operator.timeout_s = 0  # one attempt
        with pytest.raises(LadderError, match="the hold had run out"):
            await advance(operator, NAME)
        assert phase_of(database) == "new_only"
        await registry.set_hold(operator.connection, NAME, -0.001)
        assert not await registry.lock_held_migration(operator.connection, NAME)
        assert await registry.clear_expired_holds(operator.connection)
        assert not await registry.clear_expired_holds(operator.connection)


async def test_a_table_locked_by_somebodys_ddl_delays_the_catalog_but_costs_neither_lease_nor_connection(
    database: Database,
) -> None:
    session = database.connect()
    session.execute(USERS)
    await manage_people(database)
    lines = Lines()
    rollout = Rollout(database.url, log=lines, lease_s=6, poll_s=0.05, catalog_poll_s=1000)
    await rollout.start()
    try:
        session.execute("CREATE TABLE public.fresh (x int DEFAULT 1)")
        ddl = database.connect(autocommit=False)
        ddl.execute("LOCK TABLE public.fresh IN ACCESS EXCLUSIVE MODE")
        rollout.catalog_changed()
        if database.server.version >= 18:
            await until(lambda: "has a table locked" in lines.text)
        assert rollout.may_serve_managed()
        ddl.rollback()
        await until(lambda: TableName("public", "fresh") in rollout.snapshot.catalog.relations)
        assert "control connection failed" not in lines.text
    finally:
        await rollout.stop()


async def test_a_reading_that_takes_longer_than_half_a_lease_is_not_cut_short(database: Database) -> None:
    """Otherwise a proxy with a large catalog, or on a busy machine, would begin it again and again."""
    database.connect().execute(USERS)
    await manage_people(database)
    lines = Lines()
    # The lock is waited for a second.
    async with rollout_of(database, lease_s=1.0, poll_s=0.1, catalog_poll_s=1000, log=lines) as rollout:
        database.connect().execute("CREATE TABLE public.fresh (x int DEFAULT 1)")
        ddl = database.connect(autocommit=False)
        ddl.execute("LOCK TABLE public.fresh IN ACCESS EXCLUSIVE MODE")
        rollout.catalog_changed()
        await until(lambda: "has a table locked" in lines.text)
        assert "control connection failed" not in lines.text
        ddl.rollback()
        await until(lambda: TableName("public", "fresh") in rollout.snapshot.catalog.relations)
        await until(rollout.may_serve_managed)
