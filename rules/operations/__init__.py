"""The operations, one file per kind. This table is the only place where they are listed."""

from __future__ import annotations

from rules.operations.add_column import AddColumn
from rules.operations.base import Operation
from rules.operations.change_columns import ChangeColumns
from rules.operations.change_type import ChangeType
from rules.operations.drop_column import DropColumn
from rules.operations.merge_columns import MergeColumns
from rules.operations.rename_column import RenameColumn
from rules.operations.split_column import SplitColumn

OPERATIONS: dict[str, type[Operation]] = {
    "rename_column": RenameColumn,
    "change_type": ChangeType,
    "split_column": SplitColumn,
    "merge_columns": MergeColumns,
    "add_column": AddColumn,
    "drop_column": DropColumn,
    "change_columns": ChangeColumns,
}
