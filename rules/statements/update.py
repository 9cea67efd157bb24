"""UPDATE, and the SET list of ON CONFLICT DO UPDATE.

A value that may be written twice is simply written twice, behind what the client wrote:

    UPDATE users SET full_name = $1 WHERE id = 7
    UPDATE users SET full_name = $1, "_pgjanus_first_name" = (split_part((($1)::text), ' ', 1)), …,
           "_pgjanus_state" = 5 - ("users"."_pgjanus_state" & 1) WHERE id = 7

Any other is evaluated once per row, in a row assignment from a sub-select that is correlated with the row (a CTE or a
self-join would lose updates under READ COMMITTED, an uncorrelated sub-select would be evaluated once for all rows):

    UPDATE users SET tok = gen_random_uuid()
    UPDATE users SET ("tok", "_pgjanus_tok2") = (SELECT v.c0, (upper(((v.c0)::text)))
           FROM (SELECT gen_random_uuid() AS c0 WHERE "users".ctid IS NOT NULL) AS v), "_pgjanus_state" = …
"""

from __future__ import annotations

from dataclasses import dataclass

from rules.changes import ColumnChange, ManagedColumn, quote_identifier
from rules.errors import Refusal
from rules.fragments import Edits, Piece, Pieces, Span, joined
from rules.migration import ManagedTable
from rules.names import Entry
from rules.phases import STATE_COLUMN, Shape
from rules.reads import by_row_state, is_stored, physical
from rules.source import CLOSE, OPEN, Node, SourceText, unwrap
from rules.statements.mirror import (
    Value,
    conversion,
    default_value,
    effective_writes,
    is_simple,
    matters,
    refuse_lossy,
    target_column,
)

