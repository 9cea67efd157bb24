"""Unchanged applications: every driver and tool at hand works through the proxy as it does directly."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pg8000.native
import psycopg
import pytest

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.conftest import ALL_SERVERS, Database
from tests.playbook import OrderedPins, local_proxy, managing


@dataclass(frozen=True)
class Through:
    """A database, and where the proxy in front of it is."""

    database: Database
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.database.name}"


@pytest.fixture
def through(database: Database) -> Iterator[Through]:
    with local_proxy(database.server.port, pins=OrderedPins(managing("users"))) as proxy:
        yield Through(database, proxy.port)


@pytest.fixture
def client(through: Through) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(through.url, autocommit=True) as connection:
        yield connection


def tool(database: Database, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [Path(database.server.bin) / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_psycopg_simple_extended_prepared_and_pipeline(through: Through) -> None:
    with psycopg.connect(through.url) as c:
        c.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
        with c.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(i, f"n{i}") for i in range(100)])
        for _ in range(10):  # prepared by itself from the fifth on
            assert c.execute("SELECT name FROM t WHERE id = %s", (7,)).fetchone() == ("n7",)
        assert c.execute("SELECT 1; SELECT 2").nextset()
        with c.pipeline():
            cursors = [c.execute("SELECT %s::int", (i,)) for i in range(50)]
            c.execute("SAVEPOINT s")
        assert [cursor.fetchone() for cursor in cursors] == [(i,) for i in range(50)]
        with c.cursor("server_side") as named:
            named.execute("SELECT * FROM t ORDER BY id")
            assert named.fetchmany(3)[2] == (2, "n2")
        with pytest.raises(psycopg.errors.DivisionByZero):
            c.execute("SELECT 1/0")
        c.rollback()
        with psycopg.ClientCursor(c) as plain:
            assert plain.execute("SELECT %s", ("x",)).fetchone() == ("x",)
        with c.cursor(binary=True) as binary:
            assert binary.execute("SELECT 1.5::float8").fetchone() == (1.5,)


def test_psycopg_pipeline_with_an_error_in_the_middle(client: psycopg.Connection[Any]) -> None:
    def run() -> None:
        with client.pipeline():
            for text in ("SELECT 1", "SELECT 1/0", "SELECT 2"):
                client.execute(text)

    with pytest.raises(psycopg.errors.DivisionByZero):
        run()
    assert client.execute("SELECT 3").fetchone() == (3,)


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
async def test_asyncpg(through: Through) -> None:
    c = await asyncpg.connect(through.url)
    await c.execute("CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, 'a')")
    assert await c.fetchval("SELECT name FROM t WHERE id = $1", 1) == "a"
    await c.copy_records_to_table("t", records=[(i, "x" * 100) for i in range(10_000)])
    async with c.transaction():
        assert len([row async for row in c.cursor("SELECT * FROM t", prefetch=100)]) == 10_001
    with pytest.raises(asyncpg.DivisionByZeroError):
        await c.fetch("SELECT 1 / $1::int", 0)
    assert await c.fetchval("SELECT count(*) FROM t") == 10_001
    await c.close()
    bare = await asyncpg.connect(through.url, statement_cache_size=0)
    assert await bare.fetchval("SELECT $1::text || 'b'", "a") == "ab"
    await bare.close()


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_pg8000(through: Through) -> None:
    c = pg8000.native.Connection("postgres", host="127.0.0.1", port=through.port, database=through.database.name)
    try:
        assert c.run("SELECT :n + 1", n=4) == [[5]]
        statement = c.prepare("SELECT CAST(:a AS text)")
        assert [statement.run(a="x") for _ in range(3)] == [[["x"]]] * 3
        statement.close()
        with pytest.raises(pg8000.native.DatabaseError, match="22012"):
            c.run("SELECT 1/0")
        assert c.run("SELECT 2") == [[2]]
    finally:
        c.close()


def test_psql(through: Through) -> None:
    def psql(url: str, *arguments: str) -> str:
        return tool(through.database, "psql", "-XAt", url, *arguments)

    assert psql(through.url, "-c", "SELECT 1; SELECT 2", "-c", "SELECT 3") == "1\n2\n3\n"
    assert psql(through.url, "-c", "CREATE TABLE t (id int)", "-c", "\\d") == psql(
        through.database.url, "-c", "\\d"
    ).join(("CREATE TABLE\n", ""))


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(through: Through, mode: str) -> None:
    url = through.url
    tool(through.database, "pgbench", "-i", "-q", url)
    out = tool(through.database, "pgbench", "-M", mode, "-c", "4", "-t", "50", url)
    assert "number of failed transactions: 0" in out
    assert "number of transactions actually processed: 200/200" in out


def test_copy_in_and_out(client: psycopg.Connection[Any]) -> None:
    client.execute("CREATE TABLE t (id int, data text)")
    with client.cursor() as cursor:
        with cursor.copy("COPY t FROM STDIN") as copy:
            for i in range(20_000):
                copy.write_row((i, "y" * 200))
        with cursor.copy("COPY t TO STDOUT (FORMAT binary)") as copy:
            copied = sum(len(part) for part in copy)
        assert copied > 4_000_000
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with cursor.copy("COPY t FROM STDIN") as copy:
                copy.write("not a number\tx\n")
        assert cursor.execute("SELECT count(*) FROM t").fetchone() == (20_000,)


def test_notifications_come_through_to_an_idle_client(client: psycopg.Connection[Any], database: Database) -> None:
    client.execute("LISTEN news")
    database.connect().execute("NOTIFY news, 'hello'")
    [notification] = client.notifies(timeout=10, stop_after=1)
    assert notification.payload == "hello"


def test_a_cancel_ends_the_statement_and_the_session_goes_on(
    client: psycopg.Connection[Any], database: Database
) -> None:
    watch = database.connect()

    def cancel_when_it_runs() -> None:
        while not watch.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'").fetchone():
            pass
        client.cancel_safe()

    thread = threading.Thread(target=cancel_when_it_runs)
    thread.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        client.execute("SELECT pg_sleep(60)")
    thread.join()
    assert client.execute("SELECT 1").fetchone() == (1,)


def test_passwords_are_checked_by_the_server() -> None:
    with EmbeddedPostgres(18, auth="scram-sha-256", settings=NOT_DURABLE) as server, local_proxy(server.port) as proxy:
        with psycopg.connect(server.url("postgres"), port=proxy.port, host="127.0.0.1") as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
            assert c.pgconn.used_password
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url("postgres"), port=proxy.port, host="127.0.0.1", password="wrong")
