"""What the worker keeps out of the way of, on real servers: it waits, says why, and goes on by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import web

from proxy.backfill.progress import Progress, Status
from proxy.backfill.runner import BackfillResult, run
from proxy.ports import free_ports
from tests.conftest import Database, StartProxy
from tests.standby import standby_of
from tests.system.test_backfill import value
from tests.system.test_backfill_ranges import LEFT, table

_SECONDS = 60


def pgjanus(database: Database, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments, "--database-url", database.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Backfill:
    """A worker in this process, and the last thing that it said."""

    def __init__(self, database: Database) -> None:
        self.last: Progress | None = None
        self.task: asyncio.Task[BackfillResult] = asyncio.create_task(
            run(database.url, "retype_v", on_progress=self._note)
        )

    def _note(self, progress: Progress) -> None:
        self.last = progress

    async def until(self, holds: Callable[[Progress], bool]) -> Progress:
        deadline = time.monotonic() + _SECONDS
        while self.last is None or not holds(self.last):
            assert not self.task.done() or self.last is None or holds(self.last), self.last
            assert time.monotonic() < deadline, self.last
            await asyncio.sleep(0.01)
        return self.last

    async def waits_for(self, words: str) -> Progress:
        return await self.until(lambda p: p.status in (Status.THROTTLED, Status.PAUSED) and words in p.state)

    async def result(self) -> BackfillResult:
        return await asyncio.wait_for(self.task, _SECONDS)


def settings(db: psycopg.Connection[Any], json: str, *, paused: bool = False) -> None:
    db.execute(
        "INSERT INTO pgjanus.backfill_controls (migration, paused, settings) VALUES ('retype_v', %s, %s)"
        " ON CONFLICT (migration) DO UPDATE SET paused = excluded.paused, settings = excluded.settings",
        (paused, json),
    )


def test_it_waits_for_each_kind_of_load_and_goes_on_when_it_is_over(database: Database) -> None:
    db = table(database, 5_000, backfill={"check_sql": "SELECT words FROM public.gate", "batch_target": "1ms"})
    db.execute("CREATE TABLE gate AS SELECT 'wait for the sale to end' AS words; CREATE TABLE other (id int)")
    busy, blocked, vacuuming = database.connect(), database.connect(), database.connect()

    async def story() -> BackfillResult:
        worker = Backfill(database)
        await worker.waits_for("wait for the sale to end")
        busy.execute("BEGIN")
        busy.execute("LOCK TABLE other")
        settings(db, '{"max_transaction_age": "1ms"}')
        await worker.waits_for("a transaction has been open for")
        settings(db, '{"max_waiting_sessions": 0}')
        blocker = asyncio.create_task(asyncio.to_thread(blocked.execute, "SELECT FROM other"))
        await worker.waits_for("1 sessions wait for a lock")
        settings(db, '{"max_active_sessions": 0}')
        await worker.waits_for("1 sessions are at work")
        busy.execute("COMMIT")
        await blocker
        settings(db, '{"max_wal_rate": "1kB"}')
        db.execute("INSERT INTO other SELECT generate_series(1, 1000)")
        await worker.until(lambda p: "WAL per second" in p.state or p.state.startswith("waiting: wait"))
        # So slow that it is seen: a millisecond for each page.
        vacuuming.execute("SET vacuum_cost_delay = 50; SET vacuum_cost_limit = 1")
        settings(db, "{}")
        vacuum = asyncio.create_task(asyncio.to_thread(vacuuming.execute, "VACUUM (DISABLE_PAGE_SKIPPING) t"))
        await worker.waits_for("the table is being vacuumed")
        vacuuming.cancel()
        await asyncio.gather(vacuum, return_exceptions=True)
        settings(db, "{}", paused=True)
        await worker.waits_for("paused by an operator")
        assert value(db, LEFT) == 5_000
        page = pgjanus(database, "status", "retype_v")
        assert "paused: paused by an operator" in page
        assert "s for check" in page
        db.execute("UPDATE gate SET words = NULL")
        settings(db, '{"wait_for_vacuum": false}')
        await worker.waits_for("check_sql returns nothing")
        db.execute("ALTER TABLE gate ALTER words TYPE boolean USING true; UPDATE gate SET words = true")
        return await worker.result()

    assert asyncio.run(story()).complete
    waited = value(db, "SELECT waited_ms FROM pgjanus.backfill_workers")
    assert {"operator", "check", "locks", "transaction", "sessions", "vacuum"} <= waited.keys()
    assert "waited:" in pgjanus(database, "status", "retype_v")


def test_commands_act_on_a_worker_that_is_running(database: Database) -> None:
    db = table(database, 8_000, backfill={"batch_target": "1ms"})
    assert "paused (no workers at work)" in pgjanus(database, "backfill", "retype_v", "--pause")

    async def story() -> BackfillResult:
        worker = Backfill(database)
        await worker.waits_for("paused by an operator")
        said = await asyncio.to_thread(pgjanus, database, "backfill", "retype_v", "--batch-target", "30s", "--resume")
        assert said == "retype_v: not paused, batch_target 30s (1 worker at work)\n"
        return await worker.result()

    assert asyncio.run(story()).complete
    assert value(db, "SELECT max(batch_rows) FROM pgjanus.backfill_workers") > 1000
    assert pgjanus(database, "backfill", "retype_v", "--reset") == "retype_v: not paused (no workers at work)\n"
    wrong = subprocess.run(
        [sys.executable, "-m", "proxy", "backfill", "m", "--max-lag", "soon", "--database-url", database.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert "max_lag: 'soon' is not a length of time" in wrong.stderr


@asynccontextmanager
async def answering(port: int, status: Callable[[], tuple[int, str]]) -> AsyncIterator[None]:
    """An HTTP server of one page."""

    async def page(_: web.Request) -> web.Response:
        code, text = status()
        return web.Response(status=code, text=text)

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def test_a_page_of_the_users_own_is_asked(database: Database) -> None:
    (port,) = free_ports(1)
    db = table(database, 2000, backfill={"check_url": f"http://127.0.0.1:{port}/"})
    answer = (503, "deploying\nmore")

    async def story() -> BackfillResult:
        nonlocal answer
        async with answering(port, lambda: answer):
            worker = Backfill(database)
            await worker.waits_for("waiting: deploying")
            answer = (404, "")
            await worker.waits_for("check_url answers with status 404")
            assert value(db, LEFT) == 2000
            answer = (204, "")
            return await worker.result()

    assert asyncio.run(story()).complete


def test_it_waits_while_applications_wait_for_their_answers(database: Database, start_proxy: StartProxy) -> None:
    db = table(database, 2000, backfill={"max_latency": "20ms"})
    settings(db, "{}", paused=True)
    proxy = start_proxy(database)
    stop = threading.Event()

    def application() -> None:
        with psycopg.connect(proxy.url(), autocommit=True) as client:
            while not stop.is_set():
                client.execute("SELECT pg_sleep(0.05)")

    async def story() -> BackfillResult:
        worker = Backfill(database)
        await worker.waits_for("paused by an operator")
        with ThreadPoolExecutor(1) as pool:
            client = pool.submit(application)
            try:
                measured = "SELECT count(*) FROM pgjanus.backfill_foreground WHERE latency_ms > 50"
                while not await asyncio.to_thread(value, db, measured):
                    assert not client.done()
                settings(db, "{}")
                await worker.waits_for("statements of applications take")
                assert value(db, LEFT) == 2000
            finally:
                stop.set()
            client.result()
            return await worker.result()

    assert asyncio.run(story()).complete


@pytest.mark.parametrize("server", ["16"], indirect=True)
def test_it_stays_within_reach_of_a_standby_that_stands_still(database: Database) -> None:
    """Bytes are limited: what a standby lags behind in time, others' writes decide too."""
    limit = 2 << 20
    db = table(database, 60_000, backfill={"max_lag_bytes": "2MB", "batch_target": "5ms", "max_lag": "10min"})
    with standby_of(database.server, "slow") as standby, psycopg.connect(standby.url(), autocommit=True) as replica:
        replica.execute("SELECT pg_wal_replay_pause()")
        behind = (
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication"
            " WHERE application_name = 'slow'"
        )

        async def story() -> BackfillResult:
            worker = Backfill(database)
            await worker.waits_for("standby slow is")
            left = value(db, LEFT)
            assert left > 0
            # It stopped at its next look, half a second later, however far one gets in that time.
            lag = value(db, behind)
            assert lag > limit
            page = await asyncio.to_thread(pgjanus, database, "status", "retype_v")
            assert "throttled: standby slow is" in page
            assert value(db, LEFT) == left
            assert value(db, behind) < lag + limit
            replica.execute("SELECT pg_wal_replay_resume()")
            return await worker.result()

        assert asyncio.run(story()).complete
        standby.wait_until_it_has_everything()
