"""`add_column`: a column that the old shape does not have."""

from __future__ import annotations

from rules.operations.base import NewColumn, NewColumnName, NewPart, OldPart, Operation


class AddColumn(NewColumn, Operation):
    """A column that the old shape does not have. Its `up` may name any columns that stay."""

    column: NewColumnName
    """The new column's name."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return ()

    def new_parts(self) -> tuple[NewPart, ...]:
        return (NewPart(self.column, ("column",), self.type, self.up, ("up",), self, ()),)
