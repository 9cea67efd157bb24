"""psql and pg_dump through a proxy, phase by phase, against an unmigrated table of the client's shape."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from proxy.cli import main
from rules.phases import Shape
from tests.conftest import Database, RunningProxy, Server, StartProxy
from tests.twin import CASES

FOLDER = CASES / "introspection"
SCRIPTS = {Shape.OLD: ("users.sql",), Shape.NEW: ("users.sql", "schema_new.sql")}
PHASES = ("expanded", "writing_both", "reading_new", "new_only")
COMMANDS = (
    *(r"\d users", r"\d+ orders", r"\d", r"\dt", r"\di", r"\d adults", r"\dp users", r"\d users_pkey", r"\dd"),
    "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass ORDER BY attnum",
)


@pytest.fixture
def proxy(database: Database, start_proxy: StartProxy) -> Iterator[RunningProxy]:
    database.connect().execute((FOLDER / "users.sql").read_bytes())
    proxy = start_proxy(database)
    pgjanus(database, "start", str(FOLDER / "users.yaml"))
    yield proxy
    assert proxy.stop() == 0


@pytest.fixture
def twins(server: Server) -> Iterator[dict[Shape, str]]:
    """URLs of databases with the table of each shape, never migrated."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        for shape, scripts in SCRIPTS.items():
            admin.execute(f"DROP DATABASE IF EXISTS tools_{shape.value} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE tools_{shape.value}".encode())
            with psycopg.connect(server.url(f"tools_{shape.value}"), autocommit=True) as connection:
                for script in scripts:
                    connection.execute((FOLDER / script).read_bytes())
        yield {shape: server.url(f"tools_{shape.value}") for shape in SCRIPTS}
        for shape in SCRIPTS:
            admin.execute(f"DROP DATABASE tools_{shape.value} WITH (FORCE)".encode())


def pgjanus(database: Database, *arguments: str) -> None:
    result = CliRunner().invoke(main, [*arguments, "--database-url", database.url])
    assert result.exit_code == 0, result.output


def run(binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary, *arguments], check=False, capture_output=True, text=True, timeout=60)


def psql(server: Server, url: str) -> str:
    commands = [part for command in COMMANDS for part in ("-c", command)]
    result = run(server.bin / "psql", "-X", "-A", *commands, url)
    assert result.returncode == 0, result.stderr
    return result.stdout


def dump(server: Server, url: str) -> str:
    result = run(server.bin / "pg_dump", "--exclude-schema=pgjanus", url)
    assert result.returncode == 0, result.stderr
    return re.sub(r"(?m)^\\(un)?restrict .*\n", "", result.stdout)


@pytest.mark.parametrize("server", ["18", "16"], indirect=True)
def test_psql_and_pg_dump_show_the_clients_shape(
    proxy: RunningProxy, database: Database, twins: dict[Shape, str], server: Server
) -> None:
    expected = {shape: psql(server, url) for shape, url in twins.items()}
    dumps = {shape: dump(server, url) for shape, url in twins.items()}
    for phase in PHASES:
        if phase == "reading_new":  # from here on the new column's index is there
            with psycopg.connect(twins[Shape.NEW], autocommit=True) as connection:
                connection.execute("CREATE INDEX ON users (last_name)")
            expected[Shape.NEW], dumps[Shape.NEW] = psql(server, twins[Shape.NEW]), dump(server, twins[Shape.NEW])
        if phase != "expanded":
            pgjanus(database, "advance", "users_name")
        for shape in Shape:
            assert psql(server, proxy.url(shape.value)) == expected[shape], (phase, shape)
            found = dump(server, proxy.url(shape.value))
            assert "_pgjanus_" not in found, (phase, shape)
            lifted = phase == "new_only" if shape is Shape.OLD else phase in ("expanded", "writing_both")
            if not lifted or server.version < 18:  # from there on a NOT NULL is a constraint of its own
                assert found == dumps[shape], (phase, shape)


def test_a_dump_of_pgjanus_own_tables_is_refused(proxy: RunningProxy, server: Server) -> None:
    result = run(server.bin / "pg_dump", proxy.url())
    assert result.returncode != 0 and "--exclude-schema=pgjanus" in result.stderr
    assert "CREATE TABLE" not in result.stdout
