"""What `on_unsupported: observe` may forward; that it does no harm is shown by `tests/system/test_unsupported.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.migration import Client, OnUnsupported
from rules.phases import Shape
from rules.plan import Refuse, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot
from rules.text.source import SourceText
from rules.unsupported import forbidden
from tests.rules.managed import USERS, snapshot

OLD, NEW = Client(Shape.OLD), Client(Shape.NEW)


def observing(phase: str = "expanded") -> Snapshot:
    """Both migrations say `on_unsupported: observe`."""
    found = snapshot(phase)
    tables = {
        name: replace(table, migration=replace(table.migration, on_unsupported=OnUnsupported.OBSERVE))
        for name, table in found.tables.items()
    }
    return Snapshot(found.epoch, found.catalog, tables)


def reason(sql: str, at: Snapshot | None = None, client: Client = OLD) -> str | None:
    return forbidden(SourceText(sql).statements, at or observing(), client)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT id FROM users",
        "SELECT u.full_name, upper(u.full_name), count(*) FROM users u GROUP BY u.full_name",
        "SELECT u.ctid FROM users u",
        "SELECT id FROM users FOR UPDATE OF users",
        "INSERT INTO users (id, full_name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET age = excluded.age",
        "UPDATE users SET age = 1",
        "UPDATE orders SET note = full_name FROM users",
        "DELETE FROM users USING orders WHERE users.full_name = note RETURNING users.full_name",
        "MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND u.full_name = 'x' THEN DELETE",
        "MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (1, 'x')",
        "COPY users (id, full_name) FROM STDIN",
        "COPY (SELECT full_name FROM users) TO STDOUT",
        "EXPLAIN ANALYZE SELECT full_name FROM users",
        "DECLARE c CURSOR FOR SELECT full_name FROM users",
        "CREATE TABLE t AS SELECT full_name FROM users",
        "SELECT full_name INTO t FROM users",
        "DROP TABLE t; CREATE VIEW v AS SELECT id FROM orders; SELECT id FROM users",
    ],
)
def test_what_reaches_no_hidden_column_and_leaves_the_row_state_right_may_be_forwarded(sql: str) -> None:
    assert reason(sql) is None


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        *(
            (sql, "hidden columns")
            for sql in (
                "SELECT * FROM users",
                "TABLE users",
                "SELECT u.* FROM users u",
                "SELECT EXISTS (SELECT * FROM users)",
                "WITH w AS (SELECT * FROM users) SELECT 1 FROM w",
                "SELECT (SELECT count(u.*) FROM users u)",
                "DELETE FROM users RETURNING *",
                "MERGE INTO users u USING orders o ON false WHEN MATCHED THEN DELETE RETURNING *",
                "COPY users TO STDOUT",
                "COPY users FROM STDIN",
                "INSERT INTO users VALUES (1, 'x', 3, 'too', 'many')",
                "INSERT INTO users SELECT 1",
                "MERGE INTO users u USING orders o ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
                "SELECT NULL::users",
                "SELECT json_populate_record(CAST(NULL AS public.users), '{}')",
                "SELECT '{}'::users[]",
                "SELECT '{}'::_users",
                "SELECT id FROM users NATURAL JOIN orders",
            )
        ),
        *(
            (sql, "whole row")
            for sql in (
                "SELECT u FROM users u",
                "SELECT users FROM users",
                "SELECT row_to_json(u) FROM users AS u",
                "SELECT (u).id FROM users u",
                "SELECT 1 FROM users u WHERE u IS NULL",
                "SELECT u.to_json FROM users u",
                "SELECT count(j) FROM (users u JOIN orders o ON true) j",
                "SELECT count(j) FROM (users u JOIN orders o USING (id) AS j)",
                "DELETE FROM users RETURNING old",
                "DELETE FROM users RETURNING WITH (OLD AS gone) gone",
                "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET nick = excluded::text",
                "SELECT 1 FROM users GROUP BY users",
            )
        ),
        *(
            (sql, "no table")
            for sql in ("SELECT 1", "SELECT * FROM orders", "SELECT * FROM pg_attribute", "DROP TABLE orders")
        ),
        *(
            (sql, "catalogs")
            for sql in (
                "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass",
                "SELECT column_name FROM information_schema.columns; SELECT full_name FROM users",
                "SELECT full_name, pg_get_indexdef(1) FROM users",
            )
        ),
        ("SELECT a FROM users u (a)", "by position"),
        ("SELECT 1 FROM (users JOIN orders ON true) j (a)", "by position"),
        *(
            (sql, "row state")
            for sql in (
                "UPDATE users SET full_name = 'x'",
                "UPDATE public.users u SET (age, full_name) = (1, 'x')",
                "UPDATE users SET full_name[1] = 'x'",
                "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET full_name = 'x'",
                "MERGE INTO users u USING orders o ON false WHEN MATCHED THEN UPDATE SET full_name = 'x'",
                "WITH w AS (UPDATE users SET full_name = 'x') SELECT 1",
                "SELECT 1; EXPLAIN ANALYZE UPDATE users SET full_name = 'x'",
            )
        ),
        *(
            (sql, "outlive")
            for sql in (
                "PREPARE p AS SELECT id FROM users",
                "CREATE VIEW v AS SELECT id FROM users",
                "CREATE MATERIALIZED VIEW v AS SELECT id FROM users",
                "EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT id FROM users",
                "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM users",
                "CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING",
                "ALTER TABLE users DROP COLUMN full_name",
                "DROP TABLE users",
                "DROP TABLE public.users",
                "TRUNCATE users",
                "CREATE INDEX ON users (full_name)",
            )
        ),
        ("SELECT _pgjanus_state FROM users", "names a hidden column"),
        ('SELECT U&"\\005fpgjanus_state" FROM users', "names a hidden column"),
        ('SELECT id AS "_PGJANUS_x" FROM users', "names a hidden column"),
    ],
)
def test_what_might_do_otherwise_is_never_forwarded(sql: str, said: str) -> None:
    assert said in (reason(sql) or "")


def test_it_is_for_clients_of_the_old_shape_in_the_first_phases_of_a_migration_that_says_so() -> None:
    sql = "SELECT full_name FROM users"
    assert reason(sql) is None
    assert reason(sql, observing("announced")) is None
    assert reason(sql, client=NEW) is not None
    assert reason(sql, snapshot("expanded")) is not None
    for phase in ("writing_both", "reading_new", "new_only"):
        assert reason(sql, observing(phase)) is not None


def test_every_table_that_a_text_names_has_to_allow_it() -> None:
    at = observing()
    refusing = Snapshot(at.epoch, at.catalog, {**at.tables, USERS: snapshot("expanded").tables[USERS]})
    assert reason("SELECT full_name FROM users", refusing) is not None
    assert reason("SELECT sku FROM items", refusing) is None
    assert reason("SELECT sku FROM items; SELECT id FROM users", refusing) is not None


def test_a_refusal_of_ours_becomes_a_report_and_one_in_the_servers_words_does_not() -> None:
    sql = "SELECT full_name FROM users, pg_stat_activity"
    found = plan(sql, observing(), OLD)
    assert isinstance(found, Untouched)
    assert found.despite is not None
    assert found.migration == "users_name"
    assert isinstance(plan(sql, snapshot("expanded"), OLD), Refuse)
    for sql in ("SELECT row_to_json(u) FROM users u, pg_stat_activity", "SELECT _pgjanus_state FROM users", "users("):
        assert isinstance(plan(sql, observing(), OLD), Refuse)
