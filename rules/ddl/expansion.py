"""A table as it will be after `start`, for statements about phases that it has not reached."""

from __future__ import annotations

from dataclasses import replace

from rules.catalog import Column, Relation
from rules.migration import ManagedTable, Migration
from rules.phases import STATE_COLUMN, Phase

_UNKNOWN_OID = 0
_SMALLINT_OID = 21


def in_phase(migration: Migration, phase: Phase, relation: Relation) -> ManagedTable:
    """The migration's table in that phase; the hidden columns are made up if `relation` does not have them yet."""
    if not phase.expanded or relation.column(STATE_COLUMN) is not None:
        return ManagedTable(migration, phase, relation)
    columns = list(relation.columns)
    for change in migration.changes:
        for new in change.new:
            columns.append(Column(new.physical, len(columns) + 1, _UNKNOWN_OID, -1, new.type, default=new.default))
    columns.append(Column(STATE_COLUMN, len(columns) + 1, _SMALLINT_OID, -1, "smallint", not_null=True, default="0"))
    return ManagedTable(migration, phase, replace(relation, columns=tuple(columns)))
