"""Where a join stands in the text: libpg_query gives a JoinExpr no position, so FROM is read once more from its tokens.

Only as much of PostgreSQL's grammar as finds the operands of a join; the tree has proved the rest already.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rules.text.source import CLOSE, COMMA, OPEN, SEMICOLON, Node, SourceText, unwrap

_QUERY_STARTS = {"SELECT", "VALUES", "WITH", "TABLE"}
#: Where an item of FROM or the condition of a join ends, outside of parentheses.
_ENDS = frozenset(
    "WHERE GROUP_P HAVING WINDOW UNION INTERSECT EXCEPT ORDER LIMIT OFFSET FETCH FOR INTO RETURNING ON USING WHEN SET"
    " SELECT".split()
)


@dataclass(frozen=True, slots=True)
class JoinText:
    """A join's tokens, by index: its innermost operands, NATURAL or USING (-1 if it has neither), and its end."""

    operands: tuple[int, ...]
    natural: int
    using: int
    after: int


class JoinTexts:
    """The joins of one text. Each FROM is read once, however many joins are looked for."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._read: dict[int, dict[int, list[JoinText]]] = {}

    def find(self, body: Node) -> JoinText | None:
        """The text of a JoinExpr that has at least one table in it; None if it cannot be found."""
        leaves = _leaves(body)
        anchor = next((i for i, (kind, _) in enumerate(leaves) if kind == "RangeVar"), None)
        if anchor is None:
            return None
        token = self._source.token_at(self._source.location(leaves[anchor][1]))
        for start in self._starts:
            if start < token:
                for join in self._joins(start).get(len(leaves), ()):
                    if join.operands[anchor] == token:
                        return join
        return None

    @cached_property
    def _starts(self) -> list[int]:
        """The words that a list of FROM items may follow, the likelier one first."""
        kinds = [token.kind for token in self._source.tokens]
        starts = [i for i, k in enumerate(kinds) if k == "FROM" and not self._source.compares(i)]
        return starts + [i for i, k in enumerate(kinds) if k == "USING"]

    def _joins(self, start: int) -> dict[int, list[JoinText]]:
        """The joins of a FROM list, by their number of operands."""
        if start not in self._read:
            found: dict[int, list[JoinText]] = {}
            for join in _Reader(self._source).read(start + 1):
                found.setdefault(len(join.operands), []).append(join)
            self._read[start] = found
        return self._read[start]


def _leaves(body: Node) -> list[tuple[str, Node]]:
    """The innermost operands of a join, from left to right."""
    found: list[tuple[str, Node]] = []
    stack = [body["rarg"], body["larg"]]
    while stack:
        kind, item = unwrap(stack.pop())
        if kind == "JoinExpr":
            stack += [item["rarg"], item["larg"]]
        elif kind == "RangeTableSample":
            stack.append(item["relation"])
        else:
            found.append((kind, item))
    return found


class _Reader:
    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._joins: list[JoinText] = []

    def read(self, index: int) -> list[JoinText]:
        """All joins of a FROM list that begins at `index`."""
        while True:
            index, _ = self._item(index)
            if self._source.kind(index) != COMMA:
                return self._joins
            index += 1

    def _item(self, index: int) -> tuple[int, tuple[int, ...]]:
        """The token after an item of FROM, and its innermost operands."""
        index, operands = self._operand(index)
        while (word := self._join_word(index)) >= 0:
            natural = index if self._source.kind(index) == "NATURAL" else -1
            crosses = self._source.kind(index) == "CROSS"
            using = -1
            if natural >= 0 or crosses:
                index, right = self._operand(word + 1)
            else:
                index, right = self._item(word + 1)
                if self._source.kind(index) == "USING":
                    using = index
                    index = self._source.closing(index + 1) + 1
                    if self._source.kind(index) == "AS":
                        index += 2
                elif self._source.kind(index) == "ON":
                    index = self._end(index + 1)
            operands += right
            self._joins.append(JoinText(operands, natural, using, index))
        return index, operands

    def _operand(self, index: int) -> tuple[int, tuple[int, ...]]:
        source = self._source
        if source.kind(index) == "LATERAL_P":
            index += 1
        if source.kind(index) == "ONLY":
            if source.kind(index + 1) == OPEN:
                return self._end(source.closing(index + 1) + 1), (index + 2,)
            index += 1
        if source.kind(index) == OPEN and source.kind(index + 1) not in _QUERY_STARTS:
            inner = _Reader(source)
            after, operands = inner._item(index + 1)
            if inner._joins and after == source.closing(index):
                self._joins += inner._joins
                return self._end(after + 1), operands
        after = source.closing(index) + 1 if source.kind(index) == OPEN else index + 1
        return self._end(after), (index,)

    def _join_word(self, index: int) -> int:
        """The index of the word JOIN, if a join begins here; else -1."""
        source = self._source
        at = index
        if source.kind(at) == "NATURAL":
            at += 1
        if source.kind(at) in ("INNER_P", "LEFT", "RIGHT", "FULL", "CROSS"):
            at += 1
        if source.kind(at) == "OUTER_P":
            at += 1
        return at if source.kind(at) == "JOIN" else -1

    def _end(self, index: int) -> int:
        """The first token that belongs neither to an operand (its alias, its sample) nor to a condition."""
        source = self._source
        while index < len(source.tokens):
            kind = source.kind(index)
            if kind in (COMMA, CLOSE, SEMICOLON) or kind in _ENDS or self._join_word(index) >= 0:
                return index
            index = source.closing(index) + 1 if kind in (OPEN, "ASCII_91") else index + 1
        return index