_ROW = "_pgjanus_v"


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of a SET list: its characters, and the columns that it sets."""

    start: int
    end: int
    names: tuple[str, ...]
    values: tuple[Value | None, ...]
    subselect: Span | None = None


def rewrite_set(source: SourceText, edits: Edits, entry: Entry, targets: list[Node], shape: Shape) -> None:
    """Rewrite the SET list made of these ResTargets, on the managed table `entry`."""
    table = entry.managed
    assert table is not None
    bodies = [t["ResTarget"] for t in targets]
    items = _read_items(source, edits, table, bodies, shape)
    if not table.phase.expanded or not any(matters(table, shape, n) for item in items for n in item.names):
        return
    first = items[0].start
    rewriting = _SetList(table, entry, shape, items, first)
    if rewriting.needs_row:
        edits.replace(first, items[-1].end, *rewriting.whole_list())
    else:
        edits.insert(items[-1].end, ", ", *joined(", ", rewriting.mirrors()))


class _SetList:
    def __init__(self, table: ManagedTable, entry: Entry, shape: Shape, items: list[_Item], position: int) -> None:
        self._table = table
        self._qualifier = entry.qualifier
        self._shape = shape
        self._items = items
        self._position = position
        self._writes = effective_writes(table, shape, insert=False)
        self._row_columns: dict[str, Value] = {}  # what the row assignment's sub-select evaluates, by column set
        self._values: dict[str, Pieces] = {}  # typed value of each column that matters
        self._laterals: list[Pieces] = []
        self._lateral_names: dict[tuple[str, ...], str] = {}
        for item in items:
            self._collect(item)

    @property
    def needs_row(self) -> bool:
        return bool(self._row_columns or self._laterals)

    def _collect(self, item: _Item) -> None:
        managed = [n for n in item.names if matters(self._table, self._shape, n)]
        if item.subselect is not None and managed:
            alias = self._lateral_names[item.names] = f"_pgjanus_s{len(self._laterals)}"
            names = ", ".join(f"c{i}" for i in range(len(item.names)))
            # LEFT JOIN, because no row from the sub-select means NULLs, and then NULL has to be converted too.
            self._laterals.append((" LEFT JOIN LATERAL ", item.subselect, f" AS {alias}({names}) ON true"))
            for i, name in enumerate(item.names):
                if name in managed:
                    self._values[name] = (f"(({alias}.c{i})::{self._type(name)})",)
            return
        for name, value in zip(item.names, item.values, strict=True):
            if name not in managed:
                continue
            assert value is not None
            if value.simple:
                self._values[name] = value.typed(self._type(name))
            else:
                column = f"c{len(self._row_columns)}"
                self._row_columns[name] = value
                self._values[name] = (f"(({_ROW}.{column})::{self._type(name)})",)

    def _type(self, name: str) -> str:
        column = target_column(self._table, self._shape, name, self._position)
        assert column is not None
        return column.type

    def _value(self, change: ColumnChange, name: str) -> Pieces:
        """What a column of the client's own side will hold after the statement."""
        if name in self._values:
            return self._values[name]
        for column in change.side(self._shape):
            if column.name == name:
                return (self._stored(change, column, self._shape),)
        return (physical(self._qualifier, name),)

    def _stored(self, change: ColumnChange, column: ManagedColumn, shape: Shape) -> str:
        if is_stored(self._table, shape):
            return physical(self._qualifier, column.physical)
        return by_row_state(change, column, shape, self._qualifier)

    def _mirrored(self) -> list[tuple[str, Pieces]]:
        """(physical column, value) of everything beside the client's own assignments, but the row state."""
        found: list[tuple[str, Pieces]] = []
        shape, other = self._shape, self._shape.other
        for change in self._table.migration.changes:
            inputs = [c.name for c in change.side(shape)] or (list(change.sources) if shape is Shape.OLD else [])
            touched = [n for n in inputs if n in self._values]
            if touched:
                refuse_lossy(change, self._table, shape, self._writes, self._position)
            if self._writes.includes(other):
                for column in change.side(other):
                    if touched:
                        found.append((column.physical, self._converted(change, column, touched)))
                    elif not is_stored(self._table, other):
                        found.append((column.physical, (self._stored(change, column, other),)))
            if self._writes.includes(shape) and not is_stored(self._table, shape):
                for column in change.side(shape):
                    if column.name not in self._values:
                        found.append((column.physical, (self._stored(change, column, shape),)))
        return found

    def _converted(self, change: ColumnChange, column: ManagedColumn, touched: list[str]) -> Pieces:
        value = conversion(change, self._shape.other, column, lambda name: self._value(change, name))
        if not change.side(self._shape) or not change.lossy:
            return value
        # An ORM that saves every column must not round the other format of a value that it did not change.
        changed = joined(
            " OR ",
            [
                (*self._values[c.name], " IS DISTINCT FROM ", self._stored(change, c, self._shape))
                for c in change.side(self._shape)
                if c.name in touched
            ],
        )
        kept = self._stored(change, column, self._shape.other)
        return ("CASE WHEN ", *changed, " THEN ", *value, " ELSE ", kept, " END")

    def _state(self) -> Pieces:
        stored = physical(self._qualifier, STATE_COLUMN)
        return (f"{quote_identifier(STATE_COLUMN)} = {self._writes.leaves.next_code(stored)}",)

    def mirrors(self) -> list[Pieces]:
        """Assignments to add behind the client's own ones."""
        return [*((f"{quote_identifier(c)} = ", *value) for c, value in self._mirrored()), self._state()]

    def whole_list(self) -> Pieces:
        """The whole SET list, with everything that must be evaluated once in one row assignment."""
        plain: list[Pieces] = []
        names: list[str] = []
        selected: list[Pieces] = []
        for item in self._items:
            if item.names in self._lateral_names:
                for i, name in enumerate(item.names):
                    names.append(self._physical(name))
                    selected.append((f"{self._lateral_names[item.names]}.c{i}",))
            elif not any(n in self._row_columns for n in item.names):
                plain.append((Span(item.start, item.end),))
            else:
                for name, value in zip(item.names, item.values, strict=True):
                    assert value is not None
                    if name in self._row_columns:
                        names.append(self._physical(name))
                        selected.append((f"{_ROW}.c{list(self._row_columns).index(name)}",))
                    else:
                        plain.append((f"{quote_identifier(self._physical(name))} = ", *value.pieces))
        for column, pieces in self._mirrored():
            names.append(column)
            selected.append(pieces)
        inner: list[Piece] = ["(SELECT "]
        values = [(*v.pieces, f" AS c{i}") for i, v in enumerate(self._row_columns.values())] or [("1 AS one",)]
        inner += joined(", ", values)
        inner += [f" WHERE {self._qualifier}ctid IS NOT NULL) AS {_ROW}"]
        targets = ", ".join(quote_identifier(n) for n in names)
        laterals = [piece for lateral in self._laterals for piece in lateral]
        row: Pieces = (f"({targets}) = (SELECT ", *joined(", ", selected), " FROM ", *inner, *laterals, ")")
        return joined(", ", [*plain, row, self._state()])

    def _physical(self, name: str) -> str:
        column = target_column(self._table, self._shape, name, self._position)
        return column.name if column is not None else name


