"""What fails in the middle of a step: a database that is restarted at each line, a proxy whose loop stands still."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import ExitStack, suppress

import psycopg
import pytest

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from proxy.ladder.climb import Outcome, advance, start
from tests.conftest import Database
from tests.system.ladder_case import NAME, ROWS, USERS, Lines, columns_of, operator_of, phase_of, spec
from tests.system.test_fencing import is_dead
from tests.system.test_ladder import attributed
from tests.system.test_ladder_crash import CRASH
from tests.system.test_rollout import phase_seen, pinned, rollout_of, until

#: What was committed outlives PostgreSQL, if not the machine: only its own processes end here.
COMMITTED = {**NOT_DURABLE, "synchronous_commit": "on"}
VIEW = "CREATE VIEW named AS SELECT id, full_name FROM users WHERE full_name <> ''"


class RestartsAtEachLine(Lines):
    """Crashes PostgreSQL when the operator says something that it has not said before, numbers apart."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__(self._restart)
        self._server = server
        self.met: dict[str, None] = {}

    def _restart(self, _: int, line: str) -> None:
        kind = re.sub(r"[\d.,]+", "#", line)
        if kind not in self.met:
            self.met[kind] = None
            self._server.stop("immediate")
            self._server.start()


@pytest.mark.timeout(120)
async def test_a_step_that_lost_its_database_is_completed_by_the_next_advance() -> None:
    """Up to the end, with a proxy that has to find its way back each time."""
    with EmbeddedPostgres(18, settings=COMMITTED) as server, ExitStack() as stack:
        database = Database("postgres", server, stack)
        with psycopg.connect(database.url, autocommit=True) as session:
            session.execute(USERS)
            session.execute(VIEW)
        lines = RestartsAtEachLine(server)

        async def go_on() -> None:
            async with operator_of(database, say=lines) as operator:
                if phase_of(database) in (None, "announced"):
                    await start(operator, spec(attributed()))
                await advance(operator, NAME, "contracted")

        async with rollout_of(database, lease_s=2.0, poll_s=0.1) as rollout:
            attempts = 0
            while attempts == 0 or phase_of(database) != "contracted":
                attempts += 1
                assert attempts < 50, lines.text
                with suppress(*CRASH):
                    await go_on()
            await until(lambda: phase_seen(rollout) is None and rollout.closed_because is None)
        assert len(lines.met) > 15, "it was restarted at many lines"
        assert columns_of(database) == ["id", "age", "first_name", "last_name"]
        found = database.connect().execute(
            "SELECT count(*), count(*) FILTER (WHERE full_name = 'First' || id || ' Last' || id) FROM named"
        )
        assert found.fetchone() == (ROWS, ROWS)


async def test_a_proxy_whose_loop_stood_still_for_longer_than_its_lease_serves_nothing_of_before(
    database: Database,
) -> None:
    """No signal stops it: a call that does not come back does. The first thing that it does afterwards is refused."""
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
    async with rollout_of(database, lease_s=1.0, poll_s=0.1) as rollout:
        client = database.connect()
        process = rollout.enrol(client.info.backend_pid)
        await until(lambda: rollout.may_begin(process))
        old = pinned(rollout)
        client.execute("BEGIN; SELECT full_name FROM users WHERE id = 1")
        assert rollout.may_serve_managed(old)
        moved: list[Outcome] = []

        async def move() -> None:
            async with operator_of(database) as operator:
                moved.append(await advance(operator, NAME, "new_only"))

        elsewhere = threading.Thread(target=lambda: asyncio.run(move()))
        elsewhere.start()
        elsewhere.join()
        # Nothing of the loop has run since: neither a heartbeat nor any news.
        assert [o.phase for o in moved] == ["new_only"]
        assert phase_seen(rollout) == "expanded"
        assert not rollout.may_serve_managed(old)
        stale = rollout.try_pin()
        assert stale is None or not rollout.may_serve_managed(stale), "nor does a transaction that begins now"
        with pytest.raises(psycopg.OperationalError) as caught:
            client.execute("UPDATE users SET full_name = 'Stale Writer' WHERE id = 1")
        assert is_dead(caught.value)
        await until(lambda: phase_seen(rollout) == "new_only" and rollout.may_serve_managed(rollout.snapshot))
        assert not rollout.may_serve_managed(old), "for good"
        for snapshot in (old, *([stale] if stale else [])):
            rollout.unpin(snapshot)
        assert rollout.may_serve_managed(pinned(rollout))
    found = database.connect().execute("SELECT full_name FROM users WHERE id = 1")
    assert found.fetchone() == ("First1 Last1",)
