"""`pgjanus serve` as a process: its memory, its sockets, its beginning and its end."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import asyncpg
import psycopg
import pytest
from click.testing import CliRunner

import proxy.cli.serve
from proxy.ports import free_ports
from tests.conftest import Database, RunningProxy, StartProxy
from tests.playbook import RawClient, error_of, kinds, local_proxy, query

#: The state of a socket in /proc/net/tcp that waits for connections.
LISTEN = "0A"


@pytest.fixture
def serving(database: Database, start_proxy: StartProxy) -> RunningProxy:
    return start_proxy(database)


def metric(serving: RunningProxy, name: str) -> float:
    """The sum over all labels."""
    with urlopen(f"http://127.0.0.1:{serving.admin_port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def client_sockets(serving: RunningProxy) -> int:
    """How many sockets of clients the proxy holds, in whatever state; its own connections come and go besides."""
    held = set()
    for handle in Path(f"/proc/{serving.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the directory was read
            held.add(str(handle.readlink()))
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    clients = [
        f"socket:[{inode}]"
        for _, local, _, state, *_, inode in (line[:10] for line in lines)
        if state != LISTEN and int(local.partition(":")[2], 16) == serving.old_port
    ]
    return len(held.intersection(clients))


def rss_kb(serving: RunningProxy) -> int:
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_a_slow_reader_costs_no_memory(serving: RunningProxy) -> None:
    """200 MB wait at the server, not in the proxy, until the client reads them."""
    with psycopg.connect(serving.url()) as c:
        c.execute("SELECT 1")
        before = rss_kb(serving)
        c.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 200)")
        c.pgconn.flush()
        with psycopg.connect(serving.url()) as other:  # the proxy has surely read all it wants when others were served
            for _ in range(50):
                other.execute("SELECT pg_sleep(0.01)")
        during = rss_kb(serving)
        assert c.pgconn.get_result() is not None
        assert c.pgconn.get_result() is None
        after = rss_kb(serving)
    assert during - before < 16_000
    assert after - before < 24_000


def test_large_statements_and_values_stream_through(serving: RunningProxy) -> None:
    with psycopg.connect(serving.url()) as c:
        before = rss_kb(serving)
        row = c.execute("SELECT length(%s::text)", ("z" * 150_000_000,)).fetchone()
        assert row == (150_000_000,)
    assert rss_kb(serving) - before < 64_000


def test_both_directions_move_at_once(serving: RunningProxy) -> None:
    """More requests than all buffers hold, with replies as large, from a client that reads while it writes."""

    async def run() -> int:
        c = await asyncpg.connect(serving.url())
        text = "v" * 100_000
        total = 0
        for _ in range(100):
            total += len(await c.fetchval("SELECT $1::text", text))
        await c.close()
        return total

    assert asyncio.run(run()) == 10_000_000
    with psycopg.connect(serving.url()) as c, c.pipeline():
        cursors = [c.execute("SELECT %s::text", ("w" * 10_000,)) for _ in range(2_000)]
        c.execute("SELECT 1")
        assert all(len(cursor.fetchone()[0]) == 10_000 for cursor in cursors)  # type: ignore[index]


# ---------------------------------------------------------------------------- beginning and end


def rude(port: int, database: str, number: int) -> None:
    """Connect and leave without a word, at one of five moments, with or without a reset."""
    hello = b"user\0postgres\0database\0" + database.encode() + b"\0\0"
    packet = struct.pack(">ii", len(hello) + 8, 196608) + hello
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        match number % 5:
            case 0:  # says nothing
                pass
            case 1:  # in the middle of the first packet
                client.sendall(packet[:9])
            case 2:  # does not wait for the greeting
                client.sendall(packet)
            case 3 | 4:  # in the middle of a query, or of its result
                client.sendall(packet)
                seen = b""
                while not seen.endswith(b"Z\0\0\0\x05I"):
                    seen += client.recv(65536)
                rows = "SELECT repeat('x', 1000) FROM generate_series(1, 2000)"
                client.sendall(query("SELECT pg_sleep(0.2)" if number % 5 == 3 else rows))
        if number // 5 % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def crowd(port: int, database: str, count: int) -> None:
    """So many connections, ten at a time, every second one rude."""

    def one(offset: int) -> None:
        for i in range(offset, count, 10):
            if i // 10 % 2:
                rude(port, database, i // 20)
            else:
                with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/{database}") as c:
                    c.execute("SELECT 1")

    with ThreadPoolExecutor(10) as pool:
        for result in [pool.submit(one, offset) for offset in range(10)]:
            result.result()


def settle(condition: Callable[[], bool]) -> None:
    """Fails the test if it does not come true within ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"


