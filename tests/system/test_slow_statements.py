"""The log of slow statements, on a real proxy: what took long, in which protocol, and on whose account."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from proxy.conversation.timing import Slow
from tests.conftest import Database, RunningProxy, StartProxy


def logged(proxy: RunningProxy) -> list[dict[str, Any]]:
    """The events; all of the session's are written before its last answer is."""
    events = [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] == "slow_statement"]


@pytest.fixture
def proxy(database: Database, start_proxy: StartProxy, tmp_path: Path) -> RunningProxy:
    config = tmp_path / "pgjanus.yaml"
    config.write_text("log: {min_duration_statement_ms: 100}")
    return start_proxy(database, "--config", str(config))


def test_what_takes_long_is_logged_with_whose_time_it_was(proxy: RunningProxy) -> None:
    with psycopg.connect(proxy.url(), autocommit=True, application_name="reports") as client:
        client.execute("SELECT 1")
        client.execute(b"SELECT pg_sleep(0.15), 'secret'; SELECT 2")
        client.execute("SELECT pg_sleep(%s)", (0.15,), prepare=True)
        client.execute("SELECT pg_sleep(%s)", (0.15,), prepare=True)
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1 / n FROM (SELECT length(pg_sleep(0.15)::text) AS n OFFSET 0) x")
        client.execute("SELECT 3")
    found = logged(proxy)
    assert [event["statements"] for event in found] == [
        ["SELECT pg_sleep($1), $2; SELECT $3"],
        ["SELECT pg_sleep($1)"],
        ["SELECT pg_sleep($1)"],
        ["SELECT $1 / n FROM (SELECT length(pg_sleep($2)::text) AS n OFFSET $3) x"],
    ]
    for event in found:
        assert (event["application_name"], event["user"]) == ("reports", "postgres")
        assert event["server_ms"] >= 145 and event["proxy_ms"] >= 0
        assert event["duration_ms"] == pytest.approx(event["server_ms"] + event["proxy_ms"], abs=0.01)
    assert "secret" not in proxy.log


async def test_pipelines_and_copies_are_rounds_too(proxy: RunningProxy) -> None:
    async with asyncio.timeout(30):
        connection = await asyncpg.connect(proxy.url())
        await connection.execute("CREATE TABLE t (id int)")
        await connection.copy_records_to_table("t", records=[(i,) for i in range(3)])
        await connection.fetch("SELECT id, pg_sleep(0.05) FROM t WHERE id >= $1", 0)
        await connection.close()
    assert [event["statements"] for event in logged(proxy)] == [["SELECT id, pg_sleep($2) FROM t WHERE id >= $1"]]


def test_nothing_is_timed_unless_somebody_asks(database: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(database)
    with psycopg.connect(proxy.url(), autocommit=True) as client:
        client.execute("SELECT pg_sleep(0.15)")
    assert logged(proxy) == []


def test_the_two_parts_are_the_whole() -> None:
    assert Slow((), 2.5, 0.75).milliseconds == {"duration_ms": 2500, "proxy_ms": 1750, "server_ms": 750}
