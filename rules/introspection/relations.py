"""For each catalog relation: which rows a client must not see, and which values have to be other ones.

Everything is decided by the server when the statement runs, from the managed table's OID and the numbers of the columns
that the client's shape has not; so an index or constraint that the ladder makes meanwhile needs no new plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pglast import keywords

from rules.attributes import Kind, attributes, final_name
from rules.catalog import Column, Relation, TableName
from rules.changes import quote_literal
from rules.ddl import new_columns
from rules.guard import TRIGGER_PREFIX
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX, Shape

PG_CATALOG, INFORMATION_SCHEMA = "pg_catalog", "information_schema"
_CLASS = "'pg_catalog.pg_class'::pg_catalog.regclass"


@dataclass(frozen=True, slots=True)
class Treatment:
    """Rows for which one of `hides` is true are left out; `shows` has SQL in place of a column's value."""

    hides: tuple[str, ...]
    shows: Mapping[str, str]


@dataclass(slots=True)
class _Plan:
    """A treatment in the making: (condition, value) per column, the first condition that holds counts."""

    hides: list[str] = field(default_factory=list)
    cases: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def show(self, column: str, condition: str, value: str) -> None:
        self.cases.setdefault(column, []).append((condition, value))


@dataclass(frozen=True)
class _Table:
    """One managed table as a client of `shape` sees it.

    `hidden` are the columns that this client does not have, `renamed` those that it knows by another name.
    """

    managed: ManagedTable
    shape: Shape
    hidden: tuple[Column, ...]
    renamed: tuple[tuple[str, Column], ...]

    @property
    def oid(self) -> int:
        return self.managed.relation.oid

    @property
    def numbers(self) -> str:
        """The attribute numbers of hidden columns, for IN (…)."""
        return ", ".join(str(c.attnum) for c in self.hidden)

    @property
    def array(self) -> str:
        return f"ARRAY[{self.numbers}]::pg_catalog.int2[]"

    @property
    def names(self) -> str:
        """The physical names of hidden columns, for IN (…)."""
        return ", ".join(quote_literal(c.name) for c in self.hidden)

    def is_table(self, schema: str, name: str) -> str:
        """SQL of "these two columns name this table"."""
        table = self.managed.relation.table
        return f"{schema} = {quote_literal(table.schema)} AND {name} = {quote_literal(table.name)}"

    @property
    def promised(self) -> tuple[Column, ...]:
        """Columns that this client may take for NOT NULL although the constraint is another one for now."""
        if self.shape is Shape.OLD:
            return tuple(c for c in self.managed.relation.columns if c.name in self.managed.relaxed)
        wanted = {c.physical for c in new_columns(self.managed.migration) if c.not_null}
        return tuple(c for c in self.managed.relation.columns if c.name in wanted)

    def texts(self) -> list[tuple[str, str]]:
        """(what PostgreSQL prints, what it would print after `contracted`), longer names first."""
        if self.shape is Shape.OLD:
            return []
        pairs = [*self.objects, *((column.name, name) for name, column in self.renamed)]
        return sorted(pairs, key=lambda pair: -len(pair[0]))

    @property
    def objects(self) -> tuple[tuple[str, str], ...]:
        """(name now, name after `contracted`) of the new columns' indexes and constraints."""
        if self.shape is Shape.OLD:
            return ()
        found = attributes(self.managed.migration)
        return tuple((a.name, final_name(a, ())) for a in found if a.kind is not Kind.NOT_NULL)

    # Sub-queries. Each stands alone: no name in them can mean a column of the relation that is being replaced.

    def hidden_constraint(self, alias: str) -> str:
        """SQL of "this row of pg_constraint is not for this client": over a hidden column, or a helper of ours."""
        helper = quote_literal(f"{HIDDEN_PREFIX}{Kind.NOT_NULL.value}_")
        return (
            f"({alias}conrelid = {self.oid} AND ({alias}conkey && {self.array}"
            f" OR pg_catalog.starts_with({alias}conname, {helper}))"
            f" OR {alias}confrelid = {self.oid} AND {alias}confkey && {self.array})"
        )

    def hidden_constraint_names(self) -> str:
        return f"(SELECT k.conname FROM pg_catalog.pg_constraint k WHERE {self.hidden_constraint('k.')})"

    def hidden_indexes(self) -> str:
        """OIDs of indexes over a hidden column, by their keys or in an expression."""
        return (
            f"(SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = {self.oid}"
            f" AND (i.indkey::pg_catalog.int2[] && {self.array} OR EXISTS (SELECT FROM pg_catalog.pg_depend d"
            f" WHERE d.classid = {_CLASS} AND d.objid = i.indexrelid AND d.refclassid = {_CLASS}"
            f" AND d.refobjid = {self.oid} AND d.refobjsubid IN ({self.numbers}))))"
        )


