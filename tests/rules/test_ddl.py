"""The statements of each step, as text; that they do what they say is shown on a real server in `tests/system`."""

from __future__ import annotations

import pytest
from pglast.parser import parse_sql_json

from rules.catalog import Column, Relation, TableName
from rules.ddl.attributes import Kind, attributes, name_new
from rules.ddl.ladder import climb
from rules.ddl.statements import (
    ColumnGrant,
    Lock,
    add_gate,
    collapse,
    expand,
    gate_name,
    restore_not_null,
    validate,
)
from rules.migration import Migration
from rules.phases import RowState
from rules.spec import MigrationSpec

TABLE = TableName("public", "users")
RELATION = Relation(
    oid=1,
    table=TABLE,
    kind="r",
    columns=(
        Column("id", 1, 20, -1, "bigint", not_null=True),
        Column("full_name", 2, 25, -1, "text", not_null=True, collation='pg_catalog."C"'),
        Column("age", 3, 23, -1, "integer"),
    ),
    primary_key=("id",),
)


def compiled(*operations: object, strategy: str = "dual_write") -> Migration:
    definition = {"migration": "m", "table": "public.users", "strategy": strategy, "operations": list(operations)}
    return MigrationSpec.from_json(definition).compile(RELATION)


SPLIT = {
    "split_column": {
        "column": "full_name",
        "into": {
            "first_name": {"type": "text", "up": "split_part(full_name, ' ', 1)", "not_null": True, "index": True},
            "last_name": {
                "type": "text",
                "up": "split_part(full_name, ' ', 2)",
                "default": "'?'",
                "check": "length(last_name) < 100",
                "unique": True,
            },
        },
        "down": "first_name || ' ' || last_name",
    }
}
RENAME = {"rename_column": {"column": "full_name", "to": "name"}}


def texts(statements: object) -> list[str]:
    return [s.sql for s in statements]  # type: ignore[attr-defined]


def test_expand_adds_hidden_columns_without_defaults_and_sets_those_afterwards() -> None:
    first, second = texts(expand(compiled(SPLIT), RELATION))
    assert first == (
        'ALTER TABLE "public"."users" ADD COLUMN "_pgjanus_first_name" text, ADD COLUMN "_pgjanus_last_name" text,'
        ' ADD COLUMN "_pgjanus_state" smallint NOT NULL DEFAULT 0,'
        ' ADD CONSTRAINT "_pgjanus_gate_new" CHECK ("_pgjanus_state" < 6) NOT VALID'
    )
    assert second == """ALTER TABLE "public"."users" ALTER COLUMN "_pgjanus_last_name" SET DEFAULT '?'"""


def test_a_renamed_column_keeps_its_collation() -> None:
    assert 'ADD COLUMN "_pgjanus_name" text COLLATE pg_catalog."C"' in texts(expand(compiled(RENAME), RELATION))[0]


def test_grants_on_an_old_column_are_copied_to_the_new_ones_and_the_state() -> None:
    grants = [
        ColumnGrant("full_name", "web", "SELECT"),
        ColumnGrant("full_name", None, "UPDATE", grantable=True),
        ColumnGrant("age", "other", "SELECT"),
    ]
    found = texts(expand(compiled(RENAME), RELATION, grants))[1:]
    assert set(found) == {
        'GRANT SELECT ("_pgjanus_name", "_pgjanus_state") ON TABLE "public"."users" TO "web"',
        'GRANT UPDATE ("_pgjanus_name") ON TABLE "public"."users" TO PUBLIC WITH GRANT OPTION',
        'GRANT UPDATE ("_pgjanus_state") ON TABLE "public"."users" TO PUBLIC',
        'GRANT SELECT ("_pgjanus_state") ON TABLE "public"."users" TO PUBLIC',
    }


def test_collapse_drops_what_expand_adds_and_nothing_else() -> None:
    assert texts(collapse(compiled(RENAME))) == [
        'ALTER TABLE "public"."users" DROP COLUMN IF EXISTS "_pgjanus_name", DROP COLUMN IF EXISTS "_pgjanus_state"'
    ]


