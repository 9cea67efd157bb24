"""Real servers for every test: `server`, `database`, `start_proxy`.

One PostgreSQL per version and test process, started when the first test asks for it; one fresh database per test.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import psycopg
import pytest

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer, SystemPostgres
from proxy.ports import free_ports

Server = PostgresServer

#: For `@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)`.
ALL_SERVERS = ["18", "16", *(f"system-{version}" for version in SystemPostgres.versions()[-1:])]

_SETTINGS = {**NOT_DURABLE, "max_connections": "300", "shared_buffers": "64MB", "max_prepared_transactions": "10"}
_PROXY_START_SECONDS = 60
_PROXY_STOP_SECONDS = 20


@pytest.fixture(scope="session")
def _servers() -> Iterator[Callable[[str], Server]]:
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> Server:
            if name not in running:
                kind, _, version = name.rpartition("-")
                new: Server = (SystemPostgres if kind else EmbeddedPostgres)(int(version), settings=_SETTINGS)
                running[name] = stack.enter_context(new)
            return running[name]

        yield get


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, _servers: Callable[[str], Server]) -> Server:
    """A running PostgreSQL: the embedded 18, or what an indirect parameter says."""
    return _servers(getattr(request, "param", "18"))


_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A fresh empty database. `connect` gives psycopg connections in autocommit, closed at the end of the test."""

    name: str
    server: Server
    _stack: ExitStack = field(repr=False)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def connect(self, url: str | None = None, **options: Any) -> psycopg.Connection[Any]:
        """Directly, or to where `url` says."""
        return self._stack.enter_context(psycopg.connect(url or self.url, **{"autocommit": True, **options}))


@contextmanager
def fresh_database(server: Server) -> Iterator[Database]:
    """Made, and dropped at the end: for a fixture of several tests. One test takes `database`."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        # Copying files is quicker than logging each page; PostgreSQL 14 knows no other way.
        admin.execute(f"CREATE DATABASE {name} {'STRATEGY file_copy' if server.version >= 15 else ''}")
        try:
            with ExitStack() as stack:
                yield Database(name, server, stack)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    with fresh_database(server) as database:
        yield database


@dataclass
class RunningProxy:
    """`pgjanus serve` as a process of its own, in front of one database.

    `log` is the file that holds what it wrote to stdout and stderr.
    """

    process: subprocess.Popen[bytes]
    database: Database
    old_port: int
    new_port: int
    admin_port: int
    log_file: IO[bytes]

    def url(self, shape: str = "old") -> str:
        port = {"old": self.old_port, "new": self.new_port}[shape]
        return f"postgresql://postgres@127.0.0.1:{port}/{self.database.name}"

    @property
    def log(self) -> str:
        self.log_file.seek(0)
        return self.log_file.read().decode(errors="replace")

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code; a proxy that does not go is killed, and the test fails."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(_PROXY_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the proxy did not stop within {_PROXY_STOP_SECONDS} s; it said:\n{self.log}")


StartProxy = Callable[..., RunningProxy]


@pytest.fixture
def start_proxy() -> Iterator[StartProxy]:
    """`start_proxy(database, *more_arguments_of_serve)` returns when it serves.

    `beside`: another proxy, whose addresses this one has as well.
    """
    with running_proxies() as start:
        yield start


@contextmanager
def running_proxies() -> Iterator[StartProxy]:
    """The function that starts them; whatever still runs is ended."""
    proxies: list[RunningProxy] = []

    def start(database: Database, *arguments: str, beside: RunningProxy | None = None) -> RunningProxy:
        old, new, admin = free_ports(3)
        if beside is not None:
            old, new = beside.old_port, beside.new_port
        log_file = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "proxy", "serve", "--server", f"postgresql://127.0.0.1:{database.server.port}"),
                *("--database-url", database.url),
                *("--listen", f"127.0.0.1:{old}", "--listen-new", f"127.0.0.1:{new}"),
                *("--admin", f"127.0.0.1:{admin}", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
        )
        proxy = RunningProxy(process, database, old, new, admin, log_file)
        proxies.append(proxy)
        for port in (old, new):
            wait_for_port(port, proxy)
        while beside is not None and "serving" not in proxy.log:
            assert process.poll() is None, proxy.log
        return proxy

    try:
        yield start
    finally:
        for proxy in proxies:
            if proxy.process.poll() is None:
                proxy.stop()
            proxy.log_file.close()


def port_accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for_port(port: int, proxy: RunningProxy) -> None:
    deadline = time.monotonic() + _PROXY_START_SECONDS
    while not port_accepts(port):
        if proxy.process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the proxy does not listen on port {port}; it said:\n{proxy.log}")
        time.sleep(0.02)
