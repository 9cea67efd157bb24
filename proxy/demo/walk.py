"""The demo itself: a server, a proxy, two applications, a migration's commands in order, and the verdict."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psycopg

from proxy.demo.applications import Application, NewApplication, OldApplication, Protocol
from proxy.demo.ledger import Ledger
from proxy.demo.names import CREATE, FILL, NEW_COLUMNS, Name, fill_arguments, split
from proxy.demo.processes import DemoError, Pgjanus, Ports
from proxy.demo.screen import Picture, Screen, Traffic
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres

_MIGRATION: Final = "split_full_name"
_FILE: Final = f"{_MIGRATION}.yaml"
_DATABASE: Final = "shop"
_PICTURES_PER_SECOND: Final = 4
_BEGIN_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_SHOWN_DIFFERENCES: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict. `problems` is empty when everything was as it should be."""

    statements: int
    errors: int
    rows: int
    divergent: int
    backfill_rows_per_s: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"demo: ok statements={self.statements} errors={self.errors} rows={self.rows} "
            f"divergent={self.divergent} backfill_rows_per_s={self.backfill_rows_per_s}"
        )


async def run_demo(screen: Screen, rows: int, seed: int, seconds_per_phase: float) -> Result:
    """Everything from an empty directory to the verdict; nothing is left behind, whatever happens on the way.

    Args:
        seconds_per_phase: how long traffic runs in each phase before the next command.

    Raises:
        DemoError: a command failed, or the proxy or an application did not come up.
    """
    screen.say("starting PostgreSQL 18 in a temporary directory")
    settings = {**NOT_DURABLE, "shared_buffers": "256MB", "max_wal_size": "4GB"}
    with (
        EmbeddedPostgres(18, settings=settings) as server,
        tempfile.TemporaryDirectory(prefix="pgjanus-demo-") as directory,
    ):
        screen.say(f"filling users with {rows:,} rows")
        ledger = Ledger(_fill(server, rows))
        url = server.url(_DATABASE)
        shutil.copy(Path(__file__).parent / _FILE, directory)
        pgjanus = Pgjanus(screen, Path(directory), url)
        async with pgjanus.serve(server.port) as ports:
            crowd = Crowd(ledger, ports, random.Random(seed))
            async with _watched(screen, crowd, url), crowd:
                rate = await _walk(screen, pgjanus, crowd, url, seconds_per_phase)
        screen.say("comparing every row with what the applications were told")
        return verdict(url, ledger, crowd.all, rate)


