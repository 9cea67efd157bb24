"""Transition indexes on real servers: there before a phase reads by them, complete after a crash, gone afterwards."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from proxy.catalog import load_relation
from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.indexes import IndexCannotBeMade, find_transition
from proxy.ladder.operator import LadderError, TableIsBusy
from proxy.ladder.status import read_status
from proxy.preflight import preflight
from rules.ddl.ladder import climb
from rules.phases import LADDERS, Shape, Strategy
from rules.reads import by_row_state
from rules.spec import MigrationSpec
from tests.conftest import Database
from tests.system.ladder_case import Lines, operator_of, schema_dump

every_strategy = pytest.mark.parametrize("strategy", [s.value for s in Strategy])
two_servers = pytest.mark.parametrize("server", ["18", "16"], indirect=True)

NAME = "mail"
ROWS = 400
PEOPLE = f"""
CREATE TABLE people (id int PRIMARY KEY, email text NOT NULL, tenant int NOT NULL, tier varchar(10));
INSERT INTO people SELECT g, 'user' || g, g % 10, 'free' FROM generate_series(1, {ROWS}) g;
CREATE INDEX people_email_idx ON people (email);
CREATE INDEX ON people (lower(email) text_pattern_ops) WHERE email <> '';
CREATE INDEX people_tenant_email_idx ON people (tenant, email DESC NULLS LAST) INCLUDE (tier);
CREATE INDEX by_hash ON people USING hash (email);
CREATE INDEX by_tier ON people (tenant) INCLUDE (tier);
"""
RENAME = {"rename_column": {"column": "email", "to": "mail"}}
TO_MAIL = {"change_columns": {"old": {"email": "lower(mail)"}, "new": {"mail": {"type": "text", "up": "upper(email)"}}}}


def spec(*operations: object, strategy: str = "dual_write") -> MigrationSpec:
    listed = list(operations) or [RENAME, {"rename_column": {"column": "tier", "to": "plan"}}]
    return MigrationSpec.from_json(
        {"migration": NAME, "table": "public.people", "strategy": strategy, "operations": listed}
    )


def ours(database: Database) -> dict[str, bool]:
    """Name → valid, of the indexes that the ladder made."""
    rows = database.connect().execute(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = 'people'::regclass AND c.relname LIKE '\\_pgjanus%'"
    )
    return {r[0]: r[1] for r in rows}


def uses(database: Database) -> set[str]:
    return {name.split("_")[2] for name in ours(database)}


def indexes(database: Database) -> dict[str, str]:
    rows = database.connect().execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'people'")
    return {r[0]: r[1].split(" USING ")[1] for r in rows}


@two_servers
@every_strategy
async def test_each_phase_has_the_indexes_that_its_reads_need_up_and_down(database: Database, strategy: str) -> None:
    database.connect().execute(PEOPLE)
    before = schema_dump(database)
    ladder = [p for p in LADDERS[Strategy(strategy)] if p.policy is not None and p.expanded]
    async with operator_of(database) as operator:
        await start(operator, spec(strategy=strategy))
        for command, phases in ((advance, ladder[1:]), (rollback, ladder[-2::-1])):
            for phase in phases:
                await command(operator, NAME, phase.name)
                assert phase.policy is not None
                needed = {"old": {"nx"}, "coalesce": {"ox", "nx"}, "new": {"ox", "cx"}}[phase.policy.reads.value]
                assert needed <= uses(database), phase.name
                assert all(ours(database).values())
        assert uses(database) == {"nx", "ox"} if strategy != "dual_write" else {"nx"}
        bare = database.connect().execute(
            "SELECT count(*) FROM pg_stats WHERE tablename LIKE '\\_pgjanus\\_nx%' AND n_distinct <> 0"
        )
        assert bare.fetchone() != (0,), "a new index has statistics at once"
        await abort(operator, NAME)
    assert schema_dump(database) == before


async def test_the_plan_says_in_every_phase_what_is_there(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE + "CREATE SCHEMA pgjanus")  # the guard's function is in it
    async with operator_of(database) as operator:
        relation = await load_relation(operator.connection, spec().table)
        assert relation is not None
        migration = spec().compile(relation)
        found = await find_transition(operator.connection, migration, relation)
        planned = {}
        for rung in climb(migration, relation, transition=found):
            for statement in rung.statements:
                if "backfill" in statement.sql:
                    session.execute("UPDATE people SET _pgjanus_mail = email, _pgjanus_plan = tier, _pgjanus_state = 4")
                else:
                    session.execute(statement.sql)
            planned[rung.phase.name] = schema_dump(database, table="public.people")
        session.execute("DROP TABLE people")
        session.execute(PEOPLE)
        await start(operator, spec())
        for phase in [p.name for p in LADDERS[Strategy.DUAL_WRITE][1:]]:
            if phase != "expanded":
                await advance(operator, NAME, phase)
            assert schema_dump(database, table="public.people") == planned[phase], phase


@two_servers
async def test_the_new_column_has_the_old_ones_indexes_in_the_end(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE + "ALTER TABLE people ADD CONSTRAINT people_email_key UNIQUE (email)")
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "reading_new")
        with pytest.raises(LadderError, match="people_email_key"):
            await advance(operator, NAME)
        session.execute("ALTER TABLE people DROP CONSTRAINT people_email_key")
        await advance(operator, NAME)
        assert sum(name.startswith("_pgjanus_ox_people_email_key") for name in ours(database)) == 1, "it is remembered"
        await advance(operator, NAME)
    assert indexes(database) == {
        "people_pkey": "btree (id)",
        "people_mail_idx": "btree (mail)",
        "people_mail_key": "btree (mail)",
        "people_lower_idx": "btree (lower(mail) text_pattern_ops) WHERE (mail <> ''::text)",
        "people_tenant_email_idx": "btree (tenant, mail DESC NULLS LAST) INCLUDE (plan)",
        "by_hash": "hash (mail)",
        "by_tier": "btree (tenant) INCLUDE (plan)",
    }
    constraint = session.execute("SELECT contype FROM pg_constraint WHERE conname = 'people_mail_key'")
    assert constraint.fetchone() == ("u",)


#: In the old format and in the new one; where a gate forbids the format, that is the answer.
DUPLICATES_OF_USER7 = (
    ("email, _pgjanus_state", "'user7', 2"),
    ("email, _pgjanus_mail, _pgjanus_state", "'x', 'USER7', 6"),
)


@every_strategy
async def test_a_unique_column_is_unique_across_formats(database: Database, strategy: str) -> None:
    session = database.connect()
    session.execute(PEOPLE + "CREATE UNIQUE INDEX only_one ON people (email)")
    ladder = LADDERS[Strategy(strategy)]
    async with operator_of(database) as operator:
        await start(operator, spec(TO_MAIL, strategy=strategy))
        for phase in ladder[2:-1]:
            if phase.name in ("writing_new", "new_only"):
                session.execute("DROP INDEX IF EXISTS only_one")
            await advance(operator, NAME, phase.name)
            for columns, values in DUPLICATES_OF_USER7:
                with pytest.raises((psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation)):
                    session.execute(f"INSERT INTO people (id, tenant, {columns}) VALUES (0, 0, {values})")
        relation = await load_relation(operator.connection, spec().table)
        assert relation is not None
        change = spec(TO_MAIL).compile(relation).changes[0]
        expression = by_row_state(change, change.old[0], Shape.OLD, "")
        session.execute(
            f"INSERT INTO people (id, tenant, email, _pgjanus_mail, _pgjanus_state) VALUES (0, 0, 'x', 'USER7', 6)"
            f" ON CONFLICT (({expression})) DO UPDATE SET tenant = 77"
        )
    assert session.execute("SELECT tenant FROM people WHERE id = 7").fetchone() == (77,)


async def test_duplicates_refuse_the_step_and_leave_no_invalid_index_behind(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE + "CREATE UNIQUE INDEX only_one ON people (email)")
    async with operator_of(database) as operator:
        await start(operator, spec(TO_MAIL))
        session.execute("UPDATE people SET email = 'User8' WHERE id = 9")  # another value, but not for the new shape
        before = ours(database)
        with pytest.raises(IndexCannotBeMade, match=r"only_one cannot be made.*value \(USER8\) is duplicated"):
            await advance(operator, NAME)
        assert ours(database) == before
        session.execute("UPDATE people SET email = 'user9' WHERE id = 9")
        assert (await advance(operator, NAME)).phase == "writing_both"


async def test_in_the_first_phase_an_old_applications_writes_succeed_as_before(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE.replace("'user' || g,", "g::text,") + "CREATE UNIQUE INDEX only_one ON people (email)")
    number = {"change_type": {"column": "email", "type": "integer", "up": "email::integer", "down": "email::text"}}
    async with operator_of(database) as operator:
        await start(operator, spec(number))
        session.execute("UPDATE people SET email = 'none' WHERE id = 1")  # no integer
        session.execute("UPDATE people SET email = '1' WHERE id = 2; UPDATE people SET email = ' 1' WHERE id = 3")
        with pytest.raises(IndexCannotBeMade):
            await advance(operator, NAME)
        session.execute("UPDATE people SET email = id")
        await advance(operator, NAME)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            session.execute("UPDATE people SET email = 'none' WHERE id = 1")
        await rollback(operator, NAME)
        session.execute("UPDATE people SET email = 'none' WHERE id = 1")


async def test_a_build_that_died_is_made_again(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE)
    async with operator_of(database) as operator:
        await start(operator, spec())
    whole = ours(database)
    session.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text LIKE '\\_pgjanus%'")
    session.execute(f"DROP INDEX {min(whole)}")
    async with operator_of(database) as operator:
        status = (await read_status(operator.connection, NAME)).migrations[0]
        assert {i.state for i in status.indexes} == {"invalid"}
        await advance(operator, NAME)
        assert {name: ours(database)[name] for name in whole} == whole
        status = (await read_status(operator.connection, NAME)).migrations[0]
        assert {i.state for i in status.indexes} == {"ready"}


async def test_a_build_waits_for_older_transactions_no_longer_than_it_is_told(database: Database) -> None:
    database.connect().execute(PEOPLE)
    said = Lines()
    async with operator_of(database, timeout_s=0.5, say=said) as operator:
        blocker = database.connect(autocommit=False)
        blocker.execute("INSERT INTO people VALUES (0, 'x', 0)")
        with pytest.raises(TableIsBusy):
            await start(operator, spec())
        blocker.rollback()
        await start(operator, spec())
        blocker.execute("SELECT count(*) FROM people")
        with pytest.raises(TableIsBusy):
            await advance(operator, NAME, "reading_new")
        database.connect().execute("SET lock_timeout = '2s'; UPDATE people SET tenant = tenant WHERE id = 1")
        blocker.rollback()
    async with operator_of(database) as operator:
        assert (await advance(operator, NAME, "new_only")).phase == "new_only"
        assert all(ours(database).values())


async def test_check_says_which_indexes_have_no_counterpart(database: Database) -> None:
    session = database.connect()
    session.execute(PEOPLE + "ALTER TABLE people ADD CONSTRAINT x EXCLUDE USING hash (email WITH =)")
    connection = await asyncpg.connect(database.url, server_settings={"search_path": ""}, statement_cache_size=0)
    try:
        number = {
            "change_columns": {
                "old": {"email": "'user' || number"},
                "new": {"number": {"type": "integer", "up": "substr(email, 5)::integer"}},
            }
        }
        report = await preflight(connection, spec(number))
    finally:
        await connection.close()
    assert report.refusals == ()
    warnings = "\n".join(map(str, report.warnings))
    assert "index x, for the old shape: an exclusion constraint compares values of one format only" in warnings
    assert "index people_lower_idx, for the new shape: no counterpart, its expression or condition" in warnings


async def test_an_index_that_does_not_fit_the_new_type_is_left_out_and_said(database: Database) -> None:
    session = database.connect()
    session.execute("CREATE TABLE people (id int PRIMARY KEY, email text); INSERT INTO people VALUES (1, '5')")
    session.execute("CREATE INDEX by_pattern ON people (email text_pattern_ops); CREATE INDEX plain ON people (email)")
    number = {"change_type": {"column": "email", "type": "integer", "up": "email::integer", "down": "email::text"}}
    said = Lines()
    async with operator_of(database, say=said) as operator:
        await start(operator, spec(number))
        assert "index by_pattern, for the new shape: no counterpart, operator class" in said.text
        await advance(operator, NAME, "contracted")
    assert indexes(database) == {"people_pkey": "btree (id)", "plain": "btree (email)"}
