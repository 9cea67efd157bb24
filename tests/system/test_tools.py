"""PostgreSQL's own tools do real work through the proxy: psql, pg_dump and pg_restore, pgbench, pg_basebackup."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database, Server
from tests.playbook import LocalProxy, OrderedPins, local_proxy, managing


@pytest.fixture
def proxy(server: Server) -> Iterator[LocalProxy]:
    with local_proxy(server.port, pins=OrderedPins(managing("unheard_of"))) as running:
        yield running
        running.wait_until_empty()


def run(server: Server, proxy: LocalProxy, tool: str, *arguments: str, stdin: str = "") -> str:
    """What it prints."""
    connection = ("-h", "127.0.0.1", "-p", str(proxy.port), "-U", "postgres")
    done = subprocess.run(
        [str(server.bin / tool), *connection, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql_pg_dump_and_pg_restore(server: Server, database: Database, proxy: LocalProxy, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (id int PRIMARY KEY, v text);\nCOPY t FROM STDIN;\n1\tone\n2\t\\N\n\\.\n"
        "BEGIN; INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(3, 2000) i; COMMIT;\n"
        "\\copy (SELECT count(*) FROM t) TO STDOUT\nSELECT $1::int + 1 \\bind 41 \\g\n\\d t\n"
    )
    said = run(server, proxy, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", database.name, stdin=script)
    assert "2000\n" in said and "42" in said and '"t_pkey" PRIMARY KEY' in said
    archive = str(tmp_path / "archive")
    run(server, proxy, "pg_dump", "-Fc", "-f", archive, database.name)
    database.connect().execute("ALTER TABLE t RENAME TO before; ALTER INDEX t_pkey RENAME TO before_pkey")
    run(server, proxy, "pg_restore", "-d", database.name, archive)
    rows = database.connect().execute("SELECT count(*) FROM (TABLE t EXCEPT TABLE before) x").fetchone()
    assert rows == (0,)
    assert database.connect().execute("SELECT count(*) FROM t").fetchone() == (2000,)


def test_pgbench_in_all_its_modes(server: Server, database: Database, proxy: LocalProxy, tmp_path: Path) -> None:
    run(server, proxy, "pgbench", "-i", "-q", "-s", "1", database.name)
    for mode in ("simple", "extended", "prepared"):
        said = run(server, proxy, "pgbench", "-n", "-c", "2", "-t", "50", "-M", mode, database.name)
        assert "number of transactions actually processed: 100/100" in said
        assert "number of failed transactions: 0" in said
    pipeline = tmp_path / "pipeline.sql"
    pipeline.write_text("\\startpipeline\nSELECT 1;\nSELECT abalance FROM pgbench_accounts LIMIT 3;\n\\endpipeline\n")
    said = run(server, proxy, "pgbench", "-n", "-t", "50", "-M", "extended", "-f", str(pipeline), database.name)
    assert "number of failed transactions: 0" in said
    row = database.connect().execute("SELECT count(*) FROM pgbench_history").fetchone()
    assert row == (300,)


def test_a_base_backup_with_its_log_streamed_beside_it(server: Server, proxy: LocalProxy, tmp_path: Path) -> None:
    """Two replication connections at once: COPY out, and COPY in both directions."""
    copy = tmp_path / "copy"
    run(server, proxy, "pg_basebackup", "-D", str(copy), "-X", "stream", "-c", "fast")
    files = {path["Path"]: path["Size"] for path in json.loads((copy / "backup_manifest").read_text())["Files"]}
    assert {name: (copy / name).stat().st_size for name in files} == files
    assert list((copy / "pg_wal").iterdir())
