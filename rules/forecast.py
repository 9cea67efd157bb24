"""What each phase of a migration makes of one statement, told before any of them is entered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pglast.parser import ParseError

from rules.analysis.names import Lookup
from rules.analysis.values import QUERIES
from rules.catalog import Catalog, TableName
from rules.ddl.expansion import in_phase
from rules.errors import Refusal
from rules.migration import Client, ManagedTable, Migration
from rules.phases import LADDERS, Phase, Shape
from rules.plan import Plan, Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot
from rules.text.source import SourceText, unwrap, walk


class Treatment(Enum):
    UNTOUCHED = "untouched"
    REWRITTEN = "rewritten"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outlook:
    """One phase's treatment of one statement.

    `message`, `hint` and `sqlstate` say why it is refused; of an untouched one, why it would be if the migration did
    not observe.
    """

    phase: str
    treatment: Treatment
    message: str = ""
    hint: str = ""
    sqlstate: str = ""

    @property
    def is_refused(self) -> bool:
        return self.treatment is Treatment.REFUSED

    def to_json(self) -> dict[str, str]:
        shown = {"phase": self.phase, "outcome": self.treatment.value}
        reason = {"sqlstate": self.sqlstate, "message": self.message, "hint": self.hint}
        return shown | {key: value for key, value in reason.items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outlook:
        """The inverse of `to_json`."""
        reason = (value.get(key, "") for key in ("message", "hint", "sqlstate"))
        return cls(value["phase"], Treatment(value["outcome"]), *reason)


Forecast = tuple[Outlook, ...]


def is_refused(forecast: Iterable[Outlook]) -> bool:
    """Whether any of these phases refuses the statement."""
    return any(outlook.is_refused for outlook in forecast)


def refused_where(forecasts: Iterable[Forecast]) -> str:
    """How many of the statements each phase refuses, such as `1 in writing_both, 2 in new_only`; empty if none does."""
    counts: dict[str, int] = {}
    for forecast in forecasts:
        for outlook in forecast:
            counts[outlook.phase] = counts.get(outlook.phase, 0) + outlook.is_refused
    return ", ".join(f"{count} in {phase}" for phase, count in counts.items() if count)


class Forecaster:
    """Phases of one migration over one catalog, whether or not it has been started there.

    Args:
        phases: rungs of its ladder; all on which statements are rewritten if None.
        others: further tables that are managed; they stay in the phases that they are in.
    """

    def __init__(
        self,
        migration: Migration,
        catalog: Catalog,
        phases: Iterable[Phase] | None = None,
        others: Mapping[TableName, ManagedTable] | None = None,
    ) -> None:
        self.migration = migration
        self._snapshots: dict[Phase, Snapshot] = {}
        for phase in LADDERS[migration.strategy] if phases is None else phases:
            if phase.policy is not None:
                table = in_phase(migration, phase, catalog.relations[migration.table])
                known = replace(catalog, relations={**catalog.relations, migration.table: table.relation})
                self._snapshots[phase] = Snapshot(0, known, {**(others or {}), migration.table: table})

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(self._snapshots)

    def may_concern(self, sql: str) -> bool:
        """The cheap test: False only if `concerns` would say so."""
        return next(iter(self._snapshots.values())).may_name_managed(sql)

    def concerns(self, sql: str, client: Client) -> bool:
        """Whether a text names the migration's table; a text that cannot be parsed does if its name occurs."""
        if not self.may_concern(sql):
            return False
        lookup, table = Lookup(next(iter(self._snapshots.values())), client), self.migration.table
        try:
            statements = SourceText(sql).statements
            return any(self._is_named(unwrap(s["stmt"]), table, lookup) for s in statements)
        except (ParseError, UnicodeEncodeError):
            return table.name.lower() in sql.lower()
        except (Refusal, RecursionError):
            return True

    @staticmethod
    def _is_named(statement: tuple[str, Any], table: TableName, lookup: Lookup) -> bool:
        kind, node = statement
        for key, body in walk({kind: node}):
            if body.get("relname") == table.name:
                relation = lookup.relation(body.get("schemaname"), table.name)
                if relation is not None and relation.table == table:
                    return True
            elif kind not in QUERIES and key == "String" and body.get("sval") == table.name:
                return True  # DROP and COMMENT name their objects in lists of strings
        return False

    def plan(self, sql: str, phase: Phase, client: Client) -> Plan:
        return plan(sql, self._snapshots[phase], client)

    def forecast(self, sql: str, client: Client) -> Forecast:
        """In each of the phases that serves this shape."""
        return tuple(
            _outlook(phase, self.plan(sql, phase, client), self.migration.name)
            for phase in self.phases
            if phase.expanded or client.shape is Shape.OLD
        )


def _outlook(phase: Phase, found: Plan, migration: str) -> Outlook:
    reason: Refusal | None = None
    match found:
        case Untouched(despite=reason):
            treatment = Treatment.UNTOUCHED
        case Rewrite():
            treatment = Treatment.REWRITTEN
        case Refuse(refusal=reason):
            treatment = Treatment.REFUSED
    if reason is None:
        return Outlook(phase.name, treatment)
    message = reason.message.removeprefix(f"migration {migration}: ")
    return Outlook(phase.name, treatment, message, reason.hint, reason.sqlstate)
