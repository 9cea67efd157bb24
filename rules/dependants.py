"""Views and policies that read old columns, written again so that they can do without them.

    as it was      SELECT id, full_name FROM public.users                      right while every row has its old format
    by row state   SELECT id, (CASE WHEN _pgjanus_state < 6 THEN full_name …)  right in every phase that has columns
    from the new   SELECT id, ((_pgjanus_first_name || …)::text) AS full_name  right while no row is in state `old`

Both are what a client of the old shape would have its statement rewritten to, so names, types and rows stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from rules.catalog import Catalog, TableName
from rules.changes import ColumnChange, quote_identifier, quote_literal, quote_table
from rules.ddl.statements import Lock, Statement
from rules.errors import Refusal
from rules.introspection.relations import MENTIONS as CATALOG_MENTIONS
from rules.migration import Client, ManagedTable, OnUnsupported
from rules.phases import HIDDEN_PREFIX, Phase, Policy, Reads, Shape, Writes
from rules.plan import Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot
from rules.text.source import SourceText, walk

_OUTER_JOINS = frozenset({"JOIN_LEFT", "JOIN_RIGHT", "JOIN_FULL"})
#: No rung of a ladder: reads that are right whatever state a row is in.
_ANY_PHASE = Phase("any phase", Policy(Writes.BOTH, Reads.COALESCE))


class Form(Enum):
    """How a definition reads old columns once it has been rebuilt."""

    BY_ROW_STATE = "by row state"
    FROM_NEW = "from the new columns"


@dataclass(frozen=True, slots=True)
class Query:
    """`old_outputs` counts from 1: the result columns that are nothing but an old column."""

    sql: str
    old_outputs: tuple[int, ...] = ()


def rebuild_query(sql: str, table: ManagedTable, catalog: Catalog, form: Form) -> Query:
    """A view's query, as pg_get_viewdef prints it under an empty search_path, in that form.

    Raises:
        Refusal: it cannot be rebuilt exactly, and why not.
    """
    folded = sql.lower()
    if HIDDEN_PREFIX in folded:
        raise Refusal("another migration has rebuilt it already, and must be over first")
    if any(name in folded for name in CATALOG_MENTIONS):
        raise Refusal("it reads system catalogs")
    planned = plan(sql, Snapshot(0, catalog, _tables(table, catalog, form)), Client(Shape.OLD, search_path=()))
    match planned:
        case Rewrite(results=(None,) | ()):
            return Query(planned.sql)
        case Rewrite(results=(patch,)) if patch is not None:
            return Query(planned.sql, tuple(n for n, field in enumerate(patch.head, 1) if field is not None))
        case Refuse(refusal=refusal):
            raise Refusal(refusal.message)
        case Rewrite() | Untouched():
            raise Refusal("its definition does not show where it reads the column")


def rebuild_condition(sql: str, on: TableName, table: ManagedTable, catalog: Catalog, form: Form) -> str:
    """A policy's expression, as pg_get_expr prints it, in that form; `on` is the policy's table. Raises as above."""
    before, after = f"SELECT 1 FROM {quote_table(on)} WHERE (", ")"
    query = rebuild_query(f"{before}{sql}{after}", table, catalog, form).sql
    if not (query.startswith(before) and query.endswith(after)):
        raise Refusal("its expression is not rewritten in its place")
    return query[len(before) : -len(after)]


def condition_names_old(sql: str, on: TableName, table: ManagedTable, catalog: Catalog) -> bool:
    """Whether one of a policy's two expressions reads an old column at all."""
    query = f"SELECT 1 FROM {quote_table(on)} WHERE ({sql})"
    tables = _tables(table, catalog, Form.BY_ROW_STATE)
    return not isinstance(plan(query, Snapshot(0, catalog, tables), Client(Shape.OLD, search_path=())), Untouched)


def _tables(table: ManagedTable, catalog: Catalog, form: Form) -> Mapping[TableName, ManagedTable]:
    strict = replace(table.migration, on_unsupported=OnUnsupported.REFUSE)
    read = replace(table, migration=strict, phase=_ANY_PHASE, contracting=form is Form.FROM_NEW)
    parts = {p.table: read.partition(p) for p in catalog.partitions_of(table.relation.oid)}
    return {table.relation.table: read, **parts}


def change_of(table: ManagedTable, column: str) -> ColumnChange | None:
    """The change whose old side has that column."""
    return next((c for c in table.migration.changes if any(o.physical == column for o in c.old)), None)


def why_inexact(table: ManagedTable, column: str) -> str | None:
    """Why an old column's value cannot be had from the new columns; None if it can."""
    change = change_of(table, column)
    if change is None or not change.new:
        return f"nothing in the new columns says what was in {column}"
    if change.lossy:
        return f"the change of {column} is lossy: what it read could be another value afterwards"
    return None


def has_outer_join(sql: str) -> bool:
    """Whether rows of a table may be missing in a row of the result, which `down` would not know."""
    statements = SourceText(sql).statements
    return any(b.get("jointype") in _OUTER_JOINS for s in statements for k, b in walk(s["stmt"]) if k == "JoinExpr")


def down_of_nothing(table: ManagedTable, column: str) -> str:
    """SQL: whether `down` makes NULL of a row of which every column is NULL."""
    change = change_of(table, column)
    assert change is not None
    types = {c.name: c.type for c in change.new}
    return f"SELECT ({change.down[column].render(lambda name: f'NULL::{types[name]}')}) IS NULL"


# The SQL that puts a definition in its place. Names, privileges, owner, comments and triggers stay.


def replace_view(view: TableName, columns: Sequence[str], options: Sequence[str], query: str) -> Statement:
    """`options` are those of pg_class, such as `security_barrier=true`: what is not given again is reset."""
    pairs = (option.partition("=") for option in options)
    given = ", ".join(f"{quote_identifier(name)} = {quote_literal(value)}" for name, _, value in pairs)
    names = ", ".join(map(quote_identifier, columns))
    options_sql = f" WITH ({given})" if given else ""
    sql = f"CREATE OR REPLACE VIEW {quote_table(view)} ({names}){options_sql} AS {query}"
    return Statement(sql, Lock.ACCESS_EXCLUSIVE, locks_itself=True)


def alter_policy(policy: str, table: TableName, using: str | None, check: str | None) -> Statement:
    parts = [f" USING ({using})" if using is not None else "", f" WITH CHECK ({check})" if check is not None else ""]
    sql = f"ALTER POLICY {quote_identifier(policy)} ON {quote_table(table)}{''.join(parts)}"
    return Statement(sql, Lock.ACCESS_EXCLUSIVE)
