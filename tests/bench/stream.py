"""Cases of much data on one connection, and of many connections with none. The client is a bare socket, so that what is
measured is not the client."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.bench.figures import Figure
from tests.bench.ways import Way

MEGABYTES: Final = 200
_ROWS: Final = MEGABYTES * 1000
_SETTLES_SECONDS: Final = 1.0
_READY: Final = b"Z\0\0\0\5I"
_LINE: Final = b"x" * 999 + b"\n"
PREPARE: Final = "CREATE UNLOGGED TABLE copied (line text)"


class _Client:
    """A login without a password, and simple queries."""

    def __init__(self, way: Way, database: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", way.port), 30)
        self._socket.settimeout(120)
        self._buffer = bytearray(1 << 18)
        options = b"user\0postgres\0database\0" + database.encode() + b"\0\0"
        self._socket.sendall(struct.pack("!II", len(options) + 8, 3 << 16) + options)
        self.until(_READY)

    def close(self) -> None:
        self._socket.close()

    def query(self, sql: str) -> None:
        text = sql.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)

    def until(self, end: bytes) -> int:
        """Read up to this, with which a piece ends; how many bytes there were."""
        count, tail = 0, b""
        while not tail.endswith(end):
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise SystemExit(f"the connection was closed: {tail!r}")
            count += size
            tail = (tail + self._buffer[max(0, size - 256) : size])[-256:]
            if b"\0ERROR\0" in tail:
                raise SystemExit(f"an error: {tail!r}")
        return count

    def copy_in(self) -> None:
        data = _LINE * 64
        message = b"d" + struct.pack("!I", len(data) + 4) + data
        for _ in range(_ROWS // 64):
            self._socket.sendall(message)
        self._socket.sendall(b"c\0\0\0\4")


def _select(client: _Client) -> None:
    client.query(f"SELECT repeat('x', 1000) FROM generate_series(1, {_ROWS})")
    client.until(_READY)


def _copy_out(client: _Client) -> None:
    client.query(f"COPY (SELECT repeat('x', 999) FROM generate_series(1, {_ROWS})) TO STDOUT")
    client.until(_READY)


def _copy_in(client: _Client) -> None:
    client.query("TRUNCATE copied")
    client.until(_READY)
    client.query("COPY copied FROM STDIN")
    client.until(b"G\0\0\0\x09\0\0\1\0\0")
    client.copy_in()
    client.until(_READY)


CASES: Final[dict[str, Callable[[_Client], None]]] = {
    f"result of {MEGABYTES} MB": _select,
    f"COPY out, {MEGABYTES} MB": _copy_out,
    f"COPY in, {MEGABYTES} MB": _copy_in,
}


def run(case: str, way: Way, database: str) -> Figure:
    """Once; the rate in megabytes a second."""
    with _clients(way, database, 1) as (client,):
        cpu_s, begun = way.cpu_s(), time.perf_counter()
        CASES[case](client)
        rate = MEGABYTES / (time.perf_counter() - begun)
    return Figure("stream", case, way.name, "MB/s", rate, (way.cpu_s() - cpu_s) / MEGABYTES * 1e6)


def idle(way: Way, database: str, connections: int) -> Figure:
    """Memory per idle connection (`rss_kib`), and how many logins a second one client makes, one after the other."""
    before, cpu_s, begun = way.rss_kib(), way.cpu_s(), time.perf_counter()
    with _clients(way, database, connections):
        rate = connections / (time.perf_counter() - begun)
        cpu_us = (way.cpu_s() - cpu_s) / connections * 1e6
        time.sleep(_SETTLES_SECONDS)
        held = way.rss_kib() - before
    return Figure(
        *("idle", f"{connections} idle connections", way.name, "logins/s", rate, cpu_us), rss_kib=held / connections
    )


@contextmanager
def _clients(way: Way, database: str, count: int) -> Iterator[list[_Client]]:
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            clients.append(_Client(way, database))
            stack.callback(clients[-1].close)
        yield clients
