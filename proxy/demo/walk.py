"""The demo itself: a server, a proxy, two applications, a migration's commands in order, and the verdict."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import psycopg

from proxy.demo.applications import Application, NewApplication, OldApplication, Protocol
from proxy.demo.ledger import Ledger
from proxy.demo.names import CREATE, FILL, NEW_COLUMNS, fill_arguments, split
from proxy.demo.screen import Picture, Screen, Traffic
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from rules.errors import PgjanusError

_MIGRATION: Final = "split_full_name"
_FILE: Final = f"{_MIGRATION}.yaml"
_DATABASE: Final = "shop"
_PICTURES_PER_SECOND: Final = 4
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_SHOWN_DIFFERENCES: Final = 5
_LOG_LINES_SHOWN: Final = 10


class DemoError(PgjanusError):
    """The demo found something that should not be; its text says what."""


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

    Raises:
        DemoError: a command failed, or the proxy ended.
    """
    screen.say("starting PostgreSQL 18 in a temporary directory")
    with EmbeddedPostgres(18, settings={**NOT_DURABLE, "shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        screen.say(f"filling users with {rows:,} rows")
        ledger = Ledger(fill(server, rows))
        with tempfile.TemporaryDirectory(prefix="pgjanus-demo-") as directory:
            demo = Demo(screen, server, ledger, random.Random(seed), Path(directory), seconds_per_phase)
            async with demo.proxy():
                await demo.walk()
            return demo.verdict()


def fill(server: EmbeddedPostgres, rows: int) -> dict[int, tuple[str | None, str | None]]:
    """Make the table, and return what `up` must make of each row."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {_DATABASE}")
    with psycopg.connect(server.url(_DATABASE), autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(FILL, fill_arguments(rows))
        connection.execute("VACUUM ANALYZE users")
        return {user: split(name) for user, name in connection.execute("SELECT id, full_name FROM users")}


@dataclass
class Demo:
    screen: Screen
    server: EmbeddedPostgres
    ledger: Ledger
    rng: random.Random
    directory: Path
    seconds_per_phase: float
    backfill_rows_per_s: int = 0
    _applications: list[Application] = field(default_factory=list)
    _old_port: int = 0
    _new_port: int = 0
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        shutil.copy(Path(__file__).parent / _FILE, self.directory / _FILE)
        root = str(Path(__file__).parent.parent.parent)
        self._environment = {
            **os.environ,
            "PGJANUS_DATABASE_URL": self.server.url(_DATABASE),
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        }

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[None]:
        """`pgjanus serve` as a process of its own; ends with the block, and the block ends if it does."""
        self._old_port, self._new_port, admin = _free_ports(3)
        arguments = (
            *("serve", "--server", f"postgresql://127.0.0.1:{self.server.port}"),
            *("--listen", f"127.0.0.1:{self._old_port}", "--listen-new", f"127.0.0.1:{self._new_port}"),
            *("--admin", f"127.0.0.1:{admin}"),
        )
        self.screen.command(" ".join(("pgjanus", *arguments, "&")))
        log = self.directory / "proxy.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C is for the demo, which ends the proxy after the applications.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxy", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env=self._environment,
                start_new_session=True,
            )
        try:
            for port in (self._old_port, self._new_port):
                await _listening(port, process, log)
            yield
            if process.returncode is not None:
                raise DemoError(f"the proxy ended with exit code {process.returncode}: {_tail(log)}")
        except DemoError:
            for line in log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]:
                self.screen.say(f"proxy: {line}")
            raise
        finally:
            await _end(process)

    async def walk(self) -> None:
        """The migration, as a user would type it, with both applications at work all the time."""
        old = [self._application(OldApplication, f"old {p.value}", self._old_port, protocol=p) for p in Protocol]
        new = [self._application(NewApplication, f"new {n}", self._new_port) for n in (1, 2)]
        self._applications = [*old, *new]
        tasks = {application: asyncio.create_task(application.run()) for application in self._applications}
        watcher = asyncio.create_task(self._watch())
        try:
            await self._steps(old, new, tasks)
        finally:
            for application in self._applications:
                application.stop()
            watcher.cancel()
            _, late = await asyncio.wait([*tasks.values(), watcher], timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
        for task in tasks.values():
            task.result()
        if not watcher.cancelled():
            watcher.result()

    async def _steps(
        self, old: list[Application], new: list[Application], tasks: dict[Application, asyncio.Task[None]]
    ) -> None:
        await self._all_working(old)
        await asyncio.sleep(self.seconds_per_phase)
        await self._command("check", _FILE)
        await self._command("start", _FILE)
        await self._all_working(new)
        await asyncio.sleep(self.seconds_per_phase)
        await self._command("advance", _MIGRATION, "--to", "writing_both")
        await asyncio.sleep(self.seconds_per_phase)
        await self._backfill()
        await self._command("verify", _MIGRATION)
        await self._command("advance", _MIGRATION, "--to", "reading_new")
        await asyncio.sleep(self.seconds_per_phase)
        await self._command("advance", _MIGRATION, "--to", "new_only")
        await asyncio.sleep(self.seconds_per_phase)
        self.screen.say("second thoughts: back, with all that was written in the new format only, and up again")
        await self._command("rollback", _MIGRATION, "--to", "writing_both")
        await asyncio.sleep(self.seconds_per_phase)
        await self._command("advance", _MIGRATION, "--to", "reading_new")
        await asyncio.sleep(self.seconds_per_phase)
        await self._command("advance", _MIGRATION, "--to", "new_only")
        await asyncio.sleep(self.seconds_per_phase)
        self.screen.say("the old application is retired: the next step takes its column away")
        for application in old:
            application.stop()
        await asyncio.wait([tasks[application] for application in old], timeout=_STOP_SECONDS)
        await self._command("advance", _MIGRATION, "--to", "contracted")
        await asyncio.sleep(self.seconds_per_phase)

    def _application(self, kind: Callable[..., Application], label: str, port: int, **more: object) -> Application:
        url = f"postgresql://postgres@127.0.0.1:{port}/{_DATABASE}"
        return kind(label, url, self.ledger, random.Random(self.rng.random()), **more)

    async def _all_working(self, applications: list[Application]) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                for application in applications:
                    await application.running.wait()
        except TimeoutError:
            errors = [error for application in applications for error in application.errors]
            raise DemoError(f"an application could not begin: {errors[:1] or 'it waits for its columns'}") from None

    async def _command(self, *arguments: str) -> list[str]:
        """Run one command in a process of its own and show what it prints."""
        line = " ".join(("pgjanus", *arguments))
        self.screen.command(line)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.directory,
            env=self._environment,
            start_new_session=True,
        )
        lines: list[str] = []
        try:
            assert process.stdout is not None
            async for raw in process.stdout:
                lines.append(raw.decode(errors="replace").rstrip())
                self.screen.say(lines[-1])
            code = await process.wait()
        finally:
            await _end(process)
        if code != 0:
            raise DemoError(f"`{line}` ended with exit code {code}: {' / '.join(lines[-3:])}")
        return lines

    async def _backfill(self) -> None:
        await self._command("backfill", _MIGRATION, "--once")
        async with await psycopg.AsyncConnection.connect(self.server.url(_DATABASE)) as connection:
            cursor = await connection.execute(
                "SELECT rows_done / greatest(extract(epoch FROM updated_at - started_at), 0.001)"
                " FROM pgjanus.backfills WHERE migration = %s AND state = 'old'",
                [_MIGRATION],
            )
            row = await cursor.fetchone()
        self.backfill_rows_per_s = round(row[0]) if row else 0

    async def _watch(self) -> None:
        """Look into the database and at the applications, and show it, until cancelled."""
        connection = await asyncpg.connect(self.server.url(_DATABASE))
        before = dict.fromkeys(self._applications, 0)
        at = time.monotonic()
        try:
            while True:
                await asyncio.sleep(1 / _PICTURES_PER_SECOND)
                phase, done, total = await _progress(connection)
                seconds, at = time.monotonic() - at, time.monotonic()
                traffic = []
                for application in self._applications:
                    rate = (application.statements - before[application]) / seconds
                    before[application] = application.statements
                    traffic.append(
                        Traffic(
                            application.label,
                            application.running.is_set(),
                            application.statements,
                            rate,
                            application.slowest_seconds * 1000,
                            application.error_count,
                        )
                    )
                self.screen.show(Picture(phase, done, total, tuple(traffic)))
        finally:
            await connection.close()

    def verdict(self) -> Result:
        """Compare every row with what the applications were told, on a direct connection."""
        self.screen.say("comparing every row with what the applications were told")
        problems: list[str] = []
        with psycopg.connect(self.server.url(_DATABASE)) as connection:
            cursor = connection.execute("SELECT * FROM users LIMIT 0")
            assert cursor.description is not None
            columns = tuple(column.name for column in cursor.description)
            if columns != NEW_COLUMNS:
                problems.append(f"the table's columns are {columns}, not {NEW_COLUMNS}")
                divergent, rows = list[str](), 0
            else:
                found = connection.execute("SELECT id, first_name, last_name FROM users").fetchall()
                divergent, rows = self.ledger.divergent(found), len(found)
        problems += [error for application in self._applications for error in application.errors]
        problems += divergent[:_SHOWN_DIFFERENCES]
        if any(application.statements == 0 for application in self._applications):
            problems.append("an application did nothing at all")
        return Result(
            statements=sum(application.statements for application in self._applications),
            errors=sum(application.error_count for application in self._applications),
            rows=rows,
            divergent=len(divergent),
            backfill_rows_per_s=self.backfill_rows_per_s,
            problems=tuple(problems),
        )


async def _progress(connection: asyncpg.Connection) -> tuple[str, int, int]:
    """(phase, rows converted, rows to convert); empty before `start`."""
    if await connection.fetchval("SELECT to_regclass('pgjanus.backfills')") is None:
        return ("", 0, 0)
    row = await connection.fetchrow(
        "SELECT m.phase, b.rows_done, b.rows_total FROM pgjanus.migrations m"
        " LEFT JOIN pgjanus.backfills b ON b.migration = m.name AND b.state = 'old' WHERE m.name = $1",
        _MIGRATION,
    )
    return (row["phase"], row["rows_done"] or 0, row["rows_total"] or 0) if row else ("", 0, 0)


async def _listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None or time.monotonic() > deadline:
                raise DemoError(f"the proxy does not listen on port {port}: {_tail(log)}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:]) or "it said nothing"


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
