"""`make bystanders`: faults of every kind beside 500 clients that work, none of which may notice.

Each of the 500 counts in rows of its own, in a plain table and in one that is being migrated, and compares every answer
with what it knows. While a fault lasts each of them has to go on, and the proxy's memory has to stay under what
docs/limits.md promises. PostgreSQL itself ends all its sessions when one of its processes is killed with -9, so that is
the last thing to happen: all clients are told in PostgreSQL's words, and the proxy serves them again.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import resource
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import click
import psycopg

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.conftest import Database, RunningProxy, StartProxy, running_proxies
from tests.playbook import RawClient, kinds, query
from tests.system.expanded import SPLIT, expand

#: What a bystander does in each fault before it counts as not having noticed.
_ROUNDS: Final = 3
_PATIENCE_SECONDS: Final = 120.0
_THINKS_SECONDS: Final = 0.1
#: docs/limits.md, of one client that takes nothing: in each direction what the other side has not taken, and one read.
CLIENT_KIB: Final = 2 * (256 + 256)
#: What Python and the C library take for anything at all, once.
SLACK_KIB: Final = 16 << 10
_SO_ATTACH_FILTER: Final = 26
#: What a client was told is committed survives PostgreSQL, though not the machine.
_SETTINGS: Final = {**NOT_DURABLE, "synchronous_commit": "on"}
#: What asyncpg makes of a connection that is closed, while it waits for an answer or thinks.
_LOST: Final = (asyncpg.PostgresConnectionError, asyncpg.CrashShutdownError, asyncpg.InterfaceError, OSError)
_SCHEMA: Final = """
CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
CREATE TABLE users (id int PRIMARY KEY, full_name text, note text);
INSERT INTO plain SELECT generate_series(1, 1000);
INSERT INTO users SELECT id, 'Client ' || id FROM plain;
"""


@dataclass
class Bystander:
    number: int
    url: str
    rounds: int = 0

    async def work(self) -> None:
        """For ever; an answer that is not what it should be ends it, and any error."""
        client = await asyncpg.connect(self.url, timeout=_PATIENCE_SECONDS, command_timeout=_PATIENCE_SECONDS)
        try:
            while True:
                sql = "UPDATE plain SET n = n + 1 WHERE id = $1 RETURNING n"
                counted = await client.fetchval(sql, self.number)
                assert counted == self.rounds + 1, f"client {self.number} counts {counted} in round {self.rounds}"
                name = f"Client{self.number} Round{self.rounds}"
                async with client.transaction():
                    await client.execute("UPDATE users SET full_name = $1 WHERE id = $2", name, self.number)
                    read = await client.fetchval("SELECT full_name FROM users WHERE id = $1", self.number)
                assert read == name, f"client {self.number} wrote {name} and reads {read}"
                self.rounds += 1
                await asyncio.sleep(_THINKS_SECONDS)
        finally:
            client.terminate()


@dataclass
class Crowd:
    """All bystanders; the first one that fails fails them all."""

    clients: list[Bystander]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self) -> None:
        self.tasks = [asyncio.create_task(client.work()) for client in self.clients]

    async def goes_on(self) -> None:
        """Wait until each of them has done some more rounds."""
        until = [client.rounds + _ROUNDS for client in self.clients]
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while any(client.rounds < rounds for client, rounds in zip(self.clients, until, strict=True)):
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(_THINKS_SECONDS)

    async def end(self) -> list[BaseException]:
        """What each of them died of before."""
        for task in self.tasks:
            task.cancel()
        ends = await asyncio.gather(*self.tasks, return_exceptions=True)
        return [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)]


@dataclass
class Scene:
    """`proxy` is everybody's; `start` makes one that may die. `large` is the size of a large result, in MiB."""

    database: Database
    proxy: RunningProxy
    start: StartProxy
    large: int

    @property
    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.proxy.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def dial(self) -> RawClient:
        return RawClient(self.proxy.old_port, self.database.name)

    @property
    def rows(self) -> bytes:
        return query(f"SELECT repeat('x', 1048576) FROM generate_series(1, {self.large})")


