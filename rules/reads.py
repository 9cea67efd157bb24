"""The one canonical expression by which a managed column is read, for each shape and policy.

It has the same text in predicates, target lists, ORDER BY and indexes, because PostgreSQL matches an index only on the
same expression.
"""

from __future__ import annotations

import re

from rules.changes import ColumnChange, ManagedColumn, quote_identifier
from rules.migration import ManagedTable
from rules.phases import NEW_IS_VALID_FROM, OLD_IS_VALID_BELOW, STATE_COLUMN, Shape

#: The collation of columns for which CREATE TABLE says none.
DEFAULT_COLLATION = 'pg_catalog."default"'
_COLLATABLE = re.compile(r"(text|character varying|character|name|citext)\b")


def find_column(table: ManagedTable, shape: Shape, name: str) -> tuple[ColumnChange, ManagedColumn] | None:
    """The change and column that a client of that shape means by `name`, if it is a managed one."""
    for change in table.migration.changes:
        for column in change.side(shape):
            if column.name == name:
                return change, column
    return None


def physical(qualifier: str, column: str) -> str:
    """SQL of a column as it is stored; `qualifier` is SQL such as `"u".` or empty."""
    return qualifier + quote_identifier(column)


def converted(change: ColumnChange, column: ManagedColumn, shape: Shape, qualifier: str) -> str:
    """SQL that computes a column of `shape` from the stored columns of the other side."""
    names = {c.name: c.physical for c in change.side(shape.other)}
    expression = change.into(shape)[column.name]
    return f"({expression.render(lambda name: physical(qualifier, names.get(name, name)))})::{column.type}"


def has_format(shape: Shape, state: str) -> str:
    """SQL: whether a row's own format of that shape is valid, from the SQL of its stored code."""
    return f"{state} >= {NEW_IS_VALID_FROM}" if shape is Shape.NEW else f"{state} < {OLD_IS_VALID_BELOW}"


def lacks_format(shape: Shape, state: str) -> str:
    """SQL: the contrary of `has_format`, which is no truth where there is no row."""
    return f"{state} < {NEW_IS_VALID_FROM}" if shape is Shape.NEW else f"{state} >= {OLD_IS_VALID_BELOW}"


def by_row_state(change: ColumnChange, column: ManagedColumn, shape: Shape, qualifier: str) -> str:
    """SQL that takes the shape's own format where the row state says it is valid, and converts the other one elsewhere.

    Two WHENs and no value in ELSE: a null-extended row of an outer join has no state and has to read as NULL. That NULL
    has the column's type where it has a modifier, because a CASE has the modifier that all of its branches share, and
    UNION, ARRAY[…] and CREATE TABLE AS pass it on.
    """
    state = physical(qualifier, STATE_COLUMN)
    own = physical(qualifier, column.physical)
    other = converted(change, column, shape, qualifier) + collation_of(change, column, shape)
    valid, invalid = has_format(shape, state), lacks_format(shape, state)
    modified = f" ELSE NULL::{column.type}" if "(" in column.type else ""
    return f"(CASE WHEN {valid} THEN {own} WHEN {invalid} THEN {other}{modified} END)"


def collation_of(change: ColumnChange, column: ManagedColumn, shape: Shape) -> str:
    """COLLATE for a converted value whose sources would give it another collation than the column has."""
    names = {c.name: c.physical for c in change.side(shape.other)}
    sources = (names.get(name, name) for name in change.into(shape)[column.name].columns)
    own = change.collations.get(column.physical)
    if all(change.collations.get(source, own) == own for source in sources):
        return ""  # the default collation gives way to any other
    if own is None and not _COLLATABLE.match(column.type):
        return ""
    return f" COLLATE {own or DEFAULT_COLLATION}"


def is_stored(table: ManagedTable, shape: Shape) -> bool:
    """Whether every row's own format of that shape is valid, so that the bare column is the value."""
    return table.policy.reads.is_always_valid(shape)


def read_column(table: ManagedTable, change: ColumnChange, column: ManagedColumn, shape: Shape, qualifier: str) -> str:
    """SQL of a managed column's value as a client of that shape must see it in this phase."""
    if is_stored(table, shape):
        return physical(qualifier, column.physical)
    if table.contracting and shape is Shape.OLD:
        return f"({converted(change, column, shape, qualifier)}{collation_of(change, column, shape)})"
    return by_row_state(change, column, shape, qualifier)
