"""A table in the middle of a migration, made by hand: no proxy and no ladder takes part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import psycopg

from proxy.catalog import load_relation
from proxy.control.installation import install
from proxy.database import connect
from rules.changes import quote_identifier, quote_table
from rules.migration import ManagedTable, Migration
from rules.phases import STATE_COLUMN, phase_named
from rules.spec import MigrationSpec
from tests.conftest import Database

SPLIT = {
    "migration": "split_name",
    "table": "public.users",
    "operations": [
        {
            "split_column": {
                "column": "full_name",
                "into": {
                    "first_name": {"type": "text", "up": "split_part(full_name, ' ', 1)"},
                    "last_name": {
                        "type": "text",
                        "up": "CASE WHEN strpos(full_name, ' ') > 0"
                        " THEN substr(full_name, strpos(full_name, ' ') + 1) END",
                    },
                },
                "down": "first_name || coalesce(' ' || last_name, '')",
            }
        }
    ],
}
USERS = "CREATE TABLE users (id int PRIMARY KEY, full_name text, note text DEFAULT 'n')"


def change_type(table: str, column: str, type_: str, up: str, down: str, **rest: Any) -> dict[str, Any]:
    operation = {"change_type": {"column": column, "type": type_, "up": up, "down": down}}
    return {"migration": f"retype_{column}", "table": table, "operations": [operation], **rest}


def expand(database: Database, definition: Mapping[str, Any], phase: str = "writing_both") -> ManagedTable:
    """Give an existing table its hidden columns and register the migration in that phase."""
    return asyncio.run(_expand(database.url, definition, phase))


async def _expand(url: str, definition: Mapping[str, Any], phase_name: str) -> ManagedTable:
    connection = await connect(url)
    try:
        await install(connection)
        spec = MigrationSpec.from_json(dict(definition))
        relation = await load_relation(connection, spec.table)
        assert relation is not None
        migration = spec.compile(relation)
        columns = [f"ADD COLUMN {quote_identifier(c.physical)} {c.type}" for ch in migration.changes for c in ch.new]
        columns.append(f"ADD COLUMN {quote_identifier(STATE_COLUMN)} smallint NOT NULL DEFAULT 0")
        await connection.execute(f"ALTER TABLE {quote_table(spec.table)} {', '.join(columns)}")
        relation = await load_relation(connection, spec.table)
        assert relation is not None
        await connection.execute(
            "INSERT INTO pgjanus.migrations (name, table_schema, table_name, table_oid, definition, strategy, phase)"
            " VALUES ($1, $2, $3, $4::int8::oid, $5::text::json, $6, $7)",
            *(spec.migration, spec.table.schema, spec.table.name, relation.oid, json.dumps(spec.to_json())),
            *(spec.strategy, phase_name),
        )
        return ManagedTable(migration, phase_named(migration.strategy, phase_name), relation)
    finally:
        await connection.close()


def set_phase(connection: psycopg.Connection[Any], migration: Migration, phase: str) -> None:
    connection.execute("UPDATE pgjanus.migrations SET phase = %s WHERE name = %s", (phase, migration.name))
    connection.execute("UPDATE pgjanus.epoch SET epoch = epoch + 1")
