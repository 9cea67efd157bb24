"""`split_column`: one column becomes several."""

from __future__ import annotations

from pydantic import Field

from rules.operations.base import (
    ColumnName,
    NewColumn,
    NewColumnName,
    NewPart,
    OldPart,
    Operation,
    RowExpression,
    new_parts,
)


class SplitColumn(Operation):
    """One column becomes several."""

    column: ColumnName
    """The column to split."""
    into: dict[NewColumnName, NewColumn] = Field(min_length=2)
    """The new columns, by name; each `up` names the old column."""
    down: RowExpression
    """Computes the old column from the new ones."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return (OldPart(self.column, ("column",), self.down, ("down",)),)

    def new_parts(self) -> tuple[NewPart, ...]:
        return new_parts(self.into, ("into",))
