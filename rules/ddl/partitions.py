"""Indexes of a partitioned table: PostgreSQL makes none CONCURRENTLY there, so each partition gets its own first.

    CREATE INDEX "_pgjanus_nx_…" ON ONLY events (…)                 an index of nothing yet, invalid
    CREATE INDEX CONCURRENTLY "_pgjanus_nx_…" ON events_2024 (…)    the work
    ALTER INDEX "_pgjanus_nx_…" ATTACH PARTITION "_pgjanus_nx_…"    with the last of them the first is valid

A partition that is made meanwhile has the index from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rules.catalog import TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl.attributes import Attribute
from rules.ddl.statements import Lock, Statement, object_name
from rules.ddl.transition import TransitionIndex


@dataclass(frozen=True, slots=True)
class Part:
    """A partitioned table, or one of its partitions; `parent` is the OID of the table that it is a partition of."""

    oid: int
    table: TableName
    is_leaf: bool
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class TableIndex:
    """An index of one table, with what its definition says behind the table's name."""

    table: TableName
    name: str
    is_unique: bool
    definition: str

    def _create(self, what: str, only: str = "") -> str:
        unique = "UNIQUE " if self.is_unique else ""
        name = quote_identifier(self.name)
        return f"CREATE {unique}{what} {name} ON {only}{quote_table(self.table)}{self.definition}"

    @property
    def add_only(self) -> Statement:
        """Of a partitioned table alone: there is nothing in it to read."""
        return Statement(self._create("INDEX", "ONLY "), Lock.SHARE)

    @property
    def add(self) -> Statement:
        return Statement(self._create("INDEX CONCURRENTLY"), Lock.SHARE_UPDATE_EXCLUSIVE)

    @property
    def qualified(self) -> str:
        return f"{quote_identifier(self.table.schema)}.{quote_identifier(self.name)}"

    @property
    def drop(self) -> Statement:
        return Statement(f"DROP INDEX IF EXISTS {self.qualified}", Lock.ACCESS_EXCLUSIVE)

    @property
    def drop_in_background(self) -> Statement:
        return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {self.qualified}", Lock.SHARE_UPDATE_EXCLUSIVE)

    def attach(self, part: TableIndex) -> Statement:
        sql = f"ALTER INDEX {self.qualified} ATTACH PARTITION {part.qualified}"
        return Statement(sql, Lock.SHARE_UPDATE_EXCLUSIVE)


def index_of(index: TransitionIndex | Attribute, table: TableName) -> TableIndex:
    """The same index of `table`, which is the migration's or a partition of it."""
    if isinstance(index, Attribute):
        name = object_name(table, index.kind.value, index.column.name)
        return TableIndex(table, name, False, f" ({quote_identifier(index.column.physical)})")
    definition = index.body.removeprefix(f"ON {quote_table(index.table)}")
    own = replace(index, table=table, body=f"ON {quote_table(table)}{definition}")
    return TableIndex(table, own.name, index.is_unique, definition)


def make_everywhere(index: TransitionIndex | Attribute, tree: Iterable[Part]) -> tuple[Statement, ...]:
    """What makes it for a partitioned table and all its partitions; a parent comes before its partitions in `tree`."""
    made: dict[int, TableIndex] = {}
    statements = []
    for part in tree:
        made[part.oid] = own = index_of(index, part.table)
        statements.append(own.add if part.is_leaf else own.add_only)
        if part.parent in made:
            statements.append(made[part.parent].attach(own))
    return tuple(statements)
