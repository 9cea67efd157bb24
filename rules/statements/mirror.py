"""The writing half that INSERT and UPDATE share: what the other format gets, and when a value may be written twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rules.catalog import Column, Volatility
from rules.changes import ColumnChange, ManagedColumn
from rules.errors import UNDEFINED_COLUMN, Refusal
from rules.migration import ManagedTable
from rules.phases import Reads, Shape, Writes
from rules.reads import find_column, is_stored
from rules.text.fragments import Pieces, expression_pieces
from rules.text.source import Node, unwrap


@dataclass(frozen=True, slots=True)
class Value:
    """What a statement gives to one column. `simple`: it may be evaluated twice with the same result, and cheaply.

    `node` is the client's expression, None for a default.
    """

    pieces: Pieces
    simple: bool
    node: Node | None = None

    def typed(self, type_name: str) -> Pieces:
        """The value as the column will store it: an `up` must see what is stored, not what was written."""
        return ("((", *self.pieces, f")::{type_name})")


def value_type(table: ManagedTable, shape: Shape, column: Column) -> str:
    """The type to which a value of that column is cast for an `up` or `down`, with the collation of the column.

    Not where a change's columns have several: two that are said collide, where two that are stored need not.
    """
    for change in table.migration.changes:
        own = {c.physical for c in change.side(shape)} or set(change.sources)
        collations = {collation for physical, collation in change.collations.items() if physical in own}
        if column.name in own and column.name in change.collations and len(collations) == 1:
            return f"{column.type} COLLATE {change.collations[column.name]}"
    return column.type


def is_simple(node: Node) -> bool:
    """Constants, parameters, column references and casts of those; all else is evaluated once in a sub-select."""
    kind, body = unwrap(node)
    while kind == "TypeCast":
        kind, body = unwrap(body["arg"])
    return kind in ("A_Const", "ParamRef", "ColumnRef", "SQLValueFunction", "SetToDefault")


def first_row(select: Node) -> list[Node]:
    """The expressions of a query's first row as they are written; those of the first query of a set operation."""
    while "larg" in select:
        select = select["larg"]
    if "valuesLists" in select:
        return list(select["valuesLists"][0]["List"]["items"])
    return [t["ResTarget"].get("val", {}) for t in select.get("targetList", [])]


def is_star(node: Node) -> bool:
    kind, body = unwrap(node)
    fields = body.get("fields", []) if kind == "ColumnRef" else body.get("indirection", [])
    return bool(fields) and "A_Star" in fields[-1]


#: Their results depend on what has been evaluated before them.
_OF_SEQUENCES = ("nextval", "currval", "lastval", "setval")


def looks_at_sequence(text: str) -> bool:
    """Whether SQL may call one of the functions whose result depends on what has been evaluated before."""
    return any(name in text.lower() for name in _OF_SEQUENCES)


def is_untyped(node: Node) -> bool:
    """A string, NULL or parameter, whose type the target column decides. A number or a boolean has its own."""
    kind, body = unwrap(node)
    return kind == "ParamRef" or (kind == "A_Const" and ("sval" in body or "isnull" in body))


def default_value(column: Column, position: int) -> Value:
    """What DEFAULT means for a column, written out."""
    if column.identity or column.generated:
        raise Refusal(
            f'the value that PostgreSQL generates for "{column.name}" is needed for another column',
            "Give the column a value of your own.",
            position=position,
        )
    if column.default is None:
        return Value((f"NULL::{column.type}",), simple=True)
    return Value((f"({column.default})",), simple=column.default_volatility is not Volatility.VOLATILE)


def stored_column(table: ManagedTable, shape: Shape, name: str) -> Column | None:
    """The physical column that a client of that shape names, or None if it is none of the table's."""
    return next((column for visible, column in table.visible(shape) if visible == name), None)


def target_column(table: ManagedTable, shape: Shape, name: str, position: int) -> Column | None:
    """Like `stored_column`; refuses names that the server would accept and this client must not see."""
    column = stored_column(table, shape, name)
    if column is None and table.relation.column(name) is not None:
        raise Refusal(
            f'column "{name}" of relation "{table.relation.table.name}" does not exist',
            sqlstate=UNDEFINED_COLUMN,
            position=position,
        )
    return column


def matters(table: ManagedTable, shape: Shape, name: str) -> bool:
    """Whether writing this column is a write of a managed column: it is one, or an added column is derived from it."""
    return find_column(table, shape, name) is not None or any(
        name in change.sources for change in table.migration.changes
    )


def effective_writes(table: ManagedTable, shape: Shape, *, insert: bool) -> Writes:
    """The policy's `writes`, but an added column is stored under every policy, and so is a dropped one.

    It exists on one side only, so a phase that writes only the other side would lose it.
    """
    writes = table.policy.writes
    for lacking, sided in ((Shape.OLD, Writes.OLD), (Shape.NEW, Writes.NEW)):
        one_sided = any(not change.side(lacking) for change in table.migration.changes)
        if writes is sided and one_sided and (shape is not lacking or not insert):
            return Writes.BOTH
    return writes


def refuse_lossy(change: ColumnChange, table: ManagedTable, shape: Shape, writes: Writes, position: int) -> None:
    """A value that may not survive the round trip cannot be kept in the other format only."""
    if change.lossy and not writes.includes(shape):
        raise Refusal(
            f"the {shape.value} shape cannot be written in phase {table.phase.name}, "
            "because the migration is lossy and this phase keeps the other format only",
            "Write from this application version in a phase that writes both formats.",
            position=position,
        )


_ONE_FORMAT_HOLDS_IT = "the migration has a column of which only the other format holds the value"


def why_not_own_format_only(table: ManagedTable, shape: Shape, writes: Writes, *, forgets: bool) -> str:
    """Why an UPDATE may not leave a row in the client's own format alone; empty if it may.

    `forgets`: a lossy change would be rounded of which nothing is known to change.

    Row state `new` is for phases that write nothing else: a neighbour may still read the old columns as they are.
    """
    if not writes.includes(shape.other):
        if not is_stored(table, shape):
            return f"phase {table.phase.name} has rows whose own value is out of date"
        return _ONE_FORMAT_HOLDS_IT if forgets else ""
    if shape is Shape.NEW or table.policy.reads is Reads.NEW:
        return f"phase {table.phase.name} needs it"
    if not is_stored(table, shape):
        return f"phase {table.phase.name} has rows whose own value is out of date"
    if any(change.lossy or not change.old or not change.new for change in table.migration.changes):
        return _ONE_FORMAT_HOLDS_IT
    return ""


def conversion(change: ColumnChange, into: Shape, column: ManagedColumn, value: Callable[[str], Pieces]) -> Pieces:
    """The `up` or `down` of one column, with `value(name)` for each column that it names."""
    return expression_pieces(change.into(into)[column.name], value)
