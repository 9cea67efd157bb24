"""INSERT, in all its forms but the SET list of ON CONFLICT (see `update`).

Values that may be written twice are, behind the client's own:

    INSERT INTO users (id, full_name) VALUES ($1, $2)
    INSERT INTO users (id, full_name, "_pgjanus_first_name", …, "_pgjanus_state") VALUES ($1, $2, split_part((($2)::text), ' ', 1), …, 4)

Others are evaluated once in a sub-select, from which both formats are taken:

    INSERT INTO users (id, tok) VALUES ($1, gen_random_uuid())
    INSERT INTO users ("id", "tok", "_pgjanus_tok2", …) SELECT $1, v.c1, upper(((v.c1)::text)), … FROM (SELECT gen_random_uuid() AS c1) AS v

A column list that the client left out is written down: the table has columns that the client does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rules.catalog import Column
from rules.changes import quote_identifier
from rules.errors import Refusal
from rules.fragments import Edits, Piece, Pieces, Span, joined
from rules.migration import ManagedTable
from rules.names import Entry
from rules.phases import STATE_COLUMN, Shape, Writes
from rules.reads import find_column, is_stored
from rules.scope import Write
from rules.source import COMMA, OPEN, SEMICOLON, Node, SourceText, unwrap, walk
from rules.statements.mirror import (
    Value,
    conversion,
    default_value,
    effective_writes,
    is_simple,
    is_untyped,
    matters,
    refuse_lossy,
    stored_column,
    target_column,
)
from rules.statements.update import rewrite_set

_ROW = "_pgjanus_v"
_SYNTAX = "42601"


def rewrite_insert(source: SourceText, edits: Edits, write: Write, shape: Shape) -> None:
    """Rewrite one INSERT on a managed table."""
    entry, node = write.entry, write.node
    conflict = node.get("onConflictClause", {})
    if conflict:
        _check_arbiter(source, edits, entry, conflict, shape)
        if conflict.get("targetList"):
            rewrite_set(source, edits, entry, conflict["targetList"], shape)
    _Insert(source, edits, write, shape).rewrite()


@dataclass(slots=True)
class _Layout:
    """Token indices of the statement's parts. `columns` is the parenthesised list, if there is one; `body` what follows it."""

    after_name: int
    columns: tuple[int, int] | None
    body: int
    end: int


@dataclass(slots=True)
class _Columns:
    """The column list as it will be: the client's names, and what is added behind them."""

    names: list[str]
    added: list[str] = field(default_factory=list)


