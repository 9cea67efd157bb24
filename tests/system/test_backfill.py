"""The side worker against real servers: keys of every kind, bad rows, live writers, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest

from proxy.backfill import ranges
from proxy.backfill.drive import TooManyBadRows
from proxy.backfill.progress import Progress
from proxy.backfill.runner import BackfillResult, run
from proxy.verify.runner import verify
from rules.errors import PgjanusError
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import SPLIT, USERS, change_type, expand, set_phase

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)

FILL = (
    "INSERT INTO users (id, full_name) SELECT i, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'One' || i"
    " WHEN 2 THEN 'Zoë ' || i ELSE 'A B ' || i END FROM generate_series(1, {rows}) i"
)
WRONG = (
    "SELECT count(*) FROM users WHERE _pgjanus_state NOT IN (4, 5)"
    " OR _pgjanus_first_name IS DISTINCT FROM split_part(full_name, ' ', 1)"
    " OR _pgjanus_last_name IS DISTINCT FROM"
    " CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END"
)


def backfill(database: Database, name: str | None = None, **options: Any) -> BackfillResult:
    return asyncio.run(run(database.url, name, **options))


def value(connection: psycopg.Connection[Any], sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


@every_server
def test_every_row_gets_the_other_format_and_untouched_columns_stay(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=3000))
    expand(database, SPLIT)
    reports: list[Progress] = []

    result = backfill(database, "split_name", on_progress=reports.append)

    assert (result.complete, result.rows, result.bad) == (True, 3000, ())
    assert value(db, WRONG) == 0
    assert value(db, "SELECT count(*) FROM users WHERE note = 'n'") == 3000
    assert reports[-1].state == "done"
    assert (reports[-1].rows_done, reports[-1].rows_total) == (3000, 3000)
    stored = db.execute(
        "SELECT b.state, r.rows_done, b.rows_total, b.done, r.done FROM pgjanus.backfills b, pgjanus.backfill_ranges r"
    )
    assert stored.fetchall() == [("old", 3000, 3000, True, True)]


def test_downwards_new_rows_get_their_old_format_back(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=100))
    managed = expand(database, SPLIT, "reading_new")
    db.execute(
        "UPDATE users SET _pgjanus_first_name = 'F' || id, _pgjanus_last_name = 'L', _pgjanus_state = 6 + id % 2"
    )
    assert managed.phase.name == "reading_new"

    result = backfill(database, "split_name")

    assert result.complete
    assert (
        value(db, "SELECT count(*) FROM users WHERE full_name = 'F' || id || ' L' AND _pgjanus_state IN (4, 5)") == 100
    )


def test_nothing_is_converted_in_a_phase_whose_writers_make_that_state(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=10))
    expand(database, SPLIT, "expanded")
    assert backfill(database, "split_name").rows == 0
    assert value(db, "SELECT count(*) FROM users WHERE _pgjanus_state = 0") == 10


KEYS = {
    "composite": ("a int, b text, PRIMARY KEY (a, b)", "i % 7, 'k' || i"),
    "uuid": ("k uuid PRIMARY KEY", "md5(i::text)::uuid"),
    "text in a collation": ("k text COLLATE a_language PRIMARY KEY", "(ARRAY['a','B','é','Z','_'])[1 + i % 5] || i"),
    "timestamptz": ("k timestamptz PRIMARY KEY", "'2000-01-01 00:00:00.000001+00'::timestamptz + i * interval '1.5 h'"),
    "numeric": ("k numeric PRIMARY KEY", "i / 3.0"),
    "float8": ("k float8 PRIMARY KEY", "sqrt(i::float8)"),
    "bytea": ("k bytea PRIMARY KEY", "decode(md5(i::text), 'hex')"),
    "char(n)": ("k char(6) PRIMARY KEY", "i::text"),
    "enum and int": ("e mood NOT NULL, k int NOT NULL, UNIQUE (e, k)", "(ARRAY['sad','ok'])[1 + i % 2]::mood, i"),
    "unique not null": ("k int NOT NULL UNIQUE, n int UNIQUE", "i, NULL"),
    "partitioned": ("a int, b int, PRIMARY KEY (a, b)", "i % 7, i"),
    "none": ("k int", "i % 3"),
    "only a partial unique index": ("k int NOT NULL, EXCLUDE USING btree (k WITH =) WHERE (k < 0)", "i"),
    "quoted names": ('"K ""1""" int PRIMARY KEY', "i"),
}


