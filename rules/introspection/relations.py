"""Which relations of the system schemas need a treatment, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rules.catalog import Catalog, Relation, TableName
from rules.introspection.catalogs import CATALOGS
from rules.introspection.standard import NOT_OF_TABLES, information_schema
from rules.introspection.tables import INFORMATION_SCHEMA, PG_CATALOG, Plan, Table, Treatment, as_seen
from rules.migration import ManagedTable
from rules.phases import Shape

#: The schemas of search_path in their order; None where the server does not report them (before PostgreSQL 18).
SearchPath = tuple[str, ...] | None

_NAMES = sorted(CATALOGS)
#: Functions that print a definition in which a column's name may stand.
PRINTERS = frozenset(
    "pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_partkeydef pg_get_ruledef pg_get_statisticsobjdef"
    " pg_get_statisticsobjdef_columns pg_get_triggerdef pg_get_viewdef".split()
)
#: For the cheap test: without one of these in a text, in whatever case, nothing here has to be done.
MENTIONS = ("pg_get_", INFORMATION_SCHEMA, *_NAMES)


def is_introspected(schema: str | None, name: str, path: SearchPath) -> bool:
    """Whether a relation of that name in FROM may need a treatment."""
    if schema is None and finds_standard(path):
        return True
    return schema == INFORMATION_SCHEMA or (schema in (None, PG_CATALOG) and name in CATALOGS)


def finds_standard(path: SearchPath) -> bool:
    """Whether a view of information_schema can be meant without its schema, so that its name alone gives it away."""
    return path is not None and INFORMATION_SCHEMA in path


def system_relation(catalog: Catalog, schema: str | None, name: str, path: SearchPath) -> Relation | None:
    """The relation of pg_catalog or information_schema that a name in FROM means, if it means one.

    pg_catalog comes first unless search_path names it; `path` is None if that is not known.
    """
    if schema is not None:
        return catalog.system.get(TableName(schema, name))
    if path is None or PG_CATALOG not in path:
        path = (PG_CATALOG, *(path or ()))
    for place in path:
        named = TableName(place, name)
        if named in catalog.system:
            return catalog.system[named]
        if named in catalog.relations:
            return None
    return None


def treatment(relation: Relation, tables: Iterable[ManagedTable], shape: Shape) -> Treatment | None:
    """What has to be done to a catalog relation for a client of that shape; None if it may be read as it is."""
    treat: Callable[[Plan, Table], None] | None
    if relation.table.schema == INFORMATION_SCHEMA:
        treat = None if relation.table.name in NOT_OF_TABLES else information_schema(relation)
    else:
        treat = CATALOGS.get(relation.table.name)
    plan = Plan()
    for managed in tables:
        table = as_seen(managed, shape)
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
