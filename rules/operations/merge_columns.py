"""`merge_columns`: several columns become one."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from rules.operations.base import (
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


class MergeColumns(Operation):
    """Several columns become one."""

    columns: tuple[ColumnName, ...] = Field(min_length=2)
    """The columns to merge."""
    into: dict[NewColumnName, NewColumn] = Field(min_length=1, max_length=1)
    """The one new column; its `up` names the old columns."""
    down: dict[ColumnName, RowExpression]
    """For each of `columns`, the expression that computes it from the new column."""

    def old_parts(self) -> tuple[OldPart, ...]:
        return tuple(
            OldPart(name, ("columns", at), self.down.get(name), ("down", name)) for at, name in enumerate(self.columns)
        )

    def new_parts(self) -> tuple[NewPart, ...]:
        return new_parts(self.into, ("into",))

    def _misnamed(self) -> Iterator[Problem]:
        yield from super()._misnamed()
        for at, name in enumerate(self.columns):
            if name in self.columns[:at]:
                yield Problem(("columns", at), f"{name} is listed twice")
        for name in dict.fromkeys(self.columns):
            if name not in self.down:
                yield Problem(("down",), f"down has no expression for {name}: each of the merged columns needs one")
        for name in self.down:
            if name not in self.columns:
                listed = ", ".join(self.columns)
                yield Problem(("down", name, "[key]"), f"{name} is not one of the merged columns: {listed}")