class _Insert:
    def __init__(self, source: SourceText, edits: Edits, write: Write, shape: Shape) -> None:
        table, node = write.entry.managed, write.node
        assert table is not None
        self._source, self._edits, self._node, self._shape = source, edits, node, shape
        self._outputs = write.outputs
        self._table: ManagedTable = table
        self._position = source.location(node["relation"])
        self._layout = self._find_layout()
        self._writes = effective_writes(table, shape, insert=True)
        self._explicit = "cols" in node
        self._names = self._column_names()
        self._needs = self._needed_columns()

    # --- where things stand ----------------------------------------------------------------------------------

    def _find_layout(self) -> _Layout:
        source, node = self._source, self._node
        index = source.reference_end(source.token_at(self._position))
        if source.kind(index) == "AS":
            index += 2
        after_name = index
        columns = None
        if "cols" in node:
            columns = (index, source.closing(index))
            index = columns[1] + 1
        if source.kind(index) == "OVERRIDING":
            index += 3
        conflict = source.location(node["onConflictClause"]) if "onConflictClause" in node else None
        end, depth = index, 0
        while end < len(source.tokens):
            token = source.tokens[end]
            depth += (token.kind == OPEN) - (token.kind == "ASCII_41")
            ends = token.kind in (SEMICOLON, "RETURNING") or token.start == conflict
            if depth < 0 or (depth == 0 and ends):
                break
            end += 1
        return _Layout(after_name, columns, index, end)

    def _column_names(self) -> list[str]:
        if self._explicit:
            names = []
            for item in self._node["cols"]:
                body = item["ResTarget"]
                position = self._source.location(body)
                target_column(self._table, self._shape, body["name"], position)
                if body.get("indirection") and matters(self._table, self._shape, body["name"]):
                    raise Refusal(
                        "inserting into a part of a managed column is not supported yet",
                        "Insert the whole value.",
                        position=position,
                    )
                names.append(body["name"])
            return names
        visible = [name for name, _ in self._table.visible(self._shape)]
        return visible[: self._width()]

    def _width(self) -> int:
        select = self._node.get("selectStmt", {}).get("SelectStmt")
        if select is None:
            return 0
        if "valuesLists" in select:
            return len(select["valuesLists"][0]["List"]["items"])
        if any(o is None for o in self._outputs):
            raise Refusal(
                "the number of columns that this INSERT … SELECT * gives is not known",
                "Write the column list, and name the columns of the SELECT.",
                position=self._position,
            )
        return len(self._outputs)

    # --- what is needed --------------------------------------------------------------------------------------

    def _adds_state(self) -> bool:
        return self._table.phase.expanded and not (self._writes is Writes.OLD and self._shape is Shape.OLD)

    def _needed_columns(self) -> list[str]:
        """The client's columns whose values the other format is computed from."""
        if not self._table.phase.expanded:
            return []
        for change in self._table.migration.changes:
            if any(c.name in self._names for c in change.side(self._shape)):
                refuse_lossy(change, self._table, self._shape, self._writes, self._position)
        if not self._writes.includes(self._shape.other):
            return []
        needed: list[str] = []
        for change in self._table.migration.changes:
            for column in change.side(self._shape.other):
                needed += change.into(self._shape.other)[column.name].columns
        return list(dict.fromkeys(needed))

    def _mirror_columns(self) -> list[str]:
        if not self._writes.includes(self._shape.other) or not self._table.phase.expanded:
            return []
        return [c.physical for change in self._table.migration.changes for c in change.side(self._shape.other)]

    def _mirrors(self, values: dict[str, Pieces]) -> list[Pieces]:
        """Values of the mirror columns and the row state, from the typed values of the needed columns."""
        found: list[Pieces] = []
        if self._mirror_columns():
            for change in self._table.migration.changes:
                for column in change.side(self._shape.other):
                    found.append(conversion(change, self._shape.other, column, values.__getitem__))
        if self._adds_state():
            found.append((str(self._writes.leaves.lowest),))
        return found

    def _added(self) -> list[str]:
        return [*self._mirror_columns(), *([STATE_COLUMN] if self._adds_state() else [])]

    def _column(self, name: str) -> Column:
        column = stored_column(self._table, self._shape, name)
        if column is None:
            raise Refusal(f'column "{name}" is not known', "Try again: the catalog may just have changed.")
        return column

    # --- the rewriting ---------------------------------------------------------------------------------------

    def rewrite(self) -> None:
        select = self._node.get("selectStmt", {}).get("SelectStmt")
        if select is not None:
            self._check_width(select)
        if select is None:
            self._default_values()
        elif "valuesLists" in select:
            self._values(select)
        else:
            self._select(select)

    def _check_width(self, select: Node) -> None:
        """PostgreSQL's own errors, because columns that we add would move their positions."""
        width = self._width()
        if "valuesLists" in select:
            lists = [item["List"]["items"] for item in select["valuesLists"]]
            uneven = next((values for values in lists if len(values) != width), None)
            if uneven is not None:
                raise Refusal(
                    "VALUES lists must all be the same length", sqlstate=_SYNTAX, position=self._start(uneven[0])
                )
            expressions = lists[0]
        else:
            expressions = [t["ResTarget"] for t in select.get("targetList", [])]
        columns = len(self._names)
        if width > columns:
            position = self._start(expressions[columns]) if len(expressions) == width else None
            raise Refusal("INSERT has more expressions than target columns", sqlstate=_SYNTAX, position=position)
        if width < columns:
            position = self._source.location(self._node["cols"][width]["ResTarget"])
            raise Refusal("INSERT has more target columns than expressions", sqlstate=_SYNTAX, position=position)

    def _start(self, node: Node) -> int:
        """The leftmost place of an expression."""
        return min(self._source.location(body) for _, body in walk({"": node}) if body.get("location", -1) >= 0)

    def _list_sql(self, names: list[str]) -> str:
        physical = [self._physical(n) for n in names] + self._added()
        return "(" + ", ".join(quote_identifier(n) for n in physical) + ")"

    def _physical(self, name: str) -> str:
        column = stored_column(self._table, self._shape, name)
        return name if column is None else column.name

    def _edit_list(self) -> None:
        """Keep the client's column list and add to it, or write one."""
        source, layout = self._source, self._layout
        if layout.columns is None:
            self._edits.insert(source.tokens[layout.after_name - 1].end, " " + self._list_sql(self._names))
            return
        for item in self._node["cols"]:
            body = item["ResTarget"]
            physical = self._physical(body["name"])
            if physical != body["name"]:
                token = source.tokens[source.token_at(source.location(body))]
                self._edits.replace(token.start, token.end, quote_identifier(physical))
        if self._added():
            closing = source.tokens[layout.columns[1]].start
            self._edits.insert(closing, ", " + ", ".join(quote_identifier(n) for n in self._added()))

    def _replace_list(self, names: list[str]) -> None:
        source, layout = self._source, self._layout
        if layout.columns is None:
            self._edits.insert(source.tokens[layout.after_name - 1].end, " " + self._list_sql(names))
        else:
            start, end = source.span(layout.columns[0], layout.columns[1] + 1)
            self._edits.replace(start, end, self._list_sql(names))

    def _omitted(self) -> dict[str, Value]:
        return {n: default_value(self._column(n), self._position) for n in self._needs if n not in self._names}

    def _default_values(self) -> None:
        if not self._added():
            return
        values = self._omitted()
        start, end = self._source.span(self._layout.body, self._layout.body + 2)
        self._names = []
        if all(v.simple for v in values.values()):
            row = self._mirrors({n: v.typed(self._column(n).type) for n, v in values.items()})
            self._replace_list([])
            self._edits.replace(start, end, "VALUES (", *joined(", ", row), ")")
        else:
            self._replace_list(list(values))
            self._edits.replace(start, end, *self._from_row([], values))

    def _values(self, select: Node) -> None:
        if set(select) - {"valuesLists", "limitOption", "op"}:
            if self._added() or not self._explicit:
                raise Refusal(
                    "VALUES with ORDER BY, LIMIT or WITH in an INSERT is not supported yet", position=self._position
                )
            self._edit_list()
            return
        rows = self._rows(select)
        if not self._needs:
            self._edit_list()
            for row in rows:
                self._append(row.closing, self._mirrors({}))
            return
        omitted = self._omitted()
        values = [self._row_values(row, omitted) for row in rows]
        if all(v.simple for row_values in values for v in row_values.values()):
            self._edit_list()
            for row, row_values in zip(rows, values, strict=True):
                typed = {n: v.typed(self._column(n).type) for n, v in row_values.items()}
                self._append(row.closing, self._mirrors(typed))
        elif len(rows) == 1:
            self._one_row(rows[0], values[0])
        else:
            self._many_rows(rows, values)

    def _append(self, closing: int, pieces: list[Pieces]) -> None:
        if pieces:
            self._edits.insert(self._source.tokens[closing].start, ", ", *joined(", ", pieces))

    def _rows(self, select: Node) -> list[_Row]:
        source = self._source
        rows: list[_Row] = []
        index = self._layout.body + 1
        for item in select["valuesLists"]:
            if source.kind(index) != OPEN:
                raise Refusal("this form of VALUES is not supported", position=self._position)
            spans = source.items(index + 1)
            closing = source.closing(index)
            rows.append(_Row(item["List"]["items"], [Span(*source.span(*s)) for s in spans], closing))
            index = closing + 2 if source.kind(closing + 1) == COMMA else closing + 1
        return rows

    def _row_values(self, row: _Row, omitted: dict[str, Value]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name in self._needs:
            if name in omitted:
                found[name] = omitted[name]
                continue
            at = self._names.index(name)
            if "SetToDefault" in row.nodes[at]:
                found[name] = default_value(self._column(name), row.spans[at].start)
            else:
                found[name] = Value((row.spans[at],), is_simple(row.nodes[at]))
        return found

    def _one_row(self, row: _Row, values: dict[str, Value]) -> None:
        """A single row with something to evaluate once: everything else stays raw in the outer SELECT."""
        pairs: list[tuple[str, Pieces]] = []
        for name, node, span in zip(self._names, row.nodes, row.spans, strict=False):
            if name in values:
                continue
            if "SetToDefault" not in node:
                pairs.append((name, (span,)))
        body_start, body_end = self._source.span(self._layout.body, row.closing + 1)
        self._replace_list([*(n for n, _ in pairs), *values])
        self._edits.replace(body_start, body_end, *self._from_row(pairs, values))

    def _from_row(self, pairs: list[tuple[str, Pieces]], values: dict[str, Value]) -> Pieces:
        """`SELECT <pairs>, <values>, <mirrors> FROM (SELECT <values to evaluate once>) AS row`."""
        once = [n for n, v in values.items() if not v.simple]
        raw: dict[str, Pieces] = {
            n: (f"{_ROW}.c{once.index(n)}",) if n in once else v.pieces for n, v in values.items()
        }
        typed = {n: ("((", *raw[n], f")::{self._column(n).type})") for n in values}
        selected = [p for _, p in pairs] + [raw[n] for n in values] + self._mirrors(typed)
        inner = joined(", ", [(*values[n].pieces, f" AS c{i}") for i, n in enumerate(once)])
        return ("SELECT ", *joined(", ", selected), " FROM (SELECT ", *inner, f") AS {_ROW}")

    def _many_rows(self, rows: list[_Row], values: list[dict[str, Value]]) -> None:
        """Several rows with something to evaluate once: through a VALUES list, whose columns each have one type."""
        names = [n for n in self._names if not self._all_default(n, rows)]
        names += [n for n in self._needs if n not in names]
        lines: list[Pieces] = []
        kinds: dict[str, set[str]] = {n: set() for n in names}
        for row, row_values in zip(rows, values, strict=True):
            cells: list[Pieces] = []
            for name in names:
                cells.append(self._cell(name, row, row_values, kinds[name]))
            lines.append(("(", *joined(", ", cells), ")"))
        mixed = [n for n, found in kinds.items() if len(found) > 1]
        if mixed:
            raise Refusal(
                f'the values of "{mixed[0]}" in this multi-row INSERT differ in kind, and one of them must be evaluated only once',
                "Insert the rows one by one.",
                position=self._position,
            )
        columns = ", ".join(f"c{i}" for i in range(len(names)))
        raw: dict[str, Pieces] = {n: (f"{_ROW}.c{i}",) for i, n in enumerate(names)}
        typed: dict[str, Pieces] = {n: (f"(({_ROW}.c{names.index(n)})::{self._column(n).type})",) for n in self._needs}
        selected = [raw[n] for n in names] + self._mirrors(typed)
        body_start, body_end = self._source.span(self._layout.body, rows[-1].closing + 1)
        self._replace_list(names)
        self._edits.replace(
            body_start,
            body_end,
            "SELECT ",
            *joined(", ", selected),
            " FROM (VALUES ",
            *joined(", ", lines),
            f") AS {_ROW}({columns})",
        )

    def _all_default(self, name: str, rows: list[_Row]) -> bool:
        at = self._names.index(name)
        return name not in self._needs and all(at < len(r.nodes) and "SetToDefault" in r.nodes[at] for r in rows)

    def _cell(self, name: str, row: _Row, values: dict[str, Value], kinds: set[str]) -> Pieces:
        if name not in self._names:
            kinds.add("default")
            return values[name].pieces
        at = self._names.index(name)
        node, span = row.nodes[at], row.spans[at]
        if "SetToDefault" in node:
            kinds.add("default")
            if name not in values:
                kinds.add("default beside values")
            return values[name].pieces if name in values else ("NULL",)
        if is_untyped(node):
            kinds.add("constant")
            # Without its modifier: an explicit cast would cut what an assignment refuses.
            return ("(", span, f")::{_base_type(self._column(name).type)}")
        kinds.add(self._source.sql[span.start : span.end])
        return (span,)

    # --- INSERT … SELECT -------------------------------------------------------------------------------------

    def _select(self, select: Node) -> None:
        if not self._added():
            self._edit_list()
            return
        omitted = self._omitted()
        placed = self._appendable(select, omitted)
        if placed is not None:
            self._edit_list()
            typed = {n: v.typed(self._column(n).type) for n, v in placed.items()}
            self._edits.insert(self._targets_end(select), ", ", *joined(", ", self._mirrors(typed)))
        else:
            self._wrap(select, omitted)

    def _appendable(self, select: Node, omitted: dict[str, Value]) -> dict[str, Value] | None:
        """Values of the needed columns if they can be written behind the SELECT's own target list, else None."""
        targets = select.get("targetList", [])
        is_plain = (
            select.get("op", "SETOP_NONE") == "SETOP_NONE"
            and targets
            and self._source.kind(self._layout.body) == "SELECT"
        )
        if not is_plain or "distinctClause" in select or any(_is_star(t) for t in targets):
            return None
        found = dict(omitted)
        for name in self._needs:
            if name in omitted:
                continue
            at = self._names.index(name)
            if at >= len(targets):
                return None
            body = targets[at]["ResTarget"]
            first = self._source.token_at(self._source.location(body))
            span = Span(*self._source.span(first, self._source.expression_end(first)))
            if "name" in body and self._source.kind(self._source.expression_end(first)) != "AS":
                return None  # a label without AS: where the expression ends is not certain
            found[name] = Value((span,), is_simple(body["val"]))
        return found if all(v.simple for v in found.values()) else None

    def _targets_end(self, select: Node) -> int:
        last = self._source.token_at(self._source.location(select["targetList"][-1]["ResTarget"]))
        end = self._source.expression_end(last)
        if self._source.kind(end) == "AS":
            end += 2
        return self._source.tokens[end - 1].end

    def _wrap(self, select: Node, omitted: dict[str, Value]) -> None:
        """`SELECT v.c0, …, <mirrors> FROM (<the client's SELECT>) AS v(c0, …)`."""
        width = len(self._names)
        self._type_constants(select)
        start, end = self._source.span(self._layout.body, self._layout.end)
        once = [n for n, v in omitted.items() if not v.simple]
        raw: dict[str, Pieces] = {n: (f"{_ROW}.c{i}",) for i, n in enumerate(self._names)}
        raw |= {n: (f"{_ROW}.d{i}",) for i, n in enumerate(once)}
        raw |= {n: v.pieces for n, v in omitted.items() if v.simple}
        typed = {n: ("((", *raw[n], f")::{self._column(n).type})") for n in self._needs}
        listed = [*self._names, *once]
        selected = [raw[n] for n in listed] + self._mirrors(typed)
        columns = ", ".join(f"c{i}" for i in range(width))
        row: list[Piece] = ["(", Span(start, end), f") AS {_ROW}({columns})"]
        if once:
            extra = joined(", ", [(*omitted[n].pieces, f" AS d{i}") for i, n in enumerate(once)])
            row = ["(SELECT s.*, ", *extra, " FROM (", Span(start, end), f") AS s({columns})) AS {_ROW}"]
        self._replace_list(listed)
        self._edits.replace(start, end, "SELECT ", *joined(", ", selected), " FROM ", *row)

    def _type_constants(self, select: Node) -> None:
        """At the top of an INSERT … SELECT untyped constants take the column's type; inside a sub-select they would be text."""
        if select.get("op", "SETOP_NONE") != "SETOP_NONE":
            return  # already text by the rules of set operations
        targets = select.get("targetList", [])
        if any(_is_star(t) for t in targets[:-1]) and any(is_untyped(t["ResTarget"].get("val", {})) for t in targets):
            raise Refusal("an INSERT … SELECT with * in front of a constant is not supported yet", "Name the columns.")
        for name, target in zip(self._names, targets, strict=False):
            body = target["ResTarget"]
            if not is_untyped(body.get("val", {})):
                continue
            first = self._source.token_at(self._source.location(body))
            after = self._source.expression_end(first)
            if "name" in body and self._source.kind(after) != "AS":
                after -= 1
            start, end = self._source.span(first, after)
            self._edits.replace(start, end, "(", Span(start, end), f")::{_base_type(self._column(name).type)}")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of VALUES: nodes, their characters, and the token that closes it."""

    nodes: list[Node]
    spans: list[Span]
    closing: int


def _base_type(type_name: str) -> str:
    """A type without its modifier: `numeric(10,2)` → `numeric`, `character varying(5)[]` → `character varying[]`."""
    opening = type_name.find("(")
    if opening < 0 or '"' in type_name:
        return type_name
    # Without a modifier these two words mean a length of 1.
    name = {"character": "bpchar", "bit": 'pg_catalog."bit"'}.get(type_name[:opening], type_name[:opening])
    return name + type_name[type_name.index(")") + 1 :]


def _is_star(target: Node) -> bool:
    kind, body = unwrap(target["ResTarget"].get("val", {}))
    return kind == "ColumnRef" and "A_Star" in body["fields"][-1]


def _check_arbiter(source: SourceText, edits: Edits, entry: Entry, conflict: Node, shape: Shape) -> None:
    """ON CONFLICT (columns): a managed one must be true in every row, or rows that are not in that format would be missed."""
    table = entry.managed
    assert table is not None
    infer = conflict.get("infer")
    if infer is None:
        return
    position = source.location(infer)
    for item in infer.get("indexElems", []):
        name = item["IndexElem"].get("name")
        if name is None:
            continue
        target_column(table, shape, name, position)
        found = find_column(table, shape, name)
        if found is None:
            continue
        if not is_stored(table, shape):
            raise Refusal(
                f'ON CONFLICT on the managed column "{name}" is not supported in phase {table.phase.name}',
                "Use a unique column that the migration does not change.",
                position=position,
            )
        if found[1].physical != name:
            _edit_arbiter(source, edits, position, name, found[1].physical)
    others = [infer.get("whereClause"), *(i["IndexElem"].get("expr") for i in infer.get("indexElems", []))]
    if any(o is not None and "ColumnRef" in str(o) for o in others):
        text = str(others)
        names = [c.name for ch in table.migration.changes for c in (*ch.old, *ch.new)]
        if any(f"'{n}'" in text for n in names):
            raise Refusal("ON CONFLICT on an expression of a managed column is not supported yet", position=position)


def _edit_arbiter(source: SourceText, edits: Edits, position: int, name: str, physical: str) -> None:
    index = source.token_at(position)
    while source.kind(index) not in (SEMICOLON, "") and source.kind(index) != "DO":
        token = source.tokens[index]
        if source.sql[token.start : token.end].strip('"').lower() == name.lower():
            edits.replace(token.start, token.end, quote_identifier(physical))
            return
        index += 1
    raise Refusal("this ON CONFLICT clause is not understood", position=position)