def _language(db: psycopg.Connection[Any]) -> str:
    """The collation furthest from "C" that this server has (the embedded ones have no ICU)."""
    wanted = ["en-x-icu", "en_US.utf8", "C.utf8", "ucs_basic"]
    found = {name for (name,) in db.execute("SELECT collname FROM pg_collation WHERE collname = ANY (%s)", (wanted,))}
    return next(name for name in wanted if name in found)


#: On every server; the others on one.
PROVEN = ("composite", "uuid", "text in a collation", "none", "partitioned")


@pytest.mark.parametrize(
    ("server", "kind"),
    [*(("18", kind) for kind in KEYS), *(("16", kind) for kind in PROVEN)],
    indirect=["server"],
)
def test_keys_of_every_kind_are_cut_into_ranges(database: Database, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "ROWS_PER_RANGE", 300)
    columns, values = KEYS[kind]
    db = database.connect()
    db.execute("CREATE TYPE mood AS ENUM ('ok', 'sad')")
    db.execute(f'CREATE COLLATION a_language FROM "{_language(db)}"')
    parts = " PARTITION BY HASH (a)" if kind == "partitioned" else ""
    db.execute(f"CREATE TABLE t ({columns}, v text){parts}")
    for i in range(2 if parts else 0):
        db.execute(f"CREATE TABLE t{i} PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER {i})")
    db.execute(f"INSERT INTO t SELECT {values}, i::text FROM generate_series(1, 2300) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    batches: list[Progress] = []

    result = backfill(database, "retype_v", on_progress=batches.append)

    assert (result.complete, result.rows) == (True, 2300)
    assert len(batches) > 2
    # Without a key they are cut at blocks, and there are not many.
    assert value(db, "SELECT count(*) FROM pgjanus.backfill_ranges WHERE rows_done > 0") >= 6
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_v IS DISTINCT FROM v::int OR _pgjanus_state < 4") == 0
    assert asyncio.run(verify(database.url, "retype_v")).clean


def test_a_key_that_the_migration_changes_is_not_walked_along(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (v text NOT NULL UNIQUE)")
    db.execute("INSERT INTO t SELECT i::text FROM generate_series(1, 1000) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"), "reading_new")
    db.execute("UPDATE t SET _pgjanus_v = 5000 - v::int, _pgjanus_state = 6")
    assert backfill(database, "retype_v").complete
    assert value(db, "SELECT count(*) FROM t WHERE v <> _pgjanus_v::text") == 0


@every_server
@pytest.mark.parametrize("key", ["id int PRIMARY KEY", "id int"])
def test_bad_rows_are_named_and_the_rest_is_finished(database: Database, key: str) -> None:
    db = database.connect()
    db.execute(f"CREATE TABLE t ({key}, v text)")
    db.execute(
        "INSERT INTO t SELECT i, CASE WHEN i % 100 = 7 THEN 'n/a ' || i ELSE i::text END"
        " FROM generate_series(1, 3700) i"
    )
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))

    result = backfill(database, "retype_v")

    assert not result.complete
    assert result.rows == 3700 - 37
    assert len(result.bad) == 37
    assert {error for _, error in result.bad} == {
        f'invalid input syntax for type integer: "n/a {i}"' for i in range(7, 3700, 100)
    }
    if "PRIMARY" in key:
        assert [where for where, _ in result.bad] == [f"id={i}" for i in range(7, 3700, 100)]
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_state < 4") == 37
    assert value(db, "SELECT error FROM pgjanus.backfills").startswith("37 rows cannot be converted")

    db.execute("UPDATE t SET v = '0' WHERE v LIKE 'n/a%'")
    assert backfill(database, "retype_v").complete
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_state < 4") == 0


def test_an_expression_that_fails_everywhere_is_given_up(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1100) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    with pytest.raises(TooManyBadRows, match="the expression that has to change"):
        backfill(database, "retype_v")


def test_row_security_is_an_error_and_not_zero_rows(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=10))
    expand(database, SPLIT)
    role = f"rls_{database.name}"
    db.execute(f"CREATE ROLE {role} LOGIN")
    try:
        db.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
        db.execute(f"GRANT ALL ON users TO {role}; GRANT USAGE ON SCHEMA pgjanus TO {role}")
        db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA pgjanus TO {role}")
        url = database.url.replace("postgres@", f"{role}@")
        with pytest.raises(Exception, match="row-level security"):
            asyncio.run(run(url, "split_name"))
    finally:
        db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@every_server
