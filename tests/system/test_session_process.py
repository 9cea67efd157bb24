"""`pgjanus serve` as a process: its memory, its sockets, its beginning and its end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import asyncpg
import psycopg
import pytest

from tests.conftest import Database, RunningProxy, StartProxy, free_ports
from tests.playbook import RawClient, error_of, kinds


@pytest.fixture
def proxy(database: Database, start_proxy: StartProxy) -> RunningProxy:
    return start_proxy(database)


def metric(proxy: RunningProxy, name: str) -> float:
    """The sum over all labels."""
    with urlopen(f"http://127.0.0.1:{proxy.admin_port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def rss_kb(proxy: RunningProxy) -> int:
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_a_slow_reader_costs_no_memory(proxy: RunningProxy) -> None:
    """200 MB wait at the server, not in the proxy, until the client reads them."""
    with psycopg.connect(proxy.url()) as c:
        c.execute("SELECT 1")
        before = rss_kb(proxy)
        c.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 200)")
        c.pgconn.flush()
        with psycopg.connect(proxy.url()) as other:  # the proxy has surely read all it wants when others were served
            for _ in range(50):
                other.execute("SELECT pg_sleep(0.01)")
        during = rss_kb(proxy)
        assert c.pgconn.get_result() is not None
        assert c.pgconn.get_result() is None
        after = rss_kb(proxy)
    assert during - before < 16_000
    assert after - before < 24_000


def test_large_statements_and_values_stream_through(proxy: RunningProxy) -> None:
    with psycopg.connect(proxy.url()) as c:
        before = rss_kb(proxy)
        row = c.execute("SELECT length(%s::text)", ("z" * 150_000_000,)).fetchone()
        assert row == (150_000_000,)
    assert rss_kb(proxy) - before < 64_000


def test_both_directions_move_at_once(proxy: RunningProxy) -> None:
    """More requests than all buffers hold, with replies as large, from a client that reads while it writes."""

    async def run() -> int:
        c = await asyncpg.connect(proxy.url())
        text = "v" * 100_000
        total = 0
        for _ in range(100):
            total += len(await c.fetchval("SELECT $1::text", text))
        await c.close()
        return total

    assert asyncio.run(run()) == 10_000_000
    with psycopg.connect(proxy.url()) as c, c.pipeline():
        cursors = [c.execute("SELECT %s::text", ("w" * 10_000,)) for _ in range(2_000)]
        c.execute("SELECT 1")
        assert all(len(cursor.fetchone()[0]) == 10_000 for cursor in cursors)  # type: ignore[index]


# ---------------------------------------------------------------------------- beginning and end


def test_1000_connects_half_of_them_rude_leave_nothing_behind(proxy: RunningProxy) -> None:
    pid, name = proxy.process.pid, proxy.database.name
    fd_directory = Path(f"/proc/{pid}/fd")
    hello = b"user\0postgres\0database\0" + name.encode() + b"\0\0"
    packet = struct.pack(">ii", len(hello) + 8, 196608) + hello
    sleep, rows = b"SELECT pg_sleep(0.2)\0", b"SELECT repeat('x', 1000) FROM generate_series(1, 2000)\0"

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", proxy.old_port), timeout=20)

    def reset(s: socket.socket) -> None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def polite(_: int) -> None:
        with psycopg.connect(proxy.url()) as c:
            c.execute("SELECT 1")

    def rude(i: int) -> None:
        s = connect()
        match i % 5:
            case 0:  # says nothing
                pass
            case 1:  # in the middle of the first packet
                s.sendall(packet[:9])
            case 2:  # does not wait for the greeting
                s.sendall(packet)
            case 3 | 4:  # in the middle of a query, or of its result
                s.sendall(packet)
                seen = b""
                while not seen.endswith(b"Z\0\0\0\x05I"):
                    seen += s.recv(65536)
                text = sleep if i % 5 == 3 else rows
                s.sendall(b"Q" + struct.pack(">i", len(text) + 4) + text)
        if i % 2:
            reset(s)
        else:
            s.close()

    def round_(count: int) -> None:
        threads = [threading.Thread(target=crowd, args=(count // 10, offset)) for offset in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while metric(proxy, "pgjanus_sessions"):
            pass

    def crowd(count: int, offset: int) -> None:
        for i in range(offset, offset + count):
            (rude if i % 2 else polite)(i)

    round_(200)
    fds, tasks, memory = len(list(fd_directory.iterdir())), metric(proxy, "pgjanus_asyncio_tasks"), rss_kb(proxy)
    round_(1000)
    assert metric(proxy, "pgjanus_sessions_opened_total") >= 1200
    assert metric(proxy, "pgjanus_asyncio_tasks") <= tasks
    assert len(list(fd_directory.iterdir())) <= fds
    assert rss_kb(proxy) - memory < 4_000
    left = proxy.database.connect().execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgjanus%'"
    )
    assert left.fetchone() == (0,)


def test_sigterm_lets_a_transaction_end_and_nothing_new_begin(proxy: RunningProxy) -> None:
    with psycopg.connect(proxy.url()) as busy, RawClient(proxy.old_port, proxy.database.name) as idle:
        busy.execute("CREATE TABLE kept (id int)")
        idle.query("SELECT 1")
        proxy.process.send_signal(signal.SIGTERM)
        goodbye = idle.until(b"")
        assert kinds(goodbye) == "E."
        assert error_of(goodbye)["C"] == "57P01"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.url())
        busy.execute("INSERT INTO kept VALUES (1)")
        busy.commit()
    assert proxy.process.wait(10) == 0
    assert proxy.database.connect().execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_a_second_sigterm_does_not_wait(proxy: RunningProxy) -> None:
    with psycopg.connect(proxy.url()) as busy:
        busy.execute("SELECT 1")
        proxy.process.send_signal(signal.SIGTERM)
        while "stopping" not in proxy.log:
            pass
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(5) == 0
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")


def test_health_metrics_and_both_listeners(proxy: RunningProxy) -> None:
    for shape in ("old", "new"):
        with psycopg.connect(proxy.url(shape)) as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
    for page in ("healthz", "readyz"):
        with urlopen(f"http://127.0.0.1:{proxy.admin_port}/{page}", timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"ok\n")
    assert metric(proxy, "pgjanus_sessions_opened_total") >= 2
    assert metric(proxy, "pgjanus_statements_total") >= 2


# ---------------------------------------------------------------------------- mistakes


def serve(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a `serve` that does not come up."""
    clean = {key: value for key, value in os.environ.items() if key != "PGJANUS_DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean, **environment},
    )
    return done.returncode, done.stderr


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
    assert serve("--server", server, "--workers", "2")[0] == 2
