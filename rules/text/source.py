"""A statement's text with its tokens and its tree, all in one coordinate: characters from 0.

libpg_query gives no end positions, so ends come from the tokens. Its JSON positions are bytes and its
scanner's are characters; this is the only module that has to know.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from pglast.parser import parse_sql_json, scan

Node = dict[str, Any]

#: Reserved words that cannot stand inside an expression outside of parentheses (FROM: see `expression_end`).
_EXPRESSION_ENDS = frozenset(
    "WHERE GROUP_P HAVING WINDOW UNION INTERSECT EXCEPT ORDER LIMIT OFFSET FETCH FOR INTO RETURNING ON AS FROM"
    " WHEN".split()
)
_OPENS = {"ASCII_40", "ASCII_91"}
_CLOSES = {"ASCII_41", "ASCII_93"}
_OPERATORS = {"LESS_EQUALS", "GREATER_EQUALS", "NOT_EQUALS", "EQUALS_GREATER", "COLON_EQUALS"}
#: Words after which CASE begins an expression.
_CASE_FOLLOWS = frozenset(
    "SELECT DISTINCT ALL CASE WHEN THEN ELSE AND OR NOT WHERE ON HAVING BY LIKE ILIKE TO ESCAPE BETWEEN SYMMETRIC"
    " ASYMMETRIC FROM RETURNING LIMIT OFFSET VALUES ZONE".split()
)
COMMA, DOT, STAR, OPEN, CLOSE, SEMICOLON, EQUALS = (f"ASCII_{ord(c)}" for c in ",.*();=")


class Token(NamedTuple):
    """`end` is exclusive. `kind` is libpg_query's token name (`IDENT`, `SELECT`, `ASCII_44` for a comma, …)."""

    start: int
    end: int
    kind: str


