"""`Migration`: one table, its changes, a strategy; compiled, and ready to be used by planner, DDL and backfill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from rules.catalog import Column, Relation, TableName
from rules.changes import ColumnChange
from rules.pace import BackfillSettings
from rules.phases import HIDDEN_PREFIX, Phase, Policy, Shape, Strategy


class Guard(Enum):
    HEAL = "heal"
    REJECT = "reject"
    OFF = "off"


class OnUnsupported(Enum):
    REFUSE = "refuse"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Migration:
    """`quiet_period_s`: for how long no client of the old shape may have been seen when the old columns are dropped."""

    name: str
    table: TableName
    strategy: Strategy
    changes: tuple[ColumnChange, ...]
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    guard: Guard = Guard.HEAL
    on_unsupported: OnUnsupported = OnUnsupported.REFUSE
    quiet_period_s: int = 86_400


@dataclass(frozen=True, slots=True)
class ManagedTable:
    """A migration in the phase that it is in now, with the table as it physically is.

    `relaxed` are the old columns that are NOT NULL by right, although the constraint is lifted in this phase. `whole`
    is the migration of the table that this one is a partition of. `contracting`: the old columns are as good as gone,
    and are computed from the new ones in every row.
    """

    migration: Migration
    phase: Phase
    relation: Relation
    relaxed: frozenset[str] = frozenset()
    whole: Migration | None = None
    contracting: bool = False

    def partition(self, relation: Relation) -> ManagedTable:
        """The same migration over one partition: clients may name that as well."""
        own = replace(self.migration, table=relation.table)
        return replace(self, migration=own, relation=relation, whole=self.migration)

    @property
    def is_partition(self) -> bool:
        return self.relation.parent is not None

    @property
    def policy(self) -> Policy:
        assert self.phase.policy is not None
        return self.phase.policy

    def visible(self, shape: Shape) -> tuple[tuple[str, Column], ...]:
        """(visible name, physical column) in that shape's order: the new shape's is the order after `contracted`."""
        other = {c.physical for change in self.migration.changes for c in change.side(shape.other)}
        own = {c.physical: c.name for change in self.migration.changes for c in change.side(shape)}
        return tuple(
            (own.get(column.name, column.name), column)
            for column in self.relation.columns
            if column.name not in other and (column.name in own or not column.name.startswith(HIDDEN_PREFIX))
        )


@dataclass(frozen=True, slots=True)
class Client:
    """What the planner has to know of the session that sent a statement.

    `search_path` is the list of schemas in force, or None where the server does not report it.
    `shadowed` are bare names that this session's temporary tables may have taken.
    """

    shape: Shape = Shape.OLD
    search_path: tuple[str, ...] | None = None
    shadowed: frozenset[str] = frozenset()
