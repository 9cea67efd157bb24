"""A proxy that is stopped longer than its lease: others step on, and it wakes up to dead connections."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from proxy.control.rollout import Rollout
from proxy.conversation.pins import ServerProcess
from proxy.ladder.climb import Outcome, advance, rollback, start
from proxy.ladder.operator import NotAcknowledged, Operator, OperatorBusy, SessionsLeft, operate
from tests.conftest import Database, StartProxy
from tests.system.ladder_case import NAME, USERS, Lines, operator_of, phase_of, spec
from tests.system.test_rollout import phase_seen, pinned, rollout_of, rollout_that_can_be_cut_off, until

Step = Callable[[Operator, str], Awaitable[Outcome]]


def is_dead(error: psycopg.Error) -> bool:
    return error.sqlstate in ("57P01", "08006") or (error.sqlstate is None and "closed" in str(error))


def is_failed(result: psycopg.pq.abc.PGresult | None) -> bool:
    return result is None or result.status == psycopg.pq.ExecStatus.FATAL_ERROR


def answer(connection: psycopg.Connection[Any]) -> psycopg.pq.abc.PGresult | None:
    """Of what was sent before; None if the connection is gone."""
    found = None
    while (result := connection.pgconn.get_result()) is not None:
        found = result
    return found


async def test_a_proxy_that_was_stopped_wakes_up_to_dead_connections(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """First while nothing is managed; then with a transaction open, with statements under way that it had received but
    not sent, or sent but not heard of, and idle."""
    database.connect().execute(USERS)
    config = tmp_path / "pgjanus.yaml"
    config.write_text("lease: {seconds: 2, heartbeat_s: 0.3}\n")
    stopped, other = start_proxy(database, "--config", str(config)), start_proxy(database)
    client = database.connect(stopped.url())
    client.execute("SELECT 1")
    stopped.process.send_signal(signal.SIGSTOP)
    client.pgconn.send_query(b"SELECT * FROM users WHERE id = 1")
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME)
    stopped.process.send_signal(signal.SIGCONT)
    assert is_failed(answer(client)), "and has not seen columns that nobody may see"

    reads, writes, waits, idle = (database.connect(stopped.url()) for _ in range(4))
    assert [c.name for c in idle.execute("SELECT * FROM users").description or ()] == ["id", "full_name", "age"]
    reads.execute("BEGIN")
    assert reads.execute("SELECT full_name FROM users WHERE id = 1").fetchone() == ("First1 Last1",)
    writes.execute("SELECT 1")
    # It has reached PostgreSQL, and waits there for a lock while its proxy is stopped.
    locker = database.connect(autocommit=False)
    locker.execute("SELECT FROM users WHERE id = 3 FOR UPDATE")
    waits.pgconn.send_query(b"UPDATE users SET full_name = 'Stale Waiter' WHERE id = 3")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    look = database.connect()
    await until(lambda: look.execute(waiting).fetchone() == (1,))
    stopped.process.send_signal(signal.SIGSTOP)
    writes.pgconn.send_query(b"UPDATE users SET full_name = 'Stale Writer' WHERE id = 2")

    def release(_: int, line: str) -> None:
        if line.startswith("ending sessions"):
            while look.execute(waiting).fetchone() != (0,):
                pass
            locker.rollback()

    async with operator_of(database, say=Lines(release)) as operator:
        await advance(operator, NAME, "new_only")
    with psycopg.connect(other.url("new"), autocommit=True) as new:
        new.execute("UPDATE users SET first_name = 'Grace', last_name = 'Hopper' WHERE id = 1")
    stopped.process.send_signal(signal.SIGCONT)
    for connection in (reads, idle):
        with pytest.raises(psycopg.OperationalError) as caught:
            connection.execute("SELECT full_name FROM users WHERE id = 1")
        assert is_dead(caught.value), caught.value
    assert is_failed(answer(writes)) and is_failed(answer(waits))
    with psycopg.connect(stopped.url(), autocommit=True) as again:
        found = again.execute("SELECT full_name FROM users WHERE id <= 3 ORDER BY id").fetchall()
    assert found == [("Grace Hopper",), ("First2 Last2",), ("First3 Last3",)], "it has caught up before it serves"


# The roster


def process_of(rollout: Rollout, connection: psycopg.Connection[Any]) -> ServerProcess:
    return rollout.enrol(connection.info.backend_pid)


def on_record(database: Database) -> list[int]:
    with psycopg.connect(database.url) as connection:
        return [r[0] for r in connection.execute("SELECT pid FROM pgjanus.sessions ORDER BY number")]


async def test_a_process_is_on_the_roster_before_anything_is_sent_to_it(database: Database) -> None:
    session = database.connect()
    async with rollout_of(database) as rollout:
        process = process_of(rollout, session)
        assert not rollout.may_begin(process)
        assert not rollout.may_begin(None)
        known = asyncio.get_running_loop().create_future()
        rollout.when_released(lambda: known.set_result(None), process)
        async with asyncio.timeout(5):
            await known
        assert rollout.may_begin(process)
        assert on_record(database) == [session.info.backend_pid]
        over: list[bool] = []
        rollout.leave(process, lambda: over.append(True), ended=True)
        assert over == [True]
        await until(lambda: on_record(database) == [])


async def test_a_process_that_the_database_does_not_know_is_refused(database: Database) -> None:
    """A pooler in between makes its own numbers up."""
    async with rollout_of(database) as rollout:
        process = rollout.enrol(2**22 + 1)
        await until(lambda: process.refused is not None)
        assert "no pooler in between" in str(process.refused)
        assert not rollout.may_begin(process)


async def test_a_connection_that_we_cut_is_pinned_until_its_process_is_gone(database: Database) -> None:
    session = database.connect()
    async with rollout_of(database) as rollout:
        process = process_of(rollout, session)
        await until(lambda: rollout.may_begin(process))
        over: list[bool] = []
        rollout.leave(process, lambda: over.append(True), ended=False)
        rollout._roster._work.set()
        other = process_of(rollout, database.connect())
        await until(lambda: rollout.may_begin(other))
        assert over == [], "a whole round has passed, and it still runs"
        session.close()
        await until(lambda: over == [True])
        rollout.leave(other, lambda: None, ended=False)


async def test_what_still_runs_when_a_proxy_stops_is_ended_by_the_next_operator(database: Database) -> None:
    database.connect().execute(USERS)
    left = database.connect()
    async with rollout_of(database) as rollout:
        process = process_of(rollout, left)
        await until(lambda: rollout.may_begin(process))
        rollout.leave(process, lambda: None, ended=False)
    async with operator_of(database) as operator:
        await start(operator, spec())
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    assert on_record(database) == []


async def test_a_new_client_waits_for_the_control_connection_but_not_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.roster.PATIENCE_SECONDS", 0.5)
    session = database.connect()
    async with rollout_that_can_be_cut_off(database, lease_s=2) as (rollout, cut_off, connect_again):
        before = process_of(rollout, session)
        await until(lambda: rollout.may_begin(before))
        cut_off()
        late = process_of(rollout, session)
        await until(lambda: late.refused is not None)
        assert "lost its control connection" in str(late.refused)
        assert rollout.may_begin(before), "who is on the roster goes on"
        connect_again()
        again = process_of(rollout, session)
        await until(lambda: rollout.may_begin(again))
        assert rollout.may_begin(before)


async def test_an_operator_who_may_not_end_sessions_says_what_is_to_be_granted(database: Database) -> None:
    """And goes no step further."""
    admin = database.connect()
    role, client = f"operator_{database.name}", f"client_{database.name}"
    admin.execute(
        f"CREATE ROLE {role} LOGIN; CREATE ROLE {client} LOGIN; ALTER DATABASE {database.name} OWNER TO {role};"
        f"GRANT ALL ON SCHEMA public TO {role}; SET ROLE {role}; {USERS} RESET ROLE"
    )
    url = database.url.replace("postgres@", f"{role}@")
    dead = Rollout(url, lease_s=1.0, poll_s=0.1)
    try:
        await dead.start()
        victim = database.connect(database.url.replace("postgres@", f"{client}@"))
        process = process_of(dead, victim)
        await until(lambda: dead.may_begin(process))
        assert dead._task is not None
        dead._task.cancel()
        with suppress(asyncio.CancelledError):
            await dead._task
        lines = Lines()
        async with operate(url, "test", say=lines, timeout_s=1.5) as operator:
            with pytest.raises(SessionsLeft, match=f"GRANT pg_signal_backend, pg_read_all_stats TO {role}"):
                await start(operator, spec())
        assert "may not end the sessions of a proxy" in lines.text, "said beforehand, too"
        assert phase_of(database) is None
        victim.execute("SELECT 1")
        admin.execute(f"GRANT pg_signal_backend, pg_read_all_stats TO {role}")
        async with operate(url, "test") as operator:
            await start(operator, spec())
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")
        await dead.stop()
    finally:
        admin.execute(f"ALTER DATABASE {database.name} OWNER TO postgres; REASSIGN OWNED BY {role} TO postgres")
        admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}; DROP ROLE {client}")


async def test_a_step_names_the_transactions_that_it_waits_for(database: Database) -> None:
    database.connect().execute(USERS)
    client = database.connect(application_name="billing", autocommit=False)
    async with rollout_of(database) as rollout:
        process = process_of(rollout, client)
        await until(lambda: rollout.may_begin(process))
        held = pinned(rollout)
        client.execute("SELECT 'a long report'")
        async with operator_of(database, timeout_s=1.5) as operator:
            with pytest.raises(NotAcknowledged) as caught:
                await start(operator, spec())
        pid = client.info.backend_pid
        assert f"; pid {pid} (billing, idle in transaction, for " in str(caught.value)
        assert "SELECT 'a long report'" in str(caught.value)
        rollout.unpin(held)
        rollout.leave(process, lambda: None, ended=True)


async def test_two_operators_at_once_do_not_meet(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME)
        down = asyncio.create_task(use(database, rollback))
        with pytest.raises(OperatorBusy, match=r"another operator is at work in this database: pid \d+ \(pgjanus test"):
            await down
        await advance(operator, NAME)
    assert phase_of(database) == "reading_new"


async def use(database: Database, step: Step) -> None:
    async with operator_of(database) as operator:
        await step(operator, NAME)


# Catching up


async def test_a_proxy_that_returns_late_begins_nothing_before_it_has_caught_up(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with rollout_that_can_be_cut_off(database, lease_s=1.0) as (rollout, cut_off, connect_again):
        async with operator_of(database) as operator:
            await start(operator, spec())
        cut_off()
        async with operator_of(database) as operator:
            await advance(operator, NAME, "new_only")
            await rollback(operator, NAME, "reading_new")
        slow = database.connect(autocommit=False)
        slow.execute("LOCK TABLE pgjanus.migrations IN ACCESS EXCLUSIVE MODE")
        connect_again()
        await until(lambda: rollout.status().lease_left_s > 0)
        assert phase_seen(rollout) == "expanded"
        assert rollout.try_pin() is None, "what it knows is two phases old"
        woken = asyncio.get_running_loop().create_future()
        rollout.when_released(lambda: woken.set_result(None))
        slow.rollback()
        async with asyncio.timeout(10):
            await woken
        snapshot = pinned(rollout)
        assert phase_seen(rollout) == "reading_new"
        rollout.unpin(snapshot)
