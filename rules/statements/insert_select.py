"""INSERT … SELECT."""

from __future__ import annotations

from rules.errors import Refusal
from rules.statements.insertion import ROW, Insertion, base_type
from rules.statements.mirror import Value, is_simple, is_untyped
from rules.text.fragments import At, Piece, Pieces, Span, joined
from rules.text.source import Node, unwrap


class SelectRewriting:
    def __init__(self, insertion: Insertion) -> None:
        self._insertion = insertion

    def select(self, select: Node) -> None:
        if not self._insertion.added():
            self._insertion.edit_list()
            return
        omitted = self._insertion.omitted()
        placed = self._appendable(select, omitted)
        if placed is not None:
            self._insertion.edit_list()
            typed = {n: v.typed(self._insertion.value_type(n)) for n, v in placed.items()}
            self._insertion.edits.insert(self._targets_end(select), ", ", *joined(", ", self._insertion.mirrors(typed)))
        else:
            self._wrap(select, omitted)

    def _appendable(self, select: Node, omitted: dict[str, Value]) -> dict[str, Value] | None:
        """Values of the needed columns if they can be written behind the SELECT's own target list, else None."""
        targets = select.get("targetList", [])
        is_plain = (
            select.get("op", "SETOP_NONE") == "SETOP_NONE"
            and targets
            and self._insertion.source.kind(self._insertion.layout.body) == "SELECT"
        )
        if not is_plain or "distinctClause" in select or any(_is_star(t) for t in targets):
            return None
        found = dict(omitted)
        for name in self._insertion.needs:
            if name in omitted:
                continue
            at = self._insertion.names.index(name)
            if at >= len(targets):
                return None
            body = targets[at]["ResTarget"]
            first = self._insertion.source.token_at(self._insertion.source.location(body))
            span = Span(*self._insertion.source.span(first, self._insertion.source.expression_end(first)))
            if "name" in body and self._insertion.source.kind(self._insertion.source.expression_end(first)) != "AS":
                return None  # a label without AS: where the expression ends is not certain
            found[name] = Value((span,), is_simple(body["val"]))
        return found if all(v.simple for v in found.values()) else None

    def _targets_end(self, select: Node) -> int:
        last = self._insertion.source.token_at(self._insertion.source.location(select["targetList"][-1]["ResTarget"]))
        end = self._insertion.source.expression_end(last)
        if self._insertion.source.kind(end) == "AS":
            end += 2
        return self._insertion.source.tokens[end - 1].end

    def _wrap(self, select: Node, omitted: dict[str, Value]) -> None:
        """`SELECT v.c0, …, <mirrors> FROM (<the client's SELECT>) AS v(c0, …)`."""
        width = len(self._insertion.names)
        self._type_constants(select)
        start, end = self._insertion.source.span(self._insertion.layout.body, self._insertion.layout.end)
        once = [n for n, v in omitted.items() if not v.simple]
        places = self._places(select, start)
        raw: dict[str, Pieces] = {n: (At(f"{ROW}.c{i}", places[i]),) for i, n in enumerate(self._insertion.names)}
        raw |= {n: (f"{ROW}.d{i}",) for i, n in enumerate(once)}
        raw |= {n: v.pieces for n, v in omitted.items() if v.simple}
        typed = {n: ("((", *raw[n], f")::{self._insertion.value_type(n)})") for n in self._insertion.needs}
        listed = [*self._insertion.names, *once]
        selected = [raw[n] for n in listed] + self._insertion.mirrors(typed)
        columns = ", ".join(f"c{i}" for i in range(width))
        row: list[Piece] = ["(", Span(start, end), f") AS {ROW}({columns})"]
        if once:
            extra = joined(", ", [(*omitted[n].pieces, f" AS d{i}") for i, n in enumerate(once)])
            row = ["(SELECT s.*, ", *extra, " FROM (", Span(start, end), f") AS s({columns})) AS {ROW}"]
        self._insertion.replace_list(listed)
        self._insertion.edits.replace(start, end, "SELECT ", *joined(", ", selected), " FROM ", *row)

    def _places(self, select: Node, start: int) -> list[int]:
        """Where each column of the query stands in the client's text; the query's start where that is not clear."""
        while "larg" in select:  # of a set operation the first query counts
            select = select["larg"]
        targets = select.get("targetList", [])
        if any(_is_star(t) for t in targets) or len(targets) != len(self._insertion.names):
            return [start] * len(self._insertion.names)
        return [self._insertion.source.location(t["ResTarget"]) for t in targets]

    def _type_constants(self, select: Node) -> None:
        """Untyped constants take the column's type at the top of INSERT … SELECT; in a sub-select they are text."""
        if select.get("op", "SETOP_NONE") != "SETOP_NONE" or select.get("distinctClause") == [{}]:
            return  # already text by the rules of set operations and of DISTINCT
        targets = select.get("targetList", [])
        if any(_is_star(t) for t in targets[:-1]) and any(is_untyped(t["ResTarget"].get("val", {})) for t in targets):
            raise Refusal("an INSERT … SELECT with * in front of a constant is not supported yet", "Name the columns.")
        for name, target in zip(self._insertion.names, targets, strict=False):
            body = target["ResTarget"]
            if not is_untyped(body.get("val", {})):
                continue
            first = self._insertion.source.token_at(self._insertion.source.location(body))
            after = self._insertion.source.expression_end(first)
            if "name" in body and self._insertion.source.kind(after) not in ("AS", "CASE", "END_P", "WHEN"):
                after -= 1
            start, end = self._insertion.source.span(first, after)
            self._insertion.edits.replace(
                start, end, "(", Span(start, end), f")::{base_type(self._insertion.column(name).type)}"
            )


def _is_star(target: Node) -> bool:
    kind, body = unwrap(target["ResTarget"].get("val", {}))
    return kind == "ColumnRef" and "A_Star" in body["fields"][-1]
