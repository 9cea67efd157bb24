"""`serve --workers 2`: two proxies behind one address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from proxy.ladder.climb import advance, start
from proxy.ports import free_ports
from tests.conftest import Database, StartProxy
from tests.system.ladder_case import NAME, USERS, operator_of, spec
from tests.system.test_rollout import until


def workers(look: psycopg.Connection[Any]) -> dict[str, int]:
    """Live ones by the number in their name, with their process ids."""
    if look.execute("SELECT to_regclass('pgjanus.proxies')").fetchone() == (None,):
        return {}
    rows = look.execute(
        "SELECT right(application_name, 1), pid FROM pgjanus.proxies WHERE lease_until > clock_timestamp() ORDER BY 1"
    )
    return dict(rows.fetchall())


def served_by(look: psycopg.Connection[Any], client: psycopg.Connection[Any]) -> str:
    """The number of the worker that a client has got."""
    row = look.execute(
        "SELECT right(p.application_name, 1) FROM pgjanus.sessions s JOIN pgjanus.proxies p ON p.id = s.proxy"
        " WHERE s.pid = %s",
        [client.info.backend_pid],
    ).fetchone()
    assert row is not None
    return str(row[0])


async def test_each_worker_is_a_proxy_and_another_takes_the_place_of_one_that_dies(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    look = database.connect()
    look.execute(USERS)
    config = tmp_path / "pgjanus.yaml"
    config.write_text("lease: {seconds: 2, heartbeat_s: 0.3}\n")
    proxy = start_proxy(database, "--workers", "2", "--config", str(config))
    await until(lambda: list(workers(look)) == ["1", "2"])
    first = workers(look)
    clients = [database.connect(proxy.url("new" if n % 2 else "old")) for n in range(8)]
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME)
    for n, client in enumerate(clients):
        client.execute(f"UPDATE users SET {'first_name' if n % 2 else 'full_name'} = 'A B' WHERE id = {n + 1}")

    by = {number: [c for c in clients if served_by(look, c) == number] for number in first}
    dies, stays = sorted(by, key=lambda number: len(by[number]))
    os.kill(first[dies], signal.SIGKILL)
    await until(lambda: list(workers(look)) == ["1", "2"] and first[dies] not in workers(look).values())
    for client in by[stays]:
        assert client.execute("SELECT count(*) FROM users").fetchone() is not None
    async with operator_of(database) as operator:
        await advance(operator, NAME, "new_only")

    busy = next(c for c in by[stays])
    shape = "first_name" if clients.index(busy) % 2 else "full_name"
    busy.execute("BEGIN")
    proxy.process.send_signal(signal.SIGTERM)
    await until(lambda: proxy.log.count('"stopping"') + proxy.log.count("stopping  ") >= 2)
    busy.execute(f"UPDATE users SET {shape} = 'Last One' WHERE id = 20")
    busy.execute("COMMIT")
    assert proxy.process.wait(20) == 0
    assert look.execute("SELECT count(*) FROM users WHERE _pgjanus_first_name LIKE 'Last%'").fetchone() == (1,)
    assert workers(look) == {}


async def test_workers_stop_when_their_parent_is_killed(database: Database, start_proxy: StartProxy) -> None:
    look = database.connect()
    proxy = start_proxy(database, "--workers", "2")
    await until(lambda: list(workers(look)) == ["1", "2"])
    proxy.process.kill()
    proxy.process.wait()
    await until(lambda: workers(look) == {})


def test_what_keeps_a_worker_from_starting_ends_them_all() -> None:
    listen, nobody = free_ports(2)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "proxy", "serve", "--workers", "2"),
            *("--server", f"postgresql://127.0.0.1:{nobody}", "--listen", f"127.0.0.1:{listen}"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"could not connect to the PostgreSQL server at 127.0.0.1:{nobody}" in done.stderr
