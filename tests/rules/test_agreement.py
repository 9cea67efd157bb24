"""The SQL of verification: statements that PostgreSQL can parse, and what they compare."""

from __future__ import annotations

import pytest
from pglast.parser import parse_sql_json

from rules.agreement import (
    agrees,
    check_sql,
    close_sql,
    comparable,
    finding_sql,
    forget_changed_sql,
    needs_proof,
    next_row_sql,
    repair_row_sql,
    repair_sql,
    ways_sql,
    ways_to_agree,
)
from rules.batches import Key
from rules.phases import LADDERS, Phase, Shape, Strategy, phase_named
from tests.rules.test_batches import KEYS, MIGRATION

WRITING_BOTH = phase_named(Strategy.DUAL_WRITE, "writing_both")
READING_NEW = phase_named(Strategy.DUAL_WRITE, "reading_new")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: "-".join(c.name for c in key.columns))
@pytest.mark.parametrize("after", [True, False])
def test_every_statement_is_one_statement_of_postgresql(key: Key, after: bool) -> None:
    (change, *_) = comparable(MIGRATION)
    statements = [finding_sql(MIGRATION, key), forget_changed_sql(MIGRATION, key)]
    statements += [ways_sql(MIGRATION, key, way) for way in ways_to_agree(MIGRATION, key, change)]
    for changed in (True, False):
        statements.append(next_row_sql(MIGRATION, key, changed=changed, after=after))
    for phase in LADDERS[Strategy.DUAL_WRITE][1:-1]:
        for until in (True, False):
            statements.append(check_sql(MIGRATION, phase, key, changed=until, after=after, until=until))
        statements += [close_sql(MIGRATION, phase, key), repair_sql(MIGRATION, phase, key, after=after)]
        statements.append(repair_row_sql(MIGRATION, phase, key, change))
    for sql in statements:
        assert parse_sql_json(sql).count('"stmt_len"') == 0, sql


def test_only_changes_with_two_sides_are_compared() -> None:
    sql = check_sql(MIGRATION, WRITING_BOTH, KEYS[1], changed=False)
    compared = sql[: sql.index("found AS")]
    assert "_pgjanus_w" in compared
    assert "_pgjanus_x" not in compared


def test_values_are_compared_as_they_are_stored_and_texts_have_the_last_word() -> None:
    (change, *_) = comparable(MIGRATION)
    sql = agrees(change, Shape.NEW)
    assert '::record OPERATOR(pg_catalog.*=) ROW(((t."v"::int))::integer)::record' in sql
    assert "::text = ROW(" in sql


@pytest.mark.parametrize(("phase", "derived"), [(WRITING_BOTH, "_pgjanus_w"), (READING_NEW, "v")])
def test_a_repair_derives_the_format_that_clients_do_not_read(phase: Phase, derived: str) -> None:
    sql = repair_sql(MIGRATION, phase, KEYS[1], after=False)
    assert sql.split(" SET ")[1].startswith(f'"{derived}" = CASE WHEN ')


@pytest.mark.parametrize(
    ("strategy", "phases"),
    [
        ("dual_write", {"writing_both", "reading_new"}),
        ("dual_read", {"expanded", "reading_both", "writing_new", "new_only"}),
        ("both", {"expanded", "dual", "new_only"}),
    ],
)
def test_where_a_step_lets_clients_read_what_they_did_not_read_before(strategy: str, phases: set[str]) -> None:
    ladder = LADDERS[Strategy(strategy)]
    assert {p.name for p in ladder if needs_proof(Strategy(strategy), p.name)} == phases
