"""Where histories take place: one PostgreSQL, one database, three `pgjanus serve` with short leases."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from proxy.embedded import EmbeddedPostgres, PostgresServer, SystemPostgres
from proxy.ports import free_ports
from rules.phases import Shape
from tests.chaos.bugs import Bug
from tests.chaos.scenario import PROXIES

DATABASE = "chaos"
LEASE_S = 2.0
_START_S = 300.0
_HEARTBEAT_S = 0.2
#: A crash of PostgreSQL loses nothing that was acknowledged; a crash of the machine might.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "deadlock_timeout": "100ms",
    "autovacuum": "off",
}


def make_server(name: str) -> PostgresServer:
    """`18`, `16` or `system-15`."""
    kind, _, version = name.rpartition("-")
    return (SystemPostgres if kind else EmbeddedPostgres)(int(version), settings=_SETTINGS)


class Proxy:
    """One `pgjanus serve`, which may be killed, stopped, and started anew on the same ports.

    Its control connection has a role of its own, so that it alone can be kept out.
    """

    def __init__(self, server: PostgresServer, number: int, folder: Path, bug: Bug | None, lease_s: float) -> None:
        self._server, self._bug = server, bug
        self.role = f"proxy_{number}"
        self.ports = dict(zip(Shape, free_ports(2), strict=True))
        self._settings = folder / "pgjanus.yaml"
        self._settings.write_text(f"lease: {{seconds: {lease_s}, heartbeat_s: {_HEARTBEAT_S}}}\n")
        self._log = (folder / f"{self.role}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, shape: Shape) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.ports[shape]}/{DATABASE}"

    def start(self) -> None:
        bug = [] if self._bug is None else [self._bug.name.lower()]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.wrapped", *bug, "serve", "--config", str(self._settings)),
                *("--server", f"postgresql://127.0.0.1:{self._server.port}", "--log-level", "warning"),
                *("--database-url", self._server.url(DATABASE).replace("postgres@", f"{self.role}@")),
                *("--listen", f"127.0.0.1:{self.ports[Shape.OLD]}"),
                *("--listen-new", f"127.0.0.1:{self.ports[Shape.NEW]}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def is_stopped(self) -> bool:
        """By SIGSTOP, from whomever. Linux alone tells; elsewhere False."""
        assert self._process is not None
        try:
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    async def wait_until_it_listens(self) -> None:
        """Starts it again elsewhere if somebody has taken one of its ports meanwhile.

        Raises:
            TimeoutError: it does not come.
        """
        async with asyncio.timeout(_START_S):
            while not all([await _listens(port) for port in self.ports.values()]):
                if not self.is_running:
                    self.ports = dict(zip(Shape, free_ports(2), strict=True))
                    self.start()
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def close(self) -> None:
        await self.kill()
        self._log.close()


class Arena:
    """`async with Arena("18") as arena`: everything runs, and everything is ended afterwards.

    `lease_s`: of the proxies; as short as the machine's load allows, for everybody waits for the leases of the dead.
    """

    def __init__(self, server: str, bug: Bug | None = None, lease_s: float = LEASE_S) -> None:
        self.lease_s = lease_s
        self.server = make_server(server)
        self.bug = bug
        self.proxies: list[Proxy] = []
        self._folder = tempfile.TemporaryDirectory(prefix="pgjanus-chaos-")
        self.number = 0

    @property
    def url(self) -> str:
        return self.server.url(DATABASE)

    @property
    def log(self) -> str:
        """What the proxies had to say."""
        return "\n".join(p.read_text(errors="replace") for p in sorted(Path(self._folder.name).glob("*.log")))

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """A session of our own, past the proxies."""
        return await asyncpg.connect(self.url, server_settings={"application_name": "chaos"})

    async def execute(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await self.connect()
        try:
            return list(await connection.fetch(sql, *arguments)) if arguments else await _script(connection, sql)
        finally:
            await connection.close()

    async def restart(self, mode: str) -> None:
        await asyncio.to_thread(self.server.stop, "immediate" if mode == "immediate" else "fast")
        await asyncio.to_thread(self.server.start)

    async def __aenter__(self) -> Arena:
        try:
            await asyncio.to_thread(self.server.start)
            connection = await asyncpg.connect(self.server.url("postgres"))
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
            folder = Path(self._folder.name)
            self.proxies = [Proxy(self.server, n, folder, self.bug, self.lease_s) for n in range(PROXIES)]
            await self.execute("".join(f"CREATE ROLE {p.role} SUPERUSER LOGIN;" for p in self.proxies))
            await self.execute("CREATE TABLE elsewhere (id int PRIMARY KEY); INSERT INTO elsewhere VALUES (1);")
            # One after the other would do; together they take as long as one, where there are processors.
            self.proxies[0].start()
            await self.proxies[0].wait_until_it_listens()
            for proxy in self.proxies[1:]:
                proxy.start()
            for proxy in self.proxies[1:]:
                await proxy.wait_until_it_listens()
        except BaseException as error:
            error.add_note(self.log)
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for proxy in self.proxies:
            await proxy.close()
        with suppress(Exception):
            await asyncio.to_thread(self.server.close)
        self._folder.cleanup()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _script(connection: asyncpg.Connection[asyncpg.Record], sql: str) -> list[asyncpg.Record]:
    if sql.lstrip().upper().startswith("SELECT"):
        return list(await connection.fetch(sql))
    await connection.execute(sql)
    return []
