"""An index's definition as PostgreSQL prints it, and the same index over other expressions, by edits of that text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rules.catalog import TableName
from rules.changes import quote_table
from rules.text.fragments import Edits
from rules.text.source import OPEN, Node, SourceText, string, walk


class NotDerivable(Exception):
    """Why an index has no counterpart, as the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class SourceIndex:
    """An index of the table that is not ours.

    `definition` is `pg_get_indexdef` under an empty search_path. `is_immediate` is False for a DEFERRABLE constraint.
    """

    name: str
    definition: str
    is_constraint: bool = False
    is_immediate: bool = True
    is_exclusion: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands for a column: as a key, inside an expression or predicate, and in INCLUDE, where only columns can."""

    key: str
    inner: str
    included: tuple[str, ...]
    collation: str | None = None

    @property
    def in_key(self) -> str:
        """As a key that has no collation of its own."""
        return self.key + (f" COLLATE {self.collation}" if self.collation else "")


class IndexText:
    """A parsed definition. `keys` has None for an expression; `inner` are the columns of expressions and predicate.

    Raises:
        NotDerivable: it mentions something else than columns of its table.
    """

    def __init__(self, definition: str) -> None:
        self._source = SourceText(definition)
        statement = self._source.statements[0]["stmt"]["IndexStmt"]
        self.is_unique = bool(statement.get("unique"))
        self._keys = [_element(item) for item in statement["indexParams"]]
        self._included = [_element(item) for item in statement.get("indexIncludingParams", [])]
        self.has_predicate = "whereClause" in statement
        self._references = list(self._find_references([statement["indexParams"], statement.get("whereClause")]))

    @property
    def keys(self) -> tuple[str | None, ...]:
        return tuple(key.get("name") for key in self._keys)

    @property
    def included(self) -> tuple[str, ...]:
        return tuple(str(column["name"]) for column in self._included)

    @property
    def inner(self) -> frozenset[str]:
        return frozenset(name for name, _, _ in self._references)

    @property
    def deciding(self) -> frozenset[str]:
        """The columns that a query has to be about for the index to serve it."""
        return self.inner | {name for name in self.keys if name is not None}

    def body(self, table: TableName, column: Callable[[str], Replacement | None]) -> str:
        """From ON to the end, on `table`, with `column(name)` in place of each column (None: leave it)."""
        source, edits = self._source, Edits(self._source.sql)
        on = next(i for i, token in enumerate(source.tokens) if token.kind == "ON")
        edits.replace(0, source.tokens[on].start, "")
        # An index of a partitioned table is printed as ON ONLY: those of the partitions are printed apart.
        method = source.reference_end(on + 1 + (source.kind(on + 1) == "ONLY"))
        edits.replace(*source.span(on + 1, method), quote_table(table))
        opening = next(i for i in range(method, len(source.tokens)) if source.kind(i) == OPEN)
        for key, (first, _) in zip(self._keys, source.items(opening + 1), strict=True):
            found = column(str(key["name"])) if "name" in key else None
            if found is not None:
                edits.replace(*source.span(first, first + 1), found.key if "collation" in key else found.in_key)
        for name, start, end in self._references:
            found = column(name)
            if found is not None:
                edits.replace(start, end, found.inner)
        if self._included:
            self._replace_included(edits, source.closing(opening) + 2, column)
        return edits.apply()[0]

    def _replace_included(self, edits: Edits, opening: int, column: Callable[[str], Replacement | None]) -> None:
        source = self._source
        columns: dict[str, None] = {}
        for (first, after), name in zip(source.items(opening + 1), self.included, strict=True):
            start, end = source.span(first, after)
            found = column(name)
            columns.update(dict.fromkeys(found.included if found is not None else (source.sql[start:end],)))
        edits.replace(*source.span(opening + 1, source.closing(opening)), ", ".join(columns))

    def _find_references(self, nodes: list[object]) -> list[tuple[str, int, int]]:
        found = []
        for kind, body in walk(nodes):
            if kind == "ColumnRef":
                fields = body["fields"]
                if len(fields) != 1 or "String" not in fields[0]:
                    raise NotDerivable("it is about whole rows")
                token = self._source.tokens[self._source.token_at(self._source.location(body))]
                found.append((string(fields[0]), token.start, token.end))
        return found


def _element(item: Node) -> Node:
    element: Node = item["IndexElem"]
    return element
