"""INSERT … VALUES and INSERT … DEFAULT VALUES."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rules.catalog import Volatility
from rules.errors import Refusal
from rules.statements.insertion import ROW, Insertion, base_type
from rules.statements.judge import Judge
from rules.statements.mirror import Value, default_value, is_untyped, looks_at_sequence
from rules.text.fragments import At, Pieces, Span, joined
from rules.text.source import COMMA, OPEN, Node, walk

#: With these a number in the text has a common type that loses nothing.
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of VALUES: nodes, their characters, and the token that closes it."""

    nodes: list[Node]
    spans: list[Span]
    closing: int


class ValuesRewriting:
    def __init__(self, insertion: Insertion) -> None:
        self._insertion = insertion

    def default_values(self) -> None:
        if not self._insertion.added():
            return
        values = self._insertion.omitted()
        start, end = self._insertion.source.span(self._insertion.layout.body, self._insertion.layout.body + 2)
        self._insertion.names = []
        if all(v.simple for v in values.values()):
            row = self._insertion.mirrors({n: v.typed(self._insertion.value_type(n)) for n, v in values.items()})
            self._insertion.replace_list([])
            self._insertion.edits.replace(start, end, "VALUES (", *joined(", ", row), ")")
        elif self._insertion.in_merge:
            self._insertion.unmark("in a MERGE a default that must be evaluated only once cannot be converted")
        else:
            self._insertion.replace_list(list(values))
            self._insertion.edits.replace(start, end, *self._from_row(values))

    def values(self, select: Node) -> None:
        rows = self._rows(select)
        self._unmark_identities(rows)
        if not self._insertion.needs:
            self._insertion.edit_list()
            for row in rows:
                self._append(row.closing, self._insertion.mirrors({}))
            return
        omitted = self._insertion.omitted()
        # One row is evaluated in a sub-select, which costs nothing. Several would have to go through a VALUES list,
        # whose columns each have one type: so they are written twice where that makes no difference.
        judge = replace(self._insertion.judge, in_merge=self._insertion.in_merge or len(rows) > 1)
        values = [self._row_values(row, omitted, judge) for row in rows]
        if self._may_repeat(values):
            self._insertion.edit_list()
            for row, row_values in zip(rows, values, strict=True):
                typed = {n: v.typed(self._insertion.value_type(n)) for n, v in row_values.items()}
                self._append(row.closing, self._insertion.mirrors(typed))
        elif self._insertion.in_merge:
            # There VALUES cannot become a SELECT, and in the source a value would be evaluated for matched rows too.
            self._insertion.unmark("in a MERGE a value that must be evaluated only once cannot be converted")
            self._insertion.edit_list()
        elif len(rows) == 1:
            self._one_row(rows[0], values[0])
        else:
            self._many_rows(rows, values)

    def _may_repeat(self, values: list[dict[str, Value]]) -> bool:
        return all(v.simple for row_values in values for v in row_values.values())

    def _unmark_identities(self, rows: list[_Row]) -> None:
        for name in self._insertion.needs:
            if self._insertion.column(name).identity:
                at = self._insertion.names.index(name)
                if any("SetToDefault" in row.nodes[at] for row in rows):
                    self._insertion.unmark_generated(name)

    def _append(self, closing: int, pieces: list[Pieces]) -> None:
        if pieces:
            self._insertion.edits.insert(self._insertion.source.tokens[closing].start, ", ", *joined(", ", pieces))

    def _rows(self, select: Node) -> list[_Row]:
        source = self._insertion.source
        rows: list[_Row] = []
        index = self._values_token() + 1
        for item in select["valuesLists"]:
            if source.kind(index) != OPEN:
                raise Refusal("this form of VALUES is not supported", position=self._insertion.position)
            spans = source.items(index + 1)
            closing = source.closing(index)
            rows.append(_Row(item["List"]["items"], [Span(*source.span(*s)) for s in spans], closing))
            index = closing + 2 if source.kind(closing + 1) == COMMA else closing + 1
        return rows

    def _values_token(self) -> int:
        """The word VALUES, which may stand in parentheses."""
        index = self._insertion.layout.body
        while self._insertion.source.kind(index) == OPEN:
            index += 1
        return index

    def _row_values(self, row: _Row, omitted: dict[str, Value], judge: Judge) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name in self._insertion.needs:
            if name in omitted:
                found[name] = omitted[name]
                continue
            at = self._insertion.names.index(name)
            if "SetToDefault" in row.nodes[at]:
                found[name] = default_value(self._insertion.column(name), row.spans[at].start)
            else:
                found[name] = Value((row.spans[at],), judge.is_simple(row.nodes[at]), row.nodes[at])
        return found

    def _one_row(self, row: _Row, values: dict[str, Value]) -> None:
        """A single row with something to evaluate once: what is simple stays raw in the outer SELECT."""
        insertion = self._insertion
        given: dict[str, Value] = {}
        for name, node, span in zip(insertion.names, row.nodes, row.spans, strict=False):
            if name in values:
                given[name] = values[name]
            elif "SetToDefault" not in node:
                given[name] = Value((span,), insertion.judge.is_simple(node), node)
        given = self._in_order(given | values)
        start, end = insertion.source.span(self._values_token(), row.closing + 1)
        insertion.replace_list(list(given))
        insertion.edits.replace(start, end, *self._from_row(given))

    def _in_order(self, values: dict[str, Value]) -> dict[str, Value]:
        """PostgreSQL evaluates a single row in the order of the table's columns, defaults included.

        currval() tells: `'no ' || currval('users_id_seq')` means the id that the same row has just been given. So where
        what moves into the sub-select looks at a sequence, every volatile default goes along.
        """
        insertion = self._insertion
        if not any(looks_at_sequence(insertion.edits.text(v.pieces)) for v in values.values() if not v.simple):
            return values
        found = dict(values)
        for name, column in insertion.client_columns().items():
            volatile = column.default_volatility is Volatility.VOLATILE and not column.generated
            if name not in values and (volatile or column.identity):
                found[name] = default_value(column, insertion.position)
        return {name: found[name] for name in insertion.client_columns() if name in found}

    def _from_row(self, values: dict[str, Value]) -> Pieces:
        """`SELECT <values>, <mirrors> FROM (SELECT <values to evaluate once>) AS row`."""
        insertion = self._insertion
        once = [n for n, v in values.items() if not v.simple]
        raw: dict[str, Pieces] = {}
        for name, value in values.items():
            insertion.judge.check(None if value.simple else value.node, "VALUES", sets=True)
            position = insertion.position if value.node is None else insertion.start(value.node)
            raw[name] = value.pieces if value.simple else (At(f"{ROW}.c{once.index(name)}", position),)
        typed = {n: ("((", *raw[n], f")::{insertion.value_type(n)})") for n in insertion.needs}
        selected = [*raw.values(), *insertion.mirrors(typed)]
        inner = joined(", ", [(*values[n].pieces, f" AS c{i}") for i, n in enumerate(once)])
        return ("SELECT ", *joined(", ", selected), " FROM (SELECT ", *inner, f") AS {ROW}")

    def _many_rows(self, rows: list[_Row], values: list[dict[str, Value]]) -> None:
        """Several rows with something to evaluate once: through a VALUES list if its columns each have one type."""
        insertion = self._insertion
        names = [n for n in insertion.names if not self._all_default(n, rows)]
        names += [n for n in insertion.needs if n not in names]
        lines: list[Pieces] = []
        kinds: dict[str, set[str]] = {n: set() for n in names}
        for row, row_values in zip(rows, values, strict=True):
            lines.append(("(", *joined(", ", [self._cell(n, row, row_values, kinds[n]) for n in names]), ")"))
        if any(len(found) > 1 for found in kinds.values()):
            self._many_kinds(rows, values)
            return
        columns = ", ".join(f"c{i}" for i in range(len(names)))
        raw: dict[str, Pieces] = {n: (At(f"{ROW}.c{i}", self._start(n, rows[0])),) for i, n in enumerate(names)}
        typed: dict[str, Pieces] = {
            n: (f"(({ROW}.c{names.index(n)})::{insertion.value_type(n)})",) for n in insertion.needs
        }
        selected = [raw[n] for n in names] + insertion.mirrors(typed)
        body_start, body_end = insertion.source.span(self._values_token(), rows[-1].closing + 1)
        insertion.replace_list(names)
        insertion.edits.replace(
            body_start,
            body_end,
            "SELECT ",
            *joined(", ", selected),
            " FROM (VALUES ",
            *joined(", ", lines),
            f") AS {ROW}({columns})",
        )

    def _many_kinds(self, rows: list[_Row], values: list[dict[str, Value]]) -> None:
        """Each value that must be evaluated once in a CTE of its own, because a cell of VALUES has a type of its own.

        INSERT INTO tokens (token) VALUES ('a'), (gen_random_uuid())
        WITH v0 AS MATERIALIZED (SELECT gen_random_uuid() AS c0) INSERT INTO tokens (token, "_pgjanus_upper", …)
        VALUES ('a', upper(…), …), ((SELECT c0 FROM v0), upper(((SELECT c0 FROM v0))::text)), …)
        """
        insertion, source = self._insertion, self._insertion.source
        omitted = [n for n in insertion.needs if n not in insertion.names and not values[0][n].simple]
        queries: list[Pieces] = []
        first: list[Pieces] = []
        lines: list[Pieces] = []
        for row, row_values in zip(rows, values, strict=True):
            cells: dict[str, Pieces] = {n: (s,) for n, s in zip(insertion.names, row.spans, strict=False)}
            for name, value in row_values.items():
                if not value.simple:
                    insertion.judge.check(value.node, "VALUES")
                    query = f"{ROW}{len(queries) + len(first)}"
                    cells[name] = (At(f"(SELECT c0 FROM {query})", self._start(name, row)),)
                    place = first if self._may_be_first(value.node or {}) else queries
                    place.append((f"{query} AS MATERIALIZED (SELECT ", *value.pieces, " AS c0)"))
            typed = {
                n: ("((", *(v.pieces if v.simple else cells[n]), f")::{insertion.value_type(n)})")
                for n, v in row_values.items()
            }
            line = [*(cells[n] for n in [*insertion.names, *omitted]), *insertion.mirrors(typed)]
            lines.append(("(", *joined(", ", line), ")"))
        insertion.replace_list([*insertion.names, *omitted])
        insert = source.find_back(source.token_at(insertion.position), "INSERT")
        start, end = source.span(insert, rows[-1].closing + 1)
        head = Span(start, source.tokens[self._values_token()].start)
        if first:
            word = source.token_at(source.location(insertion.node["withClause"])) + 1
            insertion.edits.insert(source.tokens[word].end, " ", *joined(", ", first), ",")
        clause = "" if not queries else ", " if "withClause" in insertion.node else "WITH "
        insertion.edits.replace(start, end, clause, *joined(", ", queries), " ", head, "VALUES ", *joined(", ", lines))

    def _may_be_first(self, value: Node) -> bool:
        """Whether a value's query goes in front of the client's own: in WITH RECURSIVE, unless it names one of them.

        PostgreSQL sorts those, and which one it finds in a circle, and points to, depends on what stands around them.
        """
        clause = self._insertion.node.get("withClause", {})
        names = {item["CommonTableExpr"]["ctename"] for item in clause.get("ctes", [])}
        return clause.get("recursive", False) and not any(n.get("relname") in names for _, n in walk({"": value}))

    def _start(self, name: str, row: _Row) -> int:
        insertion = self._insertion
        return (
            insertion.start(row.nodes[insertion.names.index(name)]) if name in insertion.names else insertion.position
        )

    def _all_default(self, name: str, rows: list[_Row]) -> bool:
        at = self._insertion.names.index(name)
        return name not in self._insertion.needs and all(
            at < len(r.nodes) and "SetToDefault" in r.nodes[at] for r in rows
        )

    def _cell(self, name: str, row: _Row, values: dict[str, Value], kinds: set[str]) -> Pieces:
        """One cell, and in `kinds` what its type depends on."""
        column = self._insertion.column(name)
        base = base_type(column.type)
        if name not in self._insertion.names:
            kinds.add(base)
            return ("(", *values[name].pieces, f")::{base}")
        at = self._insertion.names.index(name)
        node, span = row.nodes[at], row.spans[at]
        if "SetToDefault" in node:
            if name not in values and (column.identity or column.generated):
                kinds |= {base, "generated"}
                return ("NULL",)
            kinds.add(base)
            return ("(", *(values.get(name) or default_value(column, span.start)).pieces, f")::{base}")
        if is_untyped(node):
            kinds.add(base)
            # Without its modifier: an explicit cast would cut what an assignment refuses.
            return ("(", span, f")::{base}")
        constant = node.get("A_Const", {})
        is_number = "ival" in constant or "fval" in constant
        kinds.add(base if is_number and base in _NUMBERS else self._insertion.source.sql[span.start : span.end])
        return (span,)
