"""`explain --from-log` on logs that real servers write of real drivers, and `--pg-stat-statements`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer, SystemPostgres
from tests.clients import DRIVERS
from tests.conftest import ALL_SERVERS
from tests.twin import CASES

FILE = str(CASES / "users.yaml")
_LAST = "SELECT 'the last line'"
_WAIT_SECONDS = 30
_SETTINGS = {
    **NOT_DURABLE,
    "logging_collector": "on",
    "log_destination": "stderr,csvlog,jsonlog",
    "log_filename": "postgresql.log",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "lc_messages": "C",
}


@dataclass
class LoggingServer:
    url: str
    logs: Path
    has_statistics: bool

    def explain(self, *arguments: str, migration: str = FILE, stdin: bytes | None = None) -> Result:
        command = ["explain", migration, *arguments, "--database-url", self.url]
        return CliRunner().invoke(main, command, input=stdin, catch_exceptions=False)


@pytest.fixture(scope="module", params=ALL_SERVERS)
def logging_server(request: pytest.FixtureRequest) -> Iterator[LoggingServer]:
    """Has seen some statements of each driver, in each of the ways in which PostgreSQL logs them."""
    kind, _, version = request.param.rpartition("-")
    # The embedded servers come without the extensions of contrib.
    settings = _SETTINGS | ({"shared_preload_libraries": "pg_stat_statements"} if kind else {})
    server: PostgresServer = (SystemPostgres if kind else EmbeddedPostgres)(int(version), settings=settings)
    with server:
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as direct:
            direct.execute((CASES / "schema_old.sql").read_bytes())
            if kind:
                direct.execute("CREATE EXTENSION pg_stat_statements")
                direct.execute("SELECT pg_stat_statements_reset()")
        send(url)
        logs = server.directory / "data" / "log"
        for name in ("postgresql.log", "postgresql.csv", "postgresql.json"):
            wait_for_the_last_line(logs / name)
        yield LoggingServer(url, logs, bool(kind))


def send(url: str) -> None:
    for driver in DRIVERS:
        session = driver(url)
        session.run("SET log_statement = 'all'")
        session.run("SELECT full_name\n\tFROM users -- LOG:  statement: no\nWHERE id = %s", 7)
        session.run("SELECT 'users, ü', \"note\" FROM orders WHERE id = %s", 1)
        session.run("SELECT 1 FROM users x WHERE full_name = 'it''s 4711'")
        session.run("SET log_statement = 'none'")
        session.run("SET log_min_duration_statement = 0")
        session.run("UPDATE users SET full_name = %s WHERE id = %s", "Łódź\n\tNew", 3)
        session.close()
    with psycopg.connect(url, autocommit=True) as direct:
        direct.execute("SET log_statement = 'all'")
        direct.execute("CREATE TEMP VIEW v AS SELECT id FROM users WHERE full_name = '4711'")
        with pytest.raises(psycopg.errors.SyntaxError):
            direct.execute("SELEC full_name FROM users")
        direct.execute(_LAST)


def wait_for_the_last_line(path: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not path.exists() or _LAST not in path.read_text():
        assert time.monotonic() < deadline, f"{path.name} does not end as it should"
        time.sleep(0.05)


def test_all_formats_say_the_same(logging_server: LoggingServer) -> None:
    answers: list[dict[str, Any]] = []
    for name in ("postgresql.log", "postgresql.csv", "postgresql.json"):
        result = logging_server.explain("--from-log", str(logging_server.logs / name), "--json")
        assert result.exit_code == 1, result.output
        answers.append(json.loads(result.stdout))
    stdin = (logging_server.logs / "postgresql.log").read_bytes()
    answers.append(json.loads(logging_server.explain("--from-log", "-", "--json", stdin=stdin).stdout))
    assert answers[1:] == answers[:1] * 3
    seen = {s["statement"]: s["seen"] for s in answers[0]["statements"]}
    drivers = len(DRIVERS)
    assert seen == {
        "SELECT full_name FROM users WHERE id = $1": drivers,
        "SELECT $1 FROM users x WHERE full_name = $2": drivers,
        "UPDATE users SET full_name = $1 WHERE id = $2": drivers,
        "CREATE TEMP VIEW v AS SELECT id FROM users WHERE full_name = '…'": 1,
    }
    assert answers[0]["refused"] == 1
    assert "4711" not in json.dumps(answers)


def test_the_page_says_what_is_refused_first_and_sums_up(logging_server: LoggingServer) -> None:
    log = str(logging_server.logs / "postgresql.log")
    result = logging_server.explain("--from-log", log)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("CREATE TEMP VIEW")
    assert "refused (0A000)" in lines[2]
    assert "    announced: untouched" in lines
    assert "    expanded, writing_both, reading_new, new_only: rewritten" in lines
    assert "public.users, old shape: 1 of 4 distinct statements would be refused: 1 in announced," in lines[-1]
    result = logging_server.explain("--from-log", log, "--phase", "writing_both", "--shape", "new")
    assert result.exit_code == 1
    assert 'refused (42703): column "full_name" does not exist' in result.stdout
    assert "writing_both" in result.stdout
    assert "reading_new" not in result.stdout


def test_nothing_refused_is_exit_0(logging_server: LoggingServer) -> None:
    log = b"LOG:  statement: SELECT full_name FROM users\nLOG:  statement: SELECT 1\n"
    result = logging_server.explain("--from-log", "-", stdin=log)
    assert result.exit_code == 0
    assert "none of 1 distinct statement would be refused (2 statements read)" in result.stdout
    result = logging_server.explain("--from-log", "-", stdin=b"LOG:  statement: UPDATE users SET _pgjanus_state = 4\n")
    assert result.exit_code == 0
    assert "came from pgjanus itself: 1 statements" in result.stdout


def test_a_log_without_statements_and_wrong_usage_are_told(logging_server: LoggingServer) -> None:
    result = logging_server.explain("--from-log", "-", stdin=b"LOG:  Anweisung: SELECT 1\n")
    assert result.exit_code == 1
    assert "log_statement = all" in result.stderr
    for arguments in ((), ("SELECT 1", "--pg-stat-statements"), ("--from-log", "/no/such/file")):
        assert logging_server.explain(*arguments).exit_code == 2


def test_pg_stat_statements(logging_server: LoggingServer) -> None:
    """The real one where there is one; elsewhere first none, then a table that is called so."""
    if not logging_server.has_statistics:
        result = logging_server.explain("--pg-stat-statements")
        assert result.exit_code == 1
        assert "CREATE EXTENSION pg_stat_statements" in result.stderr
        with psycopg.connect(logging_server.url, autocommit=True) as direct:
            direct.execute("CREATE TABLE pg_stat_statements (dbid oid, query text, calls int8)")
            direct.execute(
                "INSERT INTO pg_stat_statements SELECT oid, q, n FROM pg_database, (VALUES"
                " ('UPDATE users SET full_name = $1 WHERE id = $2', 6), ('SELECT 1 FROM orders', 3),"
                " ('SELECT 1 FROM users WHERE created > now() - interval $1', 2),"
                " ('SELECT 1 FROM users WHERE id IN ($1 /*, ... */)', 1),"
                " ('CREATE TEMP VIEW v AS SELECT id FROM users WHERE full_name = ''4711''', 1)) v(q, n)"
                " WHERE datname IN (current_database(), 'template1')"
            )
    result = logging_server.explain("--pg-stat-statements", "--json")
    assert result.exit_code == 1, result.output
    answer = json.loads(result.stdout)
    seen = {s["statement"]: s["seen"] for s in answer["statements"]}
    # The simple protocol's constants and the extended one's parameters are one statement for pg_stat_statements, too.
    assert seen["UPDATE users SET full_name = $1 WHERE id = $2"] == len(DRIVERS)
    assert seen["CREATE TEMP VIEW v AS SELECT id FROM users WHERE full_name = '…'"] == 1
    assert [s["statement"] for s in answer["statements"] if any(o["outcome"] == "refused" for o in s["forecast"])] == [
        "CREATE TEMP VIEW v AS SELECT id FROM users WHERE full_name = '…'"
    ]
