"""NOT NULL of a new column: how it is set, how it goes again, and what a client that violates it is told."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from proxy.cli import main
from proxy.control.registry import read_managed_table
from proxy.ladder.climb import advance, rollback, start
from proxy.ladder.operator import LadderError
from rules.ddl.attributes import Attribute, Kind, attributes
from rules.migration import Migration
from tests.conftest import ALL_SERVERS, Database, StartProxy
from tests.system.ladder_case import (
    NAME,
    USERS,
    constraints_of,
    not_null_columns,
    operator_of,
    schema_dump,
    spec,
)
from tests.system.test_ladder import GATE_NEW, attributed

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
OLD_ONES = {"id", "full_name", "_pgjanus_state"}
#: What the old column's own NOT NULL does not refuse first.
DOWN = "coalesce(first_name, '') || ' ' || last_name"


def pgjanus(database: Database, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--database-url", database.url], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def not_null_of(migration: Migration) -> Attribute:
    [found] = [a for a in attributes(migration) if a.kind is Kind.NOT_NULL]
    return found


@pytest.fixture
def file(tmp_path: Path) -> str:
    operation = attributed(unique=False)
    operation["split_column"]["down"] = DOWN  # type: ignore[index]
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump({"table": "public.users", "operations": [operation]}))
    return str(path)


# What a client is told


def complaint(url: str, sql: str) -> tuple[str | None, ...]:
    with psycopg.connect(url, autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql.encode())
    found = caught.value.diag
    return found.sqlstate, found.message_primary, found.table_name, found.column_name, found.constraint_name


@every_server
def test_a_violation_is_the_one_that_an_unmigrated_table_reports(
    database: Database, start_proxy: StartProxy, file: str
) -> None:
    database.connect().execute(
        USERS + "CREATE SCHEMA twin; CREATE TABLE twin.users (id bigserial PRIMARY KEY, age int DEFAULT 7,"
        " first_name text NOT NULL CHECK (length(first_name) > 0), last_name text DEFAULT '?');"
        " INSERT INTO twin.users (first_name) VALUES ('Ada')"
    )
    proxy = start_proxy(database)
    pgjanus(database, "start", file)
    for command, phase in (("advance", "reading_new"), ("advance", "new_only"), ("rollback", "reading_new")):
        pgjanus(database, command, NAME, "--to", phase)
        for sql in (
            "INSERT INTO public.users (last_name) VALUES ('x')",
            "INSERT INTO public.users (first_name, last_name) VALUES (NULL, 'x')",
            "UPDATE public.users SET first_name = NULL WHERE id = 1",
        ):
            found = complaint(proxy.url("new"), sql)
            assert found == complaint(database.url, sql.replace("public", "twin")), (phase, sql)
            assert found[:2] == (
                "23502",
                'null value in column "first_name" of relation "users" violates not-null constraint',
            )
    assert proxy.stop() == 0


# How it is made


@every_server
async def test_a_not_null_is_set_without_a_scan(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    said: list[str] = []
    session.add_notice_handler(lambda d: said.append(str(d.message_primary)))
    async with operator_of(database) as operator:
        await start(operator, spec(attributed()))
        await advance(operator, NAME)
        _, managed = await read_managed_table(operator.connection, NAME)
    not_null = not_null_of(managed.migration)
    session.execute("UPDATE public.users SET _pgjanus_first_name = 'x'; SET client_min_messages = debug1")
    assert not_null.proof is not None
    for statement in (not_null.add, not_null.proof):
        session.execute(statement.sql.encode())
    del said[:]
    for statement in not_null.finish:
        session.execute(statement.sql.encode())
    proved = 'existing constraints on column "users._pgjanus_first_name" are sufficient to prove'
    assert len([line for line in said if line.startswith(proved)]) == 1, said
    assert not [line for line in said if line.startswith("verifying table")], said


@pytest.mark.parametrize("done", ["add", "proof", "finish"])
async def test_a_not_null_that_was_being_made_is_completed_or_goes_again(database: Database, done: str) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec(attributed()))
        await advance(operator, NAME)
        _, managed = await read_managed_table(operator.connection, NAME)
        not_null = not_null_of(managed.migration)
        assert not_null.proof is not None
        steps = {"add": [not_null.add], "proof": [not_null.proof], "finish": list(not_null.finish)}
        session.execute(
            "UPDATE public.users SET _pgjanus_first_name = split_part(full_name, ' ', 1),"
            " _pgjanus_last_name = split_part(full_name, ' ', 2), _pgjanus_state = 4"
        )

        def interrupted() -> None:
            for step in list(steps)[: list(steps).index(done) + 1]:
                for statement in steps[step]:
                    session.execute(statement.sql.encode())

        interrupted()
        await rollback(operator, NAME)
        assert not_null_columns(database) == OLD_ONES
        assert set(constraints_of(database)) == {"users_pkey", GATE_NEW}
        session.execute("INSERT INTO public.users (full_name) VALUES ('In Expanded')")
        await advance(operator, NAME)
        await operator.connection.execute("UPDATE public.users SET _pgjanus_first_name = '?' WHERE id > 500")
        interrupted()
        await advance(operator, NAME)
        assert "_pgjanus_first_name" in not_null_columns(database)
        assert not_null.name not in constraints_of(database)
        await advance(operator, NAME, "contracted")
    assert not_null_columns(database) == {"id", "first_name"}


@pytest.mark.parametrize("server", ["18", "16"], indirect=True)
def test_what_the_plan_says_of_it_is_what_is_done(database: Database, file: str) -> None:
    session = database.connect()
    session.execute(USERS + "CREATE SCHEMA pgjanus")  # as the first `start` makes it; the guard's function is in it
    planned = {}
    for phase in json.loads(pgjanus(database, "plan", file, "--json"))["phases"]:
        for statement in phase["statements"]:
            if "backfill" in statement["sql"]:
                session.execute(
                    "UPDATE users SET _pgjanus_first_name = split_part(full_name, ' ', 1), _pgjanus_state = 4,"
                    " _pgjanus_last_name = split_part(full_name, ' ', 2)"
                )
            else:
                session.execute(statement["sql"])
        planned[phase["phase"]] = schema_dump(database, table="public.users")
    session.execute("DROP TABLE users; DROP SCHEMA pgjanus CASCADE")
    session.execute(USERS)
    pgjanus(database, "start", file)
    for name in ("writing_both", "reading_new", "new_only", "contracted"):
        pgjanus(database, "advance", NAME)
        assert schema_dump(database, table="public.users") == planned[name], name


async def test_what_a_failed_step_has_made_goes_with_the_next_one_down(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec(attributed()))
        session.execute("UPDATE public.users SET full_name = 'Same ' || id WHERE id IN (3, 4)")
        await advance(operator, NAME)
        with pytest.raises(LadderError, match="UNIQUE of column first_name does not hold"):
            await advance(operator, NAME)
        assert not_null_columns(database) == OLD_ONES | {"_pgjanus_first_name"}
        await rollback(operator, NAME)
    assert not_null_columns(database) == OLD_ONES
    assert set(constraints_of(database)) == {"users_pkey", GATE_NEW}
    session.execute("INSERT INTO public.users (full_name) VALUES ('In Expanded')")
