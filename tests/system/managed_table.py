"""A table of any migration in one phase, made by hand: statements go through the planner straight to the server."""

from __future__ import annotations

from typing import Any

from rules.guard import guard_ddl
from rules.loader import load_text
from rules.migration import Client, ManagedTable
from rules.phases import Shape, Strategy, phase_named
from rules.plan import Refuse, Rewrite
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.twin import expand, read_catalog


class Managed:
    """A table in one phase; `run` sends what the planner makes of a statement."""

    def __init__(
        self,
        database: Database,
        setup: str,
        definition: str,
        phase: str,
        strategy: Strategy = Strategy.DUAL_WRITE,
        *,
        guarded: bool = False,
    ) -> None:
        self.database = database
        self.connection = database.connect()
        self.connection.execute(setup.encode())
        spec = load_text(definition, "test.yaml")
        catalog = read_catalog(database.url)
        rung = phase_named(strategy, phase)
        relation = catalog.relations[spec.table]
        expand(self.connection, ManagedTable(spec.compile(relation), rung, relation))
        catalog = read_catalog(database.url)
        relation = catalog.relations[spec.table]
        self.snapshot = Snapshot(1, catalog, {spec.table: ManagedTable(spec.compile(relation), rung, relation)})

        if guarded:
            self.connection.execute(b"CREATE SCHEMA pgjanus")
            for statement in guard_ddl(self.snapshot.tables[spec.table]):
                self.connection.execute(statement.sql.encode())

    def refusal(self, sql: str, shape: Shape = Shape.OLD) -> str:
        """What the planner says; empty if it does not refuse the statement."""
        found = plan(sql, self.snapshot, Client(shape))
        return str(found.refusal) if isinstance(found, Refuse) else ""

    def rewritten(self, sql: str, shape: Shape = Shape.OLD) -> str:
        found = plan(sql, self.snapshot, Client(shape))
        assert not isinstance(found, Refuse), found.refusal
        return found.sql if isinstance(found, Rewrite) else sql

    def run(self, sql: str, shape: Shape = Shape.OLD) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(self.rewritten(sql, shape).encode())
        return cursor.fetchall() if cursor.description else []
