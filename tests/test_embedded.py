"""proxy.embedded: the servers under every other test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from proxy.embedded import EmbeddedPostgres, EmbeddedPostgresError, PostgresServer
from tests.conftest import ALL_SERVERS, Database, Server

STARTUP_THEN_WAIT = """
from proxy.embedded import EmbeddedPostgres
server = EmbeddedPostgres(18)
server.start()
print(server.pid, server.directory, flush=True)
input()
"""


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_a_server_has_the_version_that_was_asked_for(server: Server, database: Database) -> None:
    row = database.connect().execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()
    assert row == (server.version,)


def test_a_database_is_empty_and_its_own(database: Database) -> None:
    assert database.connect().execute("SELECT current_database()").fetchone() == (database.name,)
    assert database.connect().execute("SELECT count(*) FROM pg_class WHERE relnamespace = 2200").fetchone() == (0,)


def test_a_crash_and_restart_keep_port_and_committed_data(tmp_path: Path) -> None:
    with EmbeddedPostgres(18, auth="scram-sha-256") as server:
        port = server.port
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        server.stop("immediate")
        assert server.pid is None
        server.start()
        assert server.port == port
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (1,)
        directory = server.directory
    assert not directory.exists()


def test_a_server_dies_with_an_owner_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTUP_THEN_WAIT], stdin=-1, stdout=-1) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert Path(f"/proc/{pid.decode()}").exists()
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(directory.decode()).exists():
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.05)


def test_an_unknown_version_is_one_clear_message() -> None:
    with pytest.raises(EmbeddedPostgresError, match="there is no embedded PostgreSQL 9: take 16 or 18"):
        EmbeddedPostgres(9)


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with pytest.raises(EmbeddedPostgresError, match="invalid value for parameter"):
        EmbeddedPostgres(18, settings={"shared_buffers": "lots"}).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as somebody else")
def test_root_can_use_binaries_that_nobody_else_may_reach(tmp_path: Path) -> None:
    wheel = EmbeddedPostgres(18)
    wheel.close()
    package = wheel.bin.parent.parent
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / package.name).mkdir()
    shutil.copytree(wheel.bin.parent, private / package.name / wheel.bin.parent.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), private / f"{package.name}.libs")
    with PostgresServer(private / package.name / wheel.bin.parent.name / "bin", 18) as server:
        assert private not in server.bin.parents
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
