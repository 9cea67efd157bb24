"""What may be done with an expression of a write: written twice, or moved into a sub-select to be evaluated once."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from rules.catalog import Catalog, Volatility
from rules.errors import FEATURE_NOT_SUPPORTED, Refusal
from rules.statements.mirror import is_simple
from rules.text.source import Node, SourceText, string, walk

_GROUPING_ERROR = "42803"
_WINDOWING_ERROR = "42P20"


@dataclass(frozen=True, slots=True)
class Judge:
    """`in_merge`: all that can be is written twice, because little can be evaluated once there.

    `unknown_rows` are the places of the sub-selects in row assignments of which the number of columns is not known.
    """

    source: SourceText
    catalog: Catalog
    unknown_rows: Set[int]
    in_merge: bool = False

    def is_simple(self, node: Node) -> bool:
        """Whether a value is written twice rather than evaluated once."""
        return self.is_repeatable(node) if self.in_merge else is_simple(node)

    def is_repeatable(self, node: Node) -> bool:
        """Whether an expression gives the same value when it is evaluated twice for one row of one statement.

        A sub-select need not: which row LIMIT leaves or in which order an aggregate is fed is not defined.
        """
        for kind, body in walk({"": node}):
            if kind == "SubLink":
                return False
            if kind == "FuncCall":
                if self.catalog.volatility.get(_name(body), Volatility.VOLATILE) is Volatility.VOLATILE:
                    return False
            elif kind == "A_Expr" and string(body["name"][-1]) in self.catalog.volatile_operators:
                return False
        return True

    def start(self, node: Node) -> int:
        """Where PostgreSQL points if the type of an expression is wrong: its leftmost place."""
        return min(self.source.location(body) for _, body in walk({"": node}) if body.get("location", -1) >= 0)

    def check(self, node: Node | None, where: str, *, sets: bool = False) -> None:
        """Refuse, in PostgreSQL's words, what it would accept in a sub-select and not in `where` ("UPDATE").

        `sets`: it accepts set-returning functions there.
        """
        for body in _calls(node):
            position = self.source.location(body)
            if "over" in body:
                raise Refusal(
                    f"window functions are not allowed in {where}", sqlstate=_WINDOWING_ERROR, position=position
                )
            if _name(body) in self.catalog.aggregates or "agg_star" in body:
                raise Refusal(
                    f"aggregate functions are not allowed in {where}", sqlstate=_GROUPING_ERROR, position=position
                )
            if not sets and _name(body) in self.catalog.set_returning:
                raise Refusal(
                    f"set-returning functions are not allowed in {where}",
                    "Call it in FROM.",
                    sqlstate=FEATURE_NOT_SUPPORTED,
                    position=position,
                )


def _name(call: Node) -> str:
    return string(call["funcname"][-1])


def _calls(node: Node | None) -> Iterator[Node]:
    """The function calls of an expression, but not those of its sub-selects."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "FuncCall":
                    yield value
                if key != "SubLink":
                    stack.append(value)
