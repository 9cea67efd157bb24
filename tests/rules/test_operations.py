"""What each operation compiles to, and what it cannot be compiled against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rules.catalog import Column, Relation, TableName
from rules.changes import ColumnChange, Expression
from rules.loader import load_text
from rules.migration import Guard, Migration, OnUnsupported
from rules.operations import OPERATIONS
from rules.operations.base import DefinitionError
from rules.pace import BackfillSettings
from rules.phases import STATE_COLUMN, Strategy

ROOT = Path(__file__).parents[2]
TABLE = TableName("public", "t")


def relation(*columns: Column, kind: str = "r", primary_key: tuple[str, ...] = ("id",)) -> Relation:
    return Relation(16384, TABLE, kind, columns, primary_key)


def column(name: str, type_: str = "text", **attributes: Any) -> Column:
    return replace(Column(name, 0, 25, -1, type_), **attributes)


T = relation(
    column("id", "integer", identity="a", not_null=True),
    column("a", "text", not_null=True, default="''::text"),
    column("b", "numeric(10,2)"),
    column("c", "integer", generated="s"),
    column("keep", "integer"),
)


def migration(operation: str, table: Relation = T) -> Migration:
    return load_text(f"table: t\noperations:\n  - {operation}\n", "m.yaml").compile(table)


def change(operation: str, table: Relation = T) -> ColumnChange:
    (only,) = migration(operation, table).changes
    return only


def mistakes(operation: str, table: Relation = T) -> list[str]:
    """The messages; « stands before the places that they must name."""
    before = "  - "
    parts = (before + operation).split("«")
    columns = [len("".join(parts[: at + 1])) + 1 for at in range(len(parts) - 1)]
    spec = load_text(f"table: t\noperations:\n{''.join(parts)}\n", "m.yaml")
    with pytest.raises(DefinitionError) as caught:
        spec.compile(table)
    places = [error.place for error in caught.value.errors]
    assert [f"m.yaml:3:{column}" for column in columns] == [str(place) for place in places]
    return [error.message for error in caught.value.errors]


def names(columns: tuple[object, ...]) -> list[tuple[str, str, str]]:
    return [(c.name, c.physical, c.type) for c in columns]  # type: ignore[attr-defined]


def test_rename_column_keeps_type_and_value_and_takes_only_the_attributes_given() -> None:
    made = change("rename_column: {column: b, to: d, index: true}")
    assert names(made.old) == [("b", "b", "numeric(10,2)")]
    assert names(made.new) == [("d", "_pgjanus_d", "numeric(10,2)")]
    assert made.up == {"d": Expression(("", "b", ""))}
    assert made.down == {"b": Expression(("", "d", ""))}
    assert made.new[0].index and not made.new[0].not_null and made.new[0].default is None


def test_an_old_column_is_described_as_the_table_has_it_now() -> None:
    made = change("rename_column: {column: a, to: d}")
    assert (made.old[0].not_null, made.old[0].default) == (True, "''::text")


def test_change_type_keeps_the_visible_name_and_casts_both_ways_by_default() -> None:
    made = change("change_type: {column: b, type: 'character varying(5)'}")
    assert names(made.old) == [("b", "b", "numeric(10,2)")]
    assert names(made.new) == [("b", "_pgjanus_b", "character varying(5)")]
    assert made.up["b"].render(lambda name: f"<{name}>") == "(CAST(<b> AS character varying(5)))"
    assert made.down["b"].render(lambda name: f"<{name}>") == "(CAST(<b> AS numeric(10,2)))"


def test_change_type_takes_expressions_for_what_no_cast_can_do() -> None:
    made = change('change_type: {column: b, type: bigint, up: "b * 100", down: "b / 100.0", check: "b > 0"}')
    assert made.up == {"b": Expression(("", "b", " * 100"))}
    assert made.down == {"b": Expression(("", "b", " / 100.0"))}
    assert made.new[0].check == "b > 0"


def test_split_and_merge_are_each_others_mirror() -> None:
    split = change("split_column: {column: a, into: {x: {type: text, up: a}, y: {type: text, up: a}}, down: x || y}")
    assert names(split.old) == [("a", "a", "text")]
    assert names(split.new) == [("x", "_pgjanus_x", "text"), ("y", "_pgjanus_y", "text")]
    assert (list(split.up), list(split.down)) == (["x", "y"], ["a"])
    merge = change("merge_columns: {columns: [b, a], into: {x: {type: text, up: a || b}}, down: {a: x, b: x::numeric}}")
    assert names(merge.old) == [("b", "b", "numeric(10,2)"), ("a", "a", "text")]
    assert names(merge.new) == [("x", "_pgjanus_x", "text")]
    assert (list(merge.up), list(merge.down)) == (["x"], ["b", "a"])


def test_a_new_column_may_take_the_name_of_a_column_that_goes_in_the_same_operation() -> None:
    made = change("split_column: {column: a, into: {a: {type: text, up: a}, y: {type: text, up: a}}, down: a || y}")
    assert names(made.new)[0] == ("a", "_pgjanus_a", "text")


def test_add_column_has_no_old_side_and_drop_column_no_new_one() -> None:
    added = change('add_column: {column: n, type: int, up: "keep + id", not_null: true, default: "0"}')
    assert (added.old, added.down, added.sources) == ((), {}, ("keep", "id"))
    assert (added.new[0].not_null, added.new[0].default) == (True, "0")
    dropped = change('drop_column: {column: a, down: "NULL"}')
    assert (dropped.new, dropped.up, dropped.down) == ((), {}, {"a": Expression(("NULL",))})


def test_change_columns_is_the_general_form() -> None:
    made = change(
        "change_columns: {old: {a: x, b: y::numeric}, new: {x: {type: text, up: a}, y: {type: text, up: b::text}}, "
        "lossy: true}"
    )
    assert [c.name for c in made.old] == ["a", "b"]
    assert [c.name for c in made.new] == ["x", "y"]
    assert made.lossy


def test_a_new_column_takes_every_attribute() -> None:
    made = change(
        "add_column: {column: n, type: int, up: keep, not_null: true, unique: true, check: n > 0, default: '1 + 1', "
        "references: 'accounts (id) ON DELETE CASCADE', index: true}"
    )
    (new,) = made.new
    assert (new.not_null, new.unique, new.check, new.default, new.index) == (True, True, "n > 0", "1 + 1", True)
    assert new.references == "public.accounts (id) ON DELETE CASCADE"


def test_a_reference_with_a_schema_stays_as_it_is() -> None:
    made = change('add_column: {column: n, type: int, up: keep, references: \'"Other"."Accounts"\'}')
    assert made.new[0].references == '"Other"."Accounts"'


def test_the_settings_of_the_migration_are_compiled_too() -> None:
    text = """
