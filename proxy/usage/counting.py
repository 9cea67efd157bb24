"""How often each sender uses which shape of a migration: plain counting, for statements on managed tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.conversation.statements import Who
from rules.migration import Client, ManagedTable
from rules.phases import Reads, Shape
from rules.plan import Plan, Untouched
from rules.snapshot import Snapshot

#: Senders between two rounds of the recorder; those beyond are counted as one.
SENDERS_LIMIT: Final = 2_000
OTHERS: Final[Who] = ("(others)", "")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who uses a shape of a migration."""

    migration: str
    shape: Shape
    application_name: str
    user: str


@dataclass(slots=True)
class Use:
    """How often since the last round, and a text that was sent, constants and all."""

    statements: int
    sql: str


class UsageWatch:
    """One remembered plan of a statement that uses a shape."""

    __slots__ = ("_migrations", "_shape", "_sql", "_usage")

    def __init__(self, usage: Usage, sql: str, migrations: tuple[str, ...], shape: Shape) -> None:
        self._usage = usage
        self._sql = sql
        self._migrations = migrations
        self._shape = shape

    def saw(self, who: Who) -> None:
        for migration in self._migrations:
            self._usage.count(migration, self._shape, who, self._sql)


class Usage:
    """All of a process since it was last taken. No sender is left out: beyond the limit it is one of the others."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, Shape, Who], Use] = {}

    def watch(self, sql: str, snapshot: Snapshot, client: Client, plan: Plan) -> UsageWatch | None:
        """For a text that is planned; None if it uses no shape of any migration."""
        used = shapes_used(sql, snapshot, client, plan)
        return UsageWatch(self, sql, used, client.shape) if used else None

    def count(self, migration: str, shape: Shape, who: Who, sql: str) -> None:
        uses = self._uses
        use = uses.get((migration, shape, who))
        if use is None:
            if len(uses) >= SENDERS_LIMIT:
                who = OTHERS
            use = uses.setdefault((migration, shape, who), Use(0, sql))
        use.statements += 1
        use.sql = sql

    def take(self) -> dict[Sender, Use]:
        """Everything that was counted since the last time."""
        taken, self._uses = self._uses, {}
        return {Sender(migration, shape, *who): use for (migration, shape, who), use in taken.items()}


def shapes_used(sql: str, snapshot: Snapshot, client: Client, plan: Plan) -> tuple[str, ...]:
    """The migrations whose columns a statement may use as its client's shape has them.

    One that is rewritten or refused does, of every table that it names. One that is untouched does only where the
    client's columns are the physical ones, an old shape's while old columns are read: elsewhere it touches no managed
    column, and means the same when the migration is over.
    """
    if not snapshot.may_name_managed(sql):
        return ()
    tables = [m for m in snapshot.tables.values() if not isinstance(plan, Untouched) or _is_physical(m, client.shape)]
    folded = sql.casefold()
    named = {m.migration.name for m in tables if m.relation.table.name.casefold() in folded}
    # A name may be spelled in escapes, which nobody does but to hide it: then all are meant.
    return tuple(sorted(named or ({m.migration.name for m in tables} if 'u&"' in folded else ())))


def _is_physical(table: ManagedTable, shape: Shape) -> bool:
    policy = table.phase.policy
    return shape is Shape.OLD and (policy is None or policy.reads is Reads.OLD)
