"""`rename_column`: the same values under another name."""

from __future__ import annotations

from rules.operations.base import Attributes, ColumnName, NewColumnName, NewPart, OldPart, Operation


class RenameColumn(Attributes, Operation):
    """The same values and type under another name. Indexes come along; other attributes are those given here."""

    column: ColumnName
    """The column to rename."""
    to: NewColumnName
    """Its new name."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return (OldPart(self.column, ("column",), None, ()),)

    def new_parts(self) -> tuple[NewPart, ...]:
        return (NewPart(self.to, ("to",), None, None, (), self, ()),)
