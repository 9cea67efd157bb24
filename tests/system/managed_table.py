"""A table of any migration in one phase, made by hand: statements go through the planner straight to the server."""

from __future__ import annotations

from typing import Any

import psycopg

from rules.ddl.guard import guard_ddl
from rules.loader import load_text
from rules.migration import Client, ManagedTable
from rules.phases import Shape, Strategy, phase_named
from rules.plan import Refuse, Rewrite
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.twin import expand, read_catalog

#: A column whose default is volatile, split into two that are computed from it.
TOKENS = """
migration: tokens
table: public.tokens
operations:
  - split_column:
      column: token
      into:
        upper_token: {type: text, up: "upper(token)"}
        length: {type: int, up: "length(token)"}
      down: "lower(upper_token)"
"""


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
        self._spec, self._rung = spec, rung
        self.reload()

        if guarded:
            self.connection.execute(b"CREATE SCHEMA IF NOT EXISTS pgjanus")
            for statement in guard_ddl(self.snapshot.tables[spec.table]):
                self.connection.execute(statement.sql.encode())

    def reload(self) -> None:
        """Read the catalog again."""
        catalog = read_catalog(self.database.url)
        table = self._spec.table
        relation = catalog.relations[table]
        self.snapshot = Snapshot(1, catalog, {table: ManagedTable(self._spec.compile(relation), self._rung, relation)})

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

    def answer(self, sql: str, table: str, shape: Shape = Shape.OLD) -> tuple[Any, list[tuple[Any, ...]]]:
        """What a client sees, rows (without their order) or SQLSTATE, and the table afterwards. It is rolled back."""
        decided = plan(sql, self.snapshot, Client(shape))
        found: Any
        with self.connection.transaction(force_rollback=True):
            if isinstance(decided, Refuse):
                found = decided.refusal.sqlstate
            else:
                try:
                    with self.connection.transaction():
                        found = sorted(self.run(sql, shape), key=repr)
                except psycopg.Error as error:
                    found = error.sqlstate
            return found, self.run(f"SELECT * FROM {table} ORDER BY id", shape)
