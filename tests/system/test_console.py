"""The admin console, from psql, psycopg and asyncpg, on a real proxy."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from proxy.console.commands import COMMANDS
from tests.conftest import Database, RunningProxy, Server, StartProxy, fresh_database, running_proxies
from tests.system.ladder_case import NAME, USERS
from tests.system.test_usage import pgjanus
from tests.world import FOLDERS

#: They share a proxy and follow one migration: one after the other, in one process.
pytestmark = pytest.mark.xdist_group("console")

RECIPE = FOLDERS[0] / "split_column.yaml"
SETTINGS = """
observe: {every_s: 0.1}
console: {auth_file: %s, readers: [looker]}
"""


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """With a migration in its first phase, and three users of the console."""
    directory = tmp_path_factory.mktemp("console")
    users, config = directory / "users.txt", directory / "pgjanus.yaml"
    users.write_text('"admin" "pass""word"\n"looker" "look"\n; nobody\n"old" "md5%s"\n' % ("0" * 32))
    config.write_text(SETTINGS % users)
    with fresh_database(server) as database, running_proxies() as start:
        database.connect().execute(USERS)
        proxy = start(database, "--config", str(config))
        assert pgjanus(database, "start", str(RECIPE)).exit_code == 0
        yield proxy


def console(proxy: RunningProxy, user: str = "admin", **options: Any) -> psycopg.Connection[Any]:
    password = {"admin": 'pass"word', "looker": "look"}.get(user, "")
    return psycopg.connect(
        host="127.0.0.1", port=proxy.old_port, dbname="pgjanus", user=user,
        **{"password": password, "autocommit": True, **options},
    )  # fmt: skip


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rows(connection: psycopg.Connection[Any], command: str) -> list[dict[str, Any]]:
    cursor = connection.execute(command.encode())
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_every_show_has_the_columns_that_the_table_says_in_each_driver(proxy: RunningProxy) -> None:
    shows = [command for command in COMMANDS if command.name[0] == "SHOW"]

    async def with_asyncpg() -> dict[str, list[str]]:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=proxy.old_port, database="pgjanus", user="admin", password='pass"word'
        )
        try:
            found = {}
            for command in shows:
                prepared = await connection.prepare(command.usage)
                found[command.usage] = [a.name for a in prepared.get_attributes()]
                for row in await prepared.fetch():
                    assert list(row.keys()) == found[command.usage]
            assert await connection.fetchval("SHOW HELP") == "SHOW HELP"
            assert len(await connection.fetch("SHOW HELP")) == len(COMMANDS)
            with pytest.raises(asyncpg.PostgresSyntaxError, match="has no command SHOW TABLES"):
                await connection.fetch("SHOW TABLES")
            return found
        finally:
            await connection.close()

    expected = {command.usage: [column.name for column in command.columns] for command in shows}
    assert asyncio.run(with_asyncpg()) == expected
    with closing(console(proxy)) as connection:
        for binary in (False, True):
            for command in shows:
                cursor = connection.cursor(binary=binary).execute(command.usage.encode(), prepare=binary)
                assert [column.name for column in cursor.description or ()] == expected[command.usage]
                cursor.fetchall()
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="no parameters"):
            connection.execute("PAUSE BACKFILL %s", (NAME,))


def test_psql_speaks_with_it(proxy: RunningProxy) -> None:
    done = subprocess.run(
        [str(proxy.database.server.bin / "psql"), "-XAt", "-h", "127.0.0.1", "-p", str(proxy.old_port), "-U", "admin",
         "-d", "pgjanus", "-c", "SHOW VERSION; SHOW PROXIES", "-c", "HELP"],
        env={"PGPASSWORD": 'pass"word', "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "pgjanus proxy" in done.stdout
    assert "ERROR:  pgjanus: the console has no command HELP" in done.stderr
    assert "HINT:  Did you mean SHOW HELP? SHOW HELP lists the commands." in done.stderr


def test_what_it_shows_is_so(proxy: RunningProxy) -> None:
    with closing(console(proxy)) as admin, closing(psycopg.connect(proxy.url(), application_name="billing")) as client:
        client.execute("SELECT full_name FROM users WHERE full_name = 'secret'")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            client.execute("SELECT array_agg(u) FROM users u WHERE full_name = 'secret'")
        (migration,) = rows(admin, "show migrations")
        assert (migration["name"], migration["phase"], migration["rows_old"]) == (NAME, "expanded", 500)
        (found,) = [c for c in rows(admin, "SHOW CLIENTS") if c["application_name"] == "billing"]
        assert (found["shape"], found["state"], found["encrypted"]) == ("old", "in transaction", False)
        assert {c["state"] for c in rows(admin, "SHOW CLIENTS") if c["database"] == "pgjanus"} == {"console"}
        pid = client.info.backend_pid
        assert [s["application_name"] for s in rows(admin, "SHOW SERVERS") if s["pid"] == pid] == ["billing"]
        (refusal,) = rows(admin, "SHOW REFUSALS")
        assert (refusal["application_name"], refusal["sqlstate"], refusal["times"]) == ("billing", "0A000", 1)
        assert refusal["statement"] == "SELECT array_agg(u) FROM users u WHERE full_name = $1"
        until(lambda: any(u["application_name"] == "billing" for u in rows(admin, "SHOW USAGE")))
        until(lambda: len(rows(admin, "SHOW STATEMENTS")) >= 2)
        assert {"pgjanus_sessions"} <= {s["name"] for s in rows(admin, "SHOW STATS")}
        assert {"console.database", "limits.max_connections"} <= {s["name"] for s in rows(admin, "SHOW CONFIG")}
        (explained,) = rows(admin, "EXPLAIN (PHASE new_only, SHAPE old) SELECT full_name FROM users; ")
        assert explained["outcome"] == "rewritten" and "_pgjanus_first_name" in explained["statement"]
        (explained,) = rows(admin, f"EXPLAIN (MIGRATION {NAME}) SELECT array_agg(u) FROM users u")
        assert explained["outcome"] == "refused" and explained["hint"]


def test_a_backfill_is_controlled_as_by_the_command_line(proxy: RunningProxy) -> None:
    with closing(console(proxy)) as admin, closing(proxy.database.connect()) as direct:
        notices: list[str] = []
        admin.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        admin.execute("PAUSE BACKFILL")
        admin.execute(f"SET backfill.batch_target = '250ms' FOR {NAME}".encode())
        controls = direct.execute("SELECT paused, settings FROM pgjanus.backfill_controls").fetchone()
        assert controls == (True, {"batch_target": "250ms"})
        admin.execute(f"RESUME BACKFILL {NAME}; RESET BACKFILL".encode())
        assert direct.execute("SELECT paused, settings FROM pgjanus.backfill_controls").fetchone() == (False, {})
        assert notices[1] == f"{NAME}: paused, batch_target 250ms (0 workers)"
        for wrong, sqlstate in (
            ("SET backfill.batch_target = 'soon'", "22023"),
            ("SET backfill.speed = 1", "22023"),
            ("SET search_path = x", "22023"),
            ("PAUSE BACKFILL nothing", "55000"),
            ("PAUSE BACKFILL a b", "42601"),
            ("ADVANCE", "42601"),
            (f"ADVANCE {NAME} TO nowhere", "55000"),
            (f"ADVANCE {NAME} SIDEWAYS", "42601"),
            ("EXPLAIN", "42601"),
            ("SHOW", "42601"),
            ("SELECT 1", "42601"),
            ("'", "42601"),
            ("ROLLBACK ;; x", "42601"),
        ):
            with pytest.raises(psycopg.Error) as caught:
                admin.execute(wrong.encode())
            assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == (sqlstate, True), wrong


def test_the_ladder_is_climbed_with_notices_and_a_cancel_stops_it_where_it_is_safe(proxy: RunningProxy) -> None:
    notices: list[str] = []
    with closing(console(proxy)) as admin, closing(psycopg.connect(proxy.url(), autocommit=True)) as client:
        admin.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        admin.execute(f"ADVANCE {NAME} TO writing_both".encode())
        assert notices[-1] == f"{NAME} is in phase writing_both" and any("proxy at epoch" in n for n in notices)
        admin.execute(f"ROLLBACK {NAME}".encode())
        assert [m["phase"] for m in rows(admin, "SHOW MIGRATIONS")] == ["expanded"]

        client.execute("BEGIN; SELECT 1")  # the next step but one waits for it
        admin.execute(f"ADVANCE {NAME} TIMEOUT 0.2".encode())
        with closing(console(proxy)) as other:
            other.add_notice_handler(
                lambda notice: other.cancel_safe() if "waiting for" in str(notice.message_primary) else None
            )
            with pytest.raises(psycopg.errors.QueryCanceled):
                other.execute(f"ADVANCE {NAME} TIMEOUT 60".encode())
            assert rows(other, "SHOW MIGRATIONS")[0]["phase"] == "writing_both"
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"not at epoch \d+ after 0.2 s"):
            admin.execute(f"ADVANCE {NAME} TIMEOUT 0.2".encode())
        client.execute("COMMIT")
        admin.execute(f"ADVANCE {NAME}".encode())
        assert rows(admin, "SHOW MIGRATIONS")[0]["phase"] == "reading_new"
        assert rows(admin, "SHOW BACKFILL")[0]["rows_done"] == 500


def test_a_client_that_vanishes_takes_its_command_with_it(proxy: RunningProxy) -> None:
    with closing(psycopg.connect(proxy.url(), autocommit=True)) as client, closing(proxy.database.connect()) as direct:
        if direct.execute("SELECT phase FROM pgjanus.migrations").fetchone() == ("expanded",):  # alone in its process
            assert pgjanus(proxy.database, "advance", NAME, "--to", "reading_new").exit_code == 0
        client.execute("BEGIN; SELECT 1")
        phase = direct.execute("SELECT phase FROM pgjanus.migrations").fetchone()
        with closing(console(proxy)) as admin:
            admin.execute(f"ROLLBACK {NAME} TO writing_both TIMEOUT 0.2".encode())
            admin.pgconn.send_query(f"ROLLBACK {NAME} TIMEOUT 60".encode())

            def operators() -> int:
                found = direct.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name LIKE 'pgjanus rollback%'"
                ).fetchone()
                assert found is not None
                return int(found[0])

            until(lambda: operators() > 0)
        until(lambda: operators() == 0)
        assert phase is not None and direct.execute("SELECT phase FROM pgjanus.migrations").fetchone() != phase


def test_who_may_only_look_and_who_may_not_come_in(proxy: RunningProxy) -> None:
    with closing(console(proxy, "looker")) as looker:
        assert rows(looker, "SHOW HELP")
        for change in ("DRAIN", "RELOAD", f"ADVANCE {NAME}", "PAUSE BACKFILL"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                looker.execute(change.encode())
    for user, password in (("admin", "wrong"), ("nobody", "x"), ("old", "md5" + "0" * 32)):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            console(proxy, user, password=password)


def test_a_transaction_is_no_place_for_what_cannot_be_taken_back(proxy: RunningProxy) -> None:
    with closing(console(proxy, autocommit=False)) as admin:
        assert rows(admin, "SHOW HELP")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            admin.execute("RELOAD")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            admin.execute("SHOW HELP")
        admin.rollback()
        assert rows(admin, "SHOW HELP")
        admin.commit()


def test_settings_are_read_again_and_the_proxy_ends_when_told(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    config = tmp_path / "pgjanus.yaml"
    config.write_text("console: {trust_local: true, database: door}")
    proxy = start_proxy(database, "--config", str(config))

    def knock(name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host="127.0.0.1", port=proxy.new_port, dbname=name, user="me", autocommit=True)

    with pytest.raises(psycopg.OperationalError, match=r'database "pgjanus" does not exist|role "me" does not exist'):
        knock("pgjanus")
    with closing(knock("door")) as admin:
        config.write_text("console: {}")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="nobody can log in"):
            admin.execute("RELOAD")
        config.write_text("console: {trust_local: true, database: gate}")
        admin.execute("RELOAD")
        assert {"name": "console.database", "value": "gate"} in rows(admin, "SHOW CONFIG")
    with closing(knock("gate")) as admin:
        admin.execute("DRAIN")
        assert proxy.process.wait(20) == 0
    assert [json.loads(line)["command"] for line in proxy.log.splitlines() if "console_command" in line] == [
        *("RELOAD", "RELOAD", "DRAIN")
    ]


def test_the_console_cannot_take_the_place_of_the_managed_database(database: Database, tmp_path: Path) -> None:
    config = tmp_path / "pgjanus.yaml"
    config.write_text(f"console: {{trust_local: true, database: {database.name}}}")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--server", f"postgresql://127.0.0.1:{database.server.port}",
         "--database-url", database.url, "--config", str(config)], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "is the managed database: give another name" in done.stderr
