"""The only three things that happen to a statement: `Untouched`, `Rewrite`, `Refuse`."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from rules.errors import Refusal

_RECORD_OID = 2249


@dataclass(frozen=True, slots=True)
class Untouched:
    """Forward the client's bytes as they are.

    `despite` is why `migration` would refuse the statement if it did not only observe (see `rules.unsupported`).
    """

    despite: Refusal | None = None
    migration: str = ""


@dataclass(frozen=True, slots=True)
class FieldPatch:
    """One result column that is the client's own column of the table, although the server sees an expression.

    The expression has the column's type already; what it lacks is the origin (`table_oid`, `attnum`) and the modifier.
    `cast` is the type that the client cast the column to: PostgreSQL keeps the origin only if that changes nothing.
    `row` says that it is a whole row of the table: `type_oid` is the table's row type then, where the server sees a
    `record`; `attnum` is 0, and so is `table_oid` unless it is the bare row.
    """

    name: str
    table_oid: int
    attnum: int
    type_oid: int
    typmod: int
    cast: str = ""
    row: bool = False

    def describe(self, type_oid: int, typmod: int) -> tuple[int, int, int, int] | None:
        """(table OID, attnum, type OID, typmod) in place of what the server said of a column; None: leave it.

        A domain is described by its base type and modifier, which the server has right.
        """
        if self.row:
            return (self.table_oid, self.attnum, self.type_oid, typmod) if type_oid == _RECORD_OID else None
        same = type_oid == self.type_oid
        if self.cast and not (same and typmod == self.typmod):
            return None
        return self.table_oid, self.attnum, type_oid, self.typmod if same else typmod


@dataclass(frozen=True, slots=True)
class ResultPatch:
    """Patches for the RowDescription of one statement.

    `head` counts from the first column, `tail` from the last one (its last entry is the last column); None leaves a
    column as the server described it, and so are all columns between the two.
    """

    head: tuple[FieldPatch | None, ...] = ()
    tail: tuple[FieldPatch | None, ...] = ()


class PositionMap:
    """Maps a character position in the rewritten text (from 0) to one in the client's own text.

    `runs` are (start in rewritten text, start in client's text, moves along) in order: inside a run that moves along
    the distance is kept, inside inserted text every position means the token that caused it. Kept in three arrays,
    because a long INSERT has some 100,000 of them.
    """

    __slots__ = ("_clients", "_moves", "_starts")

    def __init__(self, runs: Iterable[tuple[int, int, bool]]) -> None:
        starts, clients, moves = array("q"), array("q"), bytearray()
        for start, client, moves_along in runs:
            starts.append(start)
            clients.append(client)
            moves.append(moves_along)
        self._starts, self._clients, self._moves = starts, clients, bytes(moves)

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositionMap) and self.runs == other.runs

    def __hash__(self) -> int:
        return hash(self.runs)

    def __repr__(self) -> str:
        return f"PositionMap({self.runs})"

    @property
    def runs(self) -> tuple[tuple[int, int, bool], ...]:
        return tuple(zip(self._starts, self._clients, map(bool, self._moves), strict=True))

    def to_client(self, position: int) -> int:
        at = bisect_right(self._starts, position) - 1
        if at < 0:
            return position
        return self._clients[at] + (position - self._starts[at] if self._moves[at] else 0)

    def to_server(self, position: int) -> int:
        """The reverse, for a position that no edit lies at."""
        runs = self.runs
        for (start, client_start, moves), after in zip(runs, [*runs[1:], None], strict=True):
            if moves and client_start <= position and (after is None or position - client_start < after[0] - start):
                return start + position - client_start
        raise ValueError(position)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send `sql` instead.

    `results` has one entry per statement of the text, in order; None describes it as the server does. `makes` is the
    same for the rows of what a statement makes: the prepared statement of a PREPARE, the cursor of a DECLARE. `wrapped`
    are the numbers (from 0) of those that stand in `sql` between two statements of ours, which the client is not told.
    """

    sql: str
    positions: PositionMap
    results: tuple[ResultPatch | None, ...]
    makes: tuple[ResultPatch | None, ...] = ()
    wrapped: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send nothing of it; the client gets the refusal as a PostgreSQL error."""

    refusal: Refusal
    migration: str


Plan = Untouched | Rewrite | Refuse
