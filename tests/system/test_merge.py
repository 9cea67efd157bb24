"""MERGE: values that must be evaluated once, and what PostgreSQL cannot do in a MERGE."""

from __future__ import annotations

import pytest

from rules.phases import Shape
from tests.conftest import ALL_SERVERS, Database
from tests.system.managed_table import TOKENS, Managed

TABLE = (
    "CREATE TABLE tokens (id int PRIMARY KEY, token text DEFAULT gen_random_uuid()::text);"
    "INSERT INTO tokens SELECT g, 'start' FROM generate_series(1, 12) g;"
    "CREATE TABLE news (id int, name text); INSERT INTO news SELECT g, 'n' || g FROM generate_series(1, 24) g"
)
MERGE = "MERGE INTO tokens t USING news n ON n.id = t.id"
VOLATILE_UPDATES = [
    f"{MERGE} WHEN MATCHED THEN UPDATE SET token = gen_random_uuid()::text",
    f"{MERGE} WHEN MATCHED THEN UPDATE SET token = DEFAULT",
    f"{MERGE} WHEN MATCHED THEN UPDATE SET (token) = ROW(gen_random_uuid()::text)",
    f"{MERGE} WHEN MATCHED THEN UPDATE SET (token) = (SELECT gen_random_uuid()::text WHERE t.id > 0)",
    f"{MERGE} WHEN MATCHED AND t.id = 3 THEN UPDATE SET token = 'x'"
    " WHEN MATCHED THEN UPDATE SET token = gen_random_uuid()::text WHEN NOT MATCHED THEN INSERT (id) VALUES (n.id)",
]
VOLATILE_INSERTS = [
    f"{MERGE} WHEN NOT MATCHED THEN INSERT (id, token) VALUES (n.id, gen_random_uuid()::text)",
    f"{MERGE} WHEN NOT MATCHED THEN INSERT (id, token) VALUES (n.id, DEFAULT)",
    f"{MERGE} WHEN NOT MATCHED THEN INSERT (id) VALUES (n.id)",
    f"{MERGE} WHEN NOT MATCHED THEN INSERT VALUES (n.id)",
    f"{MERGE} WHEN NOT MATCHED AND n.id = 13 THEN INSERT (id, token) VALUES (n.id, (SELECT gen_random_uuid()::text))",
]
TWO_VOLATILE_UPDATES = (
    f"{MERGE} WHEN MATCHED AND t.id = 3 THEN UPDATE SET token = gen_random_uuid()::text"
    " WHEN MATCHED THEN UPDATE SET token = gen_random_uuid()::text"
)
EVERY_ROW = "SELECT id, token, _pgjanus_upper_token, _pgjanus_length, _pgjanus_state FROM tokens"


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_a_volatile_value_is_evaluated_once_for_each_row(database: Database) -> None:
    table = Managed(database, TABLE, TOKENS, "writing_both")
    for sql in VOLATILE_UPDATES:
        table.connection.execute("BEGIN")
        table.run(sql)
        rows = [r for r in table.connection.execute(EVERY_ROW).fetchall() if len(r[1]) == 36 and r[4] >= 4]
        table.connection.execute("ROLLBACK")
        assert len(rows) >= 11, sql
        assert all(upper == token.upper() and length == 36 for _, token, upper, length, _ in rows), sql
        assert len({token for _, token, *_ in rows}) == len(rows), f"{sql}: one value for several rows"


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
@pytest.mark.parametrize("guarded", [False, True])
def test_an_inserted_value_that_cannot_be_evaluated_twice_is_left_in_the_clients_format(
    database: Database, guarded: bool
) -> None:
    table = Managed(database, TABLE, TOKENS, "writing_both", guarded=guarded)
    for sql in VOLATILE_INSERTS:
        table.connection.execute("BEGIN")
        table.run(sql)
        stored = [r for r in table.connection.execute(EVERY_ROW).fetchall() if r[0] > 12]
        old = table.run("SELECT id, upper(token) FROM tokens ORDER BY id")
        new = table.run("SELECT id, upper_token FROM tokens ORDER BY id", Shape.NEW)
        table.connection.execute("ROLLBACK")
        assert len({token for _, token, *_ in stored}) == len(stored) > 0, sql
        assert all(state >= 4 for *_, state in stored) is guarded, sql
        assert old == new, sql


def test_where_every_row_needs_the_new_format_the_guard_computes_it_or_the_insert_is_refused(
    database: Database,
) -> None:
    table = Managed(database, TABLE, TOKENS, "reading_new", guarded=True)
    for sql in VOLATILE_INSERTS:
        table.connection.execute("BEGIN")
        table.run(sql)
        rows = [r for r in table.connection.execute(EVERY_ROW).fetchall() if r[0] > 12]
        table.connection.execute("ROLLBACK")
        assert rows and all(upper == token.upper() and state == 4 for _, token, upper, _, state in rows), sql


def test_where_every_row_needs_the_new_format_and_no_guard_heals_the_insert_is_refused(database: Database) -> None:
    table = Managed(database, TABLE, TOKENS + "guard: reject\n", "reading_new")
    for sql in VOLATILE_INSERTS:
        assert "evaluated only once" in table.refusal(sql), sql


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new"])
def test_a_new_clients_inserted_value_that_cannot_be_evaluated_twice_is_refused(database: Database, phase: str) -> None:
    table = Managed(database, TABLE, TOKENS, phase)
    sql = f"{MERGE} WHEN NOT MATCHED THEN INSERT (id, upper_token) VALUES (n.id, gen_random_uuid()::text)"
    assert "evaluated only once" in table.refusal(sql, Shape.NEW)
    assert table.refusal(sql.replace("gen_random_uuid()::text", "upper(n.name) || 'x'"), Shape.NEW) == ""


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_two_actions_with_values_to_evaluate_once_do_not_crash_the_server(database: Database) -> None:
    """PostgreSQL crashes on two row assignments from sub-selects in one MERGE."""
    table = Managed(database, TABLE, TOKENS, "writing_both")
    table.run(TWO_VOLATILE_UPDATES)
    old = table.run("SELECT id, upper(token) FROM tokens ORDER BY id")
    assert len({token for _, token in old}) == 12
    assert table.run("SELECT id, upper_token FROM tokens ORDER BY id", Shape.NEW) == old
    twice = TWO_VOLATILE_UPDATES.replace("token = gen_random_uuid()::text", "(id, token) = (SELECT t.id, 'x')")
    assert "crashes" in table.refusal(twice)


def test_two_actions_with_values_to_evaluate_once_are_refused_where_both_formats_are_needed(
    database: Database,
) -> None:
    table = Managed(database, TABLE, TOKENS, "reading_new")
    assert "one of its UPDATE actions only" in table.refusal(TWO_VOLATILE_UPDATES)
