"""What the worker empties in which phase, and the shape of its SQL; tests/system runs that SQL on real servers."""

from __future__ import annotations

import pytest
from pglast.parser import parse_sql_json

from rules.batches import (
    PHYSICAL_KEY,
    Key,
    KeyColumn,
    batch_sql,
    count_sql,
    in_state,
    next_key_sql,
    one_row_sql,
    show_row_sql,
    states_to_empty,
    truth,
)
from rules.catalog import TableName
from rules.changes import ColumnChange, ManagedColumn, parse_expression
from rules.laws import questions, scan_sql
from rules.migration import Migration
from rules.phases import LADDERS, STATE_COLUMN, Reads, RowState, Shape, Strategy, neighbours, phase_named

TABLE = TableName("public", 'o"dd')
CHANGE = ColumnChange(
    TABLE,
    (ManagedColumn("v", "v", "text"),),
    (ManagedColumn("w", "_pgjanus_w", "integer", not_null=True, check="w > 0"),),
    {"w": parse_expression("v::int")},
    {"v": parse_expression("w::text")},
)
ADDED = ColumnChange(
    TABLE, (), (ManagedColumn("x", "_pgjanus_x", "text"),), {"x": parse_expression("upper(stays)")}, {}
)
MIGRATION = Migration("m", TABLE, Strategy.DUAL_WRITE, (CHANGE, ADDED))
KEYS = [PHYSICAL_KEY, Key((KeyColumn("id", "integer"),)), Key((KeyColumn("a", "uuid"), KeyColumn("B", "text")))]
PHASES = [(s, p.name) for s in Strategy for p in LADDERS[s]]


@pytest.mark.parametrize(
    ("strategy", "phase", "emptied"),
    [
        ("dual_write", "announced", ()),
        ("dual_write", "expanded", (RowState.NEW,)),
        ("dual_write", "writing_both", (RowState.OLD, RowState.NEW)),
        ("dual_write", "reading_new", (RowState.OLD, RowState.NEW)),
        ("dual_write", "new_only", (RowState.OLD,)),
        ("dual_write", "contracted", ()),
        ("dual_read", "reading_both", (RowState.NEW,)),
        ("dual_read", "writing_new", (RowState.OLD,)),
        ("dual_read", "new_only", ()),
        ("both", "dual", (RowState.OLD, RowState.NEW)),
        ("both", "new_only", ()),
    ],
)
def test_what_is_emptied_in_each_phase(strategy: str, phase: str, emptied: tuple[RowState, ...]) -> None:
    assert states_to_empty(Strategy(strategy), phase) == emptied


@pytest.mark.parametrize(("strategy", "phase"), PHASES)
def test_the_worker_prepares_every_step_and_never_works_against_the_writers(strategy: Strategy, phase: str) -> None:
    here = phase_named(strategy, phase)
    emptied = states_to_empty(strategy, phase)
    if here.policy is None or not here.expanded:
        assert emptied == ()
        return
    assert here.policy.writes.leaves not in emptied
    for neighbour in neighbours(strategy, phase):
        if neighbour is not None and neighbour.policy is not None:
            forbidden = neighbour.policy.reads.forbids
            assert forbidden is None or forbidden in emptied or forbidden is here.policy.writes.leaves


@pytest.mark.parametrize("code", range(8))
def test_a_code_is_in_exactly_one_state(code: int) -> None:
    holds = [s for s in RowState if eval(in_state(s, str(code)).replace("AND", "and"))]
    assert holds == [RowState.OLD if code < 4 else RowState.BOTH if code < 6 else RowState.NEW]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: "-".join(c.name for c in key.columns))
@pytest.mark.parametrize("after", [True, False])
def test_every_statement_is_one_statement_of_postgresql(key: Key, after: bool) -> None:
    asked = questions(MIGRATION)
    statements = [scan_sql(MIGRATION, key, asked, after=after)]
    for state in (RowState.OLD, RowState.NEW):
        for wait in (True, False):
            statements.append(batch_sql(MIGRATION, key, state, after=after, wait=wait))
            statements.append(next_key_sql(MIGRATION, key, state, after=after, wait=wait))
        statements += [show_row_sql(MIGRATION, key, state), one_row_sql(MIGRATION, key, state)]
        statements.append(count_sql(TABLE, state))
    for sql in statements:
        assert parse_sql_json(sql).count('"stmt_len"') == 0, sql


def test_a_batch_computes_from_the_row_it_updates_and_asks_for_its_state_again() -> None:
    sql = batch_sql(MIGRATION, KEYS[1], RowState.OLD, after=True, wait=False)
    update = sql[sql.index("UPDATE") :]
    assert '"_pgjanus_w" = ((t."v"::int))::integer' in update
    assert f't."{STATE_COLUMN}" < 4 RETURNING' in update
    assert "SKIP LOCKED" in sql
    assert "SKIP LOCKED" not in batch_sql(MIGRATION, KEYS[1], RowState.OLD, after=True, wait=True)


def test_the_truth_is_what_clients_read() -> None:
    assert [truth(r) for r in (Reads.OLD, Reads.COALESCE, Reads.NEW)] == [Shape.OLD, Shape.OLD, Shape.NEW]


def test_a_key_is_described_for_a_person() -> None:
    assert KEYS[2].describe(("x", "y")) == "a=x, B=y"
