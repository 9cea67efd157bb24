"""The relations of pg_catalog: which rows a client must not see, and which values have to be other ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rules.changes import quote_literal
from rules.introspection.tables import CLASS, Plan, Table, own_name, own_trigger, show_text, without_prefix
from rules.phases import HIDDEN_PREFIX

#: What the server itself has in the row of a column that was dropped; %d is its number.
_DROPPED = {
    "attname": "'........pg.dropped.%d........'",
    "atttypid": "0",
    "attnotnull": "false",
    "atthasdef": "false",
    "attidentity": "''",
    "attgenerated": "''",
    "attisdropped": "true",
    "attacl": "NULL",
}


def _pg_attribute(plan: Plan, table: Table) -> None:
    """Hidden columns behind the last visible one are not there; one in between is as if it had been dropped, because
    numbers without a row would be a damaged catalog (pg_dump looks)."""
    beyond = f"attrelid = {table.oid} AND attnum > {table.last_number}"
    plan.hides.append(beyond)
    for column in table.hidden:
        if column.attnum < table.last_number:
            for name, value in _DROPPED.items():
                this = f"attrelid = {table.oid} AND attnum = {column.attnum}"
                plan.show(name, this, value.replace("%d", str(column.attnum)))
    for name, column in table.renamed:
        plan.show("attname", f"attrelid = {table.oid} AND attnum = {column.attnum}", quote_literal(name))
        # An index has columns of its own, called like those of the table.
        indexes = f"(SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = {table.oid})"
        in_index = f"attname = {quote_literal(column.name)} AND attrelid IN {indexes}"
        plan.show("attname", in_index, quote_literal(name))
    for column in table.promised:
        plan.show("attnotnull", f"attrelid = {table.oid} AND attnum = {column.attnum}", "true")


def _pg_attrdef(plan: Plan, table: Table) -> None:
    plan.hides.append(f"adrelid = {table.oid} AND adnum IN ({table.numbers})")


def _pg_class(plan: Plan, table: Table) -> None:
    plan.hides.append(f"relkind IN ('i', 'I') AND oid IN {table.hidden_indexes()}")
    for name, final in table.objects:
        plan.show("relname", f"relname = {quote_literal(name)}", quote_literal(final))
    this = f"oid = {table.oid}"
    plan.show("relnatts", this, str(table.last_number))
    checks = (
        "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint k"
        f" WHERE k.conrelid = {table.oid} AND k.contype = 'c' AND NOT coalesce({table.hidden_constraint('k.')}, false))"
    )
    plan.show("relchecks", this, checks)
    triggers = (
        f"EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = {table.oid} AND NOT {own_trigger('g.tgname')})"
    )
    plan.show("relhastriggers", this, triggers)


def _pg_constraint(plan: Plan, table: Table) -> None:
    plan.hides.append(table.hidden_constraint(""))
    for name, final in table.objects:
        plan.show("conname", f"conname = {quote_literal(name)}", quote_literal(final))
    # PostgreSQL 18 makes one of each NOT NULL, and calls it after the column.
    if table.renamed:
        condition = f"conrelid = {table.oid} AND contype = 'n' AND {own_name('conname')}"
        plan.show("conname", condition, without_prefix("conname"))


def _pg_depend(plan: Plan, table: Table) -> None:
    plan.hides.append(f"classid = {CLASS} AND objid = {table.oid} AND objsubid IN ({table.numbers})")
    plan.hides.append(f"refclassid = {CLASS} AND refobjid = {table.oid} AND refobjsubid IN ({table.numbers})")


def _pg_description(plan: Plan, table: Table) -> None:
    plan.hides.append(f"classoid = {CLASS} AND objoid = {table.oid} AND objsubid IN ({table.numbers})")


def _pg_index(plan: Plan, table: Table) -> None:
    plan.hides.append(f"indrelid = {table.oid} AND indexrelid IN {table.hidden_indexes()}")


def _pg_indexes(plan: Plan, table: Table) -> None:
    this = table.is_table("schemaname", "tablename")
    hidden = f"(SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid IN {table.hidden_indexes()})"
    plan.hides.append(f"{this} AND indexname IN {hidden}")
    for name, final in table.objects:
        plan.show("indexname", f"{this} AND indexname = {quote_literal(name)}", quote_literal(final))
    show_text(plan, table, "indexdef", this)


def _pg_statistic(plan: Plan, table: Table) -> None:
    plan.hides.append(f"starelid = {table.oid} AND staattnum IN ({table.numbers})")


def _pg_statistic_ext(plan: Plan, table: Table) -> None:
    helper = f"pg_catalog.starts_with(stxname, {quote_literal(HIDDEN_PREFIX)})"
    plan.hides.append(f"stxrelid = {table.oid} AND (stxkeys::pg_catalog.int2[] && {table.array} OR {helper})")


def _index_statistics(plan: Plan, table: Table) -> None:
    this = f"relid = {table.oid}"
    plan.hides.append(f"{this} AND indexrelid IN {table.hidden_indexes()}")
    for name, final in table.objects:
        plan.show("indexrelname", f"{this} AND indexrelname = {quote_literal(name)}", quote_literal(final))


def _pg_stats(plan: Plan, table: Table) -> None:
    this = table.is_table("schemaname", "tablename")
    plan.hides.append(f"{this} AND attname IN ({table.names})")
    for name, column in table.renamed:
        plan.show("attname", f"{this} AND attname = {quote_literal(column.name)}", quote_literal(name))


def _pg_trigger(plan: Plan, table: Table) -> None:
    plan.hides.append(f"tgrelid = {table.oid} AND {own_trigger('tgname')}")


CATALOGS: Mapping[str, Callable[[Plan, Table], None]] = {
    "pg_attrdef": _pg_attrdef,
    "pg_attribute": _pg_attribute,
    "pg_class": _pg_class,
    "pg_constraint": _pg_constraint,
    "pg_depend": _pg_depend,
    "pg_description": _pg_description,
    "pg_index": _pg_index,
    "pg_indexes": _pg_indexes,
    "pg_stat_all_indexes": _index_statistics,
    "pg_stat_user_indexes": _index_statistics,
    "pg_statio_all_indexes": _index_statistics,
    "pg_statio_user_indexes": _index_statistics,
    "pg_statistic": _pg_statistic,
    "pg_statistic_ext": _pg_statistic_ext,
    "pg_stats": _pg_stats,
    "pg_trigger": _pg_trigger,
}
