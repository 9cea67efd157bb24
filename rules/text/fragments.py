"""Edits at source positions, so that everything a client wrote survives unless we mean to change it.

A piece of new text is either literal SQL or a `Span` of the client's text; a span is rendered with the edits that
fall into it, so that an expression can be moved or used twice and still be read in the client's shape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rules.changes import Expression
from rules.plan import PositionMap


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the client's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class At:
    """Literal SQL that stands for what the client wrote at `position`: errors point there."""

    text: str
    position: int


Piece = str | Span | At
Pieces = tuple[Piece, ...]


def joined(separator: str, items: Iterable[Pieces]) -> Pieces:
    """Pieces with a separator between the items."""
    out: list[Piece] = []
    for item in items:
        if out:
            out.append(separator)
        out.extend(item)
    return tuple(out)


def images_differ(left: Iterable[Pieces], right: Iterable[Pieces]) -> Pieces:
    """SQL: whether two lists of values differ as they are stored.

    Equality is too coarse for that: 1.0 and 1.00, 0.0 and -0.0, 'a' and 'A' of type citext convert differently; and
    json has none. NULL is the same as NULL.
    """
    return ("(ROW(", *joined(", ", left), ")::record OPERATOR(pg_catalog.*<>) ROW(", *joined(", ", right), ")::record)")


def expression_pieces(expression: Expression, column: Callable[[str], Pieces]) -> Pieces:
    """`Expression.render` for pieces: an `up` or `down` in parentheses, `column(name)` in place of each column."""
    out: list[Piece] = ["("]
    for i, part in enumerate(expression.parts):
        if i % 2:
            out.extend(column(part))
        else:
            out.append(part)
    return (*out, ")")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace [start, end) by `pieces`; an insertion has start == end."""

    start: int
    end: int
    pieces: Pieces


class Edits:
    """Collects the edits of one text and applies them all at once.

    Edits may nest only in this way: an outer edit's pieces contain spans, and the inner edits lie inside those spans.
    """

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._edits: dict[Edit, None] = {}
        self._ordered: list[Edit] = []
        self._starts: list[int] = []
        # What has been rendered so far: text, runs of the position map, characters, where the last insertion belongs.
        self._parts: list[str] = []
        self._runs: list[tuple[int, int, bool]] = []
        self._at = 0
        self._last: int | None = None

    def __bool__(self) -> bool:
        return bool(self._edits)

    def text(self, pieces: Pieces) -> str:
        """Pieces as the client wrote them, without any edit."""
        return "".join(
            self._sql[p.start : p.end] if isinstance(p, Span) else p if isinstance(p, str) else p.text for p in pieces
        )

    def replace(self, start: int, end: int, *pieces: Piece) -> None:
        self._edits[Edit(start, end, pieces)] = None

    def insert(self, position: int, *pieces: Piece) -> None:
        self._edits[Edit(position, position, pieces)] = None

    def apply(self) -> tuple[str, PositionMap]:
        """The rewritten text, and the way back to the client's positions."""
        # At one position insertions come first, in the order in which they were made; a wider edit comes before what
        # it holds. Sorted once, because a text may have thousands of edits.
        self._ordered = sorted(self._edits, key=lambda e: (e.start, e.end > e.start, -e.end))
        self._starts = [e.start for e in self._ordered]
        self._parts, self._runs, self._at, self._last = [], [], 0, None
        self._render(0, len(self._sql), excluded=None)
        return "".join(self._parts), PositionMap(self._runs)

    def _inside(self, start: int, end: int, excluded: Edit | None) -> Iterator[Edit]:
        for index in range(bisect_left(self._starts, start), len(self._ordered)):
            edit = self._ordered[index]
            if edit.start > end:
                return
            if edit is not excluded and edit.end <= end:
                yield edit

    def _render(self, start: int, end: int, excluded: Edit | None) -> None:
        at = start
        for edit in self._inside(start, end, excluded):
            if edit.start < at:
                continue  # lies inside an edit that was just rendered, which renders it in its own spans
            if excluded is not None and edit.start == edit.end and edit.start in (start, end):
                continue  # an insertion on the edge of a span belongs to what stands outside of it
            if edit.start > at:
                self._put(self._sql[at : edit.start], at, moves=True)
            for piece in edit.pieces:
                if isinstance(piece, str):
                    self._put(piece, edit.start, moves=False)
                elif isinstance(piece, Span):
                    self._render(piece.start, piece.end, excluded=edit)
                else:
                    self._put(piece.text, piece.position, moves=False)
            at = max(at, edit.end)
        if at < end:
            self._put(self._sql[at:end], at, moves=True)

    def _put(self, text: str, position: int, *, moves: bool) -> None:
        """Add text; what was inserted for the same place is one run, because a text may have 100,000s of them."""
        if text:
            self._parts.append(text)
            if moves or self._last != position:
                self._runs.append((self._at, position, moves))
            self._last = None if moves else position
            self._at += len(text)