def _as_seen(managed: ManagedTable, shape: Shape) -> _Table | None:
    """None if this client sees the table as it is."""
    visible = managed.visible(shape)
    names = {column.name for _, column in visible}
    hidden = tuple(c for c in managed.relation.columns if c.name not in names)
    if not hidden:
        return None
    return _Table(managed, shape, hidden, tuple((n, c) for n, c in visible if n != c.name))


# pg_catalog


def _pg_attribute(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"attrelid = {table.oid} AND attnum IN ({table.numbers})")
    for name, column in table.renamed:
        plan.show("attname", f"attrelid = {table.oid} AND attnum = {column.attnum}", quote_literal(name))
    for column in table.promised:
        plan.show("attnotnull", f"attrelid = {table.oid} AND attnum = {column.attnum}", "true")


def _pg_attrdef(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"adrelid = {table.oid} AND adnum IN ({table.numbers})")


def _pg_class(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"relkind IN ('i', 'I') AND oid IN {table.hidden_indexes()}")
    for name, final in table.objects:
        plan.show("relname", f"relname = {quote_literal(name)}", quote_literal(final))
    this = f"oid = {table.oid}"
    checks = (
        "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint k"
        f" WHERE k.conrelid = {table.oid} AND k.contype = 'c' AND NOT coalesce({table.hidden_constraint('k.')}, false))"
    )
    plan.show("relchecks", this, checks)
    triggers = (
        f"EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = {table.oid}"
        f" AND NOT pg_catalog.starts_with(g.tgname, {quote_literal(TRIGGER_PREFIX)}))"
    )
    plan.show("relhastriggers", this, triggers)


def _pg_constraint(plan: _Plan, table: _Table) -> None:
    plan.hides.append(table.hidden_constraint(""))
    for name, final in table.objects:
        plan.show("conname", f"conname = {quote_literal(name)}", quote_literal(final))


def _pg_depend(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"classid = {_CLASS} AND objid = {table.oid} AND objsubid IN ({table.numbers})")
    plan.hides.append(f"refclassid = {_CLASS} AND refobjid = {table.oid} AND refobjsubid IN ({table.numbers})")


def _pg_description(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"classoid = {_CLASS} AND objoid = {table.oid} AND objsubid IN ({table.numbers})")


def _pg_index(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"indrelid = {table.oid} AND indexrelid IN {table.hidden_indexes()}")


def _pg_indexes(plan: _Plan, table: _Table) -> None:
    this = table.is_table("schemaname", "tablename")
    hidden = f"(SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid IN {table.hidden_indexes()})"
    plan.hides.append(f"{this} AND indexname IN {hidden}")
    for name, final in table.objects:
        plan.show("indexname", f"{this} AND indexname = {quote_literal(name)}", quote_literal(final))
    _show_text(plan, table, "indexdef", this)


def _pg_statistic(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"starelid = {table.oid} AND staattnum IN ({table.numbers})")


def _pg_statistic_ext(plan: _Plan, table: _Table) -> None:
    helper = f"pg_catalog.starts_with(stxname, {quote_literal(HIDDEN_PREFIX)})"
    plan.hides.append(f"stxrelid = {table.oid} AND (stxkeys::pg_catalog.int2[] && {table.array} OR {helper})")


def _pg_stats(plan: _Plan, table: _Table) -> None:
    this = table.is_table("schemaname", "tablename")
    plan.hides.append(f"{this} AND attname IN ({table.names})")
    for name, column in table.renamed:
        plan.show("attname", f"{this} AND attname = {quote_literal(column.name)}", quote_literal(name))


def _pg_trigger(plan: _Plan, table: _Table) -> None:
    plan.hides.append(f"tgrelid = {table.oid} AND pg_catalog.starts_with(tgname, {quote_literal(TRIGGER_PREFIX)})")


_CATALOGS: Mapping[str, Callable[[_Plan, _Table], None]] = {
    "pg_attrdef": _pg_attrdef,
    "pg_attribute": _pg_attribute,
    "pg_class": _pg_class,
    "pg_constraint": _pg_constraint,
    "pg_depend": _pg_depend,
    "pg_description": _pg_description,
    "pg_index": _pg_index,
    "pg_indexes": _pg_indexes,
    "pg_statistic": _pg_statistic,
    "pg_statistic_ext": _pg_statistic_ext,
    "pg_stats": _pg_stats,
    "pg_trigger": _pg_trigger,
}


# information_schema: its views share their columns' names, so they are told apart by those.

