"""References: who owns each name in an expression. The lowest layer of the analysis, see `scope`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from rules.analysis.names import SYSTEM_COLUMNS, Entry, Found, Level, Lookup, Merged, Output
from rules.analysis.rows import Fate, Frame, Holds, fate_of_row
from rules.analysis.values import (
    QUERIES,
    Analysis,
    Ctes,
    MergedReference,
    Reference,
    RowReference,
    Star,
    StarItem,
    cast_value,
)
from rules.errors import SYNTAX_ERROR, Refusal
from rules.plan import FieldPatch
from rules.reads import find_column, is_stored
from rules.text.source import DOT, Node, SourceText, string, unwrap

#: Where the query of `SET (a, b) = (SELECT …)` stands, from the inside.
_ROW_ASSIGNMENT = ("subselect", "SubLink", "source", "MultiAssignRef")


@dataclass(slots=True)
class Value:
    """What an output column needs to know of an expression.

    `column`: it is the column of this description, or a cast of it. `row`: it is a whole row of a managed table.
    """

    column: FieldPatch | Merged | None = None
    row: FieldPatch | None = None


class References(ABC):
    """Resolves the references of expressions into `result`; sub-selects go to `_query`."""

    def __init__(self, source: SourceText, lookup: Lookup) -> None:
        self._source = source
        self._lookup = lookup
        self.result = Analysis()

    @abstractmethod
    def _query(self, kind: str, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        """Analyse a query; `kind` is one of QUERIES. Returns its output columns."""

    def _expressions(self, node: Any, level: Level, ctes: Ctes) -> Value:
        """Resolve every reference below `node`, and say what `node` itself is."""
        value = Value()
        whole = cast_value(node) if isinstance(node, dict) else node
        stack: list[tuple[Any, Frame | None]] = [(node, None)]
        while stack:
            item, frame = stack.pop()
            if isinstance(item, list):
                stack.extend((x, frame) for x in item)
                continue
            if not isinstance(item, dict):
                continue
            for key, body in item.items():
                found: Value | None = None
                if key == "ColumnRef":
                    found = self._reference(body, level, frame)
                elif key in QUERIES:
                    outputs = self._query(key, body, level, ctes)
                    self._check_row_assignment(outputs, frame)
                    found = self._row_of_query(outputs, level, frame)
                elif key == "MultiAssignRef" and body.get("colno", 1) != 1:
                    continue  # the same source again, once for each column
                elif key == "A_Indirection" and (found := self._field_of_row(body, level)) is not None:
                    stack.append((body["indirection"], Frame(key, body, frame)))
                elif isinstance(body, (dict, list)):
                    stack.append((body, Frame(key, body, frame)))
                    if key == "FuncCall":
                        found = self._functional_notation(body, level)
                if found is not None:
                    value.row = found.row or value.row
                    if item is whole:
                        value.column = found.column
        return value

    def _reference(self, reference: Node, level: Level, frame: Frame | None) -> Value:
        fields = reference["fields"]
        start = self._source.location(reference)
        if "A_Star" in fields[-1]:
            if frame is not None and frame.parent is not None and frame.parent.key == "RowExpr":
                self._star_in_row(reference, level, frame.parent)
                return Value()
            return self._whole_row(reference, level, frame)
        names = [string(f) for f in fields]
        if len(names) == 1:
            return self._bare(reference, names[0], level, frame)
        if len(names) == 4 and names[0] != self._lookup.snapshot.catalog.database:
            return Value()  # the server says what it thinks of a reference to another database
        entry = self._lookup.entry(level, names[-2], names[-3] if len(names) > 2 else None)
        if entry is None:
            return Value()
        self._check_functional_notation(entry, names[-1], start)
        if not self._lookup.qualified(entry, names[-1], start):
            return Value()
        if entry.managed is not None:
            self._add(start, entry, names[-1], level)
        return self._column_value(reference, entry, names[-1], level, frame)

    def _bare(self, reference: Node, name: str, level: Level, frame: Frame | None) -> Value:
        start = self._source.location(reference)
        found: Found | None = self._lookup.column(level, name, start)
        if found is None:
            merged = self._lookup.merged(level, name)
            return Value(merged) if merged is not None else self._whole_row(reference, level, frame)
        if found.merged is not None:
            self.result.merged.append(MergedReference(*self._span(reference), found.merged))
            return Value(found.merged)
        if found.entry.managed is not None or found.captured:
            self._add(start, found.entry, name, level)
        return self._column_value(reference, found.entry, name, level, frame)

    def _column_value(self, reference: Node, entry: Entry, name: str, level: Level, frame: Frame | None) -> Value:
        patch = entry.patch(name)
        if patch is not None and patch.row:
            return Value(row=self._follow(reference, patch, level, frame))
        return Value(patch)

    # --- whole rows ------------------------------------------------------------------------------------------

    def _row_entry(self, reference: Node, level: Level) -> Entry | None:
        """The entry whose whole row a reference means, if that row is another one for this client than for the server.

        `u.*` in an expression is a whole row; `u` is one if there is no column of that name.
        """
        entry = self._named_row(reference, level)
        if entry is None or (entry.managed is None and not entry.has_rows):
            return None
        fields = reference["fields"]
        if "String" in fields[-1] and not level.is_known:
            name = string(fields[0])
            raise Refusal(
                f'"{name}" may be a column or a whole row: the columns of another item in FROM are not known',
                f"Write {name}.* for the whole row, or another alias.",
                position=self._source.location(reference),
            )
        return entry

    def _named_row(self, reference: Node, level: Level) -> Entry | None:
        """The entry whose row a reference means, unless a column that is not known has that name."""
        fields = [string(f) for f in reference["fields"] if "String" in f]
        bare = "String" in reference["fields"][-1]
        if not fields or (bare and (len(fields) > 1 or fields[0] in SYSTEM_COLUMNS)):
            return None
        if bare:
            position = self._source.location(reference)
            if self._lookup.column(level, fields[0], position) is not None or level.merges(fields[0]):
                return None
        return self._lookup.entry(level, fields[-1], fields[-2] if len(fields) > 1 else None)

    def _whole_row(self, reference: Node, level: Level, frame: Frame | None) -> Value:
        entry = self._row_entry(reference, level)
        if entry is None:
            return Value()
        if entry.managed is None:  # a sub-select's row with a whole row in it
            self._follow(reference, None, level, frame)
            return Value()
        start, end = self._span(reference)
        self._check_grouped(entry, "", level, start)
        self.result.rows.append(RowReference(start, end, entry))
        return Value(row=self._follow(reference, entry.row_patch, level, frame))

    def _follow(self, node: Node, patch: FieldPatch | None, level: Level, frame: Frame | None) -> FieldPatch | None:
        """What a row is when it reaches the top of its expression; None if it does not.

        Without a patch it is the row of something that has a row in it.
        """
        try:
            holds = Holds.ROW if patch is not None else Holds.NESTED
            catalog = self._lookup.snapshot.catalog
            fate = fate_of_row(frame, node, catalog, lambda other: self._is_same_row(other, patch, level), holds)
        except Refusal as refusal:
            position = self._source.location(node) if "location" in node else refusal.position
            raise Refusal(refusal.message, refusal.hint, position=position) from None
        if patch is None or fate is Fate.CONSUMED:
            return None
        return patch if fate is Fate.RETURNED else replace(patch, table_oid=0)

    def _is_same_row(self, node: Node, patch: FieldPatch | None, level: Level) -> bool:
        kind, body = unwrap(node)
        if kind != "ColumnRef" or patch is None:
            return False
        entry = self._row_entry(body, level)
        other = entry.row_patch if entry is not None and entry.managed else None
        if entry is None:
            names = [string(f) for f in body["fields"] if "String" in f]
            found = self._lookup.column(level, names[0], 0) if len(names) == 1 else None
            owner = found.entry if found is not None else None
            if len(names) > 1:
                owner = self._lookup.entry(level, names[-2], names[-3] if len(names) > 2 else None)
            other = owner.patch(names[-1]) if owner is not None else None
        return other is not None and other.row and other.type_oid == patch.type_oid

    def _check_row_assignment(self, outputs: list[Output], frame: Frame | None) -> None:
        """Refuse `(a, b) = (SELECT …)` with another number of columns, which a rewritten one might not notice."""
        frames: list[Frame] = []
        while frame is not None and len(frames) < len(_ROW_ASSIGNMENT):
            frames.append(frame)
            frame = frame.parent
        if tuple(f.key for f in frames) != _ROW_ASSIGNMENT:
            return
        sublink, assignment = frames[1].value, frames[3].value
        position = self._source.location(sublink)
        if None in outputs:
            self.result.unknown_rows.add(position)
        elif len(outputs) != assignment["ncolumns"]:
            raise Refusal("number of columns does not match number of values", sqlstate=SYNTAX_ERROR, position=position)

    def _row_of_query(self, outputs: list[Output], level: Level, frame: Frame | None) -> Value | None:
        """A sub-select in an expression whose column is a whole row."""
        rows = [o[1] for o in outputs if o is not None and o[1] is not None and o[1].row]
        if not rows:
            return None
        node: Node = frame.parent.value if frame is not None and frame.parent is not None else {}
        return Value(row=self._follow(node, replace(rows[0], table_oid=0), level, frame))

    def _field_of_row(self, body: Node, level: Level) -> Value | None:
        """`(u).name` is the column `u.name`; None if it is something else."""
        kind, reference = unwrap(body["arg"])
        entry = self._row_entry(reference, level) if kind == "ColumnRef" else None
        if entry is None or entry.managed is None:
            first, *rest = body["indirection"]
            return self._projection(body["arg"], string(first), level) if "String" in first and not rest else None
        self._check_version(entry, reference)
        start, end = self._span(reference)
        first = body["indirection"][0]
        if "String" not in first:
            raise Refusal("this use of a whole row is not supported", "Name the columns that you need.", position=start)
        name = string(first)
        if entry.real and name not in (entry.columns or ()):
            raise Refusal(f"({entry.name}).{name} is not supported", "Write the column's alias.", position=start)
        self._check_functional_notation(entry, name, start)
        if not self._lookup.qualified(entry, name, start):
            return Value()
        dot = self._source.token_at(end)
        while self._source.kind(dot) != DOT:
            dot += 1
        self._check_grouped(entry, name, level, start)
        field = self._source.span(dot, self._source.name_end(dot + 1))
        self.result.references.append(Reference(start, end, entry, name, field))
        return Value(entry.patch(name) if len(body["indirection"]) == 1 else None)

    def _check_version(self, entry: Entry, reference: Node) -> None:
        """Refuse `(old).x`, for which PostgreSQL 18 takes the column of the table's own row, old or new."""
        if entry.qualified_only:
            raise Refusal(
                f"a field of the whole row ({entry.name}) in RETURNING is not supported",
                f"Write {entry.name}.column or {entry.name}.*, without parentheses.",
                position=self._source.location(reference),
            )

    def _projection(self, argument: Node, name: str, level: Level) -> Value | None:
        """`(v).name` or `name(v)` of a sub-select `v` is its column; None if it is not known to be one with a patch."""
        kind, reference = unwrap(argument)
        entry = self._named_row(reference, level) if kind == "ColumnRef" else None
        patch = entry.patch(name) if entry is not None and entry.managed is None else None
        return Value(patch) if patch is not None and not patch.row else None

    def _functional_notation(self, call: Any, level: Level) -> Value | None:
        path, arguments = call["funcname"], call.get("args", [])
        return self._projection(arguments[0], string(path[0]), level) if len(path) == len(arguments) == 1 else None

    def _star_in_row(self, reference: Node, level: Level, row: Frame) -> None:
        """`ROW(u.*, 1)` takes every column of `u`."""
        entry = self._row_entry(reference, level)
        if entry is None:
            return
        start, end = self._span(reference)
        if entry.managed is None or (row.parent is not None and _assigns(row.parent)):
            raise Refusal("this use of a whole row is not supported", "Name its columns.", position=start)
        self.result.stars.append(Star(start, end, start, (StarItem(entry),), labelled=False))

    def _check_functional_notation(self, entry: Entry, name: str, position: int) -> None:
        """`u.f` means `f(u)` where there is no column `f` but such a function."""
        if entry.managed is None or name in (entry.columns or ()) or name in SYSTEM_COLUMNS:
            return
        if name in self._lookup.snapshot.catalog.row_takers:
            raise Refusal(
                f"{entry.name}.{name} calls a function with a whole row of this table, which is not supported",
                "Write the call with to_jsonb(…) or the columns that it needs.",
                position=position,
            )

    def _check_grouped(self, entry: Entry, column: str, level: Level, position: int) -> None:
        """PostgreSQL finds an expression of GROUP BY again everywhere but in a sub-select, where it finds columns only.

        `column` is empty for a whole row.
        """
        scope = level.parent
        if entry.managed is None or entry in level.entries:
            return
        while scope is not None and entry not in scope.entries:
            scope = scope.parent
        if scope is None or scope.grouped_by is None:
            return
        managed = entry.managed
        key = managed.relation.primary_key
        shape = self._lookup.client.shape
        changed = find_column(managed, shape, entry.real.get(column, column)) is not None
        if (key and scope.grouped_by >= set(key)) or (column and not (changed and not is_stored(managed, shape))):
            return
        raise Refusal(
            f'"{column or entry.name}" of a grouped query cannot be used in a sub-select in this phase',
            "Group in a sub-select in FROM, and use the column outside of it.",
            position=position,
        )

    def _span(self, reference: Node) -> tuple[int, int]:
        start = self._source.location(reference)
        last = self._source.reference_end(self._source.token_at(start)) - 1
        return start, self._source.tokens[last].end

    def _add(self, start: int, entry: Entry, column: str, level: Level) -> None:
        self._check_grouped(entry, column, level, start)
        source = self._source
        first = source.token_at(start)
        end = source.tokens[source.reference_end(first) - 1].end
        if source.kind(first) == DOT:
            raise Refusal("this way to name a column is not supported", position=start)
        self.result.references.append(Reference(start, end, entry, column))


def _assigns(frame: Frame) -> bool:
    return "MultiAssignRef" in (frame.key, frame.parent.key if frame.parent is not None else "")