table: t
strategy: both
operations: [{rename_column: {column: a, to: x}}, {drop_column: {column: b, down: "NULL"}}]
backfill: {batch_target: 1min, max_lag: 250ms}
guard: reject
on_unsupported: observe
"""
    made = load_text(text, "settings.yaml").compile(T)
    assert (made.name, made.table, made.strategy) == ("settings", TABLE, Strategy.BOTH)
    assert len(made.changes) == 2
    assert made.backfill == BackfillSettings(batch_target_ms=60_000, max_lag_ms=250)
    assert (made.guard, made.on_unsupported) == (Guard.REJECT, OnUnsupported.OBSERVE)


@pytest.mark.parametrize(
    "operation",
    [
        "rename_column: {column: a, to: x}",
        "change_type: {column: b, type: text}",
        "split_column: {column: a, into: {x: {type: text, up: a}, y: {type: text, up: a}}, down: x || y}",
        "add_column: {column: x, type: int, up: keep}",
    ],
)
def test_a_migration_is_the_same_before_the_table_is_expanded_and_after(operation: str) -> None:
    before = migration(operation)
    hidden = [column(c.physical, c.type) for c in before.changes[0].new]
    expanded = relation(*T.columns, *hidden, column(STATE_COLUMN, "smallint"))
    assert migration(operation, expanded) == before


MISFITS = [
    ("rename_column: {column: «kepe, to: x}",
     "public.t has no column kepe (did you mean 'keep'?); it has id, a, b, c, keep"),
    ("rename_column: {column: «id, to: x}", "id is part of the primary key of public.t: migrating a primary key is not "
     "supported yet"),
    ("rename_column: {column: «c, to: x}", "c is a generated column: migrating one is not supported yet"),
    ("rename_column: {column: a, to: «keep}", "public.t already has a column keep: choose another name"),
    ("add_column: {column: «a, type: int, up: keep}", "public.t already has a column a: choose another name"),
    ("add_column: {column: n, type: int, up: «keap}", "up of n: public.t has no column keap (did you mean 'keep'?); "
     "it has id, a, b, c, keep"),
    ("add_column: {column: n, type: int, up: «ctid}",
     "up of n: public.t has no column ctid (did you mean 'id'?); it has id, a, b, c, keep"),
    ("add_column: {column: n, type: int, up: «c + 1}",
     "up of n names c, a generated column, which is not supported yet: write that column's own expression instead"),
    ("change_columns: {old: {a: b, «z: b}, new: {«b: {type: text, up: a}}}",
     "public.t has no column z; it has id, a, b, c, keep", "public.t already has a column b: choose another name"),
    ("rename_column: {column: a, to: «state}", "a new column cannot be called 'state' yet: "
     "_pgjanus_state is pgjanus' own column"),
]  # fmt: skip


@pytest.mark.parametrize("case", MISFITS, ids=lambda case: case[0].replace("«", "")[:44])
def test_what_does_not_fit_the_table_is_told_with_its_place(case: tuple[str, ...]) -> None:
    assert mistakes(case[0]) == list(case[1:])


def test_an_identity_column_outside_the_key_cannot_be_managed() -> None:
    table = relation(column("id", "integer"), column("n", "integer", identity="d"))
    assert mistakes("rename_column: {column: «n, to: m}", table) == [
        "n is an identity column: migrating one is not supported yet"
    ]


def test_hidden_columns_are_no_columns_that_an_expression_could_name() -> None:
    expanded = relation(*T.columns, column("_pgjanus_n", "integer"), column(STATE_COLUMN, "smallint"))
    (message,) = mistakes(f"add_column: {{column: n, type: int, up: «{STATE_COLUMN}}}", expanded)
    assert message == f"up of n: public.t has no column {STATE_COLUMN}; it has id, a, b, c, keep"


def test_a_table_must_keep_a_column() -> None:
    table = relation(column("a"), primary_key=())
    spec = load_text('table: t\noperations:\n  - drop_column: {column: a, down: "NULL"}\n', "m.yaml")
    with pytest.raises(DefinitionError) as caught:
        spec.compile(table)
    assert str(caught.value) == "m.yaml:3:3: public.t would have no column left: drop the table instead"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("v", "a view"), ("m", "a materialized view"), ("f", "a foreign table")],
)
def test_only_plain_tables_are_migrated(kind: str, said: str) -> None:
    spec = load_text("table: t\noperations:\n  - rename_column: {column: a, to: x}\n", "m.yaml")
    with pytest.raises(DefinitionError) as caught:
        spec.compile(replace(T, kind=kind))
    assert str(caught.value) == f"m.yaml:1:8: public.t is {said}: only plain and partitioned tables can be migrated"


def test_a_migration_is_compiled_only_against_its_own_table() -> None:
    spec = load_text("table: other\noperations:\n  - rename_column: {column: a, to: x}\n", "m.yaml")
    with pytest.raises(DefinitionError, match=r"m\.yaml:1:8: the migration is for public\.other, not for public\.t"):
        spec.compile(T)


def test_every_kind_has_its_file_its_recipe_and_its_page() -> None:
    files = {path.stem for path in (ROOT / "rules/operations").glob("*.py")} - {"__init__", "base", "sql"}
    assert files == set(OPERATIONS)
    assert {path.stem for path in (ROOT / "rules/recipes").glob("*.yaml")} == set(OPERATIONS)
    assert {path.stem for path in (ROOT / "rules/recipes").glob("*.sql")} == set(OPERATIONS)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_kind_has_a_page_that_embeds_its_recipe(kind: str) -> None:
    page = (ROOT / f"docs/operations/{kind}.md").read_text()
    recipe = (ROOT / f"rules/recipes/{kind}.yaml").read_text()
    assert page.startswith(f"# `{kind}`\n")
    assert f"```yaml\n{recipe}```\n" in page
    assert all(f"`{key}`" in page for key in OPERATIONS[kind].model_fields if key not in _ATTRIBUTES)


_ATTRIBUTES = {"not_null", "unique", "check", "default", "references", "index", "lossy"}
