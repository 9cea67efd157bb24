"""`change_type`: another type, or other values, under the same name."""

from __future__ import annotations

from rules.operations.base import (
    Attributes,
    NewColumnName,
    NewPart,
    OldPart,
    Operation,
    RowExpression,
    TypeName,
)


class ChangeType(Attributes, Operation):
    """Another type under the same name: old-shape clients see the old type, new-shape clients the new one."""

    column: NewColumnName
    """The column; in `up` its name means the old column, in `down` and `check` the new one."""
    type: TypeName
    """The new type."""
    up: RowExpression | None = None
    """Computes the new value from the old one; a plain cast if left out."""
    down: RowExpression | None = None
    """Computes the old value from the new one; a plain cast if left out."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return (OldPart(self.column, ("column",), self.down, ("down",)),)

    def new_parts(self) -> tuple[NewPart, ...]:
        return (NewPart(self.column, ("column",), self.type, self.up, ("up",), self, ()),)
