"""A partitioned table: what its partitions must have in common, and what cannot be done to one."""

from __future__ import annotations

from proxy.backfill.session import find_key
from proxy.database import Connection, server_version
from proxy.preflight.findings import Notes
from rules.catalog import Relation
from rules.ddl.statements import old_columns
from rules.migration import Migration

#: The proxy tells the shapes of each of them apart in the catalogs, and looks for the name of each in every statement.
_MOST_PARTITIONS = 500
#: The first server version that adds a foreign key to a partitioned table NOT VALID.
_FOREIGN_KEYS_FROM = 180000

# PostgreSQL notes the columns of a partition key, those in expressions too, as depending on their own table.
_KEY_COLUMNS = """
SELECT DISTINCT a.attname::text AS column, t.relid::regclass::text AS table
  FROM pg_partition_tree($1::int8::oid) t
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.relid AND d.objsubid > 0
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.relid AND d.refobjsubid = 0
  JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnum = d.objsubid
 WHERE a.attname = ANY ($2::text[]) ORDER BY 1, 2"""

_OWNERS = """
SELECT string_agg(t.relid::regclass::text, ', ') FROM pg_partition_tree($1::int8::oid) t
  JOIN pg_class c ON c.oid = t.relid WHERE NOT pg_has_role(c.relowner, 'USAGE')"""

_FOREIGN = """
SELECT string_agg(t.relid::regclass::text, ', ') FROM pg_partition_tree($1::int8::oid) t
  JOIN pg_class c ON c.oid = t.relid WHERE c.relkind NOT IN ('r', 'p')"""

_OWN_NOT_NULL = """
SELECT a.attname::text AS column, string_agg(t.relid::regclass::text, ', ') AS partitions
  FROM pg_partition_tree($1::int8::oid) t JOIN pg_attribute a ON a.attrelid = t.relid
  JOIN pg_attribute p ON p.attrelid = $1::int8::oid AND p.attname = a.attname
 WHERE a.attname = ANY ($2::text[]) AND a.attnotnull AND NOT p.attnotnull GROUP BY 1"""

# One that a key of the whole table has a part of is that key's.
_OWN_INDEXES = """
SELECT c.oid::regclass::text AS index, t.relid::regclass::text AS partition
  FROM pg_partition_tree($1::int8::oid) t JOIN pg_index i ON i.indrelid = t.relid
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE t.level > 0 AND NOT c.relispartition AND EXISTS (
       SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = t.relid AND a.attname = ANY ($2::text[]))
 ORDER BY 1"""


async def check_partitions(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> None:
    table, oid = relation.table, relation.oid
    old = [c.physical for c in old_columns(migration)]
    for column, keyed in await connection.fetch(_KEY_COLUMNS, oid, old):
        notes.refuse(
            f"{column} is in the partition key of {keyed}",
            "a changed value may belong to another partition: make a new table, and move the rows",
            at=(column, "name"),
        )
    count = await connection.fetchval("SELECT count(*) - 1 FROM pg_partition_tree($1::int8::oid)", oid)
    if count > _MOST_PARTITIONS:
        notes.refuse(
            f"{table} has {count} partitions, and {_MOST_PARTITIONS} is the most for a migration",
            "detach or merge old ones first",
        )
    strangers = await connection.fetchval(_OWNERS, oid)
    if strangers:
        notes.refuse(f"the user of the control connection does not own {strangers}", "connect as a superuser")
    foreign = await connection.fetchval(_FOREIGN, oid)
    if foreign:
        notes.refuse(f"{foreign}: foreign tables are partitions of {table}", "the new columns would not be there")
    for column, partitions in await connection.fetch(_OWN_NOT_NULL, oid, old):
        notes.refuse(
            f"{column} is NOT NULL in {partitions} and not in {table}",
            f"make it the same: ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL, or DROP NOT NULL there",
            at=(column, "name"),
        )
    if (await find_key(connection, migration)).is_physical:
        notes.refuse(
            f"{table} has no primary key, nor a unique index over NOT NULL columns that stay",
            "a partitioned table is walked along one: add it first",
        )
    for index, partition in await connection.fetch(_OWN_INDEXES, oid, old):
        notes.warn(
            f"index {index} of partition {partition} has no counterpart: {table} has no such index",
            "make it an index of the whole table, or do without it while the migration runs",
        )
    _check_attributes(connection, relation, migration, notes)


def _check_attributes(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> None:
    for change in migration.changes:
        for column in change.new:
            if column.unique:
                notes.refuse(
                    f"{column.name} cannot be unique: the partition key of {relation.table} is not in it",
                    "leave unique out, and make a unique index over the key as well by hand",
                    at=(column.name, "unique"),
                )
            if column.references is not None and server_version(connection) < _FOREIGN_KEYS_FROM:
                notes.refuse(
                    f"{column.name}: before PostgreSQL 18 a foreign key of a partitioned table cannot be added without"
                    " a scan that stops writers",
                    "leave references out, and add it by hand",
                    at=(column.name, "references"),
                )
