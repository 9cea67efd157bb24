"""What the new columns have besides a type: NOT NULL, CHECK, REFERENCES, UNIQUE, index, and at last their names.

Attributes hold only ever while the old gate stands, so a plain condition on the new column is right for every row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from rules.catalog import TableName
from rules.changes import ManagedColumn, parse_expression, quote_identifier, quote_table, referenced_column
from rules.ddl.statements import (
    Lock,
    Statement,
    alter,
    drop_constraint,
    new_columns,
    object_name,
    rename_constraint,
    short,
    validate,
)
from rules.ddl.transition import TransitionIndex
from rules.migration import Migration

#: PostgreSQL's NAMEDATALEN - 1.
_NAME_LIMIT_BYTES = 63


class Kind(Enum):
    NOT_NULL = "nn"
    CHECK = "ck"
    REFERENCES = "fk"
    UNIQUE = "uq"
    INDEX = "ix"

    @property
    def is_index(self) -> bool:
        return self in (Kind.UNIQUE, Kind.INDEX)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a new column is to have besides its type.

    `name` is what the constraint or index is called until `contracted`. `add` takes a short lock, or none at all for an
    index, which is made CONCURRENTLY and outside a transaction; `proof` is the scan that makes a constraint valid.
    For NOT NULL both make a CHECK, which goes again in `finish`.
    """

    kind: Kind
    table: TableName
    column: ManagedColumn
    name: str
    add: Statement

    @property
    def proof(self) -> Statement | None:
        return None if self.kind.is_index else validate(self.table, self.name)

    @property
    def finish(self) -> tuple[Statement, ...]:
        """One transaction: PostgreSQL finds SET NOT NULL proved by the valid CHECK and does not scan."""
        if self.kind is not Kind.NOT_NULL:
            return ()
        set_not_null = short(self.table, f"ALTER COLUMN {quote_identifier(self.column.physical)} SET NOT NULL")
        return set_not_null, drop_constraint(self.table, self.name)

    @property
    def drop(self) -> Statement:
        """However far it has come: what is not there is passed over."""
        if self.kind is Kind.NOT_NULL:
            return short(
                self.table,
                f"ALTER COLUMN {quote_identifier(self.column.physical)} DROP NOT NULL",
                f"DROP CONSTRAINT IF EXISTS {quote_identifier(self.name)}",
            )
        if self.kind.is_index:
            name = f"{quote_identifier(self.table.schema)}.{quote_identifier(self.name)}"
            return Statement(f"DROP INDEX IF EXISTS {name}", Lock.ACCESS_EXCLUSIVE)
        return replace(drop_constraint(self.table, self.name), also=self.add.also)

    @property
    def drop_in_background(self) -> Statement:
        """For an index that a failed build left behind: invalid, and yet a cost to every write."""
        assert self.kind.is_index
        sql = self.drop.sql.replace("DROP INDEX ", "DROP INDEX CONCURRENTLY ", 1)
        return Statement(sql, Lock.SHARE_UPDATE_EXCLUSIVE)

    def __str__(self) -> str:
        words = {
            Kind.NOT_NULL: "NOT NULL",
            Kind.CHECK: f"CHECK ({self.column.check})",
            Kind.REFERENCES: f"REFERENCES {self.column.references}",
            Kind.UNIQUE: "UNIQUE",
            Kind.INDEX: "index",
        }
        return f"{words[self.kind]} of column {self.column.name}"


def attributes(migration: Migration) -> tuple[Attribute, ...]:
    """Constraints first: a CHECK finds bad rows sooner than an index does."""
    physical = {c.name: c.physical for c in new_columns(migration)}
    found: list[Attribute] = []
    for c in new_columns(migration):
        column = quote_identifier(c.physical)
        if c.not_null:
            found.append(_constraint(migration.table, Kind.NOT_NULL, c, f"CHECK ({column} IS NOT NULL)"))
        if c.check is not None:
            condition = parse_expression(c.check).render(lambda name: quote_identifier(physical.get(name, name)))
            found.append(_constraint(migration.table, Kind.CHECK, c, f"CHECK {condition}"))
        if c.references is not None:
            found.append(
                _constraint(migration.table, Kind.REFERENCES, c, f"FOREIGN KEY ({column}) REFERENCES {c.references}")
            )
        if c.unique:
            found.append(_index(migration.table, Kind.UNIQUE, c))
        elif c.index:
            found.append(_index(migration.table, Kind.INDEX, c))
    return tuple(sorted(found, key=lambda a: list(Kind).index(a.kind)))


def _constraint(table: TableName, kind: Kind, column: ManagedColumn, definition: str) -> Attribute:
    name = object_name(table, kind.value, column.name)
    lock = Lock.SHARE_ROW_EXCLUSIVE if kind is Kind.REFERENCES else Lock.ACCESS_EXCLUSIVE
    also: tuple[TableName, ...] = ()
    if column.references is not None and kind is Kind.REFERENCES:
        also = (referenced_column(column.references)[0],)
    add = Statement(alter(table, f"ADD CONSTRAINT {quote_identifier(name)} {definition} NOT VALID"), lock, also)
    return Attribute(kind, table, column, name, add)