def _read_items(source: SourceText, edits: Edits, table: ManagedTable, bodies: list[Node], shape: Shape) -> list[_Item]:
    """The SET list's items in order; names are edited to the physical ones on the way."""
    set_token = source.find_back(source.token_before(source.location(bodies[0])), "SET")
    items: list[_Item] = []
    at = 0
    for first, after in source.items(set_token + 1):
        is_row = source.kind(first) == OPEN
        width = bodies[at]["val"]["MultiAssignRef"]["ncolumns"] if is_row else 1
        own = bodies[at : at + width]
        at += width
        for body in own:
            _check_name(source, edits, table, body, shape)
        names = tuple(b["name"] for b in own)
        start, end = source.span(first, after)
        if is_row:
            items.append(_row_item(source, table, own, names, first, after, shape))
        else:
            value_first = _value_start(source, first)
            span = Span(*source.span(value_first, after))
            items.append(_Item(start, end, names, (_value(table, shape, own[0], own[0]["val"], span),)))
    return items


def _check_name(source: SourceText, edits: Edits, table: ManagedTable, body: Node, shape: Shape) -> None:
    position = source.location(body)
    column = target_column(table, shape, body["name"], position)
    if column is None:
        return
    if body.get("indirection") and matters(table, shape, body["name"]):
        raise Refusal(
            f'assigning to a part of the managed column "{body["name"]}" is not supported yet',
            "Assign the whole value.",
            position=position,
        )
    if column.name != body["name"]:
        token = source.tokens[source.token_at(position)]
        edits.replace(token.start, token.end, quote_identifier(column.name))


def _value_start(source: SourceText, index: int) -> int:
    """The first token after the `=` of a single assignment (`a = …`, `a[1] = …`, `a.b = …`)."""
    depth = 0
    while True:
        kind = source.kind(index)
        depth += (kind == "ASCII_91") - (kind == "ASCII_93")
        index += 1
        if depth == 0 and kind == "ASCII_61":
            return index


def _value(table: ManagedTable, shape: Shape, body: Node, node: Node, span: Span) -> Value | None:
    name = body["name"]
    if not matters(table, shape, name):
        return Value((span,), simple=is_simple(node))
    if "SetToDefault" in node:
        column = target_column(table, shape, name, span.start)
        assert column is not None
        return default_value(column, span.start)
    return Value((span,), simple=is_simple(node))


def _row_item(
    source: SourceText,
    table: ManagedTable,
    own: list[Node],
    names: tuple[str, ...],
    first: int,
    after: int,
    shape: Shape,
) -> _Item:
    """`(a, b) = ROW(1, 2)`, `(a, b) = (1, 2)` or `(a, b) = (SELECT …)`."""
    start, end = source.span(first, after)
    kind, body = unwrap(own[0]["val"]["MultiAssignRef"]["source"])
    right = source.closing(first) + 2
    nothing: tuple[Value | None, ...] = (None,) * len(names)
    if not any(matters(table, shape, n) for n in names):
        return _Item(start, end, names, nothing)
    if kind == "SubLink" and source.kind(right) == OPEN and source.closing(right) == after - 1:
        return _Item(start, end, names, nothing, Span(*source.span(right, after)))
    opening = right + 1 if source.kind(right) == "ROW" else right
    if kind != "RowExpr" or source.kind(opening) != OPEN or source.closing(opening) != after - 1:
        raise Refusal("this form of row assignment is not supported", "Assign each column on its own.", position=start)
    spans = source.items(opening + 1)
    if len(spans) != len(names) or len(body["args"]) != len(names) or source.kind(after - 1) != CLOSE:
        return _Item(start, end, names, tuple(Value((Span(start, end),), False) for _ in names))
    values = tuple(
        _value(table, shape, target, node, Span(*source.span(*span)))
        for target, node, span in zip(own, body["args"], spans, strict=True)
    )
    return _Item(start, end, names, values)
