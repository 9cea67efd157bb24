"""The views of information_schema. They share their columns' names, so they are told apart by those."""

from __future__ import annotations

from collections.abc import Callable

from rules.catalog import Relation
from rules.changes import quote_literal
from rules.introspection.tables import Plan, Table, own_name, own_trigger, show_text, without_prefix

#: Views with other columns of these names.
NOT_OF_TABLES = frozenset({"attributes", "domain_constraints", "parameters", "routines"})
#: (schema, table, column) as the views call them.
_COLUMN_KEYS = (
    ("table_schema", "table_name", "column_name"),
    ("table_schema", "table_name", "dependent_column"),
    ("event_object_schema", "event_object_table", "event_object_column"),
)


def information_schema(view: Relation) -> Callable[[Plan, Table], None]:
    names = {c.name for c in view.columns}

    def treat(plan: Plan, table: Table) -> None:
        for schema, name, column_name in _COLUMN_KEYS:
            if {schema, name, column_name} <= names:
                this = table.is_table(schema, name)
                plan.hides.append(f"{this} AND {column_name} IN ({table.names})")
                for visible, column in table.renamed:
                    is_column = f"{this} AND {column_name} = {quote_literal(column.name)}"
                    plan.show(column_name, is_column, quote_literal(visible))
                if column_name == "column_name" and "is_nullable" in names:
                    for column in table.promised:
                        plan.show("is_nullable", f"{this} AND column_name = {quote_literal(column.name)}", "'NO'")
        if {"constraint_schema", "constraint_name"} <= names:
            _treat_constraints(plan, table, names)
        if "trigger_name" in names:
            plan.hides.append(
                f"{table.is_table('event_object_schema', 'event_object_table')} AND {own_trigger('trigger_name')}"
            )
        if view.table.name == "element_types":
            numbers = ", ".join(f"'{c.attnum}'" for c in table.hidden)
            this = table.is_table("object_schema", "object_name")
            plan.hides.append(f"{this} AND object_type = 'TABLE' AND collection_type_identifier IN ({numbers})")

    return treat


def _treat_constraints(plan: Plan, table: Table, names: set[str]) -> None:
    schema = quote_literal(table.managed.relation.table.schema)
    this = f"constraint_schema = {schema}"
    # In constraint_…_usage the table is the one that is referred to.
    if "table_name" in names and names & {"constraint_type", "ordinal_position"}:
        this += f" AND {table.is_table('table_schema', 'table_name')}"
    plan.hides.append(f"{this} AND constraint_name IN {table.hidden_constraint_names()}")
    # Before PostgreSQL 18 a NOT NULL has a name that is made up: schema's OID, table's OID, column's number.
    for column in table.hidden:
        made_up = quote_literal(f"^[0-9]+_{table.oid}_{column.attnum}_not_null$")
        plan.hides.append(f"constraint_name ~ {made_up}")
    for name, final in table.objects:
        plan.show("constraint_name", f"{this} AND constraint_name = {quote_literal(name)}", quote_literal(final))
    if table.renamed:
        made_up = f"{this} AND {own_name('constraint_name')} AND constraint_name ~ '_not_null[0-9]*$'"
        plan.show("constraint_name", made_up, without_prefix("constraint_name"))
    if "check_clause" in names:
        show_text(plan, table, "check_clause", this)
