"""Statements as deep and as long as PostgreSQL takes them; what nobody can read is refused if it may concern us."""

from __future__ import annotations

import sys
import threading

import pytest
from pglast.parser import parse_sql_json

from rules.commands import Act, read_commands
from rules.migration import Client
from rules.phases import Shape
from rules.plan import Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.text.depth import with_room
from tests.rules.managed import snapshot

SNAPSHOT = snapshot("writing_both")

DEEP = {
    "terms": "SELECT first_name FROM users WHERE id = " + "+".join("1" * 3000),
    "concatenation": "SELECT 'x'" + " || 'y'" * 3000 + " || first_name FROM users",
    "and and or": "SELECT id FROM users WHERE " + " AND id = 1 OR ".join(f"first_name = '{i}'" for i in range(1500)),
    "NOT": "SELECT id FROM users WHERE " + "NOT " * 3000 + "(first_name = 'x')",
    "parentheses": "SELECT first_name FROM users WHERE id = " + "(" * 3000 + "1" + ")" * 3000,
    "sub-selects": "SELECT * FROM " + "(SELECT * FROM " * 500 + "users" + ") s" * 500,
    "correlated": "SELECT id FROM users WHERE " + "EXISTS (SELECT 1 WHERE " * 400 + "first_name = 'x'" + ")" * 400,
    "CASE": "SELECT " + "CASE WHEN id > 1 THEN first_name ELSE " * 500 + "'x'" + " END" * 500 + " FROM users",
    "UNION": " UNION ALL ".join(["SELECT first_name FROM users"] * 1000),
    "WITH": "WITH " + ", ".join(f"c{i} AS (SELECT * FROM {f'c{i - 1}' if i else 'users'})" for i in range(300))
    + " SELECT * FROM c299",
    "joins": "SELECT u0.first_name FROM users u0 "
    + " ".join(f"JOIN users u{i} ON u{i}.first_name = u{i - 1}.first_name" for i in range(1, 60)),
    "casts": "SELECT first_name" + "::text" * 3000 + " FROM users",
    "calls": "SELECT " + "upper(" * 1000 + "first_name" + ")" * 1000 + " FROM users",
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_what_is_deep_is_rewritten_like_anything_else(name: str) -> None:
    limit, size = sys.getrecursionlimit(), threading.stack_size()
    found = plan(DEEP[name], SNAPSHOT, Client(Shape.NEW))
    assert isinstance(found, Rewrite), found
    parse_sql_json(found.sql)
    assert "CASE WHEN" in found.sql
    assert (sys.getrecursionlimit(), threading.stack_size()) == (limit, size)


def test_what_cannot_be_parsed_at_all_is_refused_only_if_it_may_concern_a_managed_table() -> None:
    terms = "+".join("1" * 24_000)
    found = plan(f"SELECT id FROM users WHERE id = {terms}", SNAPSHOT, Client())
    assert isinstance(found, Refuse)
    assert "nested too deeply" in found.refusal.message
    assert plan(f"SELECT id FROM orders WHERE id = {terms}", SNAPSHOT, Client()) == Untouched()


def test_the_columns_of_a_short_text_are_never_more_than_postgresql_takes() -> None:
    """Each level doubles them: 60 levels would have more than there is memory for."""
    wide = "SELECT *, * FROM (" * 60 + "SELECT * FROM users" + ") s" * 60
    doubling = ", ".join(f"c{i + 1} AS (SELECT * FROM c{i} a, c{i} b)" for i in range(60))
    for text in (wide, f"WITH c0 AS (SELECT * FROM users), {doubling} SELECT count(*) FROM c60"):
        found = plan(text, SNAPSHOT, Client(Shape.OLD))
        assert isinstance(found, Refuse)
        assert found.refusal.sqlstate == "54011"


def test_a_long_insert_keeps_one_run_of_positions_per_place() -> None:
    """A run for each inserted piece would be a hundred bytes each, and there are dozens for a row."""
    rows = 2_000
    sql = "INSERT INTO users (id, full_name) VALUES " + ", ".join(f"({i}, 'A B')" for i in range(rows))
    found = plan(sql, SNAPSHOT, Client(Shape.OLD))
    assert isinstance(found, Rewrite)
    assert len(found.positions.runs) <= 10 * rows + 10
    assert found.sql.count("split_part") == rows
    last = found.sql.rindex("'A B'")
    assert found.positions.to_client(last) == sql.rindex("'A B'")


def test_the_names_in_a_deep_text_are_found() -> None:
    deep = "+".join("1" * 3000)
    [command] = read_commands(f"PREPARE p AS SELECT {deep}")
    assert command is not None
    assert (command.act, command.name) == (Act.PREPARE, "p")


def test_an_error_in_the_deep_is_the_callers() -> None:
    def fails() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        with_room(fails)
