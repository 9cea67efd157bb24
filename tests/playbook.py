"""Actors for tests of the data path: a proxy in this process, control sides to order, and raw ends of a connection.

Nothing here stands in for PostgreSQL: every script is played against a real server.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import uvloop

import proxy.relay.gateway
from proxy.config import Address, ProxyFile, ServerTls
from proxy.conversation.actions import Action, Tally, ToClient, ToServer
from proxy.conversation.conversation import Conversation
from proxy.conversation.pins import Pins, ServerProcess
from proxy.planning.plans import PlanCache, RawPlanner
from proxy.planning.process import PlanningProcess
from proxy.relay.dialer import Dialer
from proxy.relay.encryption import client_context
from proxy.relay.gateway import Gateway
from proxy.relay.idle import end_idle_sessions
from proxy.relay.listener import listen
from proxy.wire.messages import ErrorFields, message
from rules.catalog import Catalog, Relation, TableName
from rules.migration import Client, ManagedTable, Migration
from rules.phases import Shape, Strategy, phase_named
from rules.plan import FieldPatch, Plan, PositionMap, ResultPatch, Rewrite, Untouched
from rules.snapshot import Snapshot

T = TypeVar("T")


def managing(*names: str, epoch: int = 1) -> Snapshot:
    """A snapshot in which these tables of schema public are managed; what that means is the planner's matter."""
    phase = phase_named(Strategy.DUAL_WRITE, "writing_both")
    tables = {}
    for name in names:
        table = TableName("public", name)
        migration = Migration(f"change_{name}", table, Strategy.DUAL_WRITE, ())
        tables[table] = ManagedTable(migration, phase, Relation(0, table, "r", ()))
    return Snapshot(epoch, Catalog(180000, {}), tables)


NOTHING = Snapshot(0, Catalog(180000, {}))


@dataclass
class OrderedPins:
    """A control side that does what the test says, and keeps count."""

    snapshot: Snapshot = NOTHING
    serving: bool = True
    holding: bool = False
    beside: bool = False
    pinned: list[Snapshot] = field(default_factory=list)
    catalog_changes: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def try_pin(self) -> Snapshot | None:
        if self.holding:
            return None
        self.pinned.append(self.snapshot)
        return self.snapshot

    def pin_beside(self) -> Snapshot | None:
        if not self.beside:
            return None
        self.pinned.append(self.snapshot)
        return self.snapshot

    def when_released(self, wake: Callable[[], None], process: ServerProcess | None = None) -> None:
        self.waiting.append(wake)

    def release(self) -> None:
        self.holding = False
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            wake()

    def unpin(self, snapshot: Snapshot) -> None:
        self.pinned.remove(snapshot)

    def may_serve_managed(self, snapshot: Snapshot | None = None) -> bool:
        return self.serving

    def enrol(self, pid: int) -> ServerProcess:
        return ServerProcess(pid, known=True)

    def may_begin(self, process: ServerProcess | None) -> bool:
        return True

    def leave(self, process: ServerProcess, then: Callable[[], None], *, ended: bool) -> None:
        then()

    def catalog_changed(self) -> int:
        self.catalog_changes += 1
        return self.catalog_changes

    def has_read(self, change: int) -> bool:
        return True


@dataclass
class Scripted:
    """A planner that knows a few texts by heart, by epoch; all others are untouched."""

    plans: dict[tuple[int, str], Plan] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    def __call__(self, sql: str, snapshot: Snapshot, client: Client) -> Plan:
        self.clients.append(client)
        return self.plans.get((snapshot.epoch, sql), Untouched())


def swap(sql: str, old: str, new: str, *results: ResultPatch | None) -> Rewrite:
    """A rewrite with one edit: `new` in place of the only `old`; positions inside it mean the start of `old`."""
    assert sql.count(old) == 1
    at = sql.index(old)
    runs = ((0, 0, True), (at, at, False), (at + len(new), at + len(old), True))
    return Rewrite(sql.replace(old, new), PositionMap(runs), results or (None,))


def described(name: str, type_oid: int = 25, table_oid: int = 4711, attnum: int = 3, typmod: int = -1) -> FieldPatch:
    return FieldPatch(name, table_oid, attnum, type_oid, typmod)


class SlicedConversation(Conversation):
    """Gets everything byte by byte, from both sides."""

    def passes_client(self, data: bytes) -> bool:
        return False

    def receive_client(self, data: bytes) -> list[Action]:
        return _joined([super(SlicedConversation, self).receive_client(data[i : i + 1]) for i in range(len(data))])

    def receive_server(self, data: bytes) -> list[Action]:
        return _joined([super(SlicedConversation, self).receive_server(data[i : i + 1]) for i in range(len(data))])


def _joined(steps: list[list[Action]]) -> list[Action]:
    return [action for step in steps for action in step]


def sent(actions: list[Action]) -> tuple[bytes, bytes]:
    """(for the server, for the client)."""
    return (
        b"".join(action.data for action in actions if isinstance(action, ToServer)),
        b"".join(action.data for action in actions if isinstance(action, ToClient)),
    )


