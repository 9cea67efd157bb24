"""Definitions through the proxy: what changes the table is seen at once, what a migration rests on stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from proxy.cli import main
from rules.phases import Shape
from tests.conftest import Database, RunningProxy, StartProxy
from tests.twin import CASES

OBJECTS = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('glad', 'sad');
CREATE FUNCTION app.shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)';
CREATE TABLE app.notes (id int PRIMARY KEY, title text, feels app.mood);
INSERT INTO app.notes VALUES (1, 'HELLO', 'glad');
"""
MIGRATION = """
migration: notes_heading
table: app.notes
operations:
  - change_type: {column: title, type: varchar(50), up: "app.shout(title)", down: "app.shout(title)", lossy: true}
  - rename_column: {column: feels, to: mood}
"""
REFUSED = [
    "DROP FUNCTION app.shout(text)",
    "DROP FUNCTION app.shout(text) CASCADE",
    "DROP ROUTINE IF EXISTS shout",
    "CREATE OR REPLACE FUNCTION app.shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)'",
    "ALTER FUNCTION app.shout(text) RENAME TO cry",
    "ALTER FUNCTION app.shout(text) SET SCHEMA public",
    "ALTER FUNCTION app.shout VOLATILE",
    "DROP TYPE app.mood CASCADE",
    "ALTER TYPE app.mood RENAME TO humour",
    "ALTER TYPE app.mood RENAME VALUE 'sad' TO 'low'",
    "ALTER TYPE app.mood SET SCHEMA public",
    "DROP SCHEMA app CASCADE",
    "ALTER SCHEMA app RENAME TO other",
    "/* DROP */ DROP OWNED BY CURRENT_USER",
]
PASSES = [
    "ALTER TYPE app.mood ADD VALUE 'so so'",
    "CREATE FUNCTION app.whisper(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)'",
    "DROP FUNCTION app.whisper(text)",
    "CREATE SCHEMA more; DROP SCHEMA more CASCADE",
]


@pytest.fixture
def proxy(database: Database, start_proxy: StartProxy, tmp_path: Path) -> Iterator[RunningProxy]:
    """Two migrations in phase `writing_both`."""
    direct = database.connect()
    direct.execute((CASES / "schema_old.sql").read_bytes())
    direct.execute(OBJECTS.encode())
    proxy = start_proxy(database)
    file = tmp_path / "notes_heading.yaml"
    file.write_text(MIGRATION)
    for path in (CASES / "users.yaml", file):
        result = CliRunner().invoke(main, ["start", str(path), "--database-url", database.url])
        assert result.exit_code == 0, result.output
    yield proxy
    assert proxy.stop() == 0


def columns(connection: psycopg.Connection[Any], table: str = "users") -> list[str]:
    description = connection.execute(f"SELECT * FROM {table}".encode()).description
    assert description is not None
    return [c.name for c in description]


def test_a_session_sees_its_own_change_of_the_table_at_once(proxy: RunningProxy) -> None:
    with psycopg.connect(proxy.url(), autocommit=True, prepare_threshold=0) as connection:
        before = columns(connection)
        for number in range(5):
            connection.execute(f"ALTER TABLE users ADD COLUMN more_{number} int DEFAULT {number}".encode())
            assert columns(connection) == [*before, *(f"more_{n}" for n in range(number + 1))]
            connection.execute("INSERT INTO users VALUES (DEFAULT, 'New Row')")
        connection.execute("ALTER TABLE users RENAME COLUMN more_0 TO first_more")
        assert columns(connection)[len(before)] == "first_more"
        connection.execute("BEGIN")
        connection.execute("ALTER TABLE users DROP COLUMN first_more")
        connection.execute("COMMIT")
        assert columns(connection) == [*before, *(f"more_{n}" for n in range(1, 5))]
    with psycopg.connect(proxy.url("new"), autocommit=True) as other:
        assert columns(other)[-6:] == ["first_name", "last_name", "more_1", "more_2", "more_3", "more_4"]


def test_what_a_migration_computes_with_cannot_be_changed(proxy: RunningProxy) -> None:
    for shape in Shape:
        with psycopg.connect(proxy.url(shape.value), autocommit=True) as connection:
            for sql in REFUSED:
                with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
                    connection.execute(sql.encode())
                assert "notes_heading" in str(caught.value) and caught.value.diag.message_hint, sql
    with psycopg.connect(proxy.url(), autocommit=True) as connection:
        for sql in PASSES:
            connection.execute(sql.encode())
        assert connection.execute("SELECT * FROM app.notes").fetchall() == [(1, "HELLO", "glad")]
