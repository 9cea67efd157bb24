"""Privileges on single columns: whoever may use an old column may use the new ones."""

from __future__ import annotations

from proxy.database import Connection
from rules.catalog import Relation
from rules.ddl.statements import ColumnGrant, old_columns
from rules.migration import Migration
from rules.phases import STATE_COLUMN


async def column_grants(connection: Connection, migration: Migration, relation: Relation) -> tuple[ColumnGrant, ...]:
    """What the new columns need of the old ones' privileges."""
    columns = [c.physical for c in old_columns(migration)] + [s for c in migration.changes for s in c.sources]
    rows = await connection.fetch(
        "SELECT a.attname::text, nullif(g.grantee, 0::oid)::regrole::text AS role, g.privilege_type, g.is_grantable"
        " FROM pg_attribute a, aclexplode(a.attacl) g"
        " WHERE a.attrelid = $1::int8::oid AND a.attname = ANY ($2::text[])",
        *(relation.oid, columns),
    )
    # Who may update the table but not read it could not compute the next row state.
    writers = await connection.fetch(
        "SELECT nullif(g.grantee, 0::oid)::regrole::text AS role FROM pg_class c, aclexplode(c.relacl) g"
        " WHERE c.oid = $1::int8::oid AND g.privilege_type IN ('UPDATE', 'SELECT') GROUP BY 1"
        " HAVING bool_and(g.privilege_type = 'UPDATE')",
        relation.oid,
    )
    found = [ColumnGrant(r[0], _role(r[1]), r[2], r[3]) for r in rows]
    return (*found, *(ColumnGrant(STATE_COLUMN, _role(r[0]), "SELECT") for r in writers))


def _role(text: str | None) -> str | None:
    """`regrole` prints an identifier, quoted where that is needed."""
    return text[1:-1].replace('""', '"') if text and text.startswith('"') else text
