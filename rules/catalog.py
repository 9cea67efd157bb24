"""What the planner has to know of a database: its relations, columns, functions. Read by `proxy.catalog`.

A catalog is a snapshot and is never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Volatility(Enum):
    """`pg_proc.provolatile`; of several overloads the worst counts."""

    IMMUTABLE = "i"
    STABLE = "s"
    VOLATILE = "v"


@dataclass(frozen=True, slots=True)
class TableName:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of a relation, under its physical name.

    `type` is `format_type(atttypid, atttypmod)` under an empty search_path, so it is safe to splice.
    `default` is `pg_get_expr` under an empty search_path (a domain's own default included), else None.
    `identity` is '', 'a' (ALWAYS) or 'd' (BY DEFAULT); `generated` is '', 's' (STORED) or 'v' (VIRTUAL).
    """

    name: str
    attnum: int
    type_oid: int
    typmod: int
    type: str
    not_null: bool = False
    default: str | None = None
    default_volatility: Volatility = Volatility.IMMUTABLE
    identity: str = ""
    generated: str = ""
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """What ON CONFLICT ON CONSTRAINT may name: a primary key, UNIQUE or EXCLUDE; columns in its order.

    An exclusion constraint over expressions has only its bare columns here.
    """

    name: str
    columns: tuple[str, ...]
    is_exclusion: bool = False
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, materialized view, foreign or partitioned table, with its columns in attnum order.

    `row_type` is the OID of the type of its rows, `parent` the OID of the table that this
    one is a partition of.
    """

    oid: int
    table: TableName
    kind: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    row_type: int = 0
    constraints: tuple[Constraint, ...] = ()
    parent: int | None = None

    @property
    def is_partitioned(self) -> bool:
        return self.kind == "p"

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All relations outside the system schemas, and what is known of functions by bare name.

    `volatility` maps a function's bare name to the worst of its overloads; a name that is missing is
    taken as volatile. `function_columns` holds only functions that return named columns (composite,
    OUT or TABLE arguments); any other function in FROM has one column, called like its alias.
    `system` are the relations of pg_catalog and information_schema.
    `aggregates` (window functions among them) and `set_returning` are functions by bare name too.
    `row_takers` are the functions that can be called with a row alone (so that `t.f` may mean `f(t)`), `own_row_takers`
    the functions and operators outside pg_catalog that can be given one. `database` is the database's name.
    """

    server_version: int
    relations: Mapping[TableName, Relation]
    volatility: Mapping[str, Volatility] = field(default_factory=dict)
    function_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    volatile_operators: frozenset[str] = frozenset()
    system: Mapping[TableName, Relation] = field(default_factory=dict)
    aggregates: frozenset[str] = frozenset()
    set_returning: frozenset[str] = frozenset()
    row_takers: frozenset[str] = frozenset()
    own_row_takers: frozenset[str] = frozenset()
    database: str = ""

    def partitions_of(self, oid: int) -> tuple[Relation, ...]:
        """The partitions of that table, theirs, and so on, in no particular order."""
        found: list[Relation] = []
        level = {oid}
        while level:
            below = [r for r in self.relations.values() if r.parent in level]
            found += below
            level = {r.oid for r in below if r.is_partitioned}
        return tuple(found)

    def schemas_of(self, name: str) -> tuple[str, ...]:
        """The schemas that hold a relation of this bare name, sorted."""
        return tuple(sorted(t.schema for t in self.relations if t.name == name))