class SourceText:
    """One client text: maybe several statements.

    Raises:
        pglast.parser.ParseError: PostgreSQL would not parse it either.
        RecursionError: nested too deeply for the tree to be read.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.statements: list[Node] = json.loads(parse_sql_json(sql)).get("stmts", [])
        # Byte offset of each character, only where the two differ.
        self._bytes = None if sql.isascii() else [0, *accumulate(len(c.encode()) for c in sql)]

    @cached_property
    def tokens(self) -> list[Token]:
        """Without comments."""
        return [Token(t.start, t.end + 1, t.name) for t in scan(self.sql) if t.name not in ("SQL_COMMENT", "C_COMMENT")]

    @cached_property
    def _starts(self) -> list[int]:
        return [token.start for token in self.tokens]

    def char(self, byte_offset: int) -> int:
        """A character position from a position in libpg_query's JSON."""
        return byte_offset if self._bytes is None else bisect_left(self._bytes, byte_offset)

    def token_at(self, position: int) -> int:
        """Index of the token that starts at this character, or the first after it."""
        return bisect_left(self._starts, position)

    def token_before(self, position: int) -> int:
        """Index of the last token that starts before this character."""
        return bisect_right(self._starts, position - 1) - 1

    def location(self, node: Node) -> int:
        """Character position of a node (libpg_query leaves a 0 out)."""
        return self.char(node.get("location", 0))

    def statement_span(self, statement: Node) -> tuple[int, int]:
        """Characters of one of `statements`, from its first token to its last: no comments, no semicolon."""
        start = self.char(statement.get("stmt_location", 0))
        length = statement.get("stmt_len", 0)
        end = self.char(statement.get("stmt_location", 0) + length) if length else len(self.sql)
        first, last = self.token_at(start), self.token_before(end)
        while last > first and self.kind(last) == SEMICOLON:
            last -= 1
        return self.span(first, last + 1)

    def kind(self, index: int) -> str:
        return self.tokens[index].kind if 0 <= index < len(self.tokens) else ""

    def find_back(self, index: int, kind: str) -> int:
        """The nearest token of that kind at or before `index`; -1 if there is none."""
        while index >= 0 and self.tokens[index].kind != kind:
            index -= 1
        return index

    def reference_end(self, index: int) -> int:
        """Index after a dotted name (`a.b.c`, `t.*`) that starts at `index`."""
        index = self.name_end(index)
        while self.kind(index) == DOT:
            index = self.name_end(index + 1)
        return index

    def name_end(self, index: int) -> int:
        """Index after one part of a name, which may say what its escape character is."""
        return index + (3 if self.kind(index + 1) == "UESCAPE" else 1)

    def name_span(self, position: int) -> tuple[int, int]:
        """Characters of the part of a name that starts at this one."""
        index = self.token_at(position)
        return self.span(index, self.name_end(index))

    def closing(self, index: int) -> int:
        """Index of the parenthesis that closes the one at `index`."""
        depth = 0
        while index < len(self.tokens):
            depth += self._turn(index)
            if depth == 0:
                return index
            index += 1
        return index

    def expression_end(self, index: int) -> int:
        """Index of the token that ends the expression: a comma, a clause's keyword, a closing parenthesis, the end.

        A bare label (`SELECT a b`) counts to the expression, unless it is one of the words CASE, END and WHEN.
        """
        depth = cases = 0
        first = index
        while index < len(self.tokens):
            kind = self.tokens[index].kind
            if depth == 0 and self.kind(index - 1) != DOT:  # after a dot it is a column called like a keyword
                if kind == "CASE" and (index == first or self._may_precede_case(index - 1)):
                    cases += 1
                elif kind == "END_P" and cases:
                    cases -= 1
                elif cases == 0 and self._ends_expression(index):
                    return index
            depth += self._turn(index)
            index += 1
        return index

    def compares(self, index: int) -> bool:
        """Whether this FROM belongs to `a IS NOT DISTINCT FROM b`. DISTINCT alone may be a bare label before FROM."""
        words = (self.kind(index - 1), self.kind(index - 2))
        return self.kind(index) == "FROM" and words in (("DISTINCT", "IS"), ("DISTINCT", "NOT"))

    def items(self, index: int) -> list[tuple[int, int]]:
        """Split a comma-separated list of expressions from `index` on: (first token, token after the last) each."""
        found = []
        while True:
            end = self.expression_end(index)
            found.append((index, end))
            if self.kind(end) != COMMA:
                return found
            index = end + 1

    def span(self, first: int, after: int) -> tuple[int, int]:
        """Character span of the tokens [first, after)."""
        return self.tokens[first].start, self.tokens[after - 1].end

    def _turn(self, index: int) -> int:
        kind = self.tokens[index].kind
        return (kind in _OPENS) - (kind in _CLOSES)

    def _may_precede_case(self, index: int) -> bool:
        """Whether CASE behind this token begins an expression. CASE is fully reserved, but may be a bare label."""
        kind = self.tokens[index].kind
        is_operator = kind.startswith("ASCII_") or kind.endswith("Op") or kind in _OPERATORS
        return (is_operator and kind not in _CLOSES) or kind in _CASE_FOLLOWS

    def _ends_expression(self, index: int) -> bool:
        kind, before = self.tokens[index].kind, self.kind(index - 1)
        if kind in (COMMA, SEMICOLON, "CASE", "END_P") or kind in _CLOSES:
            return True
        within = kind == "GROUP_P" and before == "WITHIN" and self.kind(index + 1) == OPEN
        return kind in _EXPRESSION_ENDS and not within and not self.compares(index)


def walk(node: Any) -> Iterator[tuple[str, Node]]:
    """Every (kind, body) in a tree, without recursion, in no promised order."""
    # What json.loads makes is of exactly these types, and asking for them costs a third of isinstance().
    stack = [node]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            for key, value in item.items():
                kind = type(value)
                if kind is dict:
                    yield key, value
                    stack.append(value)
                elif kind is list:
                    stack.append(value)
        elif type(item) is list:
            stack.extend(item)


def unwrap(node: Node) -> tuple[str, Node]:
    """`{"ColumnRef": {…}}` → `("ColumnRef", {…})`; `("", {})` for an empty node."""
    for key, value in node.items():
        return key, value
    return "", {}


def string(node: Node) -> str:
    """The text of a String node."""
    return str(node["String"].get("sval", ""))