def test_gates_are_added_not_valid_and_validated_without_blocking_writers() -> None:
    for state in (RowState.OLD, RowState.NEW):
        assert add_gate(TABLE, state).sql.endswith("NOT VALID")
        assert add_gate(TABLE, state).lock is Lock.ACCESS_EXCLUSIVE
        assert validate(TABLE, gate_name(state)).lock is Lock.SHARE_UPDATE_EXCLUSIVE


def test_attributes_name_the_physical_columns() -> None:
    found = {a.kind: a for a in attributes(compiled(SPLIT))}
    assert set(found) == {Kind.NOT_NULL, Kind.CHECK, Kind.UNIQUE, Kind.INDEX}
    assert 'CHECK ("_pgjanus_first_name" IS NOT NULL) NOT VALID' in found[Kind.NOT_NULL].add.sql
    assert 'CHECK (length("_pgjanus_last_name") < 100) NOT VALID' in found[Kind.CHECK].add.sql
    assert found[Kind.UNIQUE].add.sql.startswith("CREATE UNIQUE INDEX CONCURRENTLY ")
    assert found[Kind.INDEX].proof is None


def test_attribute_names_fit_and_differ_between_tables() -> None:
    long = {
        "add_column": {"column": "c" * 50, "type": "integer", "up": "age", "unique": True, "check": f"{'c' * 50} > 0"}
    }
    names = [a.name for a in attributes(compiled(long))]
    assert len(set(names)) == 2
    assert all(len(n.encode()) <= 63 for n in names)


def test_not_null_is_set_before_its_proof_goes() -> None:
    [not_null] = [a for a in attributes(compiled(SPLIT)) if a.kind is Kind.NOT_NULL]
    set_not_null, drop = not_null.finish
    assert set_not_null.sql.endswith('ALTER COLUMN "_pgjanus_first_name" SET NOT NULL')
    assert drop.sql.endswith(f'DROP CONSTRAINT IF EXISTS "{not_null.name}"')
    assert 'ALTER COLUMN "_pgjanus_first_name" DROP NOT NULL, DROP CONSTRAINT IF EXISTS' in not_null.drop.sql
    assert not any(a.finish for a in attributes(compiled(SPLIT)) if a.kind is not Kind.NOT_NULL)


def test_what_is_left_is_named_as_create_table_would_have_named_it() -> None:
    not_nulls = {"_pgjanus_first_name": "made_up"}
    statements = texts(name_new(compiled(SPLIT), ["users_first_name_idx"], (), not_nulls))
    assert not any("NOT NULL" in s for s in statements)
    assert any('RENAME CONSTRAINT "made_up" TO "users_first_name_not_null"' in s for s in statements)
    assert not any("_not_null" in s for s in texts(name_new(compiled(SPLIT), [])))
    assert any('RENAME TO "users_first_name_idx1"' in s for s in statements), "the plain name is taken"
    assert any('ADD CONSTRAINT "users_last_name_key" UNIQUE USING INDEX' in s for s in statements)


def test_an_old_not_null_comes_back_without_a_scan_under_an_exclusive_lock() -> None:
    back = restore_not_null(TABLE, "full_name")
    assert back.add.sql.endswith('CHECK ("full_name" IS NOT NULL) NOT VALID')
    assert not back.proof.lock.is_short
    assert [s.lock.is_short for s in back.finish] == [True, True]


@pytest.mark.parametrize("strategy", ["dual_write", "dual_read", "both"])
@pytest.mark.parametrize("operation", [SPLIT, RENAME], ids=["split", "rename"])
def test_the_plan_of_a_ladder_parses_and_takes_no_lock_while_it_scans(operation: object, strategy: str) -> None:
    rungs = climb(compiled(operation, strategy=strategy), RELATION)
    statements = [s for rung in rungs for s in rung.statements]
    for statement in statements:
        if not statement.sql.startswith("--"):
            parse_sql_json(statement.sql)
        if "VALIDATE" in statement.sql or "CONCURRENTLY" in statement.sql:
            assert not statement.lock.is_short
    names = [rung.phase.name for rung in rungs]
    assert (names[0], names[1], names[-1]) == ("announced", "expanded", "contracted")
    gates = [s.sql for s in statements if "_pgjanus_gate_old" in s.sql]
    assert [("NOT VALID" in g, "VALIDATE" in g, "DROP" in g) for g in gates] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
