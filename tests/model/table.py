"""One row of a managed table, moved by the product's own SQL: the planner's, the backfill's, the guard's, the gates'.

A row is a tuple: the old columns, the new ones, the stored code of the row state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TypeVar, cast

from rules.agreement import agrees
from rules.batches import Key, KeyColumn, in_state, one_row_sql
from rules.catalog import Catalog, Column, Constraint, Relation, TableName, Volatility
from rules.ddl.expansion import in_phase
from rules.ddl.guard import guard_ddl
from rules.ddl.statements import add_gate, expand, gate_name
from rules.loader import load_text
from rules.migration import Client, Guard, Migration
from rules.phases import LADDERS, STATE_COLUMN, Phase, RowState, Shape, Strategy, Writes
from rules.plan import Refuse, Rewrite
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.model.bugs import Bug
from tests.model.pairs import Pair, Write
from tests.model.sql import Names, Raised, Refused, Trigger, Value, evaluate, expression, function_body, statement

Row = tuple[Value, ...]

_TABLE = TableName("public", "t")
_KEY = Key((KeyColumn("id", "integer"),))
_FUNCTIONS = dict.fromkeys(("upper", "lower", "substr"), Volatility.IMMUTABLE)


T = TypeVar("T")


class Table:
    """Everything that can be done to the row in each phase of a ladder; every method is remembered by its arguments."""

    def __init__(self, strategy: Strategy, pair: Pair, guard: Guard, bugs: frozenset[Bug], *, parity: bool) -> None:
        columns = [Column("id", 1, 23, -1, "integer")]
        columns += [Column(name, i, 25, -1, "text") for i, name in enumerate(pair.old, 2)]
        relation = Relation(
            1, _TABLE, "r", tuple(columns), ("id",), row_type=101, constraints=(Constraint("t_pkey", ("id",)),)
        )
        text = f"table: public.t\nstrategy: {strategy.value}\nguard: {guard.value}\noperations:{pair.operations}"
        self._relation = relation
        self.pair, self.bugs, self.parity = pair, bugs, parity
        self.migration: Migration = load_text(text, "t.yaml").compile(relation)
        announced, expanded, *further = (p for p in LADDERS[strategy] if p.policy is not None)
        self.ladder = (announced, expanded.withdrawn, expanded, *further)
        self.snapshots = [_snapshot(self.migration, phase, relation) for phase in self.ladder]
        self.names = [c.physical for s in Shape for change in self.migration.changes for c in change.side(s)]
        self.names.append(STATE_COLUMN)
        self.writes = {Shape.OLD: pair.old_writes, Shape.NEW: pair.new_writes}
        self._states: dict[Value, RowState] = {}
        self._memory: dict[object, object] = {}

    # --- values --------------------------------------------------------------------------------------------------

    def named(self, row: Row) -> dict[str, Value]:
        return dict(zip(self.names, row, strict=True))

    def _row(self, named: Names) -> Row:
        return tuple(named[name] for name in self.names)

    def settled(self, row: Row) -> Row:
        """The row between two statements. The two codes of a state are alike then, so without `parity` they are one."""
        return row if self.parity else (*row[:-1], self.state(row).lowest)

    def unexpanded(self, row: Row) -> Row:
        """The row as it is before its new columns exist, and right after."""
        width = len(self.pair.old)
        return (*row[:width], *(None for _ in self.pair.new), 0)

    def old_values(self, row: Row) -> Row:
        return row[: len(self.pair.old)]

    def state(self, row: Row) -> RowState:
        code = row[-1]
        if code not in self._states:
            self._states[code] = next(s for s in RowState if self._holds(in_state(s, STATE_COLUMN), row))
        return self._states[code]

    def _holds(self, condition: str, row: Row) -> bool:
        return evaluate(expression(condition), self.named(row)) is True

    def passes_gate(self, state: RowState, row: Row) -> bool:
        """Whether the CHECK of the gate accepts the row."""
        return self._remember(("gate", state, row[-1]), lambda: self._holds(self._gates[state], row))

    @cached_property
    def _gates(self) -> dict[RowState, str]:
        found = {}
        for state in (RowState.OLD, RowState.NEW):
            match = re.search(r"CHECK \((.*)\) NOT VALID", add_gate(_TABLE, state).sql)
            assert match is not None
            found[state] = match[1]
        return found

    @cached_property
    def gates_at_first(self) -> frozenset[RowState]:
        """The gates that come with the new columns, not proved yet."""
        sql = " ".join(s.sql for s in expand(self.migration, self._relation))
        return frozenset(state for state in RowState if gate_name(state) in sql)

    def agrees(self, row: Row) -> bool:
        """Whether `verify` finds the two formats of a row in state `both` to be each other's."""
        changes = self.migration.changes
        return self._remember(
            ("agrees", row),
            lambda: all(any(self._holds(agrees(c, into), row) for into in Shape) for c in changes),
        )

    def _remember(self, key: object, find: Callable[[], T]) -> T:
        if key not in self._memory:
            self._memory[key] = find()
        return cast(T, self._memory[key])

    # --- clients -------------------------------------------------------------------------------------------------

    def read(self, at: int, shape: Shape, row: Row) -> Row | None:
        """What a client of that shape reads in phase number `at`; None: it is refused."""
        columns = self.pair.old if shape is Shape.OLD else self.pair.new
        sql = self._planned(at, shape, f"SELECT {', '.join(columns)} FROM t")
        if sql is None:
            return None
        named = self.named(row)
        return tuple(evaluate(t["ResTarget"]["val"], named) for t in statement(sql)["SelectStmt"]["targetList"])

    def write(self, at: int, shape: Shape, write: Write, row: Row, *, insert: bool) -> Row | None:
        """The row as the statement leaves it, before any trigger; None: it is refused."""
        if insert:
            names, values = ", ".join(write.columns), ", ".join(f"'{v}'" for v in write.columns.values())
            sql = self._planned(at, shape, f"INSERT INTO t (id, {names}) VALUES (1, {values})")
        else:
            sql = self._planned(at, shape, f"UPDATE t SET {write}")
        if sql is None:
            return None
        try:
            return self._written(at, sql, row, insert)
        except Refused:
            return None

    def _written(self, at: int, sql: str, row: Row, insert: bool) -> Row:
        before = self.named(row)
        if insert:
            body = statement(sql)["InsertStmt"]
            names_given = [c["ResTarget"]["name"] for c in body["cols"]]
            (values_given,) = body["selectStmt"]["SelectStmt"]["valuesLists"]
            given = zip(names_given, values_given["List"]["items"], strict=True)
            found: dict[str, Value] = dict.fromkeys(self.names) | {STATE_COLUMN: 0}
            found |= {name: evaluate(node, {}) for name, node in given if name in found}
        else:
            targets = [t["ResTarget"] for t in statement(sql)["UpdateStmt"]["targetList"]]
            found = before | {t["name"]: evaluate(t["val"], before) for t in targets}
        return self._row(self._mistaken(at, before, found, insert))

    def _mistaken(self, at: int, before: Names, found: dict[str, Value], insert: bool) -> dict[str, Value]:
        """What planted bugs make of a write."""
        policy = self.ladder[at].policy
        assert policy is not None
        if Bug.STATE_NOT_SET in self.bugs and policy.writes is Writes.OLD and not insert:
            found = found | {STATE_COLUMN: before[STATE_COLUMN]}
        code = found[STATE_COLUMN]
        assert isinstance(code, int)
        if Bug.BOOLEAN_MARKER in self.bugs and code >= RowState.NEW.lowest:
            found = found | {STATE_COLUMN: code - RowState.NEW.lowest + RowState.BOTH.lowest}
        return found

    def _planned(self, at: int, shape: Shape, sql: str) -> str | None:
        return self._remember(("plan", at, shape, sql), lambda: self._plan(at, shape, sql))

    def _plan(self, at: int, shape: Shape, sql: str) -> str | None:
        made = plan(sql, self.snapshots[at], Client(shape))
        return None if isinstance(made, Refuse) else made.sql if isinstance(made, Rewrite) else sql

    # --- the database and the worker --------------------------------------------------------------------------------

    def guarded(self, guard: int, before: Row, after: Row, *, insert: bool) -> tuple[Row | None, bool]:
        """The row as the guard of that phase lets it through, None if it refuses it; and whether it fired."""
        return self._remember(
            ("guarded", guard, before, after, insert), lambda: self._guarded(guard, before, after, insert)
        )

    def _guarded(self, guard: int, before: Row, after: Row, insert: bool) -> tuple[Row | None, bool]:
        fired = False
        old, new = self.named(before), self.named(after)
        blind = Bug.GUARD_BY_PHASE in self.bugs and not insert and old[STATE_COLUMN] == new[STATE_COLUMN]
        if blind:  # it takes every row for one that has both formats
            old, new = (row | {STATE_COLUMN: RowState.BOTH.lowest} for row in (old, new))
        for trigger in self._triggers(guard):
            if trigger.event == ("INSERT" if insert else "UPDATE") and trigger.fires({} if insert else old, new):
                fired = True
                try:
                    new = trigger.fire({} if insert else old, new)
                except Raised:
                    return None, True
        if blind and new[STATE_COLUMN] == RowState.BOTH.lowest:
            new |= {STATE_COLUMN: before[-1]}
        return self._row(new), fired

    def _triggers(self, at: int) -> tuple[Trigger, ...]:
        return self._remember(("triggers", at), lambda: self._make_triggers(at))

    def _make_triggers(self, at: int) -> tuple[Trigger, ...]:
        managed = self.snapshots[at].tables[_TABLE]
        sql = [] if Bug.NO_GUARD in self.bugs else [s.sql for s in guard_ddl(managed)]
        body = next((function_body(s) for s in sql if s.startswith("CREATE FUNCTION")), ())
        made = [re.search(r"BEFORE (\w+) ON .* FOR EACH ROW WHEN \((.*)\) EXECUTE", s, re.DOTALL) for s in sql]
        return tuple(Trigger(m[1], m[2], body) for m in made if m)

    def backfilled(self, row: Row) -> Row:
        """The row as the worker leaves it, whichever state it is in."""
        return self._remember(("backfilled", row), lambda: self._backfilled(row))

    def _backfilled(self, row: Row) -> Row:
        named = self.named(row)
        for state in (RowState.OLD, RowState.NEW):
            body = statement(one_row_sql(self.migration, _KEY, state))["UpdateStmt"]
            if self.state(row) is state:
                targets = [t["ResTarget"] for t in body["targetList"]]
                return self._row(named | {t["name"]: evaluate(t["val"], named) for t in targets})
        return row


def _snapshot(migration: Migration, phase: Phase, relation: Relation) -> Snapshot:
    managed = in_phase(migration, phase, relation)
    if not phase.expanded:
        managed = replace(managed, relation=relation)
    return Snapshot(1, Catalog(180000, {_TABLE: managed.relation}, _FUNCTIONS), {_TABLE: managed})
