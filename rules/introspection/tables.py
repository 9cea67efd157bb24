"""A managed table as a client of one shape sees it, and the SQL that tells its rows in the catalogs from others.

Everything is decided by the server when the statement runs, from the managed table's OID and the numbers of the columns
that the client's shape has not; so an index or constraint that the ladder makes meanwhile needs no new plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pglast import keywords

from rules.catalog import Column
from rules.changes import quote_literal
from rules.ddl.attributes import Kind, attributes, final_name
from rules.ddl.statements import new_columns
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX, Shape

PG_CATALOG, INFORMATION_SCHEMA = "pg_catalog", "information_schema"
CLASS = "'pg_catalog.pg_class'::pg_catalog.regclass"


@dataclass(frozen=True, slots=True)
class Treatment:
    """Rows for which one of `hides` is true are left out; `shows` has SQL in place of a column's value."""

    hides: tuple[str, ...]
    shows: Mapping[str, str]


@dataclass(slots=True)
class Plan:
    """A treatment in the making: (condition, value) per column, the first condition that holds counts."""

    hides: list[str] = field(default_factory=list)
    cases: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def show(self, column: str, condition: str, value: str) -> None:
        self.cases.setdefault(column, []).append((condition, value))


@dataclass(frozen=True)
class Table:
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
    def last_number(self) -> int:
        """The number of the last column that this client has."""
        hidden = {c.attnum for c in self.hidden}
        return max((c.attnum for c in self.managed.relation.columns if c.attnum not in hidden), default=0)

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
        migration = self.managed.migration
        # A partition has indexes of its own, and its table's constraints.
        found = [a for a in attributes(self.managed.whole or migration) if not a.kind.is_index]
        found += [a for a in attributes(migration) if a.kind.is_index]
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
            f" WHERE d.classid = {CLASS} AND d.objid = i.indexrelid AND d.refclassid = {CLASS}"
            f" AND d.refobjid = {self.oid} AND d.refobjsubid IN ({self.numbers}))))"
        )


def as_seen(managed: ManagedTable, shape: Shape) -> Table | None:
    """None if this client sees the table as it is."""
    visible = managed.visible(shape)
    names = {column.name for _, column in visible}
    hidden = tuple(c for c in managed.relation.columns if c.name not in names)
    if not hidden:
        return None
    return Table(managed, shape, hidden, tuple((n, c) for n, c in visible if n != c.name))


def own_trigger(name: str) -> str:
    """SQL of "this is the name of a trigger of ours": the prefix behind a sign that makes it sort first or last."""
    return f"pg_catalog.strpos({name}::pg_catalog.text, {quote_literal(HIDDEN_PREFIX)}) IN (1, 2)"


def own_name(name: str) -> str:
    """SQL of "the reserved prefix is in this name": one that PostgreSQL made up from a column's."""
    return f"pg_catalog.strpos({name}::pg_catalog.text, {quote_literal(HIDDEN_PREFIX)}) > 0"


def without_prefix(name: str) -> str:
    return f"pg_catalog.replace({name}::pg_catalog.text, {quote_literal(HIDDEN_PREFIX)}, '')"


# Texts that PostgreSQL prints


def in_clients_words(sql: str, tables: Iterable[ManagedTable], shape: Shape) -> str:
    """SQL around `sql`, a text that PostgreSQL printed, that puts visible names in place of reserved ones."""
    seen = [table for managed in tables if (table := as_seen(managed, shape)) is not None]
    pairs = dict.fromkeys(pair for table in seen for pair in table.texts())
    for printed, name in sorted(pairs, key=lambda pair: -len(pair[0])):
        sql = f"pg_catalog.replace({sql}, {quote_literal(printed)}, {quote_literal(_printed(printed, name))})"
    return sql


def _printed(before: str, name: str) -> str:
    """How PostgreSQL prints `name` where it prints `before`: in quotes only if it has to be, which `before` tells but
    for keywords."""
    keyword = name in keywords.RESERVED_KEYWORDS | keywords.TYPE_FUNC_NAME_KEYWORDS | keywords.COL_NAME_KEYWORDS
    return f'"{name}"' if keyword else name


def show_text(plan: Plan, table: Table, column: str, condition: str) -> None:
    if table.texts():
        plan.show(column, condition, in_clients_words(column, [table.managed], table.shape))
