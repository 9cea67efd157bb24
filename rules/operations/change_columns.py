"""`change_columns`: the general form; every other operation is sugar for it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from rules.operations.base import (
    KEY,
    ColumnName,
    NewColumn,
    NewColumnName,
    NewPart,
    OldPart,
    Operation,
    Problem,
    RowExpression,
    new_parts,
)


class ChangeColumns(Operation):
    """Any columns become any other columns: the general form."""

    old: dict[ColumnName, RowExpression] = Field(default={})
    """Each old column with its `down`: the expression that computes it from the new ones."""
    new: dict[NewColumnName, NewColumn] = Field(default={})
    """The new columns, by name; each `up` names old columns."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return tuple(OldPart(name, ("old", name, KEY), down, ("old", name)) for name, down in self.old.items())

    def new_parts(self) -> tuple[NewPart, ...]:
        return new_parts(self.new, ("new",))

    def _misnamed(self) -> Iterator[Problem]:
        yield from super()._misnamed()
        if not self.old and not self.new:
            yield Problem((), "change_columns changes nothing: give old columns, new columns or both")
