"""What the backfill would do to the table, and whether its role lets it keep out of the way."""

from __future__ import annotations

import asyncpg

from proxy.database import Connection
from proxy.preflight.findings import Notes
from rules.catalog import Relation
from rules.ddl.statements import old_columns
from rules.migration import Migration

#: Below that size nobody minds what becomes of free room.
LARGE_BYTES = 64 << 20

# tgtype: 16 is UPDATE. The worker sets new columns, which no trigger can name yet, and on the way down old ones.
_TRIGGERS = """
SELECT t.tgname::text, t.tgenabled::text, cardinality(t.tgattr::int2[]) > 0 AS of_columns
  FROM pg_trigger t
 WHERE t.tgrelid IN (SELECT relid FROM pg_partition_tree($1::int8::oid::regclass) UNION SELECT $1::int8::oid)
   AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgtype & 16 = 16 AND t.tgenabled::text = ANY ($3::text[])
   AND (cardinality(t.tgattr::int2[]) = 0 OR EXISTS (
        SELECT FROM pg_attribute a
         WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[]) AND a.attname = ANY ($2::text[])))
 ORDER BY 1"""

_ROOM = """
SELECT pg_table_size(c.oid) AS size,
       coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100)
         AS fillfactor,
       (SELECT string_agg(i.indexrelid::regclass::text, ', ' ORDER BY i.indexrelid) FROM pg_index i
         WHERE i.indrelid = c.oid AND EXISTS (
               SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($2::text[])
                  AND (a.attnum = ANY (i.indkey::int2[])
                       OR pg_get_expr(i.indexprs, i.indrelid) ~ ('\\m' || a.attname || '\\M')))) AS indexes
  FROM pg_class c WHERE c.oid = $1::int8::oid"""


async def check_worker(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> None:
    """Triggers that would fire for each converted row are a question; the rest are warnings."""
    await _check_triggers(connection, relation, migration, notes)
    await _check_room(connection, relation, migration, notes)
    if not await connection.fetchval("SELECT pg_has_role('pg_read_all_stats', 'USAGE')"):
        notes.warn(
            "this role does not see what other sessions and the standbys do, so the backfill cannot wait for them",
            "GRANT pg_monitor TO it",
        )


async def _check_triggers(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> None:
    silent = await _may_silence_triggers(connection)
    old = [c.physical for c in old_columns(migration)]
    fires = ["A", "R"] if silent else ["A", "O"]
    found = await connection.fetch(_TRIGGERS, relation.oid, old, fires)
    if not found:
        return
    names = ", ".join(
        f"{r['tgname']}{' (on the way down)' if r['of_columns'] else ''}{'' if r['tgenabled'] == 'O' else ' (ALWAYS)'}"
        for r in found
    )
    notes.ask(
        f"the backfill fires triggers of {relation.table} for every row: {names}",
        "they are ENABLE ALWAYS or REPLICA, which nothing silences"
        if silent
        else "a superuser may silence them, and from PostgreSQL 15 on who is granted SET ON PARAMETER"
        " session_replication_role",
    )


class _RolledBack(Exception):
    """Leaves the transaction."""


async def _may_silence_triggers(connection: Connection) -> bool:
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            raise _RolledBack
    except _RolledBack:
        return True
    except asyncpg.InsufficientPrivilegeError:
        return False


async def _check_room(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> None:
    """An UPDATE stays within its page, and leaves all indexes alone (HOT), if no indexed column changes and there is
    room on the page."""
    row = await connection.fetchrow(_ROOM, relation.oid, [c.physical for c in old_columns(migration)])
    if row is None or row["size"] < LARGE_BYTES:
        return
    cost = "the backfill writes into every index of the table for each row (no HOT updates)"
    if row["indexes"]:
        notes.warn(
            f"{cost}: {row['indexes']} has a column of the migration, and a counterpart for the new format",
            "see docs/indexes.md; a lower max_wal_rate or batch_target makes it gentler",
        )
    elif row["fillfactor"] == 100:
        notes.warn(
            f"{cost}: its pages are full (fillfactor 100)",
            "ALTER TABLE … SET (fillfactor = 70) leaves room on pages that are written from then on",
        )
