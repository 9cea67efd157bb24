"""The operator's ladder on real servers, without a proxy: every phase, up and down, and what stands in the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from proxy.control.registry import UnknownMigration
from proxy.ladder import status
from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.dependants import StillDependedOn
from proxy.ladder.operator import LadderError, OperatorBusy, TableIsBusy
from proxy.ladder.status import read_status
from rules.errors import MigrationError, PgjanusError
from rules.phases import LADDERS, Strategy
from tests.conftest import Database
from tests.system.ladder_case import (
    NAME,
    ROWS,
    SPLIT,
    USERS,
    Lines,
    columns_of,
    constraints_of,
    not_null_columns,
    operator_of,
    phase_of,
    schema_dump,
    spec,
)

every_server = pytest.mark.parametrize("server", ["18", "16"], indirect=True)
every_strategy = pytest.mark.parametrize("strategy", [s.value for s in Strategy])
#: An older server may differ in the DDL, which is the same in each strategy.
every_strategy_and_one_on_the_older = pytest.mark.parametrize(
    ("server", "strategy"), [*(("18", s.value) for s in Strategy), ("16", "dual_write")], indirect=["server"]
)

GATE_OLD, GATE_NEW = "_pgjanus_gate_old", "_pgjanus_gate_new"
EXPANDED = ["id", "full_name", "age", "_pgjanus_first_name", "_pgjanus_last_name", "_pgjanus_state"]


def phases(strategy: str) -> list[str]:
    return [p.name for p in LADDERS[Strategy(strategy)]]


def new_only_writes(database: Database) -> None:
    """What a proxy writes in `new_only`: an update and an insert that leave the old column alone."""
    session = database.connect()
    session.execute(
        "UPDATE public.users SET _pgjanus_first_name = 'Neu', _pgjanus_state = 7 - (_pgjanus_state & 1) WHERE id <= 10"
    )
    session.execute(
        "INSERT INTO public.users (_pgjanus_first_name, _pgjanus_last_name, _pgjanus_state) VALUES ('Only', 'New', 6)"
    )


# The way


@every_server
@every_strategy
async def test_up_to_the_top_down_again_and_up_to_the_end_loses_nothing(database: Database, strategy: str) -> None:
    database.connect().execute(USERS)
    ladder = phases(strategy)
    async with operator_of(database) as operator:
        await start(operator, spec(strategy=strategy))
        assert columns_of(database) == EXPANDED
        for expected in ladder[2:-1]:
            assert (await advance(operator, NAME)).phase == expected == phase_of(database)
        new_only_writes(database)
        for expected in reversed(ladder[1:-2]):
            assert (await rollback(operator, NAME)).phase == expected == phase_of(database)
        rows = dict(database.connect().execute("SELECT id, full_name FROM public.users").fetchall())
        assert rows == {
            **{i: f"{'Neu' if i <= 10 else f'First{i}'} Last{i}" for i in range(1, ROWS + 1)},
            ROWS + 1: "Only New",
        }
        with pytest.raises(psycopg.errors.NotNullViolation):
            database.connect().execute("INSERT INTO public.users (full_name) VALUES (NULL)")
        outcome = await advance(operator, NAME, "contracted")
    assert outcome.steps == ladder[2:]
    assert outcome.held_ms is not None
    assert columns_of(database) == ["id", "age", "first_name", "last_name"]
    assert constraints_of(database) == {"users_pkey": True}
    found = database.connect().execute("SELECT first_name || ' ' || last_name FROM public.users ORDER BY id").fetchall()
    assert [r[0] for r in found] == [rows[i] for i in range(1, ROWS + 2)]


@every_strategy_and_one_on_the_older
async def test_each_phase_has_the_gate_that_its_reads_need(database: Database, strategy: str) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec(strategy=strategy))
        ladder = LADDERS[Strategy(strategy)][1:-1]
        for phase in (*ladder, *reversed(ladder[:-1]), *ladder[1:]):
            if phase.name != phase_of(database):
                step = (
                    advance
                    if phases(strategy).index(phase.name) > phases(strategy).index(str(phase_of(database)))
                    else rollback
                )
                await step(operator, NAME)
            assert phase.policy is not None
            gates = {k: v for k, v in constraints_of(database).items() if k in (GATE_OLD, GATE_NEW)}
            forbids, leaves = phase.policy.reads.forbids, phase.policy.writes.leaves
            if forbids is not None:
                assert f"_pgjanus_gate_{forbids.value}" in gates
            assert f"_pgjanus_gate_{leaves.value}" not in gates
            status = (await read_status(operator.connection, NAME)).migrations[0]
            if forbids is not None:
                assert status.rows is not None
                assert status.rows[forbids.value] == 0


async def test_reads_do_not_go_over_while_the_two_formats_differ(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME)
        # As a proxied write may, with the format of one side wrong.
        session.execute("UPDATE public.users SET _pgjanus_first_name = 'Wrong', _pgjanus_state = 4 WHERE id = 7")
        with pytest.raises(LadderError, match="the two formats differ in 1 rows"):
            await advance(operator, NAME)
        assert phase_of(database) == "writing_both"
        session.execute("UPDATE public.users SET _pgjanus_first_name = 'First7', _pgjanus_last_name = 'Last7'")
        session.execute("DELETE FROM public.users WHERE id <> 7")
        assert (await advance(operator, NAME)).phase == "reading_new"


@every_strategy_and_one_on_the_older
async def test_abort_from_every_phase_leaves_the_schema_as_it_was(database: Database, strategy: str) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute(
        "CREATE TABLE public.teams (code text PRIMARY KEY);"
        "ALTER TABLE public.users ADD CONSTRAINT sane CHECK (length(full_name) < 1000);"
        "GRANT SELECT (full_name), UPDATE (full_name) ON public.users TO pg_monitor;"
        "CREATE VIEW public.ages AS SELECT age FROM public.users"
    )
    if database.server.version >= 18:
        session.execute("ALTER TABLE public.users RENAME CONSTRAINT users_full_name_not_null TO my_own_name")
    before = schema_dump(database)
    async with operator_of(database) as operator:
        for phase in phases(strategy)[1:-1]:
            await start(operator, spec(attributed(), strategy=strategy))
            if phase != "expanded":
                await advance(operator, NAME, phase)
            assert schema_dump(database) != before
            await abort(operator, NAME)
            assert phase_of(database) is None
            assert schema_dump(database) == before, f"after an abort in {phase}"


def attributed(**changes: object) -> dict[str, object]:
    """The split, with every attribute that a new column can have."""
    first = {"not_null": True, "unique": True, "check": "length(first_name) > 0", **changes}
    last = {"default": "'?'", "index": True}
    split = SPLIT["split_column"]
    into = {
        "first_name": {**split["into"]["first_name"], **first},
        "last_name": {**split["into"]["last_name"], **last},
    }
    return {"split_column": {**split, "into": into}}


@every_server
async def test_the_contracted_table_is_the_one_that_create_table_would_have_made(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute("CREATE TABLE public.teams (code text PRIMARY KEY); INSERT INTO public.teams VALUES ('Last1')")
    session.execute("UPDATE public.users SET full_name = 'First' || id || ' Last1'")
    operation = attributed()
    operation["split_column"]["into"]["last_name"]["references"] = "public.teams(code) ON DELETE CASCADE"  # type: ignore[index]
    async with operator_of(database) as operator:
        await start(operator, spec(operation))
        await advance(operator, NAME, "contracted")
    migrated = schema_dump(database, table="public.users")
    session.execute("DROP TABLE public.users")
    session.execute(
        "CREATE TABLE public.users (id bigserial PRIMARY KEY, age int DEFAULT 7,"
        " first_name text NOT NULL UNIQUE CHECK (length(first_name) > 0),"
        " last_name text DEFAULT '?' REFERENCES public.teams (code) ON DELETE CASCADE);"
        " CREATE INDEX ON public.users (last_name)"
    )
    assert migrated == schema_dump(database, table="public.users")


@every_server
async def test_attributes_hold_while_the_new_format_is_read_and_not_before(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec(attributed()))
        await advance(operator, NAME, "writing_both")
        assert set(constraints_of(database)) == {"users_pkey", GATE_NEW}
        await advance(operator, NAME)
        valid = [name for name, is_valid in constraints_of(database).items() if is_valid]
        held = {name.split("_")[2] for name in valid if name.startswith("_pgjanus_")}
        assert "ck" in held and "nn" not in held, "the proof of a NOT NULL goes when that is set"
        assert not_null_columns(database) == {"id", "full_name", "_pgjanus_first_name", "_pgjanus_state"}
        index = database.connect().execute(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'public.users'::regclass AND indisunique AND indisvalid"
        )
        assert index.fetchone() == (2,)
        await rollback(operator, NAME)
        assert set(constraints_of(database)) == {"users_pkey", GATE_NEW, GATE_OLD}
        assert not_null_columns(database) == {"id", "full_name", "_pgjanus_state"}


# What stands in the way


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({"unique": True}, "UPDATE users SET full_name = 'Same ' || id WHERE id IN (3, 4)", "Same"),
        (
            {"not_null": True, "up": "nullif(split_part(full_name, ' ', 1), 'x')"},
            "UPDATE users SET full_name = 'x y' WHERE id = 5",
            "NOT NULL of column first_name",
        ),
        (
            {"check": "length(first_name) > 3"},
            "UPDATE users SET full_name = 'x y' WHERE id = 5",
            "length(first_name) > 3",
        ),
        ({"references": "public.teams(code)"}, "DELETE FROM teams WHERE code = 'First5'", "is not present in table"),
        (
            {"up": "split_part(full_name, ' ', CASE WHEN full_name LIKE 'x%' THEN 0 ELSE 1 END)"},
            "UPDATE users SET full_name = 'x y' WHERE id = 9",
            "id=9",
        ),
    ],
    ids=["unique", "not_null", "check", "references", "up"],
)
async def test_rows_that_do_not_fit_refuse_the_step_and_leave_nothing_behind(
    database: Database, change: dict[str, object], data: str, message: str
) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute(
        "CREATE TABLE public.teams (code text PRIMARY KEY); INSERT INTO teams SELECT 'First' || id FROM users"
    )
    plain: dict[str, object] = {"not_null": False, "unique": False, "check": None}
    operation = attributed(**{**plain, **change})
    async with operator_of(database) as operator:
        await start(operator, spec(operation))
        session.execute(data)
        await advance(operator, NAME)
        before = {k for k in constraints_of(database) if k != GATE_OLD}
        with pytest.raises(LadderError, match=None) as caught:
            await advance(operator, NAME)
        assert message in str(caught.value)
        assert phase_of(database) == "writing_both"
        assert {k for k in constraints_of(database) if k != GATE_OLD} == before
        session.execute("UPDATE public.users SET age = age + 1")
        await rollback(operator, NAME)
        assert set(constraints_of(database)) == {"users_pkey", GATE_NEW}


@dataclass(frozen=True)
class Case:
    make: str
    described: str
    drop: str


_ON_USERS = "ALTER TABLE public.users"
DEPENDANTS = {
    "a materialized view": Case(
        "CREATE MATERIALIZED VIEW m AS SELECT full_name AS f FROM users",
        "materialized view public.m .*a materialized view cannot be replaced",
        "DROP MATERIALIZED VIEW m",
    ),
    "a rule": Case(
        "CREATE RULE r AS ON DELETE TO users WHERE OLD.full_name = '' DO INSTEAD NOTHING",
        "rule r",
        "DROP RULE r ON users",
    ),
    "a unique constraint": Case(
        f"{_ON_USERS} ADD CONSTRAINT u UNIQUE (full_name)", "constraint u", f"{_ON_USERS} DROP CONSTRAINT u"
    ),
    "a unique index": Case("CREATE UNIQUE INDEX ui ON users (lower(full_name))", "index public.ui", "DROP INDEX ui"),
    "an exclusion constraint": Case(
        f"{_ON_USERS} ADD CONSTRAINT x EXCLUDE USING btree (full_name WITH =)",
        "constraint x",
        f"{_ON_USERS} DROP CONSTRAINT x",
    ),
    "a foreign key from it": Case(
        "CREATE TABLE n (name text PRIMARY KEY); INSERT INTO n SELECT full_name FROM users;"
        f"{_ON_USERS} ADD CONSTRAINT f FOREIGN KEY (full_name) REFERENCES n",
        "constraint f",
        "DROP TABLE n CASCADE",
    ),
    "a foreign key to it": Case(
        f"{_ON_USERS} ADD CONSTRAINT u UNIQUE (full_name);"
        "CREATE TABLE o (n text CONSTRAINT fo REFERENCES users (full_name))",
        "constraint fo",
        f"DROP TABLE o; {_ON_USERS} DROP CONSTRAINT u",
    ),
    "a generated column": Case(
        f"{_ON_USERS} ADD COLUMN g text GENERATED ALWAYS AS (upper(full_name)) STORED",
        "column g",
        f"{_ON_USERS} DROP COLUMN g",
    ),
    "a policy": Case("CREATE POLICY p ON users USING (users <> NULL)", "policy p", "DROP POLICY p ON users"),
    "an UPDATE OF trigger": Case(
        "CREATE TRIGGER tr BEFORE UPDATE OF full_name ON users FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger tr",
        "DROP TRIGGER tr ON users",
    ),
    "a check with other columns": Case(
        f"{_ON_USERS} ADD CONSTRAINT c CHECK (length(full_name) > coalesce(age, 0) - 100)",
        "constraint c",
        f"{_ON_USERS} DROP CONSTRAINT c",
    ),
    "a check that NULL fails": Case(
        f"{_ON_USERS} ADD CONSTRAINT c CHECK (full_name IS NOT NULL)", "constraint c", f"{_ON_USERS} DROP CONSTRAINT c"
    ),
    "a function": Case(
        "CREATE FUNCTION fn() RETURNS text BEGIN ATOMIC SELECT full_name FROM users LIMIT 1; END",
        "function public.fn",
        "DROP FUNCTION fn",
    ),
    "whole rows": Case(
        "CREATE VIEW wr AS SELECT to_jsonb(u) AS j FROM users u", "view public.wr by its whole rows", "DROP VIEW wr"
    ),
}


@every_server
async def test_what_depends_on_an_old_column_refuses_new_only_and_is_named(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "reading_new")
        for kind, case in DEPENDANTS.items():
            session.execute(case.make)
            with pytest.raises(StillDependedOn, match=case.described):
                await advance(operator, NAME)
            assert phase_of(database) == "reading_new", kind
            session.execute(case.drop)
        nullable = session.execute(
            "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname = 'full_name'"
        )
        assert nullable.fetchone() == (True,)
        assert (await advance(operator, NAME)).phase == "new_only"


async def test_what_does_not_constrain_the_old_column_goes_with_it(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute(
        "ALTER TABLE public.users ADD CONSTRAINT sane CHECK (length(full_name) < 1000);"
        "CREATE STATISTICS st ON full_name, age FROM public.users;"
        "ALTER TABLE public.users ALTER COLUMN full_name SET DEFAULT 'x'"
    )
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "contracted")
    assert constraints_of(database) == {"users_pkey": True}


async def test_a_busy_table_takes_the_announcement_back_and_the_holder_is_named(database: Database) -> None:
    database.connect().execute(USERS)
    before = schema_dump(database)
    with database.connect(autocommit=False, application_name="the blocker") as blocker:
        blocker.execute("SELECT count(*) FROM public.users")
        pid = blocker.info.backend_pid
        async with operator_of(database, timeout_s=0.5) as operator:
            with pytest.raises(TableIsBusy, match=rf"pid {pid} \(the blocker, idle in transaction.*SELECT count"):
                await start(operator, spec())
        assert phase_of(database) is None
        assert schema_dump(database) == before
        blocker.rollback()
    async with operator_of(database) as operator:
        assert (await start(operator, spec())).phase == "expanded"


async def test_writers_get_through_while_an_operator_waits_for_the_lock(database: Database) -> None:
    database.connect().execute(USERS)
    blocker = database.connect(autocommit=False)
    blocker.execute("SELECT count(*) FROM public.users")
    writer = await psycopg.AsyncConnection.connect(database.url, autocommit=True)
    waited: list[float] = []
    lines = Lines()

    async def write(until: asyncio.Event) -> None:
        while not until.is_set():
            began = asyncio.get_running_loop().time()
            await writer.execute("UPDATE public.users SET age = age + 1 WHERE id = 1")
            waited.append(asyncio.get_running_loop().time() - began)

    async with operator_of(database, timeout_s=1.5, say=lines) as operator:
        done = asyncio.Event()
        writing = asyncio.create_task(write(done))
        with pytest.raises(TableIsBusy):
            await start(operator, spec())
        done.set()
        await writing
    await writer.close()
    assert len(lines) >= 3, "it was tried again and again"
    assert max(waited) < 0.5


async def test_a_lock_that_is_not_autovacuums_is_not_called_off(database: Database) -> None:
    database.connect().execute(USERS)
    blocker = database.connect(autocommit=False)
    blocker.execute("LOCK TABLE public.users IN SHARE UPDATE EXCLUSIVE MODE")
    async with operator_of(database, timeout_s=0.3) as operator:
        with pytest.raises(TableIsBusy, match="LOCK TABLE"):
            await start(operator, spec())


async def test_a_second_migration_of_the_table_or_of_the_name_is_refused(database: Database) -> None:
    database.connect().execute(USERS + "CREATE TABLE public.other (full_name text);")
    async with operator_of(database) as operator:
        await start(operator, spec())
        rename = {"rename_column": {"column": "age", "to": "years"}}
        with pytest.raises(LadderError, match=f"already has migration '{NAME}' in phase expanded"):
            await start(operator, spec(rename, name="another"))
        with pytest.raises(LadderError, match="already there, in phase expanded"):
            await start(operator, spec())
        await advance(operator, NAME, "contracted")
        with pytest.raises(LadderError, match="carried out already"):
            await start(operator, spec(rename))
        assert (await start(operator, spec(rename, name="another"))).phase == "expanded"


async def test_a_definition_that_does_not_fit_registers_nothing(database: Database) -> None:
    database.connect().execute("CREATE TABLE public.users (id int PRIMARY KEY, name text)")
    async with operator_of(database) as operator:
        with pytest.raises(MigrationError, match="full_name"):
            await start(operator, spec())
        with pytest.raises(LadderError, match=r"no table public\.user in this database.*did you mean 'public\.users'"):
            await start(operator, spec(table="public.user"))
        status = await read_status(operator.connection)
    assert status.migrations == ()
    assert columns_of(database) == ["id", "name"]


async def test_wrong_names_and_directions_say_what_would_be_right(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        with pytest.raises(UnknownMigration, match="pgjanus start FILE"):
            await advance(operator, NAME)
        await start(operator, spec())
        with pytest.raises(UnknownMigration, match=f"did you mean '{NAME}'"):
            await advance(operator, "split_ful_name")
        with pytest.raises(LadderError, match=r"did you mean 'reading_new'.*announced → expanded → writing_both"):
            await advance(operator, NAME, "reading_newer")
        with pytest.raises(LadderError, match=f"pgjanus abort {NAME}"):
            await rollback(operator, NAME)
        with pytest.raises(LadderError, match=f"pgjanus abort {NAME}"):
            await rollback(operator, NAME, "announced")
        await advance(operator, NAME, "reading_new")
        with pytest.raises(LadderError, match="pgjanus rollback"):
            await advance(operator, NAME, "expanded")
        with pytest.raises(LadderError, match="pgjanus advance"):
            await rollback(operator, NAME, "new_only")
        assert (await advance(operator, NAME, "reading_new")).steps == [], "there already"
        await advance(operator, NAME, "contracted")
        for step in (advance, rollback, abort):
            with pytest.raises(LadderError, match="is over"):
                await step(operator, NAME)


async def test_two_operators_are_one_too_many_and_the_first_is_named(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as first:
        pid = first.connection.get_server_pid()
        with pytest.raises(OperatorBusy, match=rf"pid {pid} \(pgjanus test"):
            async with operator_of(database):
                pass
        assert (await start(first, spec())).phase == "expanded"


async def test_column_grants_reach_the_new_columns(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute(
        "DROP ROLE IF EXISTS ladder_clerk; CREATE ROLE ladder_clerk;"
        " GRANT SELECT (full_name), UPDATE (full_name) ON public.users TO ladder_clerk"
    )
    async with operator_of(database) as operator:
        await start(operator, spec())
    try:
        session.execute("SET ROLE ladder_clerk")
        session.execute(
            "UPDATE public.users SET full_name = full_name, _pgjanus_first_name = full_name,"
            " _pgjanus_state = 5 - (_pgjanus_state & 1)"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT age FROM public.users")
        # What is granted and revoked afterwards comes with the next step.
        session.execute(
            "RESET ROLE; GRANT SELECT (full_name) ON public.users TO PUBLIC;"
            " REVOKE UPDATE (full_name) ON public.users FROM ladder_clerk"
        )
        async with operator_of(database) as operator:
            await advance(operator, NAME)
        assert privileges_of(session, "_pgjanus_last_name") == ["PUBLIC SELECT", "ladder_clerk SELECT"]
        session.execute("REVOKE SELECT (full_name) ON public.users FROM PUBLIC, ladder_clerk")
        async with operator_of(database) as operator:
            await rollback(operator, NAME)
        assert privileges_of(session, "_pgjanus_last_name") == []
    finally:
        session.execute("RESET ROLE; DROP OWNED BY ladder_clerk; DROP ROLE ladder_clerk")


def privileges_of(session: psycopg.Connection[Any], column: str) -> list[str]:
    rows = session.execute(
        "SELECT coalesce(nullif(g.grantee, 0)::regrole::text, 'PUBLIC') || ' ' || g.privilege_type FROM pg_attribute a,"
        " aclexplode(a.attacl) g WHERE attrelid = 'public.users'::regclass AND attname = %s ORDER BY 1",
        [column],
    ).fetchall()
    return [r[0] for r in rows]


async def test_abort_works_when_the_table_is_gone(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        database.connect().execute("DROP TABLE public.users")
        with pytest.raises(Exception, match=f"pgjanus abort {NAME}"):
            await advance(operator, NAME)
        await abort(operator, NAME)
    assert phase_of(database) is None


async def test_a_table_that_is_always_locked_is_not_contracted_and_nobody_stays_held(database: Database) -> None:
    database.connect().execute(USERS)
    lines = Lines()
    async with operator_of(database, timeout_s=1, say=lines) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "new_only")
        blocker = database.connect(autocommit=False, application_name="the blocker")
        blocker.execute("SELECT count(*) FROM public.users")
        with pytest.raises(LadderError, match="the blocker"):
            await advance(operator, NAME)
        assert phase_of(database) == "new_only"
        assert database.connect().execute("SELECT hold_until FROM pgjanus.migrations").fetchone() == (None,)
        assert lines.text.count("attempt ") >= 2
        blocker.rollback()
        assert (await advance(operator, NAME)).phase == "contracted"


async def test_two_migrations_of_two_tables_go_their_own_ways(database: Database) -> None:
    database.connect().execute(USERS + "CREATE TABLE public.other AS SELECT id, full_name FROM public.users;")
    rename = {"rename_column": {"column": "full_name", "to": "name"}}
    async with operator_of(database) as operator:
        await start(operator, spec())
        await start(operator, spec(rename, name="rename", table="public.other", strategy="both"))
        await advance(operator, NAME)
        await advance(operator, "rename", "contracted")
        assert (phase_of(database), phase_of(database, "rename")) == ("writing_both", "contracted")
        assert columns_of(database, "public.other") == ["id", "name"]
        await abort(operator, NAME)
        assert [m.name for m in (await read_status(operator.connection)).migrations] == ["rename"]
    assert columns_of(database) == ["id", "full_name", "age"]


async def test_rows_of_a_large_table_are_estimated_from_a_sample(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = database.connect()
    session.execute(USERS)
    session.execute("INSERT INTO public.users (full_name) SELECT 'a b' FROM generate_series(1, 100000)")
    async with operator_of(database) as operator:
        await start(operator, spec())
        counted = (await read_status(operator.connection, NAME)).migrations[0]
        monkeypatch.setattr(status, "_COUNT_UP_TO_BYTES", 0)
        monkeypatch.setattr(status, "_SAMPLE_BYTES", 2_000_000)
        sampled = (await read_status(operator.connection, NAME)).migrations[0]
    assert (counted.rows_are_exact, counted.rows) == (True, {"old": 100_000 + ROWS, "both": 0, "new": 0})
    assert not sampled.rows_are_exact
    assert sampled.rows is not None
    assert 50_000 < sampled.rows["old"] < 200_000


async def test_a_renamed_table_is_not_taken_for_a_dropped_one(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        session.execute("ALTER TABLE public.users RENAME TO people")
        for step in (advance, abort):
            with pytest.raises(PgjanusError, match=r"is called public\.people now: give it its name back"):
                await step(operator, NAME)
        session.execute("ALTER TABLE public.people RENAME TO users")
        await abort(operator, NAME)
    assert columns_of(database) == ["id", "full_name", "age"]
