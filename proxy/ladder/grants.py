"""Privileges on single columns: whoever may use an old column may use the new ones."""

from __future__ import annotations

from dataclasses import replace

from proxy.database import Connection
from proxy.ladder.operator import Operator
from proxy.ladder.partitions import load_tree
from rules.catalog import Relation
from rules.ddl.statements import ColumnGrant, copied_grants, new_columns, old_columns
from rules.migration import ManagedTable, Migration
from rules.phases import STATE_COLUMN


async def copy_grants(operator: Operator, managed: ManagedTable) -> None:
    """What was granted and revoked since, on the table's columns and on those of its partitions.

    Between two steps a client may lack a privilege on a new column that it has on the old one: its statement fails.
    """
    connection = operator.connection
    tables = {managed.relation.oid: managed.migration}
    for part in await load_tree(connection, managed.relation.oid):
        tables[part.oid] = replace(managed.migration, table=part.table)
    for oid, migration in tables.items():
        hidden = [c.physical for c in new_columns(migration)] + [STATE_COLUMN]
        present = await _grants_on(connection, oid, hidden)
        for statement in copied_grants(migration, await _wanted(connection, migration, oid), present):
            await connection.execute(statement.sql)


async def column_grants(connection: Connection, migration: Migration, relation: Relation) -> tuple[ColumnGrant, ...]:
    """What the new columns need of the old ones' privileges."""
    return await _wanted(connection, migration, relation.oid)


async def _wanted(connection: Connection, migration: Migration, table_oid: int) -> tuple[ColumnGrant, ...]:
    columns = [c.physical for c in old_columns(migration)] + [s for c in migration.changes for s in c.sources]
    found = await _grants_on(connection, table_oid, columns)
    # Who may update the table but not read it could not compute the next row state.
    writers = await connection.fetch(
        "SELECT nullif(g.grantee, 0::oid)::regrole::text AS role FROM pg_class c, aclexplode(c.relacl) g"
        " WHERE c.oid = $1::int8::oid AND g.privilege_type IN ('UPDATE', 'SELECT') GROUP BY 1"
        " HAVING bool_and(g.privilege_type = 'UPDATE')",
        table_oid,
    )
    return (*found, *(ColumnGrant(STATE_COLUMN, _role(r[0]), "SELECT") for r in writers))


async def _grants_on(connection: Connection, table_oid: int, columns: list[str]) -> tuple[ColumnGrant, ...]:
    rows = await connection.fetch(
        "SELECT a.attname::text, nullif(g.grantee, 0::oid)::regrole::text AS role, g.privilege_type, g.is_grantable"
        " FROM pg_attribute a, aclexplode(a.attacl) g"
        " WHERE a.attrelid = $1::int8::oid AND a.attname = ANY ($2::text[])",
        *(table_oid, columns),
    )
    return tuple(dict.fromkeys(ColumnGrant(r[0], _role(r[1]), r[2], r[3]) for r in rows))


def _role(text: str | None) -> str | None:
    """`regrole` prints an identifier, quoted where that is needed."""
    return text[1:-1].replace('""', '"') if text and text.startswith('"') else text