def _fill(server: EmbeddedPostgres, rows: int) -> dict[int, Name]:
    """Make the table, and return what `up` must make of each row."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {_DATABASE}")
    with psycopg.connect(server.url(_DATABASE), autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(FILL, fill_arguments(rows))
        connection.execute("VACUUM ANALYZE users")
        return {user: split(name) for user, name in connection.execute("SELECT id, full_name FROM users")}


class Crowd:
    """Both applications with all their connections; works while the context is open."""

    def __init__(self, ledger: Ledger, ports: Ports, rng: random.Random) -> None:
        def application(kind: Callable[..., Application], label: str, port: int, **more: object) -> Application:
            url = f"postgresql://postgres@127.0.0.1:{port}/{_DATABASE}"
            return kind(label, url, ledger, random.Random(rng.random()), **more)

        self.old = [application(OldApplication, f"old {p.value}", ports.old, protocol=p) for p in Protocol]
        self.new = [application(NewApplication, f"new {n}", ports.new) for n in (1, 2)]
        self._tasks: dict[Application, asyncio.Task[None]] = {}

    @property
    def all(self) -> list[Application]:
        return [*self.old, *self.new]

    async def __aenter__(self) -> None:
        self._tasks = {application: asyncio.create_task(application.run()) for application in self.all}

    async def __aexit__(self, *_: object) -> None:
        await self.retire(self.all)

    async def begun(self, applications: Sequence[Application]) -> None:
        """Wait until each of them has done its first work.

        Raises:
            DemoError: with the first error that one of them met.
        """
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                for application in applications:
                    await application.running.wait()
        except TimeoutError:
            errors = [error for application in applications for error in application.errors]
            raise DemoError(f"an application could not begin: {(errors or ['it waits for its columns'])[0]}") from None

    async def retire(self, applications: Sequence[Application]) -> None:
        """Let them finish what they have in hand; a defect of an application surfaces here."""
        for application in applications:
            application.stop()
        done, late = await asyncio.wait([self._tasks[a] for a in applications], timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        for task in done:
            task.result()
        if late:
            raise DemoError(f"{len(late)} statements did not come back within {_STOP_SECONDS:.0f} s")


async def _walk(screen: Screen, pgjanus: Pgjanus, crowd: Crowd, url: str, seconds_per_phase: float) -> int:
    """The migration, as a user would type it. Returns how fast the backfill was, in rows per second."""

    async def advance(phase: str, *options: str, command: str = "advance") -> None:
        await pgjanus.run(command, _MIGRATION, "--to", phase, *options)
        await asyncio.sleep(seconds_per_phase)

    await crowd.begun(crowd.old)
    await asyncio.sleep(seconds_per_phase)
    await pgjanus.run("check", _FILE)
    await pgjanus.run("start", _FILE)
    await crowd.begun(crowd.new)
    await asyncio.sleep(seconds_per_phase)
    await advance("writing_both")
    await pgjanus.run("backfill", _MIGRATION)
    rate = await _backfill_rate(url)
    await pgjanus.run("verify", _MIGRATION)
    await advance("reading_new")
    await advance("new_only")
    screen.say("second thoughts: back, with all that was written in the new format only, and up again")
    await advance("writing_both", command="rollback")
    await advance("reading_new")
    await advance("new_only")
    screen.say("the old application is retired: the next step takes its column away")
    await crowd.retire(crowd.old)
    screen.say("(it was at work a moment ago, and the step waits until it has not been seen for a day: hence --force)")
    await advance("contracted", "--force")
    return rate


async def _backfill_rate(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        rate = await connection.fetchval(
            "SELECT (SELECT sum(rows_done) FROM pgjanus.backfill_ranges r"
            "         WHERE r.migration = b.migration AND r.state = b.state)"
            " / greatest(extract(epoch FROM updated_at - started_at), 0.001)"
            " FROM pgjanus.backfills b WHERE migration = $1 AND state = 'old'",
            _MIGRATION,
        )
    finally:
        await connection.close()
    return round(rate or 0)


@asynccontextmanager
async def _watched(screen: Screen, crowd: Crowd, url: str) -> AsyncIterator[None]:
    """Show phase, backfill and traffic a few times per second, from what the database and the applications say."""
    connection = await asyncpg.connect(url)
    watcher = asyncio.create_task(_watch(screen, crowd, connection))
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])
        await connection.close()
    if not watcher.cancelled():
        watcher.result()


async def _watch(screen: Screen, crowd: Crowd, connection: asyncpg.Connection) -> None:
    before = dict.fromkeys(crowd.all, 0)
    at = time.monotonic()
    while True:
        await asyncio.sleep(1 / _PICTURES_PER_SECOND)
        phase, done, total = await _progress(connection)
        seconds, at = time.monotonic() - at, time.monotonic()
        traffic = tuple(
            Traffic(
                label=application.label,
                available=application.running.is_set(),
                statements=application.statements,
                per_second=(application.statements - before[application]) / seconds,
                slowest_ms=application.slowest_seconds * 1000,
                errors=application.error_count,
            )
            for application in crowd.all
        )
        before = {application: application.statements for application in crowd.all}
        screen.show(Picture(phase, done, total, traffic))


async def _progress(connection: asyncpg.Connection) -> tuple[str, int, int]:
    """(phase, rows converted, rows to convert); empty before `start`."""
    if await connection.fetchval("SELECT to_regclass('pgjanus.backfills')") is None:
        return ("", 0, 0)
    row = await connection.fetchrow(
        "SELECT m.phase, b.rows_total, (SELECT sum(rows_done)::int8 FROM pgjanus.backfill_ranges r"
        " WHERE r.migration = b.migration AND r.state = b.state) AS rows_done FROM pgjanus.migrations m"
        " LEFT JOIN pgjanus.backfills b ON b.migration = m.name AND b.state = 'old' WHERE m.name = $1",
        _MIGRATION,
    )
    return (row["phase"], row["rows_done"] or 0, row["rows_total"] or 0) if row else ("", 0, 0)


def verdict(url: str, ledger: Ledger, applications: list[Application], backfill_rows_per_s: int) -> Result:
    """Compare every row with what the applications were told, on a direct connection."""
    problems = [error for application in applications for error in application.errors]
    divergent: list[str] = []
    rows: list[tuple[int, str | None, str | None]] = []
    with psycopg.connect(url) as connection:
        columns = tuple(column.name for column in connection.execute("SELECT * FROM users LIMIT 0").description or ())
        if columns == NEW_COLUMNS:
            rows = connection.execute("SELECT id, first_name, last_name FROM users").fetchall()
            divergent = ledger.divergent(rows)
        else:
            problems.append(f"the table's columns are {columns}, not {NEW_COLUMNS}")
    problems += divergent[:_SHOWN_DIFFERENCES]
    problems += [
        f"{application.label} did nothing at all" for application in applications if not application.statements
    ]
    return Result(
        statements=sum(application.statements for application in applications),
        errors=sum(application.error_count for application in applications),
        rows=len(rows),
        divergent=len(divergent),
        backfill_rows_per_s=backfill_rows_per_s,
        problems=tuple(problems),
    )
