"""The ladder's own locks: what is done under them, who is named when they are not to be had, and that nothing is lost.

No timing: a lock that is taken by the message that commits, and under which PostgreSQL neither scans nor rewrites, is
short. How short, with millions of rows and under traffic, is for `make soak` to measure.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import psycopg
import pytest

from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.operator import LadderError, Operator, TableIsBusy, operate
from proxy.preflight import expressions
from rules.catalog import TableName
from rules.ddl.locking import at_once
from rules.ddl.statements import Lock, Statement
from tests.conftest import ALL_SERVERS, Database
from tests.system.ladder_case import NAME, USERS, Lines, operator_of, phase_of, spec
from tests.system.test_ladder import attributed

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)

Move = Callable[[Operator], Awaitable[object]]

TEAMS = "CREATE TABLE public.teams (code text PRIMARY KEY); INSERT INTO public.teams VALUES ('Last1');"
SAME_TEAM = "UPDATE public.users SET full_name = 'First' || id || ' Last1';"


def demanding() -> dict[str, Any]:
    """Every attribute that a new column can have, a foreign key too."""
    operation: dict[str, Any] = attributed()
    operation["split_column"]["into"]["last_name"]["references"] = "public.teams(code)"
    return operation


# What happens under a lock

#: What PostgreSQL says at DEBUG1 when it reads a table (tablecmds.c, index.c).
_READS = re.compile("rewriting table|verifying table|building index|validating foreign key")

# Tells, behind each command, which locks that stall writers or readers its transaction holds.
_TELL = """
CREATE FUNCTION public.tell_locks() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE DEBUG 'holds %', (SELECT coalesce(string_agg(DISTINCT l.relation::regclass || ' ' || l.mode, ', '), '')
        FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind = 'r' AND n.nspname = 'public'
         AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'));
END $$;
CREATE EVENT TRIGGER tell ON ddl_command_end EXECUTE FUNCTION public.tell_locks();
CREATE FUNCTION public.tell_rewrite() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF pg_event_trigger_table_rewrite_oid() = 'public.users'::regclass THEN RAISE 'a rewrite'; END IF;
END $$;
CREATE EVENT TRIGGER rewrite ON table_rewrite EXECUTE FUNCTION public.tell_rewrite();
"""


class Ear:
    """Listens to an operator's session: each message that it sends, with what PostgreSQL says meanwhile."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[str]]] = []
        self._said: list[str] = []

    async def listen(self, operator: Operator) -> None:
        await operator.connection.execute("SET client_min_messages = debug1")
        operator.connection.add_log_listener(lambda _, message: self._said.append(message.message))
        operator.connection.add_query_logger(self._query)

    def _query(self, query: asyncpg.connection.LoggedQuery) -> None:
        self.heard.append((query.query, self._said[:]))
        self._said.clear()

    def stalling(self) -> list[tuple[str, list[str]]]:
        """The messages that hold a lock which stalls somebody."""
        return [(sql, said) for sql, said in self.heard if any(re.match("holds .", line) for line in said)]


@every_server
async def test_nothing_is_read_under_a_lock_that_stalls_anybody_and_it_is_gone_with_its_message(
    database: Database,
) -> None:
    session = database.connect()
    session.execute(USERS + TEAMS + SAME_TEAM + _TELL)
    ear = Ear()
    async with operator_of(database) as operator:
        await ear.listen(operator)
        await start(operator, spec(demanding()))
        await advance(operator, NAME, "new_only")
        await rollback(operator, NAME, "expanded")
        await abort(operator, NAME)
        await start(operator, spec(demanding()))
        await advance(operator, NAME, "contracted")
    stalling = ear.stalling()
    assert len(stalling) > 20
    for sql, said in stalling:
        if not sql.startswith(("CREATE TEMP TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX", 'ALTER TABLE "pg_temp')):
            assert sql.startswith("SET LOCAL statement_timeout"), sql
            assert sql.endswith(";\nCOMMIT"), sql
            assert not [line for line in said if _READS.search(line)], (sql, said)
    read = [sql for sql, said in ear.heard if any(_READS.search(line) for line in said)]
    assert any(sql.startswith("ALTER TABLE") and "VALIDATE CONSTRAINT" in sql for sql in read), "the ear hears it"
    assert any("CREATE UNIQUE INDEX CONCURRENTLY" in sql for sql in read)


def test_one_message_takes_the_strongest_lock_first_and_commits() -> None:
    table = TableName("public", "users")
    sql = at_once(table, [Statement("a", Lock.SHARE_ROW_EXCLUSIVE), Statement("b", Lock.ACCESS_EXCLUSIVE)])
    assert sql.split(";\n") == [
        "SET LOCAL statement_timeout = 150",
        'LOCK TABLE "public"."users" IN ACCESS EXCLUSIVE MODE',
        "SET LOCAL statement_timeout = 2000",
        *("a", "b", "COMMIT"),
    ]
    assert at_once(table, [Statement("GRANT", Lock.NONE)]) == "GRANT;\nCOMMIT"


async def test_a_change_that_takes_too_long_under_the_lock_is_called_off(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    slow = Statement("SELECT pg_sleep(60)", Lock.ACCESS_EXCLUSIVE)
    async with operator_of(database, timeout_s=0) as operator:
        with pytest.raises(TableIsBusy, match=r"a change: no lock on public\.users.*more than 2000 ms under the lock"):
            await operator.execute_briefly("a change", TableName("public", "users"), [slow])
        assert not operator.connection.is_in_transaction()


# Who stands in the way


async def refused(operator: Operator, move: Move) -> str:
    with pytest.raises(LadderError) as caught:
        await move(operator)
    return str(caught.value)


def moves() -> list[tuple[str, Move]]:
    """All of a migration's steps, up, down, and to either end."""

    def up(operator: Operator) -> Awaitable[object]:
        return advance(operator, NAME)

    def down(operator: Operator) -> Awaitable[object]:
        return rollback(operator, NAME)

    def begin(operator: Operator) -> Awaitable[object]:
        return start(operator, spec(attributed()))

    def end(operator: Operator) -> Awaitable[object]:
        return abort(operator, NAME)

    way = [("start", begin), *[("advance", up)] * 3, *[("rollback", down)] * 3, ("abort", end)]
    return [*way, ("start", begin), *[("advance", up)] * 4]


@pytest.mark.parametrize(("server", "mode"), [("18", "ROW EXCLUSIVE"), ("16", "ACCESS SHARE")], indirect=["server"])
async def test_whoever_has_the_table_stops_each_step_cleanly_is_named_and_the_next_try_completes_it(
    database: Database, mode: str
) -> None:
    session = database.connect()
    session.execute(USERS)
    blocker = database.connect(autocommit=False, application_name="the blocker")
    pid = blocker.info.backend_pid
    named = re.compile(rf"pid {pid} \(the blocker, idle in transaction, for [\d.]+ s\): LOCK TABLE public\.users IN")
    async with operator_of(database):
        pass  # the first one makes the schema pgjanus
    for name, move in moves():
        before = phase_of(database)
        blocker.execute(f"LOCK TABLE public.users IN {mode} MODE")
        async with operator_of(database, timeout_s=0.25) as operator:
            said = await refused(operator, move)
            assert named.search(said), f"{name} from {before}: {said}"
            assert not operator.connection.is_in_transaction()
        assert phase_of(database) == before, name
        # Clients of the phase that stays are as free as before.
        session.execute("UPDATE public.users SET age = age + 1, full_name = full_name WHERE id = 1")
        blocker.rollback()
        async with operator_of(database) as operator:
            await move(operator)
    assert phase_of(database) == "contracted"


async def test_who_has_the_referenced_table_locked_is_named_as_well(database: Database) -> None:
    database.connect().execute(USERS + TEAMS + SAME_TEAM)
    blocker = database.connect(autocommit=False, application_name="the blocker")
    async with operator_of(database, timeout_s=0.25) as operator:
        await start(operator, spec(demanding()))
        await advance(operator, NAME)
        blocker.execute("UPDATE public.teams SET code = code")
        assert "(the blocker, idle in transaction" in await refused(operator, lambda o: advance(o, NAME))
        blocker.rollback()
        assert (await advance(operator, NAME)).phase == "reading_new"


async def test_a_prepared_transaction_is_named_with_what_to_do_about_it(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute("BEGIN; UPDATE public.users SET age = 8 WHERE id = 1; PREPARE TRANSACTION 'forgotten'")
    async with operator_of(database, timeout_s=0.25) as operator:
        said = await refused(operator, lambda o: start(o, spec()))
        assert re.search(
            r"a prepared transaction 'forgotten' of postgres, for [\d.]+ s .*COMMIT PREPARED or ROLL", said
        )
        session.execute("ROLLBACK PREPARED 'forgotten'")
        await start(operator, spec())


async def test_only_who_is_in_the_way_is_named_the_oldest_first(database: Database) -> None:
    database.connect().execute(USERS + TEAMS + SAME_TEAM)
    names = ["reader", "first", "second", "third", "fourth", "fifth"]
    others = [database.connect(autocommit=False, application_name=name) for name in names]
    for other, mode in zip(others, ["ACCESS SHARE", *["ROW EXCLUSIVE"] * 5], strict=True):
        other.execute(f"LOCK TABLE public.users IN {mode} MODE")
    async with operator_of(database, timeout_s=0) as operator:
        weaker = Statement("SELECT 1", Lock.SHARE_ROW_EXCLUSIVE)
        said = await refused(operator, lambda o: o.execute_briefly("x", TableName("public", "users"), [weaker]))
        assert re.findall(r"pid \d+ \((\w+)", said) == ["first", "second", "third"]
        assert said.endswith("; and 2 more")


async def test_an_index_build_names_whoever_it_waits_for_and_leaves_no_index_behind(database: Database) -> None:
    """It waits for every older transaction, also for one that has never seen the table."""
    session = database.connect()
    session.execute(USERS)
    indexes = (
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = %s::regclass"
    )
    reader = database.connect(autocommit=False, application_name="a report")
    lines = Lines()
    async with operator_of(database, timeout_s=2, say=lines) as operator:
        await start(operator, spec(attributed()))
        await advance(operator, NAME)
        before = session.execute(indexes, ["public.users"]).fetchall()
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1 FROM pg_class LIMIT 1")
        said = await refused(operator, lambda o: advance(o, NAME))
        assert re.search(r"UNIQUE of column first_name: waited 2 s for pid \d+ \(a report, idle in transaction", said)
        assert "UNIQUE of column first_name: waiting for pid" in lines.text, "also while it waits"
        assert session.execute(indexes, ["public.users"]).fetchall() == before
        assert phase_of(database) == "writing_both"
        reader.rollback()
        assert (await advance(operator, NAME)).phase == "reading_new"


@pytest.mark.parametrize("server", ["16"], indirect=True)
async def test_an_autovacuum_in_the_way_makes_way_also_for_an_operator_who_may_not_signal_it(
    database: Database,
) -> None:
    session = database.connect()
    session.execute(
        "DROP ROLE IF EXISTS operator; CREATE ROLE operator LOGIN;"
        f" GRANT CREATE ON DATABASE {database.name} TO operator; ALTER SCHEMA public OWNER TO operator"
    )
    url = database.url.replace("postgres@", "operator@")
    owner = database.connect(user="operator")
    owner.execute(USERS)
    # One that would take hours.
    slowly = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    owner.execute(f"ALTER TABLE public.users SET ({slowly}, autovacuum_vacuum_threshold = 0)")
    owner.execute("INSERT INTO public.users (full_name) SELECT 'a b' FROM generate_series(1, 20000)")
    owner.execute("UPDATE public.users SET age = 8")
    owner.execute("SELECT pg_stat_force_next_flush()") if database.server.version >= 15 else None
    session.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    session.execute("SELECT pg_reload_conf()")
    try:
        while not session.execute(
            "SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'public.users'::regclass"
            " AND a.backend_type = 'autovacuum worker'"
        ).fetchall():
            pass
    finally:
        session.execute("ALTER SYSTEM RESET autovacuum_naptime")
        session.execute("SELECT pg_reload_conf()")
    lines = Lines()
    async with operate(url, "test", say=lines, timeout_s=10) as operator:
        assert (await start(operator, spec())).phase == "expanded"
    assert re.search(r"waiting for pid \d+ \(.*what it does is not shown", lines.text)


# A table that PostgreSQL would rewrite


@every_server
async def test_a_domain_for_which_postgresql_rewrites_the_table_is_refused_unless_the_table_is_small(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = database.connect()
    session.execute(
        "CREATE DOMAIN public.word AS text CHECK (VALUE <> ''); CREATE DOMAIN public.first_word AS public.word;"
        " CREATE DOMAIN public.any_word AS text"
    )
    session.execute(USERS)
    words = {
        "change_type": {"column": "full_name", "type": "public.first_word", "up": "full_name", "down": "full_name"}
    }
    async with operator_of(database) as operator:
        monkeypatch.setattr(expressions, "REWRITTEN_UP_TO_BYTES", 0)
        said = await refused(operator, lambda o: start(o, spec(words)))
        assert "full_name has the domain public.first_word, which has constraints" in said
        assert "check" in said
        free = {"change_type": {**words["change_type"], "type": "public.any_word"}}
        await start(operator, spec(free))
        await abort(operator, NAME)
        monkeypatch.undo()
        await start(operator, spec(words))
