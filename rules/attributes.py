"""What the new columns have besides a type: NOT NULL, CHECK, REFERENCES, UNIQUE, index, and at last their names.

Attributes hold only ever while the old gate stands, so a plain condition on the new column is right for every row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from rules.catalog import TableName
from rules.changes import ManagedColumn, parse_expression, quote_identifier, quote_table
from rules.ddl import (
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
from rules.migration import Migration
from rules.transition import TransitionIndex


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
    def drop(self) -> Statement:
        if self.kind.is_index:
            name = f"{quote_identifier(self.table.schema)}.{quote_identifier(self.name)}"
            return Statement(f"DROP INDEX IF EXISTS {name}", Lock.ACCESS_EXCLUSIVE)
        return drop_constraint(self.table, self.name)

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
    add = Statement(alter(table, f"ADD CONSTRAINT {quote_identifier(name)} {definition} NOT VALID"), lock)
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
    migration: Migration, taken: Iterable[str], counterparts: Iterable[TransitionIndex] = ()
) -> tuple[Statement, ...]:
    """Second half, in the same transaction: what is left gets the names it would have in CREATE TABLE.

    `taken` are the names of the schema's relations and of the table's constraints by then. SET NOT NULL comes after the
    rename, because since PostgreSQL 18 it names a constraint after the column, and before its CHECK is dropped,
    because that is what saves the scan. `counterparts` are the indexes that stand for those of the old columns.
    """
    table = migration.table
    found = attributes(migration)
    statements = [
        short(table, f"RENAME COLUMN {quote_identifier(c.physical)} TO {quote_identifier(c.name)}")
        for c in new_columns(migration)
    ]
    proved = [a for a in found if a.kind is Kind.NOT_NULL]
    if proved:
        set_not_null = (f"ALTER COLUMN {quote_identifier(a.column.name)} SET NOT NULL" for a in proved)
        statements.append(short(table, *set_not_null))
        statements.append(short(table, *(f"DROP CONSTRAINT {quote_identifier(a.name)}" for a in proved)))
    used = set(taken)
    for a in found:
        if a.kind is not Kind.NOT_NULL:
            final = final_name(a, used)
            used.add(final)
            statements.append(_finished(a, final))
    for index in counterparts:
        final = _free(index.final, "", used)
        used.add(final)
        finish = _become_constraint if index.is_constraint else _rename_index
        statements.append(finish(table, index.name, final))
    return tuple(statements)


def _finished(attribute: Attribute, final: str) -> Statement:
    match attribute.kind:
        case Kind.UNIQUE:
            return _become_constraint(attribute.table, attribute.name, final)
        case Kind.INDEX:
            return _rename_index(attribute.table, attribute.name, final)
        case _:
            return rename_constraint(attribute.table, attribute.name, final)


def _become_constraint(table: TableName, index: str, final: str) -> Statement:
    return short(table, f"ADD CONSTRAINT {quote_identifier(final)} UNIQUE USING INDEX {quote_identifier(index)}")


def _rename_index(table: TableName, index: str, final: str) -> Statement:
    name = f"{quote_identifier(table.schema)}.{quote_identifier(index)}"
    return Statement(f"ALTER INDEX {name} RENAME TO {quote_identifier(final)}", Lock.ACCESS_EXCLUSIVE)


def final_name(attribute: Attribute, taken: Collection[str]) -> str:
    """As PostgreSQL would have called it (`users_email_key`), with a number behind it where that is taken."""
    suffix = {Kind.CHECK: "check", Kind.REFERENCES: "fkey", Kind.UNIQUE: "key", Kind.INDEX: "idx"}[attribute.kind]
    return _free(f"{attribute.table.name}_{attribute.column.name}", f"_{suffix}", taken)


def _free(stem: str, suffix: str, taken: Collection[str]) -> str:
    number = ""
    while True:
        tail = f"{suffix}{number}"
        name = stem.encode()[: 63 - len(tail)].decode(errors="ignore") + tail
        if name not in taken:
            return name
        number = str(int(number or 0) + 1)