def _index(table: TableName, kind: Kind, column: ManagedColumn) -> Attribute:
    name = object_name(table, kind.value, column.name)
    unique = "UNIQUE " if kind is Kind.UNIQUE else ""
    sql = (
        f"CREATE {unique}INDEX CONCURRENTLY {quote_identifier(name)} ON {quote_table(table)}"
        f" ({quote_identifier(column.physical)})"
    )
    return Attribute(kind, table, column, name, Statement(sql, Lock.SHARE_UPDATE_EXCLUSIVE))


# Contract


def name_new(
    migration: Migration,
    taken: Iterable[str],
    counterparts: Iterable[TransitionIndex] = (),
    not_nulls: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Statement, ...]:
    """Second half, in the same transaction: what is left gets the names it would have in CREATE TABLE.

    `taken` are the names of the schema's relations and of the table's constraints by then. `counterparts` are the
    indexes that stand for those of the old columns. `not_nulls` are the NOT NULL constraints by physical column: since
    PostgreSQL 18 they have names, made of the column's name when they were made.
    """
    table = migration.table
    counterparts = tuple(counterparts)
    finals = final_names(migration, taken, counterparts, not_nulls)
    statements = [
        short(table, f"RENAME COLUMN {quote_identifier(c.physical)} TO {quote_identifier(c.name)}")
        for c in new_columns(migration)
    ]
    for a in attributes(migration):
        name = not_nulls.get(a.column.physical) if a.kind is Kind.NOT_NULL else a.name
        if name is not None:
            statements.append(_finished(a, name, finals[name]))
    for index in counterparts:
        finish = _become_constraint if index.is_constraint else _rename_index
        statements.append(finish(table, index.name, finals[index.name]))
    return tuple(statements)


def final_names(
    migration: Migration,
    taken: Iterable[str],
    counterparts: Iterable[TransitionIndex] = (),
    not_nulls: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """What constraints and indexes are called until `contracted`, and what from then on."""
    used = set(taken)
    finals = {}
    for a in attributes(migration):
        name = not_nulls.get(a.column.physical) if a.kind is Kind.NOT_NULL else a.name
        if name is not None:
            finals[name] = final_name(a, used)
            used.add(finals[name])
    for index in counterparts:
        finals[index.name] = _free(index.final, used)
        used.add(finals[index.name])
    return finals


def _finished(attribute: Attribute, name: str, final: str) -> Statement:
    match attribute.kind:
        case Kind.UNIQUE:
            return _become_constraint(attribute.table, name, final)
        case Kind.INDEX:
            return _rename_index(attribute.table, name, final)
        case _:
            return rename_constraint(attribute.table, name, final)


def _become_constraint(table: TableName, index: str, final: str) -> Statement:
    return short(table, f"ADD CONSTRAINT {quote_identifier(final)} UNIQUE USING INDEX {quote_identifier(index)}")


def _rename_index(table: TableName, index: str, final: str) -> Statement:
    name = f"{quote_identifier(table.schema)}.{quote_identifier(index)}"
    return Statement(f"ALTER INDEX {name} RENAME TO {quote_identifier(final)}", Lock.ACCESS_EXCLUSIVE)


def final_name(attribute: Attribute, taken: Collection[str]) -> str:
    """As PostgreSQL would have called it (`users_email_key`), with a number behind it where that is taken."""
    return _chosen(attribute.table, attribute.column.name, _LABELS[attribute.kind], taken)


_LABELS = {
    Kind.NOT_NULL: "not_null",
    Kind.CHECK: "check",
    Kind.REFERENCES: "fkey",
    Kind.UNIQUE: "key",
    Kind.INDEX: "idx",
}


def not_null_names(migration: Migration) -> dict[str, str]:
    """Physical column → what PostgreSQL 18 calls the constraint that SET NOT NULL makes, in a table of its own."""
    table = migration.table
    columns = [a.column.physical for a in attributes(migration) if a.kind is Kind.NOT_NULL]
    return {c: _chosen(table, c, _LABELS[Kind.NOT_NULL], ()) for c in columns}


def _chosen(table: TableName, column: str, label: str, taken: Collection[str]) -> str:
    """PostgreSQL's makeObjectName: of two names that are too long together, the longer one is cut."""
    number = ""
    while True:
        first, second = table.name.encode(), column.encode()
        while len(first) + len(second) + len(f"__{label}{number}") > _NAME_LIMIT_BYTES:
            first, second = (first[:-1], second) if len(first) > len(second) else (first, second[:-1])
        name = f"{first.decode(errors='ignore')}_{second.decode(errors='ignore')}_{label}{number}"
        if name not in taken:
            return name
        number = str(int(number or 0) + 1)


def _free(stem: str, taken: Collection[str]) -> str:
    number = ""
    while True:
        name = stem.encode()[: _NAME_LIMIT_BYTES - len(number)].decode(errors="ignore") + number
        if name not in taken:
            return name
        number = str(int(number or 0) + 1)
