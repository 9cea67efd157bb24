"""A partitioned table's partitions, and the indexes that have to be made one partition at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import asyncpg

from proxy.database import Connection
from proxy.ladder.operator import Operator
from rules.catalog import TableName
from rules.changes import quote_identifier
from rules.ddl.attributes import Attribute
from rules.ddl.partitions import Part, TableIndex, index_of
from rules.ddl.statements import Lock, Statement
from rules.ddl.transition import TransitionIndex
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX

_NAME_LIMIT_BYTES = 63

_TREE = """
SELECT t.relid::oid::int8 AS oid, n.nspname::text, c.relname::text, t.isleaf, t.parentrelid::oid::int8 AS parent
  FROM pg_partition_tree($1::int8::oid) t JOIN pg_class c ON c.oid = t.relid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY t.level, t.relid"""

_INDEX = """
SELECT c.oid::int8, i.indisvalid AS is_valid
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::int8::oid AND c.relname = $2"""

# A partition that was made after its parent's index has one of its own, whatever it is called.
_ATTACHED = """
SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_inherits h ON h.inhrelid = c.oid
 WHERE i.indrelid = $1::int8::oid AND h.inhparent = $2::int8::oid"""

_LEFTOVERS = """
SELECT n.nspname::text, c.relname::text
  FROM pg_partition_tree($1::int8::oid) t JOIN pg_index i ON i.indrelid = t.relid
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.level > 0 AND NOT c.relispartition AND starts_with(c.relname, $2)"""

_HIDDEN_NAMES = """
SELECT n.nspname::text, c.relname::text, p.relname::text AS part, r.relname::text AS root
  FROM pg_partition_tree($1::int8::oid) t JOIN pg_class p ON p.oid = t.relid JOIN pg_index i ON i.indrelid = t.relid
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class r ON r.oid = pg_partition_root(c.oid)
 WHERE t.level > 0 AND strpos(c.relname, $2) > 0
 ORDER BY t.level, c.oid"""


async def load_tree(connection: Connection, table_oid: int) -> tuple[Part, ...]:
    """The table, its partitions and theirs, parents first; () if it is not partitioned."""
    rows = await connection.fetch(_TREE, table_oid)
    return tuple(Part(r["oid"], TableName(r["nspname"], r["relname"]), r["isleaf"], r["parent"]) for r in rows)


async def ensure_everywhere(operator: Operator, managed: ManagedTable, index: TransitionIndex | Attribute) -> None:
    """The index on a partitioned table and on each partition, valid; goes on where an earlier attempt stopped.

    Raises:
        asyncpg.PostgresError: what a CREATE INDEX says of the rows. `drop_everywhere` takes back what was made.
        TableIsBusy: a lock was not to be had.
    """
    connection = operator.connection
    made: dict[int, tuple[int, TableIndex]] = {}
    for part in await load_tree(connection, managed.relation.oid):
        own = index_of(index, part.table)
        above = made.get(part.parent or 0)
        if above is not None:
            attached = await connection.fetchval(_ATTACHED, part.oid, above[0])
            if attached is not None:
                own = replace(own, name=attached)
                made[part.oid] = (await _oid_of(connection, part, own), own)
                continue
        made[part.oid] = (await _ensure(operator, index, part, own), own)
        if above is not None:
            await operator.execute_briefly(str(index), part.table, [above[1].attach(own)])


async def _ensure(operator: Operator, index: TransitionIndex | Attribute, part: Part, own: TableIndex) -> int:
    found = await operator.connection.fetchrow(_INDEX, part.oid, own.name)
    if found is None or (part.is_leaf and not found["is_valid"]):
        if part.is_leaf:
            if found is not None:  # of a failed attempt: invalid, and still a cost to every write
                await operator.patiently(str(index), part.table, own.drop_in_background)
            await operator.patiently(str(index), part.table, own.add)
        else:
            await operator.execute_briefly(str(index), part.table, [own.add_only])
    return await _oid_of(operator.connection, part, own)


async def _oid_of(connection: Connection, part: Part, index: TableIndex) -> int:
    found = await connection.fetchrow(_INDEX, part.oid, index.name)
    assert found is not None
    return int(found["oid"])


async def drop_everywhere(operator: Operator, managed: ManagedTable, name: str) -> None:
    """An index of a partitioned table with those of its partitions, and what failed attempts left on one of them."""
    oid, table = managed.relation.oid, managed.relation.table
    await operator.execute_briefly(f"dropping {name}", table, [TableIndex(table, name, False, "").drop])
    for schema, leftover in await operator.connection.fetch(_LEFTOVERS, oid, HIDDEN_PREFIX):
        index = TableIndex(TableName(schema, ""), leftover, False, "")
        await operator.patiently(f"dropping {leftover}", table, index.drop_in_background)


async def name_parts(
    connection: Connection, table_oid: int, taken: set[str], finals: Mapping[str, str]
) -> tuple[Statement, ...]:
    """For the transaction of `contracted`: partitions' indexes are called after their table's.

    `taken` are the names of relations, and gets the new ones. `finals` are the table's indexes with their names.
    """
    statements = []
    rows: list[asyncpg.Record] = await connection.fetch(_HIDDEN_NAMES, table_oid, HIDDEN_PREFIX)
    root = await connection.fetchval("SELECT relname::text FROM pg_class WHERE oid = $1::int8::oid", table_oid)
    for row in rows:
        if row["root"] not in finals:
            continue
        stem = f"{row['part']}_{finals[row['root']].removeprefix(f'{root}_')}"
        name, number = stem.encode()[:_NAME_LIMIT_BYTES].decode(errors="ignore"), 0
        while name in taken:
            number += 1
            name = f"{stem.encode()[: _NAME_LIMIT_BYTES - len(str(number))].decode(errors='ignore')}{number}"
        taken.add(name)
        index = f"{quote_identifier(row['nspname'])}.{quote_identifier(row['relname'])}"
        statements.append(Statement(f"ALTER INDEX {index} RENAME TO {quote_identifier(name)}", Lock.ACCESS_EXCLUSIVE))
    return tuple(statements)