def test_users_triggers_do_not_see_the_backfill(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=10))
    db.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'touched'; RETURN NEW; END$$;"
        " CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()"
    )
    expand(database, SPLIT)
    assert backfill(database, "split_name").complete
    assert value(db, "SELECT count(*) FROM users WHERE note = 'n'") == 10


def test_an_unknown_migration_is_one_clear_error(database: Database) -> None:
    database.connect().execute(USERS)
    expand(database, SPLIT)
    with pytest.raises(PgjanusError, match="did you mean 'split_name'"):
        backfill(database, "split_nam")


@every_server
def test_a_locked_row_is_gone_around_and_then_waited_for(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=600))
    expand(database, SPLIT)
    locker = database.connect()
    locker.execute("BEGIN")
    locker.execute("UPDATE users SET full_name = 'Late Comer' WHERE id = 300")
    waiting = threading.Event()

    def release() -> None:
        waiting.wait(30)
        locker.execute("COMMIT")

    thread = threading.Thread(target=release)
    thread.start()
    observer = database.connect()

    def watch(progress: Progress) -> None:
        # 599 of 600 rows done while the lock is held: the worker went around it.
        if value(observer, "SELECT count(*) FROM users WHERE _pgjanus_state < 4") == 1:
            waiting.set()

    result = backfill(database, "split_name", on_progress=watch)
    thread.join()
    assert waiting.is_set()
    assert result.complete
    assert value(db, WRONG) == 0
    assert value(db, "SELECT _pgjanus_first_name FROM users WHERE id = 300") == "Late"


def proxied_update(connection: psycopg.Connection[Any], row: int, name: str) -> None:
    """What the proxy makes of `UPDATE users SET full_name = $1 WHERE id = $2` in writing_both."""
    connection.execute(
        "UPDATE users AS t SET full_name = %(n)s, _pgjanus_first_name = split_part(%(n)s, ' ', 1), _pgjanus_last_name ="
        " CASE WHEN strpos(%(n)s, ' ') > 0 THEN substr(%(n)s, strpos(%(n)s, ' ') + 1) END,"
        " _pgjanus_state = 5 - (t._pgjanus_state & 1) WHERE id = %(id)s",
        {"n": name, "id": row},
    )


@every_server
def test_concurrent_writers_lose_nothing(database: Database) -> None:
    """Dual writers and old-only ones (a proxy that is one phase behind), which pause with locks held and roll back."""
    rows = 4000
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=rows))
    expand(database, {**SPLIT, "backfill": {"batch_target": "5ms"}})
    stop = threading.Event()
    expected: list[dict[int, str]] = [{}, {}, {}]
    deleted: list[set[int]] = [set(), set(), set()]
    failures: list[BaseException] = []
    connections = [database.connect(autocommit=False) for _ in range(3)]

    def write(which: int) -> None:
        connection, chance = connections[which], random.Random(which)
        count = 0
        try:
            while not stop.is_set():
                count += 1
                row = chance.randrange(1, rows // 3) * 3 + which
                name = f"W{which} {count}"
                if which == 1:
                    connection.execute(
                        "UPDATE users SET full_name = %s, _pgjanus_state = 3 - (_pgjanus_state & 1) WHERE id = %s",
                        (name, row),
                    )
                else:
                    proxied_update(connection, row, name)
                dead = chance.random() < 0.02
                if dead:
                    connection.execute("DELETE FROM users WHERE id = %s", (row,))
                if chance.random() < 0.05:
                    time.sleep(chance.random() * 0.03)  # a transaction that holds its locks: what the test is about
                if chance.random() < 0.1:
                    connection.rollback()
                    continue
                connection.commit()
                expected[which][row] = name
                if dead:
                    deleted[which].add(row)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    try:
        first = None
        deadline = time.monotonic() + 2
        while first is None or time.monotonic() < deadline:
            # The old-only writer keeps making rows; each run ends all the same, when its scan finds none.
            first = asyncio.run(asyncio.wait_for(_until_stopped(database, stop, after_s=1.5), 60))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert backfill(database, "split_name").complete
    assert value(db, WRONG) == 0
    found: dict[int, str] = dict(db.execute("SELECT id, full_name FROM users").fetchall())
    for which in range(3):
        assert len(expected[which]) > 10
        for row, name in expected[which].items():
            assert found.get(row) == (None if row in deleted[which] else name)


async def _until_stopped(database: Database, stop: threading.Event, after_s: float) -> BackfillResult:
    loop = asyncio.get_running_loop()
    loop.call_later(after_s, stop.set)
    return await run(database.url, "split_name")


def test_a_killed_worker_is_continued_from_its_cursor(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=20_000))
    expand(database, {**SPLIT, "backfill": {"batch_target": "1ms"}})
    command = [sys.executable, "-m", "proxy", "backfill", "split_name", "--database-url", database.url]
    kills = 0
    for _ in range(2):
        done = value(db, "SELECT coalesce(sum(rows_done), 0) FROM pgjanus.backfill_ranges")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            deadline = time.monotonic() + 30
            while worker.poll() is None and time.monotonic() < deadline:
                if value(db, "SELECT coalesce(sum(rows_done), 0) FROM pgjanus.backfill_ranges") > done + 500:
                    break
                time.sleep(0.002)
            worker.send_signal(signal.SIGKILL)
        _wait_for_no_worker(db)
        kills += worker.returncode == -signal.SIGKILL
        ((cursor, done, over),) = db.execute("SELECT cursor, rows_done, done FROM pgjanus.backfill_ranges").fetchall()
        assert not over
        converted = value(db, "SELECT count(*) FROM users WHERE _pgjanus_state >= 4")
        assert converted == done, "the cursor and the rows were not committed together"
        assert value(db, "SELECT max(id) FROM users WHERE _pgjanus_state >= 4") == int(cursor[0])
    assert kills == 2

    finished = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    result = json.loads(finished.stdout)
    assert result["complete"]
    assert result["rows"] == 20_000 - done
    assert value(db, WRONG) == 0
    assert db.execute("SELECT rows_done, done FROM pgjanus.backfill_ranges").fetchone() == (20_000, True)