def test_1000_connects_half_of_them_rude_leave_no_socket_and_no_task(serving: RunningProxy) -> None:
    def around(count: int) -> tuple[float, int]:
        crowd(serving.old_port, serving.database.name, count)
        while metric(serving, "pgjanus_sessions"):
            pass
        return metric(serving, "pgjanus_asyncio_tasks"), rss_kb(serving)

    tasks, memory = around(200)
    after = around(1000)
    assert metric(serving, "pgjanus_sessions_opened_total") >= 1200
    settle(lambda: client_sockets(serving) == 0)
    # The last request for metrics may still be closing its own connection.
    settle(lambda: metric(serving, "pgjanus_asyncio_tasks") <= tasks)
    # The C library keeps some of the buffers that large results passed through; what Python keeps is counted below.
    assert after[1] - memory < 16_000
    left = serving.database.connect().execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgjanus%'"
    )
    assert left.fetchone() == (0,)


def test_500_connects_half_of_them_rude_leave_no_object(database: Database) -> None:
    with local_proxy(database.server.port) as proxy:

        def around(count: int) -> int:
            crowd(proxy.port, database.name, count)
            proxy.wait_until_empty()
            gc.collect()
            return len(gc.get_objects())

        around(100)
        before = around(200)
        assert around(500) - before < 50


def test_sigterm_lets_a_transaction_end_and_nothing_new_begin(serving: RunningProxy) -> None:
    with psycopg.connect(serving.url()) as busy, RawClient(serving.old_port, serving.database.name) as idle:
        busy.execute("CREATE TABLE kept (id int)")
        idle.query("SELECT 1")
        serving.process.send_signal(signal.SIGTERM)
        goodbye = idle.until(b"")
        assert kinds(goodbye) == "E."
        assert error_of(goodbye)["C"] == "57P01"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(serving.url())
        busy.execute("INSERT INTO kept VALUES (1)")
        busy.commit()
    assert serving.process.wait(10) == 0
    assert serving.database.connect().execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_a_second_sigterm_does_not_wait(serving: RunningProxy) -> None:
    with psycopg.connect(serving.url()) as busy:
        busy.execute("SELECT 1")
        serving.process.send_signal(signal.SIGTERM)
        while "stopping" not in serving.log:
            pass
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(5) == 0
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")


def test_health_metrics_and_both_listeners(serving: RunningProxy) -> None:
    for shape in ("old", "new"):
        with psycopg.connect(serving.url(shape)) as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
    for page in ("healthz", "readyz"):
        with urlopen(f"http://127.0.0.1:{serving.admin_port}/{page}", timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"ok\n")
    assert metric(serving, "pgjanus_sessions_opened_total") >= 2
    assert metric(serving, "pgjanus_statements_total") >= 2


# ---------------------------------------------------------------------------- mistakes


def serve(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a `serve` that does not come up."""
    with pytest.MonkeyPatch.context() as patch:
        # This process goes on, and its log shall not go to the stderr of a command that has ended.
        patch.setattr(proxy.cli.serve, "configure_logs", lambda level: None)
        done = CliRunner(env={"PGJANUS_DATABASE_URL": None}).invoke(proxy.cli.serve.command, arguments)
    return done.exit_code, done.stderr


def test_mistakes_are_one_clear_line(database: Database, tmp_path: Path) -> None:
    server = f"postgresql://127.0.0.1:{database.server.port}"
    [free] = free_ports(1)
    settings = tmp_path / "pgjanus.yaml"
    settings.write_text("clients:\n  - {user: a, shape: blue}\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        cases = [
            (("--server", server, "--listen", busy), rf"cannot listen on {busy} \(--listen\): .*in use"),
            (("--server", server, "--listen", f"127.0.0.1:{free}", "--admin", busy), r"\(--admin\): .*in use"),
            (("--server", f"postgresql://127.0.0.1:{free}"), rf"could not connect .* at 127.0.0.1:{free}"),
            (("--server", server, "--database-url", f"postgresql://127.0.0.1:{free}/x"), rf"{free}"),
            (("--server", "mysql://u:secret@h/"), r"--server 'mysql://u@h/' is not a URL"),
            (("--server", server, "--listen", "nowhere"), r"--listen 'nowhere' is not an address"),
            (("--server", server, "--config", str(settings)), r"clients\.0\.shape: Input should be 'old' or 'new'"),
            (("--server", server, "--config", str(tmp_path / "none")), r"none: No such file"),
        ]
        for arguments, expected in cases:
            code, words = serve(*arguments)
            assert (code, len(words.splitlines())) == (1, 1), words
            assert re.search(expected, words), words
            assert "secret" not in words
    assert serve()[0] == 2
    assert serve("--server", server, "--workers", "0")[0] == 2
