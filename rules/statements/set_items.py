"""The items of a SET list: of UPDATE, of ON CONFLICT DO UPDATE, and of MERGE's UPDATE."""

from __future__ import annotations

from dataclasses import dataclass

from rules.changes import quote_identifier
from rules.errors import FEATURE_NOT_SUPPORTED, SYNTAX_ERROR, Refusal
from rules.migration import ManagedTable
from rules.phases import Shape
from rules.statements.judge import Judge
from rules.statements.mirror import Value, default_value, first_row, is_star, matters, target_column
from rules.text.fragments import Edits, Span
from rules.text.source import OPEN, Node, SourceText, unwrap

_WRONG_NUMBER = "number of columns does not match number of values"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a SET list: its characters, and the columns that it sets.

    `is_part` says of each column whether only a part of it is set (`tags[2] = …`). `subselect` is the right side
    of a row assignment from a query, whose columns are written at `places`; `values` has None for its columns then.
    """

    start: int
    end: int
    names: tuple[str, ...]
    is_part: tuple[bool, ...]
    values: tuple[Value | None, ...]
    subselect: Span | None = None
    places: tuple[int, ...] = ()


class ItemReader:
    """Reads the ResTargets of a SET list."""

    def __init__(self, source: SourceText, edits: Edits, table: ManagedTable, shape: Shape, judge: Judge) -> None:
        self._source, self._edits, self._table, self._shape, self._judge = source, edits, table, shape, judge

    def read(self, bodies: list[Node]) -> list[Item]:
        """The items in order, from their ResTargets; names are edited to the physical ones on the way."""
        source = self._source
        set_token = source.find_back(source.token_before(source.location(bodies[0])), "SET")
        items: list[Item] = []
        at = 0
        for first, after in source.items(set_token + 1):
            is_row = source.kind(first) == OPEN
            width = bodies[at]["val"]["MultiAssignRef"]["ncolumns"] if is_row else 1
            own = bodies[at : at + width]
            at += width
            for body in own:
                self._edit_name(body)
            items.append(self._row(own, first, after) if is_row else self._single(own[0], first, after))
        return items

    def _edit_name(self, body: Node) -> None:
        source = self._source
        position = source.location(body)
        column = target_column(self._table, self._shape, body["name"], position)
        if column is not None and column.name != body["name"]:
            self._edits.replace(*source.name_span(position), quote_identifier(column.name))

    def _places(self, sublink: Node, names: tuple[str, ...]) -> tuple[int, ...]:
        """Where each column of a row assignment's query is written; its start where that is not clear.

        Raises:
            Refusal: it has another number of columns, in PostgreSQL's words; or nobody knows how many.
        """
        width = len(names)
        row, start = first_row(sublink["subselect"]["SelectStmt"]), self._source.location(sublink)
        if any(is_star(node) for node in row):
            if start in self._judge.unknown_rows and any(matters(self._table, self._shape, n) for n in names):
                raise Refusal(
                    "it is not known how many columns the sub-select of this row assignment has",
                    "Name its columns.",
                    position=start,
                )
            return (start,) * width
        if len(row) != width:
            raise Refusal(_WRONG_NUMBER, sqlstate=SYNTAX_ERROR, position=start)
        return tuple(self._judge.start(node) for node in row)

    def _single(self, body: Node, first: int, after: int) -> Item:
        value_first = _value_start(self._source, first)
        value = self._value(body, body["val"], Span(*self._source.span(value_first, after)))
        return Item(*self._source.span(first, after), (body["name"],), ("indirection" in body,), (value,))

    def _value(self, body: Node, node: Node, span: Span) -> Value:
        name = body["name"]
        if "SetToDefault" in node and matters(self._table, self._shape, name) and "indirection" not in body:
            column = target_column(self._table, self._shape, name, span.start)
            assert column is not None
            return default_value(column, span.start)
        return Value((span,), self._judge.is_simple(node), node)

    def _row(self, own: list[Node], first: int, after: int) -> Item:
        """`(a, b) = ROW(1, 2)`, `(a, b) = (1, 2)` or `(a, b) = (SELECT …)`."""
        source = self._source
        start, end = source.span(first, after)
        names = tuple(b["name"] for b in own)
        parts = tuple("indirection" in b for b in own)
        kind, body = unwrap(own[0]["val"]["MultiAssignRef"]["source"])
        right = source.closing(first) + 2
        nothing: tuple[Value | None, ...] = (None,) * len(names)
        if kind == "SubLink" and source.kind(right) == OPEN and source.closing(right) == after - 1:
            places = self._places(body, names)
            return Item(start, end, names, parts, nothing, Span(*source.span(right, after)), places)
        if not any(matters(self._table, self._shape, n) for n in names):
            return Item(start, end, names, parts, nothing)
        if kind != "RowExpr" and (kind, body.get("subLinkType")) != ("SubLink", "EXPR_SUBLINK"):
            raise Refusal(
                "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
                sqlstate=FEATURE_NOT_SUPPORTED,
                position=self._judge.start({kind: body}),
            )
        has_star = any(is_star(argument) for argument in body.get("args", []))
        if kind == "RowExpr" and not has_star and len(body["args"]) != len(names):
            raise Refusal(_WRONG_NUMBER, sqlstate=SYNTAX_ERROR, position=source.location(body))
        opening = right
        if kind == "RowExpr":
            while source.kind(opening) == OPEN and len(source.items(opening + 1)) == 1:
                opening += 1  # parentheses around the row; a row of one has to say ROW
            opening += source.kind(opening) == "ROW"
        if kind != "RowExpr" or has_star or source.kind(opening) != OPEN:
            raise Refusal(
                "this form of row assignment is not supported", "Assign each column on its own.", position=start
            )
        spans = source.items(opening + 1)
        values = tuple(
            self._value(target, node, Span(*source.span(*span)))
            for target, node, span in zip(own, body["args"], spans, strict=True)
        )
        return Item(start, end, names, parts, values)


def _value_start(source: SourceText, index: int) -> int:
    """The first token after the `=` of a single assignment (`a = …`, `a[1] = …`, `a.b = …`)."""
    depth = 0
    while True:
        kind = source.kind(index)
        depth += (kind == "ASCII_91") - (kind == "ASCII_93")
        index += 1
        if depth == 0 and kind == "ASCII_61":
            return index
