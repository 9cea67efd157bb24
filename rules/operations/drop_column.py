"""`drop_column`: a column that the new shape does not have."""

from __future__ import annotations

from rules.operations.base import ColumnName, NewPart, OldPart, Operation, RowExpression


class DropColumn(Operation):
    """A column that the new shape does not have."""

    column: ColumnName
    """The column to drop."""
    down: RowExpression
    """What the old shape sees in rows that new-shape clients made: names no column, such as `NULL` or `'n/a'`."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return (OldPart(self.column, ("column",), self.down, ("down",)),)

    def new_parts(self) -> tuple[NewPart, ...]:
        return ()