Fault = Callable[[Scene], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def a_backend_is_ended(scene: Scene) -> AsyncIterator[int]:
    """In the middle of a statement."""
    with scene.dial() as client:
        [pid] = [struct.unpack_from(">i", body)[0] for kind, body in client.greeting if kind == b"K"]
        client.send(query("DO $$BEGIN RAISE NOTICE 'here'; PERFORM pg_sleep(600); END$$"))
        assert client.receive()[0] == b"N"
        scene.database.connect().execute("SELECT pg_terminate_backend(%s)", [pid])
        assert kinds(await asyncio.to_thread(client.until, b"")) == "E."
        yield 1


@asynccontextmanager
async def another_proxy_is_killed(scene: Scene) -> AsyncIterator[int]:
    """One of the same database, with a client in a transaction on the table that is being migrated."""
    other = await asyncio.to_thread(scene.start, scene.database)
    with RawClient(other.old_port, scene.database.name) as client:
        client.query("BEGIN")
        client.query("UPDATE users SET full_name = 'nobody' WHERE id = 999")
        other.process.kill()
        other.process.wait()
        assert kinds(await asyncio.to_thread(client.until, b"")) == "."
        yield 0


@asynccontextmanager
async def lines_are_cut(scene: Scene) -> AsyncIterator[int]:
    """In the middle of a statement, of a query, of a result."""
    for piece in (query("SELECT pg_sleep(1)"), query("SELECT 1")[:9], scene.rows):
        with scene.dial() as client:
            client.send(piece)
            if piece is scene.rows:
                client.receive()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    yield 3


@asynccontextmanager
async def lines_are_half_open(scene: Scene) -> AsyncIterator[int]:
    """The client's machine is gone without a word: nothing that is sent there is acknowledged."""
    with scene.dial() as client, scene.dial() as idle:
        client.send(scene.rows)
        client.receive()
        drop = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF: of every packet keep nothing
        program = struct.pack("@HP", 1, ctypes.addressof(drop))
        for one in (client, idle):
            one.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        yield 2
        for one in (client, idle):
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def clients_stop_reading(scene: Scene) -> AsyncIterator[int]:
    """In the middle of a large result; one of them reads it to its end later."""
    with scene.dial() as first, scene.dial() as second, scene.dial() as third:
        for client in (first, second, third):
            client.send(scene.rows)
            client.receive()
        yield 3
        found = await asyncio.to_thread(_bytes_until_ready, first.socket)
        assert found >= (scene.large - 1) << 20


def _bytes_until_ready(line: socket.socket) -> int:
    total, end = 0, b""
    while not end.endswith(b"Z\0\0\0\5I"):
        data = line.recv(1 << 20)
        assert data, "the result is cut off"
        total, end = total + len(data), (end + data)[-6:]
    return total


@asynccontextmanager
async def clients_send_a_byte_a_second(scene: Scene) -> AsyncIterator[int]:
    """One that logs in, and one that asks for something on the migrated table."""
    asked = query("SELECT full_name FROM users WHERE id = 1000")
    with scene.dial() as asking, socket.create_connection(("127.0.0.1", scene.proxy.old_port)) as logging_in:

        async def trickle() -> None:
            hello = iter(struct.pack(">ii", 60, 196608) + b"user\0postgres\0")
            for byte in asked[:-1]:
                asking.socket.sendall(bytes([byte]))
                with suppress(StopIteration):
                    logging_in.sendall(bytes([next(hello)]))
                await asyncio.sleep(1)

        slowly = asyncio.create_task(trickle())
        yield 2
        slowly.cancel()
        with suppress(asyncio.CancelledError):
            await slowly


FAULTS: Final[Mapping[str, Fault]] = {
    made.__name__: made
    for made in (
        a_backend_is_ended,
        another_proxy_is_killed,
        lines_are_cut,
        lines_are_half_open,
        clients_stop_reading,
        clients_send_a_byte_a_second,
    )
}


async def nobody_notices(scene: Scene, count: int, say: Callable[[str], None] = lambda _: None) -> None:
    """
    Raises:
        AssertionError, or what a driver raises: somebody did notice.
    """
    crowd = Crowd([Bystander(number, scene.proxy.url()) for number in range(1, count + 1)])
    before = scene.rss_kib
    crowd.begin()
    try:
        await crowd.goes_on()
        quiet = scene.rss_kib
        say(f"{count} clients: {quiet >> 10} MiB, {before >> 10} MiB without them")
        bound = quiet + SLACK_KIB
        for name, fault in FAULTS.items():
            async with fault(scene) as clients:
                await crowd.goes_on()
                during = scene.rss_kib
                assert during <= bound + clients * CLIENT_KIB, f"{name}: {during} KiB, {quiet} KiB before"
            await crowd.goes_on()
            after = scene.rss_kib
            assert after <= bound, f"after {name}: {after} KiB, {quiet} KiB before"
            say(f"{name}: nobody noticed; {during >> 10} MiB, {after >> 10} MiB afterwards")
    finally:
        died = await crowd.end()
    assert not died, died


async def everybody_is_told_of_a_crash(scene: Scene, count: int) -> None:
    """kill -9 of a backend: PostgreSQL ends them all, and comes back; the proxy says so and goes on."""
    crowd = Crowd([Bystander(number, scene.proxy.url()) for number in range(1001, 1001 + count)])
    with psycopg.connect(scene.database.url, autocommit=True) as admin, scene.dial() as idle:
        admin.execute("INSERT INTO plain SELECT generate_series(1001, 2000)")
        admin.execute("INSERT INTO users SELECT generate_series(1001, 2000), 'x'")
        crowd.begin()
        await crowd.goes_on()
        os.kill(admin.info.backend_pid, signal.SIGKILL)
        goodbye = await asyncio.to_thread(idle.until, b"")
    assert kinds(goodbye) == "N." and b"C57P02\0" in goodbye[0][1], "PostgreSQL's own last word"
    done, _ = await asyncio.wait(crowd.tasks, timeout=_PATIENCE_SECONDS)
    errors = [task.exception() for task in done]
    assert len(errors) == count and all(isinstance(error, _LOST) for error in errors), errors
    rounds = {client.number: client.rounds for client in crowd.clients}
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            if rows := await _counted(scene.proxy.url()):
                break
            await asyncio.sleep(_THINKS_SECONDS)
    # Whatever was acknowledged is there, and at most the one round more that nobody was told of.
    for number, counted in rows:
        assert number not in rounds or rounds[number] <= counted <= rounds[number] + 1


async def _counted(url: str) -> list[Any]:
    """Nothing while the server recovers, or the proxy has not heard of it again."""
    try:
        client = await asyncpg.connect(url, timeout=_PATIENCE_SECONDS)
    except (OSError, asyncpg.PostgresError):
        return []
    try:
        await client.fetchval("SELECT full_name FROM users WHERE id = 1")
        return list(await client.fetch("SELECT id, n FROM plain WHERE id > 1000"))
    except asyncpg.CannotConnectNowError:
        return []
    finally:
        client.terminate()


def run(count: int, large: int, say: Callable[[str], None] = lambda _: None) -> None:
    """On a server and proxies of its own."""
    with (
        EmbeddedPostgres(18, settings={**_SETTINGS, "max_connections": str(count + 60)}) as server,
        ExitStack() as stack,
        running_proxies() as start,
    ):
        database = Database("postgres", server, stack)
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute(_SCHEMA)
        expand(database, SPLIT)
        scene = Scene(database, start(database), start, large)
        asyncio.run(nobody_notices(scene, count, say))
        asyncio.run(everybody_is_told_of_a_crash(scene, count))
        say("kill -9 of a backend: everybody was told, and is served again")
        assert scene.proxy.stop() == 0
        for line in scene.proxy.log.splitlines():
            assert "session_failed" not in line, line


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.bystanders", description=__doc__)
    arguments.add_argument("--clients", type=int, default=500)
    arguments.add_argument("--large", type=int, default=1024, help="MiB of a large result")
    given = arguments.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run(given.clients, given.large, click.echo)


if __name__ == "__main__":
    main()
