"""Which conversions cannot fail. A wrong "cannot" would let an index refuse an old application's write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.catalog import Column
from rules.ddl.totality import is_value_kept, may_fail
from rules.phases import Shape
from rules.spec import MigrationSpec
from tests.rules.test_ddl import RELATION


def answer(up: str, *, old: str = "text", new: str = "text") -> tuple[bool, bool]:
    columns = (RELATION.columns[0], replace(RELATION.columns[1], type=old), RELATION.columns[2])
    relation = replace(RELATION, columns=(*columns, Column("price", 4, 23, -1, "integer")))
    operation = {"old": {"full_name": "NULL"}, "new": {"name": {"type": new, "up": up}}, "lossy": True}
    definition = {"migration": "m", "table": "public.users", "operations": [{"change_columns": operation}]}
    (change,) = MigrationSpec.from_json(definition).compile(relation).changes
    return may_fail(change, change.new[0], Shape.NEW, relation), is_value_kept(change)


@pytest.mark.parametrize(
    "up",
    [
        "full_name",
        "upper(full_name)",
        "split_part(full_name, ' ', 1)",
        "coalesce(nullif(btrim(full_name), ''), '?') || '!'",
        "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
        "CASE full_name WHEN 'x' THEN 'y' ELSE pg_catalog.lower(full_name) END",
        "substring(full_name from 2 for 3)",
        "full_name::varchar",
    ],
)
def test_text_made_of_text_by_functions_that_take_anything_cannot_fail(up: str) -> None:
    assert not answer(up)[0]


@pytest.mark.parametrize(
    "up",
    [
        "full_name::integer::text",
        "split_part(full_name, ' ', 0)",
        "split_part(full_name, ' ', length(full_name))",
        "substr(full_name, 1, strpos(full_name, ' ') - 1)",
        "substring(full_name, '(')",
        "mine.upper(full_name)",
        "mine(full_name)",
        "(full_name::json) ->> 'a'",
        "repeat(full_name, 1000000)",
        "CASE WHEN (1 / length(full_name)) > 0 THEN 'a' END",
        "CASE WHEN full_name IN ('a', (1 / length(full_name))::text) THEN 'a' END",
        "coalesce(full_name, to_json(full_name)::text)",
    ],
)
def test_whatever_is_not_plain_may_fail(up: str) -> None:
    assert answer(up)[0]


def test_a_conversion_to_another_type_may_fail() -> None:
    assert answer("full_name::integer", new="integer")[0]
    assert answer("full_name", old="text", new="varchar(10)")[0]
    assert answer("upper(full_name)", old="xml")[0]


def test_a_value_is_kept_by_a_name_and_by_a_cast() -> None:
    assert answer("full_name")[1]
    assert answer("full_name::varchar(10)")[1]
    assert not answer("full_name || ''")[1]
    assert not answer("lower(full_name)::varchar(10)")[1]
