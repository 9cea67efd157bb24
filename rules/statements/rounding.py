"""What an UPDATE of a lossy migration must not round.

A phase that writes one format leaves a row in that format's state, and the other format is converted anew when it is
asked for. Of a lossy change that is right only where the value is another one than before, and an ORM that saves every
column writes mostly what it has read. So a row that has the other format keeps it, unless every lossy change of it gets
another value:

    UPDATE prices SET cents = $1
    UPDATE prices SET cents = $1, "_pgjanus_state" = CASE WHEN "prices"."_pgjanus_state" >= 4
           AND NOT (ROW((($1)::integer))::record OPERATOR(pg_catalog.*<>) ROW("prices"."cents")::record)
           THEN 5 - ("prices"."_pgjanus_state" & 1) ELSE 3 - ("prices"."_pgjanus_state" & 1) END

A row in state `both` may be read and written in every phase, so nothing else has to know. Where the row keeps it
although something in it changes (a migration of several changes), what changes is converted in the same statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rules.changes import ColumnChange, ManagedColumn
from rules.migration import ManagedTable
from rules.phases import STATE_COLUMN, Shape, Writes
from rules.reads import has_format, physical, read_column
from rules.statements.survival import is_lost
from rules.text.fragments import Pieces, images_differ, joined


@dataclass(frozen=True, slots=True)
class Rounding:
    """One SET list: `writes` is what it writes in this phase, `values` the typed value of each column that it sets."""

    table: ManagedTable
    shape: Shape
    writes: Writes
    qualifier: str
    values: Mapping[str, Pieces]

    def changed(self, change: ColumnChange) -> Pieces:
        """SQL: whether the statement gives another value to one of the columns that it sets on the client's side."""
        columns = self._set(change)
        # A CASE of values of a domain has the domain's base type, and images of two types are no match.
        stored = [f"({read_column(self.table, change, c, self.shape, self.qualifier)})::{c.type}" for c in columns]
        return images_differ([self.values[c.name] for c in columns], [(value,) for value in stored])

    def keeps(self) -> Pieces | None:
        """SQL: whether the row keeps the format that this phase does not write; None if no row does."""
        if self.writes is Writes.BOTH or not self._lossy():
            return None
        unwritten = Shape(self.writes.value).other
        has_it = has_format(unwritten, physical(self.qualifier, STATE_COLUMN))
        if not all(self._set(change) for change in self._lossy()):
            return (has_it,)
        return (has_it, " AND NOT (", *joined(" AND ", [self.changed(c) for c in self._lossy()]), ")")

    def converts(self, change: ColumnChange) -> Pieces | None:
        """SQL: whether a change that the client's own format alone would do for has to be converted, too; None: never.

        That is so where the row keeps the other format for the sake of another change.
        """
        keeps = self.keeps()
        if keeps is None or not any(other is not change for other in self._lossy()):
            return None
        return (*keeps, " AND ", *self.changed(change)) if change.lossy else keeps

    def loses(self, change: ColumnChange, value: Callable[[str], Pieces]) -> Pieces | None:
        """SQL: whether a new value could not be kept, because this phase writes the other format; None: it always can.

        `value` is the SQL of what a column of the client's side will hold.
        """
        if change not in self._lossy() or self.writes.includes(self.shape) or not self._set(change):
            return None
        return (*self.changed(change), " AND ", *is_lost(change, self.shape, value))

    def forgets(self, parts: frozenset[str]) -> bool:
        """Whether leaving the row in one format rounds a lossy change; not one of which a part is set: that changes."""
        return any(all(c.name not in parts for c in change.side(self.shape)) for change in self._lossy())

    def _lossy(self) -> list[ColumnChange]:
        return [c for c in self.table.migration.changes if c.lossy and c.old and c.new]

    def _set(self, change: ColumnChange) -> list[ManagedColumn]:
        return [c for c in change.side(self.shape) if c.name in self.values]
