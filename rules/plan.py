"""The only three things that happen to a statement: `Untouched`, `Rewrite`, `Refuse`."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from rules.errors import Refusal


@dataclass(frozen=True, slots=True)
class Untouched:
    """Forward the client's bytes as they are."""


@dataclass(frozen=True, slots=True)
class FieldPatch:
    """How one result column has to be described: as if it were the client's own column of the table."""

    name: str
    table_oid: int
    attnum: int
    type_oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class ResultPatch:
    """Patches for the RowDescription of one statement.

    `head` counts from the first column, `tail` from the last one (its last entry is the last column); None leaves a
    column as the server described it. Columns between the two are left as they are.
    """

    head: tuple[FieldPatch | None, ...] = ()
    tail: tuple[FieldPatch | None, ...] = ()


@dataclass(frozen=True, slots=True)
class PositionMap:
    """Maps a character position in the rewritten text (from 0) to one in the client's own text.

    `runs` are (start in rewritten text, start in client's text, moves along) in order: inside a run that moves along
    the distance is kept, inside inserted text every position means the token that caused it.
    """

    runs: tuple[tuple[int, int, bool], ...]

    def to_client(self, position: int) -> int:
        at = bisect_right(self.runs, position, key=lambda run: run[0]) - 1
        if at < 0:
            return position
        start, client_start, moves = self.runs[at]
        return client_start + (position - start if moves else 0)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send `sql` instead.

    `results` has one entry per statement of the text, in order; None describes it as the server does.
    """

    sql: str
    positions: PositionMap
    results: tuple[ResultPatch | None, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send nothing of it; the client gets the refusal as a PostgreSQL error."""

    refusal: Refusal
    migration: str


Plan = Untouched | Rewrite | Refuse