class LocalProxy:
    """A proxy on a thread of its own, in front of one database, with a control side and a planner to order."""

    def __init__(
        self,
        server_port: int,
        pins: Pins,
        planner: RawPlanner,
        file: ProxyFile,
        database: str | None,
        away_from: int = sys.maxsize,
        server_tls: ServerTls | None = None,
    ) -> None:
        self._away_from = away_from
        self._server_tls = server_tls
        self.tally = Tally()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self.run(self._start(server_port, pins, planner, file, database))

    async def _start(
        self, server_port: int, pins: Pins, planner: RawPlanner, file: ProxyFile, database: str | None
    ) -> int:
        dialer = Dialer(Address("127.0.0.1", server_port), 5, self._server_tls)
        plans = PlanCache(planner, file.limits.plan_cache_bytes, away_from=self._away_from)
        self.planning = PlanningProcess(plans)
        self.gateway = Gateway(
            dialer, pins, plans, self.tally, file, database, self.planning.answer, client_context(file.client_tls)
        )
        self.idle = asyncio.create_task(end_idle_sessions(self.gateway))
        [self.server] = await listen(self.gateway, Address("127.0.0.1", 0), Shape.OLD, "--listen")
        return int(self.server.sockets[0].getsockname()[1])

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 10) -> T:
        """On the proxy's thread, and wait for the result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def call(self, function: Callable[[], None]) -> None:
        """On the proxy's thread, and wait for it."""

        async def once() -> None:
            function()

        self.run(once())

    def sessions(self) -> int:
        return len(self.gateway.sessions)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Until a condition on the proxy's own state holds; looks each time its loop has turned."""

        deadline = time.monotonic() + timeout_s
        while not self.run(_value(condition)):
            assert time.monotonic() < deadline, "it never came true"

    def wait_until_empty(self, timeout_s: float = 10) -> None:
        async def until() -> None:
            if self.gateway.sessions:
                await self.gateway.empty.wait()

        self.run(until(), timeout_s)

    def close(self) -> None:
        async def end() -> None:
            self.server.close()
            self.idle.cancel()
            for session in tuple(self.gateway.sessions):
                session.abort()
            if self.gateway.sessions:
                await self.gateway.empty.wait()

        self.run(end())
        self.planning.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@contextmanager
def local_proxy(
    server_port: int,
    *,
    pins: Pins | None = None,
    planner: RawPlanner | None = None,
    file: ProxyFile | None = None,
    database: str | None = None,
    sliced: bool = False,
    away_from: int = sys.maxsize,
) -> Iterator[LocalProxy]:
    """`away_from`: texts of that many characters are planned by `rules.planner`, in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if sliced:
            patch.setattr(proxy.relay.gateway, "Conversation", SlicedConversation)
        running = LocalProxy(
            server_port, pins or OrderedPins(), planner or Scripted(), file or ProxyFile(), database, away_from
        )
        try:
            yield running
        finally:
            running.close()


async def _value(condition: Callable[[], bool]) -> bool:
    return condition()


class RecordingRelay:
    """Passes bytes between a listener and a server, and keeps what went towards the server, by connection."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.towards_server: list[bytearray] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            record = bytearray()
            self.towards_server.append(record)
            self._threads.append(threading.Thread(target=self._relay, args=(client, record), daemon=True))
            self._threads[-1].start()

    def _relay(self, client: socket.socket, record: bytearray) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            back = threading.Thread(target=self._pass, args=(server, client, bytearray()), daemon=True)
            back.start()
            self._pass(client, server, record)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, record: bytearray) -> None:
        try:
            while data := source.recv(65536):
                record += data
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """After all connections have ended."""
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts, which closing alone does not
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self) -> RecordingRelay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RawClient:
    """The client's end, message by message."""

    def __init__(
        self, port: int, database: str, parameters: Mapping[str, str] | None = None, version: int = 196608
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._buffer = b""
        pairs = {"user": "postgres", "database": database, **(parameters or {})}
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"
        self.socket.sendall(struct.pack(">ii", len(body) + 8, version) + body)
        self.greeting = self.until(b"Z")

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def receive(self) -> tuple[bytes, bytes]:
        """The next message: its type, its body. Type b"" when the server has closed."""
        while len(self._buffer) < 5 or len(self._buffer) < 1 + struct.unpack_from(">i", self._buffer, 1)[0]:
            data = self.socket.recv(65536)
            if not data:
                return b"", self._buffer
            self._buffer += data
        end = 1 + struct.unpack_from(">i", self._buffer, 1)[0]
        kind, body, self._buffer = self._buffer[:1], self._buffer[5:end], self._buffer[end:]
        return kind, body

    def until(self, kind: bytes, times: int = 1) -> list[tuple[bytes, bytes]]:
        """Messages up to and with the next one (or the `times`th) of that type, or the end of the connection."""
        found: list[tuple[bytes, bytes]] = []
        while times:
            found.append(self.receive())
            if found[-1][0] == b"":
                break
            times -= found[-1][0] == kind
        return found

    def query(self, text: str) -> list[tuple[bytes, bytes]]:
        self.send(message(b"Q", text.encode() + b"\0"))
        return self.until(b"Z")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kinds(messages: list[tuple[bytes, bytes]]) -> str:
    return b"".join(kind or b"." for kind, _ in messages).decode()


def error_of(messages: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The only ErrorResponse among them, by field code."""
    [body] = [body for kind, body in messages if kind == b"E"]
    return {chr(code): value.decode() for code, value in ErrorFields.read(body).fields}


def parse(name: str, text: str, *types: int) -> bytes:
    body = f"{name}\0{text}\0".encode() + struct.pack(f">h{len(types)}I", len(types), *types)
    return message(b"P", body)


def bind(portal: str, statement: str, *values: str | None) -> bytes:
    body = f"{portal}\0{statement}\0".encode() + struct.pack(">hh", 0, len(values))
    for value in values:
        body += struct.pack(">i", -1) if value is None else struct.pack(">i", len(value.encode())) + value.encode()
    return message(b"B", body + struct.pack(">h", 0))


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", f"{kind}{name}\0".encode())


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", f"{portal}\0".encode() + struct.pack(">i", rows))


def close(kind: str, name: str) -> bytes:
    return message(b"C", f"{kind}{name}\0".encode())


SYNC = message(b"S", b"")
FLUSH = message(b"H", b"")


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
