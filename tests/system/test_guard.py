"""The guard: writes that do not come through the proxy, in every phase of every ladder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from proxy.verify.runner import verify
from rules.changes import quote_identifier, quote_literal
from rules.ddl.guard import guard_ddl, guard_drop
from rules.migration import Guard, ManagedTable
from rules.phases import LADDERS, Reads, Strategy, Writes
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import SPLIT, USERS, change_type, expand

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
#: One phase for each policy that there is.
PHASES = list({p.policy: (s, p) for s in Strategy for p in LADDERS[s] if p.expanded}.values())
every_phase = pytest.mark.parametrize(("strategy", "phase"), PHASES, ids=[f"{s.value}-{p.name}" for s, p in PHASES])

ROW = "SELECT full_name, _pgjanus_first_name, _pgjanus_last_name, _pgjanus_state FROM users WHERE id = %s"


def guarded(database: Database, phase: str, guard: Guard = Guard.HEAL, strategy: Strategy = Strategy.DUAL_WRITE) -> Any:
    return guarded_table(database, phase, guard, strategy)[0]


def guarded_table(
    database: Database, phase: str, guard: Guard = Guard.HEAL, strategy: Strategy = Strategy.DUAL_WRITE
) -> tuple[Any, ManagedTable]:
    """Rows 1, 2, 3 in state old, both and new, each saying `Ann Old` or `Ann New` in the formats that are valid."""
    db = database.connect()
    db.execute(USERS)
    definition = {**SPLIT, "strategy": strategy.value, "guard": guard.value}
    managed = expand(database, definition, phase)
    db.execute("INSERT INTO users VALUES (1, 'Ann Old', 'n', 'stale', 'stale', 2)")
    db.execute("INSERT INTO users VALUES (2, 'Ann Old', 'n', 'Ann', 'Old', 4)")
    db.execute("INSERT INTO users VALUES (3, 'stale', 'n', 'Ann', 'New', 6)")
    install(db, managed)
    return db, managed


def install(db: psycopg.Connection[Any], managed: ManagedTable) -> None:
    with db.transaction():
        for statement in guard_ddl(managed):
            db.execute(statement.sql)


def row(db: psycopg.Connection[Any], key: int) -> Any:
    found = db.execute(ROW, (key,)).fetchone()
    assert found is not None
    return found


def refused(db: psycopg.Connection[Any], sql: str) -> str:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        db.execute(sql)
    assert caught.value.diag.table_name == "users"
    return str(caught.value)


@every_phase
def test_heal_keeps_both_formats_true_after_an_update(database: Database, strategy: Strategy, phase: Any) -> None:
    db = guarded(database, phase.name, strategy=strategy)

    db.execute("UPDATE users SET full_name = 'Bob By Psql' WHERE id = 1")
    assert row(db, 1) == ("Bob By Psql", "stale", "stale", 2)

    db.execute("UPDATE users SET full_name = 'Bob By Psql' WHERE id = 2")
    if phase.policy.writes is Writes.OLD:
        assert row(db, 2) == ("Bob By Psql", "Ann", "Old", 2)
    else:
        assert row(db, 2) == ("Bob By Psql", "Bob", "By Psql", 4)

    assert "an old column was changed in a row where it is out of date" in refused(
        db, "UPDATE users SET full_name = 'Bob By Psql' WHERE id = 3"
    )
    assert row(db, 3) == ("stale", "Ann", "New", 6)

    db.execute("DELETE FROM users WHERE id IN (1, 3)")
    result = asyncio.run(verify(database.url, "split_name"))
    assert result.divergent == 0


@every_phase
def test_heal_completes_an_inserted_row_as_the_phase_writes(database: Database, strategy: Strategy, phase: Any) -> None:
    db = guarded(database, phase.name, strategy=strategy)
    db.execute("INSERT INTO users (id, full_name) VALUES (9, 'Cy Direct'), (10, NULL)")
    if phase.policy.writes is Writes.OLD:
        assert row(db, 9) == ("Cy Direct", None, None, 0)
    else:
        assert row(db, 9) == ("Cy Direct", "Cy", "Direct", 4)
        assert row(db, 10) == (None, None, None, 4)


@every_phase
def test_reject_refuses_what_would_leave_the_formats_different(
    database: Database, strategy: Strategy, phase: Any
) -> None:
    db = guarded(database, phase.name, Guard.REJECT, strategy)
    db.execute("UPDATE users SET full_name = 'Bob By Psql' WHERE id = 1")
    assert row(db, 1) == ("Bob By Psql", "stale", "stale", 2)
    for key in (2, 3):
        assert "managed columns were changed, and not through the proxy" in refused(
            db, f"UPDATE users SET full_name = 'Bob By Psql' WHERE id = {key}"
        )
    insert = "INSERT INTO users (id, full_name) VALUES (9, 'Cy Direct')"
    if phase.policy.reads is Reads.NEW:
        assert "a row was inserted" in refused(db, insert)
    else:
        db.execute(insert)
        assert row(db, 9)[3] == 0


@every_phase
@pytest.mark.parametrize("guard", [Guard.HEAL, Guard.REJECT])
def test_proxied_writes_and_unrelated_updates_pass_unseen(
    database: Database, strategy: Strategy, phase: Any, guard: Guard
) -> None:
    db = guarded(database, phase.name, guard, strategy)
    function = db.execute("SELECT tgfoid::regprocedure FROM pg_trigger WHERE NOT tgisinternal").fetchone()
    assert function is not None
    body = "BEGIN RAISE EXCEPTION 'the guard ran'; END"
    db.execute(f"CREATE OR REPLACE FUNCTION {function[0]} RETURNS trigger LANGUAGE plpgsql AS $${body}$$")

    state = phase.policy.writes.leaves
    db.execute(f"UPDATE users SET full_name = 'Bob', _pgjanus_state = {state.next_code('_pgjanus_state')}")
    db.execute(f"UPDATE users SET full_name = 'Cid', _pgjanus_state = {state.next_code('_pgjanus_state')}")
    db.execute("UPDATE users SET note = 'unrelated', full_name = full_name")
    db.execute(f"INSERT INTO users (id, full_name, _pgjanus_state) VALUES (9, 'x', {state.lowest})")
    assert db.execute("SELECT count(*) FROM users WHERE note = 'unrelated'").fetchone() == (3,)


@every_server
def test_what_another_trigger_changes_is_healed_too(database: Database) -> None:
    db = guarded(database, "writing_both")
    db.execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.full_name := NEW.full_name || ''!''; RETURN NEW; END'"
    )
    db.execute("CREATE TRIGGER zzzzzz_shout BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION shout()")
    db.execute("UPDATE users SET note = 'x' WHERE id = 2")
    assert row(db, 2) == ("Ann Old!", "Ann", "Old!", 4)


@every_server
def test_cascades_functions_and_replicas_are_writers_too(database: Database) -> None:
    db = guarded(database, "writing_both")
    db.execute("CREATE TABLE names (n text PRIMARY KEY); INSERT INTO names SELECT DISTINCT full_name FROM users")
    db.execute("ALTER TABLE users ADD FOREIGN KEY (full_name) REFERENCES names ON UPDATE CASCADE")
    db.execute("DELETE FROM users WHERE id <> 2; UPDATE names SET n = 'Cas Caded' WHERE n = 'Ann Old'")
    assert row(db, 2) == ("Cas Caded", "Cas", "Caded", 4)
    db.execute("ALTER TABLE users DROP CONSTRAINT users_full_name_fkey")
    db.execute("SET session_replication_role = replica; UPDATE users SET full_name = 'Rep Lica' WHERE id = 2")
    assert row(db, 2) == ("Rep Lica", "Rep", "Lica", 4)
    with db.cursor().copy("COPY users (id, full_name) FROM STDIN") as copy:
        copy.write(b"11\tCo Pied\n")
    assert row(db, 11) == ("Co Pied", "Co", "Pied", 4)


def test_a_change_of_the_new_columns_alone_derives_the_old_ones(database: Database) -> None:
    db = guarded(database, "writing_both")
    db.execute("UPDATE users SET _pgjanus_last_name = 'Mended' WHERE id = 2")
    assert row(db, 2) == ("Ann Mended", "Ann", "Mended", 4)


@pytest.mark.parametrize(
    ("phase", "expected"), [("writing_both", ("a b", "a", "b", 4)), ("reading_new", ("x y", "x", "y", 4))]
)
def test_of_two_formats_changed_at_once_the_one_that_clients_read_is_believed(
    database: Database, phase: str, expected: tuple[object, ...]
) -> None:
    db = guarded(database, phase)
    db.execute("UPDATE users SET full_name = 'a b', _pgjanus_first_name = 'x', _pgjanus_last_name = 'y' WHERE id = 2")
    assert row(db, 2) == expected


def test_an_added_column_keeps_its_value_where_only_the_old_format_is_written(database: Database) -> None:
    db = database.connect()
    db.execute(USERS)
    operations = [*SPLIT["operations"], {"add_column": {"column": "slug", "type": "text", "up": "lower(note)"}}]
    managed = expand(database, {**SPLIT, "operations": operations}, "expanded")
    db.execute("INSERT INTO users VALUES (2, 'Ann Old', 'n', 'Ann', 'Old', 'chosen', 4)")
    install(db, managed)
    db.execute("UPDATE users SET full_name = 'Bob By Psql' WHERE id = 2")
    assert row(db, 2) == ("Bob By Psql", "Bob", "By Psql", 4)
    assert db.execute("SELECT _pgjanus_slug FROM users").fetchone() == ("chosen",)


def test_types_without_equality_can_be_guarded(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v json)")
    managed = expand(database, change_type("public.t", "v", "text", "v::text", "v::json"))
    db.execute("""INSERT INTO t VALUES (1, '{"a": 1}', '{"a": 1}', 4)""")
    install(db, managed)
    db.execute("""UPDATE t SET v = '{"a": 2}'""")
    assert db.execute("SELECT _pgjanus_v FROM t").fetchone() == ('{"a": 2}',)


def test_quotes_in_names_and_expressions_survive(database: Database) -> None:
    db = database.connect()
    column, literal = quote_identifier('it\'s "v"'), quote_literal("\\'$$")
    db.execute(f'CREATE TABLE "T\'able" (id int PRIMARY KEY, {column} text)')
    operation = {
        "column": 'it\'s "v"',
        "type": "text",
        "up": f"{column} || {literal}",
        "down": f"left({column}, -4)",
    }
    definition = {"migration": "q", "table": "public.T'able", "operations": [{"change_type": operation}]}
    managed = expand(database, definition)
    db.execute(f"INSERT INTO \"T'able\" VALUES (1, 'x', 'x' || {literal}, 4)")
    install(db, managed)
    db.execute(f"UPDATE \"T'able\" SET {column} = 'y'")
    hidden = quote_identifier(managed.migration.changes[0].new[0].physical)
    assert db.execute(f'SELECT {hidden} FROM "T\'able"').fetchone() == ("y\\'$$",)


@every_server
def test_the_guard_goes_without_a_trace(database: Database) -> None:
    db, managed = guarded_table(database, "writing_both")
    install(db, managed)
    install(db, replace(managed, migration=replace(managed.migration, guard=Guard.OFF)))
    assert traces(db) == 0
    install(db, managed)
    assert traces(db) > 0
    for statement in guard_drop(managed.migration):
        db.execute(statement.sql)
    assert traces(db) == 0
    db.execute("ALTER TABLE users DROP COLUMN full_name, DROP COLUMN _pgjanus_first_name, DROP COLUMN _pgjanus_state")


def traces(db: psycopg.Connection[Any]) -> int:
    found = db.execute(
        "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"
        " + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgjanus'::regnamespace)"
    ).fetchone()
    assert found is not None
    return int(found[0])