#: Views with other columns of these names.
_NOT_OF_TABLES = frozenset({"attributes", "domain_constraints", "parameters", "routines"})
#: (schema, table, column) as the views call them.
_COLUMN_KEYS = (
    ("table_schema", "table_name", "column_name"),
    ("table_schema", "table_name", "dependent_column"),
    ("event_object_schema", "event_object_table", "event_object_column"),
)


def _information_schema(view: Relation) -> Callable[[_Plan, _Table], None]:
    names = {c.name for c in view.columns}

    def treat(plan: _Plan, table: _Table) -> None:
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
            prefix = quote_literal(TRIGGER_PREFIX)
            plan.hides.append(
                f"{table.is_table('event_object_schema', 'event_object_table')}"
                f" AND pg_catalog.starts_with(trigger_name, {prefix})"
            )
        if view.table.name == "element_types":
            numbers = ", ".join(f"'{c.attnum}'" for c in table.hidden)
            this = table.is_table("object_schema", "object_name")
            plan.hides.append(f"{this} AND object_type = 'TABLE' AND collection_type_identifier IN ({numbers})")

    return treat


def _treat_constraints(plan: _Plan, table: _Table, names: set[str]) -> None:
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
    if "check_clause" in names:
        _show_text(plan, table, "check_clause", this)


# Texts that PostgreSQL prints


def in_clients_words(sql: str, tables: Iterable[ManagedTable], shape: Shape) -> str:
    """SQL around `sql`, a text that PostgreSQL printed, that puts visible names in place of reserved ones."""
    for managed in tables:
        table = _as_seen(managed, shape)
        for printed, name in table.texts() if table is not None else ():
            sql = f"pg_catalog.replace({sql}, {quote_literal(printed)}, {quote_literal(_printed(printed, name))})"
    return sql


def _printed(before: str, name: str) -> str:
    """How PostgreSQL prints `name` where it prints `before`: in quotes only if it has to be, which `before` tells but
    for keywords."""
    keyword = name in keywords.RESERVED_KEYWORDS | keywords.TYPE_FUNC_NAME_KEYWORDS | keywords.COL_NAME_KEYWORDS
    return f'"{name}"' if keyword else name


def _show_text(plan: _Plan, table: _Table, column: str, condition: str) -> None:
    if table.texts():
        plan.show(column, condition, in_clients_words(column, [table.managed], table.shape))


# The way in

_NAMES = sorted(_CATALOGS)
#: Functions that print a definition in which a column's name may stand.
PRINTERS = frozenset(
    "pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_partkeydef pg_get_ruledef pg_get_statisticsobjdef"
    " pg_get_statisticsobjdef_columns pg_get_triggerdef pg_get_viewdef".split()
)
#: For the cheap test: without one of these in a text, in whatever case, nothing here has to be done.
MENTIONS = ("pg_get_", INFORMATION_SCHEMA, *_NAMES)


def is_introspected(schema: str | None, name: str) -> bool:
    """Whether a relation of that name in FROM may need a treatment."""
    return schema == INFORMATION_SCHEMA or (schema in (None, PG_CATALOG) and name in _CATALOGS)


def system_relation(
    relations: Mapping[TableName, Relation], schema: str | None, name: str, path: tuple[str, ...] | None
) -> Relation | None:
    """The relation of pg_catalog or information_schema that a name in FROM means, before any of a user's schemas.

    pg_catalog comes first unless search_path names it; `path` is None if that is not known.
    """
    if schema is not None:
        return relations.get(TableName(schema, name))
    if path is None or PG_CATALOG not in path:
        found = relations.get(TableName(PG_CATALOG, name))
        if found is not None:
            return found
    for place in path or ():
        found = relations.get(TableName(place, name))
        if found is not None:
            return found
    return None


def treatment(relation: Relation, tables: Iterable[ManagedTable], shape: Shape) -> Treatment | None:
    """What has to be done to a catalog relation for a client of that shape; None if it may be read as it is."""
    treat: Callable[[_Plan, _Table], None] | None
    if relation.table.schema == INFORMATION_SCHEMA:
        treat = None if relation.table.name in _NOT_OF_TABLES else _information_schema(relation)
    else:
        treat = _CATALOGS.get(relation.table.name)
    plan = _Plan()
    for managed in tables:
        table = _as_seen(managed, shape)
        if treat is not None and table is not None:
            treat(plan, table)
    if not plan.hides and not plan.cases:
        return None
    shows = {}
    for name, cases in plan.cases.items():
        column = relation.column(name)
        if column is not None:
            whens = " ".join(f"WHEN {condition} THEN CAST({value} AS {column.type})" for condition, value in cases)
            shows[name] = f"CASE {whens} ELSE {name} END"
    return Treatment(tuple(plan.hides), shows)
