"""References: who owns each name in an expression. The lowest layer of the analysis, see `scope`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from rules.analysis import QUERIES, Analysis, Columns, Output, Reference
from rules.errors import Refusal
from rules.names import Entry, Found, Level, Lookup
from rules.source import DOT, Node, SourceText, string, unwrap


class References(ABC):
    """Resolves the references of expressions into `result`; sub-selects go to `_query`."""

    def __init__(self, source: SourceText, lookup: Lookup) -> None:
        self._source = source
        self._lookup = lookup
        self.result = Analysis()

    @abstractmethod
    def _query(self, kind: str, node: Node, parent: Level | None, ctes: Mapping[str, Columns]) -> list[Output]:
        """Analyse a query; `kind` is one of QUERIES. Returns its output columns."""

    def _expressions(self, node: Any, level: Level, ctes: Mapping[str, Columns]) -> tuple[Entry, str] | None:
        """Resolve every reference below `node`; returns the owner if `node` itself is one column reference."""
        first: tuple[Entry, str] | None = None
        stack = [node]
        while stack:
            item = stack.pop()
            if isinstance(item, list):
                stack.extend(item)
                continue
            if not isinstance(item, dict):
                continue
            for key, value in item.items():
                if key == "ColumnRef":
                    found = self._reference(value, level)
                    if item is node:
                        first = found
                elif key in QUERIES:
                    self._query(key, value, level, ctes)
                elif key == "MultiAssignRef" and value.get("colno", 1) != 1:
                    continue  # the same source again, once for each column
                elif key == "A_Indirection":
                    self._indirection(value, level)
                    stack.append(value)
                elif isinstance(value, (dict, list)):
                    stack.append(value)
        return first

    def _indirection(self, value: Node, level: Level) -> None:
        kind, body = unwrap(value["arg"])
        if kind != "ColumnRef" or len(body["fields"]) != 1 or "String" not in body["fields"][0]:
            return
        name = string(body["fields"][0])
        entry = self._lookup.entry(level, name)
        if entry is not None and entry.managed is not None and self._lookup.column(level, name, 0) is None:
            field_name = next((string(i) for i in value["indirection"] if "String" in i), "*")
            raise Refusal(
                f"({name}).{field_name} takes a column out of a whole row, which is not supported yet",
                f"Write {name}.{field_name} without the parentheses.",
                position=self._source.location(body),
            )

    def _reference(self, reference: Node, level: Level) -> tuple[Entry, str] | None:
        fields = reference["fields"]
        start = self._source.location(reference)
        if "A_Star" in fields[-1]:
            self._whole_row([string(f) for f in fields[:-1]], level, start)
            return None
        names = [string(f) for f in fields]
        if len(names) == 1:
            return self._bare(names[0], level, start)
        entry = self._lookup.entry(level, names[-2], names[-3] if len(names) > 2 else None)
        if entry is None or not self._lookup.qualified(entry, names[-1], start):
            return None
        if entry.managed is not None:
            self._add(start, entry, names[-1])
        return entry, names[-1]

    def _bare(self, name: str, level: Level, start: int) -> tuple[Entry, str] | None:
        found: Found | None = self._lookup.column(level, name, start)
        if found is None:
            entry = self._lookup.entry(level, name)
            if entry is not None and entry.managed is not None and name not in level.merged:
                self._whole_row([name], level, start)
            return None
        if found.entry.managed is not None or found.captured:
            self._add(start, found.entry, name)
        return found.entry, name

    def _whole_row(self, names: list[str], level: Level, start: int) -> None:
        if not names:  # count(*)-like stars have no fields; a bare * in an expression is the server's to refuse
            return
        entry = self._lookup.entry(level, names[-1])
        if entry is not None and entry.managed is not None and entry.managed.phase.expanded:
            raise Refusal(
                f'the whole row "{names[-1]}" as one value is not supported yet',
                "Name the columns.",
                position=start,
            )

    def _add(self, start: int, entry: Entry, column: str) -> None:
        source = self._source
        first = source.token_at(start)
        end = source.tokens[source.reference_end(first) - 1].end
        if source.kind(first) == DOT:
            raise Refusal("this way to name a column is not supported", position=start)
        self.result.references.append(Reference(start, end, entry, column))
