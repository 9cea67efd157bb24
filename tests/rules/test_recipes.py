"""The recipes keep what they promise, on a real PostgreSQL: round trips, immutability, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from rules.catalog import Column, Relation, TableName
from rules.changes import ColumnChange, Expression, ManagedColumn, parse_expression, quote_identifier, quote_table
from rules.loader import load_file
from rules.migration import Migration
from rules.operations import OPERATIONS
from tests.conftest import ALL_SERVERS, Database

RECIPES = Path(__file__).parents[2] / "rules/recipes"

on_every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)


def relation_of(connection: psycopg.Connection[Any], table: TableName) -> Relation:
    """The table as the server describes it, under an empty search_path."""
    with connection.transaction():
        connection.execute("SET LOCAL search_path = ''")
        rows = connection.cursor(row_factory=tuple_row).execute(
            """
            SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod),
                   a.attnotnull, coalesce(a.attnum = ANY (i.indkey), false)
            FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
            WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
            """,
            [quote_table(table)],
        )
        found = rows.fetchall()
    columns = tuple(
        Column(name, attnum, oid, typmod, type_, not_null) for _, name, attnum, oid, typmod, type_, not_null, _ in found
    )
    return Relation(found[0][0], table, "r", columns, tuple(row[1] for row in found if row[7]))


def prepared(connection: psycopg.Connection[Any], kind: str) -> tuple[Migration, Relation]:
    connection.execute((RECIPES / f"{kind}.sql").read_text())
    spec = load_file(RECIPES / f"{kind}.yaml")
    relation = relation_of(connection, spec.table)
    return spec.compile(relation), relation


def converted(columns: tuple[ManagedColumn, ...], by: Mapping[str, Expression], prefix: str) -> list[str]:
    """The SQL of each column's conversion from `{prefix}_{source}`."""
    return [
        by[column.name].render(lambda name: quote_identifier(f"{prefix}_{name}")) + f"::{column.type}"
        for column in columns
    ]


def named(values: list[str], columns: tuple[ManagedColumn, ...], prefix: str) -> str:
    return ", ".join(
        f"{value} AS {quote_identifier(f'{prefix}_{column.name}')}"
        for value, column in zip(values, columns, strict=True)
    )


def differing_rows(connection: psycopg.Connection[Any], change: ColumnChange) -> list[tuple[Any, ...]]:
    """Rows where down(up(x)) is not x, or up(down(y)) not y, for y = up(x); computed by the server."""
    old = [quote_identifier(column.name) for column in change.old]
    distinct = " OR ".join(
        f"{quote_identifier(f'{was}_{column.name}')} IS DISTINCT FROM {quote_identifier(f'{now}_{column.name}')}"
        for was, now, columns in (("old", "back", change.old), ("new", "again", change.new))
        for column in columns
    )
    query = f"""
        WITH a AS (SELECT id, {named(old, change.old, "old")} FROM {quote_table(change.table)}),
             b AS (SELECT *, {named(converted(change.new, change.up, "old"), change.new, "new")} FROM a),
             c AS (SELECT *, {named(converted(change.old, change.down, "new"), change.old, "back")} FROM b),
             d AS (SELECT *, {named(converted(change.new, change.up, "back"), change.new, "again")} FROM c)
        SELECT * FROM d WHERE {distinct}"""
    return connection.execute(query).fetchall()


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_recipes_rows_are_many_and_odd_enough(database: Database, kind: str) -> None:
    connection = database.connect()
    migration, relation = prepared(connection, kind)
    rows = connection.execute(f"SELECT * FROM {quote_table(migration.table)}").fetchall()
    values = [value for row in rows for value in row]
    assert len(rows) >= 12
    assert None in values and "" in values
    assert any(isinstance(value, str) and not value.isascii() for value in values)
    assert relation.primary_key == ("id",) and relation.columns[0].type == "integer"
    managed = {column.name for change in migration.changes for column in change.old}
    assert {column.name for column in relation.columns} - managed - {"id"}


@on_every_server
@pytest.mark.parametrize("kind", [kind for kind in OPERATIONS if kind not in ("add_column", "drop_column")])
def test_a_recipes_rows_survive_both_round_trips(database: Database, kind: str) -> None:
    connection = database.connect()
    migration, _ = prepared(connection, kind)
    for change in migration.changes:
        assert not change.lossy
        assert differing_rows(connection, change) == []


def test_the_round_trip_check_finds_a_row_that_does_not_survive(database: Database) -> None:
    connection = database.connect()
    migration, _ = prepared(connection, "merge_columns")
    connection.execute("INSERT INTO public.contacts (id, given_name, family_name) VALUES (99, 'Mary Ann', 'Evans')")
    assert [row[0] for row in differing_rows(connection, migration.changes[0])] == [99]


@on_every_server
@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_recipes_expressions_are_immutable(database: Database, kind: str) -> None:
    connection = database.connect()
    migration, _ = prepared(connection, kind)
    for change in migration.changes:
        sides = ((change.old, change.up, change.new), (change.new, change.down, change.old))
        for sources, expressions, targets in sides:
            columns = "".join(f", {quote_identifier(f'x_{c.name}')} {c.type}" for c in sources)
            for column in change.sources if not sources else ():
                columns += f", {quote_identifier(f'x_{column}')} text"
            for target in converted(targets, expressions, "x"):
                prove_immutable(connection, columns, target)


def prove_immutable(connection: psycopg.Connection[Any], columns: str, expression: str) -> None:
    """The server itself refuses an index on anything else. Nothing stays behind."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = pg_catalog")
        connection.execute(f"CREATE TABLE public.proof (x_ integer{columns})")
        connection.execute(f"CREATE INDEX ON public.proof (({expression}))")


def test_the_proof_of_immutability_refuses_what_is_only_stable(database: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidObjectDefinition, match="must be marked IMMUTABLE"):
        prove_immutable(database.connect(), ", x_a timestamp", "(x_a::timestamptz)::text")


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_recipes_attributes_hold_for_its_rows(database: Database, kind: str) -> None:
    connection = database.connect()
    migration, _ = prepared(connection, kind)
    table = quote_table(migration.table)
    for change in migration.changes:
        for column in change.new:
            default = f" DEFAULT {column.default}" if column.default else ""
            connection.execute(f"ALTER TABLE {table} ADD {quote_identifier(column.physical)} {column.type}{default}")
        for column in change.new:
            value = change.up[column.name].render(quote_identifier)
            connection.execute(f"UPDATE {table} SET {quote_identifier(column.physical)} = {value}")
        physical = {column.name: quote_identifier(column.physical) for column in change.new}
        for column in change.new:
            if column.check:
                condition = parse_expression(column.check).render(physical.__getitem__)
                connection.execute(f"ALTER TABLE {table} ADD CHECK {condition}")