WORKERS = "FROM pg_stat_activity WHERE application_name = 'pgjanus backfill' AND datname = current_database()"


def _wait_for_no_worker(db: psycopg.Connection[Any]) -> None:
    deadline = time.monotonic() + 20
    while value(db, f"SELECT count(*) {WORKERS}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lost_connection_is_opened_again(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=8_000))
    expand(database, {**SPLIT, "backfill": {"batch_target": "1ms"}})
    lost = 0

    def cut(progress: Progress) -> None:
        nonlocal lost
        if progress.state == "converting" and lost < 3 and progress.rows_done > 1500 * (lost + 1):
            lost += value(db, f"SELECT count(pg_terminate_backend(pid)) {WORKERS}")

    assert backfill(database, "split_name", on_progress=cut).complete
    assert lost == 3
    assert value(db, WRONG) == 0


def test_the_run_ends_when_the_phase_no_longer_wants_it(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=2000))
    managed = expand(database, {**SPLIT, "backfill": {"batch_target": "1ms"}})
    locker = database.connect()
    locker.execute("BEGIN")
    locker.execute("SELECT FROM users WHERE id = 50 FOR UPDATE")

    def step_back(progress: Progress) -> None:
        if progress.state == "waiting for a row lock":
            set_phase(db, managed.migration, "expanded")
            locker.execute("ROLLBACK")
            locker.execute("UPDATE users SET _pgjanus_state = 0")

    result = backfill(database, "split_name", on_progress=step_back)
    assert result.rows < 4000
    assert value(db, "SELECT count(*) FROM users WHERE _pgjanus_state = 0") > 1000


def test_the_daemon_follows_phase_changes(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=100))
    managed = expand(database, SPLIT, "expanded")

    async def serve() -> None:
        done = asyncio.Event()
        worker = asyncio.create_task(run(database.url, on_progress=lambda p: done.set() if p.state == "done" else None))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgjanus backfill, waiting%'"
        while not value(db, waiting):  # noqa: ASYNC110 (it is the server that is asked)
            await asyncio.sleep(0.01)
        set_phase(db, managed.migration, "writing_both")
        db.execute("NOTIFY pgjanus, '2'")
        await asyncio.wait_for(done.wait(), 20)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    asyncio.run(serve())
    assert value(db, WRONG) == 0


def test_the_command_line_on_a_pipe(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute("INSERT INTO t VALUES (1, '1'), (2, 'two')")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    command = [sys.executable, "-m", "proxy", "backfill", "retype_v", "--database-url", database.url]
    environment = {**os.environ, "COLUMNS": "200"}

    plain = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert plain.returncode == 1
    assert "1 rows old → both" in plain.stdout
    assert "1 cannot be converted" in plain.stdout
    assert '  id=2: invalid input syntax for type integer: "two"' in plain.stderr
    assert "\x1b" not in plain.stdout + plain.stderr

    db.execute("UPDATE t SET v = '2' WHERE id = 2")
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0
    assert json.loads(again.stdout)["states"][0]["rows"] == 1
