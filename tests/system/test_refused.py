"""What is refused, sent through a real proxy: the client learns why and what to do, and nothing else happens at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import pq

from proxy.cli import main
from rules.phases import Shape
from tests.conftest import Database, RunningProxy, Server, fresh_database, running_proxies
from tests.twin import CASES, Case, read_cases

FEATURE_NOT_SUPPORTED, UNDEFINED_COLUMN, SYNTAX_ERROR = "0A000", "42703", "42601"
IN_FAILED_TRANSACTION = "25P02"
MIGRATION = "users_name"
PHASES = ("expanded", "writing_both", "reading_new", "new_only")
REFUSED = [(case, shape) for case in read_cases("refused.sql") for shape in case.shapes]


@dataclass
class Scene:
    """A table in the middle of its migration, and a proxy in front of it."""

    database: Database
    proxy: RunningProxy
    direct: psycopg.Connection[Any]

    def connect(self, shape: Shape) -> psycopg.Connection[Any]:
        return psycopg.connect(self.proxy.url(shape.value), autocommit=True)

    def all_there_is(self) -> tuple[Any, ...]:
        """Every row of the tables as stored, and every object of the database."""
        rows = [self.direct.execute(f"SELECT * FROM {t} ORDER BY 1".encode()).fetchall() for t in ("users", "orders")]
        objects = self.direct.execute(
            "SELECT (SELECT array_agg(c::text ORDER BY oid) FROM (SELECT oid, relname, relkind, relacl, relnatts"
            " FROM pg_class WHERE relnamespace = 'public'::regnamespace) c),"
            " (SELECT array_agg(a::text ORDER BY attrelid, attnum) FROM (SELECT attrelid, attnum, attname, atttypid,"
            " atttypmod, attacl FROM pg_attribute WHERE attrelid = 'users'::regclass) a),"
            " (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_policy), (SELECT count(*) FROM pg_rewrite)"
        ).fetchall()
        return (rows, objects)

    def refusals(self) -> float:
        """`pgjanus_statements_total{outcome="refused"}`, of any migration."""
        with urlopen(f"http://127.0.0.1:{self.proxy.admin_port}/metrics", timeout=10) as page:
            text = page.read().decode()
        counted = re.findall(r'(?m)^pgjanus_statements_total\{[^}]*outcome="refused"[^}]*\} (\S+)$', text)
        return sum(map(float, counted))

    def pgjanus(self, *arguments: str) -> None:
        result = CliRunner().invoke(main, [*arguments, "--database-url", self.database.url])
        assert result.exit_code == 0, result.output


#: In one process, so that there is one scene.
pytestmark = pytest.mark.xdist_group("refused")


@pytest.fixture(scope="module")
def scene(server: Server) -> Iterator[Scene]:
    """In phase `expanded`; each test leaves it as it was, as far as the others look."""
    with fresh_database(server) as database, running_proxies() as start_proxy:
        direct = database.connect()
        direct.execute((CASES / "schema_old.sql").read_bytes())
        scene = Scene(database, start_proxy(database), direct)
        scene.pgjanus("start", str(CASES / "users.yaml"))
        yield scene
        assert scene.proxy.stop() == 0


def check(error: psycopg.Error, case: Case) -> None:
    """An error that says what it is about, and what can be done."""
    assert error.sqlstate in (FEATURE_NOT_SUPPORTED, UNDEFINED_COLUMN, SYNTAX_ERROR), f"{case}: {error}"
    message = error.diag.message_primary or ""
    assert "pgjanus refused" not in message, f"{case}: {error}"
    if error.sqlstate == FEATURE_NOT_SUPPORTED:
        assert error.diag.message_hint, f"{case}: no hint: {error}"
        assert f"migration {MIGRATION}: " in message, f"{case}: what is it about? {error}"
    position = error.diag.statement_position
    assert position is None or 1 <= int(position) <= len(case.sql), f"{case}: position {position}"


def send(connection: psycopg.Connection[Any], case: Case, how: str) -> psycopg.Error:
    """The error that the statement meets in the simple or the extended protocol, or at its preparation."""
    cursor = psycopg.ClientCursor(connection) if how == "simple" else connection.cursor()
    with pytest.raises(psycopg.Error) as caught:
        cursor.execute(case.sql.encode(), prepare=how == "prepared", binary=how == "extended")
    return caught.value


def test_a_refused_statement_tells_why_and_changes_nothing(scene: Scene) -> None:
    for phase in PHASES:
        if phase != "expanded":
            scene.pgjanus("advance", MIGRATION)
        before, counted, sent = scene.all_there_is(), scene.refusals(), 0
        for shape in Shape:
            with scene.connect(shape) as connection:
                for case in (c for c, s in REFUSED if s is shape):
                    for how in ("simple", "extended", "prepared"):
                        error = send(connection, case, how)
                        sent += 1
                        check(error, case)
                        assert connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
                    assert connection.execute("SELECT count(*) FROM users").fetchone() == (12,)
        assert scene.all_there_is() == before, phase
        assert scene.refusals() == counted + sent, phase
    scene.pgjanus("rollback", MIGRATION, "--to", PHASES[0])


def test_in_a_transaction_block_the_refusal_fails_the_transaction(scene: Scene) -> None:
    before = scene.all_there_is()
    for shape in Shape:
        for how in ("simple", "extended", "prepared"):
            with scene.connect(shape) as connection:
                for case in (c for c, s in REFUSED if s is shape):
                    connection.execute("BEGIN")
                    connection.execute("UPDATE users SET age = age + 1")
                    connection.execute("UPDATE orders SET note = 'changed'")
                    send(connection, case, how)
                    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                        connection.execute("SELECT id FROM users")
                    assert connection.execute("COMMIT").statusmessage == "ROLLBACK", str(case)
    assert scene.all_there_is() == before


def test_a_savepoint_rescues_the_transaction_from_a_refusal(scene: Scene) -> None:
    with scene.connect(Shape.OLD) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE users SET full_name = 'Kept Here' WHERE id = 3")
        connection.execute("SAVEPOINT s")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("UPDATE users SET full_name = 'Gone' WHERE id = 3; SELECT u::users FROM users u")
        connection.execute("ROLLBACK TO SAVEPOINT s")
        assert connection.execute("COMMIT").statusmessage == "COMMIT"
    assert scene.direct.execute("SELECT full_name FROM users WHERE id = 3").fetchone() == ("Kept Here",)


def test_in_a_pipeline_what_follows_a_refusal_is_skipped_until_the_next_sync(scene: Scene) -> None:
    before, counted = scene.all_there_is(), scene.refusals()
    with scene.connect(Shape.OLD) as connection:
        pgconn = connection.pgconn
        pgconn.enter_pipeline_mode()
        texts = (
            "UPDATE users SET full_name = 'lost' WHERE id = 1",
            "SELECT u::users FROM users u",
            "DELETE FROM users",
        )
        for text in texts:
            pgconn.send_query_params(text.encode(), None)
        pgconn.pipeline_sync()
        pgconn.send_query_params(b"SELECT full_name FROM users WHERE id = 1", None)
        pgconn.pipeline_sync()
        statuses = [r.status for r in results(pgconn, syncs=2)]
        pgconn.exit_pipeline_mode()
    status = pq.ExecStatus
    assert statuses == [
        *(status.COMMAND_OK, status.FATAL_ERROR, status.PIPELINE_ABORTED, status.PIPELINE_SYNC),
        *(status.TUPLES_OK, status.PIPELINE_SYNC),
    ]
    assert scene.all_there_is() == before
    assert scene.refusals() == counted + 1


def results(pgconn: pq.abc.PGconn, syncs: int) -> Iterator[pq.abc.PGresult]:
    """All results of a pipeline, with the synchronisation points."""
    while syncs:
        assert pgconn.status == pq.ConnStatus.OK, pgconn.error_message
        result = pgconn.get_result()
        if result is not None:
            yield result
            syncs -= result.status == pq.ExecStatus.PIPELINE_SYNC


def test_a_refused_statement_among_others_in_one_text_stops_all_of_them(scene: Scene) -> None:
    before = scene.all_there_is()
    with scene.connect(Shape.NEW) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("UPDATE users SET first_name = 'lost'; SELECT u::users FROM users u; DELETE FROM orders")
        assert connection.execute("SELECT first_name FROM users WHERE id = 1").fetchone() == ("Ada",)
    assert scene.all_there_is() == before


def test_other_tables_and_other_databases_know_nothing_of_it(scene: Scene, server: Server) -> None:
    with scene.connect(Shape.OLD) as connection:
        assert connection.execute("SELECT o FROM orders o WHERE id = 1").fetchone() is not None
    url = scene.proxy.url().rpartition("/")[0] + "/postgres"
    with psycopg.connect(url, autocommit=True) as elsewhere:
        elsewhere.execute("CREATE TEMP TABLE users (id int, full_name text)")
        elsewhere.execute("INSERT INTO users VALUES (1, 'x')")
        assert elsewhere.execute("SELECT u FROM users u").fetchone() == ("(1,x)",)
