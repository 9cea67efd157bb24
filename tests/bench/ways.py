"""What stands between a client and one PostgreSQL: nothing, PgBouncer, pgjanus."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from proxy.embedded import PostgresServer
from proxy.ports import free_ports
from tests.conftest import port_accepts

_STARTS_SECONDS: Final = 30
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CONNECTIONS: Final = 4096
#: PgBouncer refuses to run as root; this user is everywhere.
_UNPRIVILEGED: Final = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


@dataclass(frozen=True)
class Way:
    """`pid` is that of the process between client and server; None if there is none."""

    name: str
    port: int
    pid: int | None

    def cpu_s(self) -> float:
        """Processor time of the process and of its children, in seconds; of user and system."""
        return sum(map(_ticks, self._pids())) / _TICKS

    def rss_kib(self) -> int:
        pages = sum(int(_read(pid, "statm").split()[1]) for pid in self._pids())
        return pages * resource.getpagesize() // 1024

    def _pids(self) -> list[int]:
        if self.pid is None:
            return []
        return [self.pid, *map(int, _read(self.pid, f"task/{self.pid}/children").split())]


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _ticks(pid: int) -> int:
    fields = _read(pid, "stat").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def proxy_before(server: PostgresServer, database: str) -> Iterator[tuple[int, int]]:
    """A proxy of its own in front of one database: the ports for the old and for the new shape."""
    with _proxy(server, database) as (_, old, new):
        yield old, new


@contextmanager
def _proxy(server: PostgresServer, database: str, *arguments: str) -> Iterator[tuple[int, int, int]]:
    old, new, admin = free_ports(3)
    address = f"postgresql://127.0.0.1:{server.port}"
    command = [
        *(sys.executable, "-m", "proxy", "serve", "--server", address, "--database-url", server.url(database)),
        *("--listen", f"127.0.0.1:{old}", "--listen-new", f"127.0.0.1:{new}", "--admin", f"127.0.0.1:{admin}"),
        *arguments,
    ]
    with _running("the proxy", command, old, new) as pid:
        yield pid, old, new


@contextmanager
def _running(name: str, command: list[str], *ports: int) -> Iterator[int]:
    """Its process number, once it listens. What it logs is shown if it does not come to that."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _STARTS_SECONDS
            while not all(map(port_accepts, ports)):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{name} did not start:\n{log.read().decode()}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


@contextmanager
def ways(server: PostgresServer, database: str) -> Iterator[tuple[Way, ...]]:
    """All of them, running; without PgBouncer where it is not installed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        found = [Way("direct", server.port, None)]
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        program = pgbouncer()
        if program is None:
            click.echo("no PgBouncer to compare with: apt-get install pgbouncer", err=True)
        else:
            (port,) = free_ports(1)
            settings = directory / "pgbouncer.ini"
            settings.write_text(
                f"[databases]\n{database} = host=127.0.0.1 port={server.port} user=postgres\n"
                f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = session\n"
                f"unix_socket_dir =\nmax_client_conn = {_CONNECTIONS}\ndefault_pool_size = {_CONNECTIONS}\n"
            )
            user = _UNPRIVILEGED if os.geteuid() == 0 else ()
            pid = stack.enter_context(_running("PgBouncer", [*user, program, "-q", str(settings)], port))
            found.append(Way("pgbouncer", port, pid))
        config = directory / "pgjanus.yaml"
        config.write_text(f"limits: {{max_connections: {_CONNECTIONS}}}\n")
        pid, old, _ = stack.enter_context(_proxy(server, database, "--config", str(config)))
        found.append(Way("pgjanus", old, pid))
        yield tuple(found)


def pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
