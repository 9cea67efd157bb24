"""A small catalog with two managed tables, for tests of the planner that need no server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rules.catalog import Catalog, Column, Constraint, Relation, TableName, Volatility
from rules.ddl.expansion import in_phase
from rules.loader import load_file
from rules.phases import Strategy, phase_named
from rules.snapshot import Snapshot

CASES = Path(__file__).parents[1] / "cases"
USERS, ITEMS, ORDERS = (TableName("public", name) for name in ("users", "items", "orders"))


def _relation(oid: int, table: TableName, *columns: tuple[str, int, str]) -> Relation:
    found = tuple(Column(name, i + 1, type_oid, -1, type_name) for i, (name, type_oid, type_name) in enumerate(columns))
    key = Constraint(f"{table.name}_pkey", ("id",))
    return Relation(oid, table, "r", found, ("id",), row_type=oid + 100, constraints=(key,))


_PLAIN = (
    _relation(1, USERS, ("id", 23, "integer"), ("full_name", 25, "text"), ("age", 23, "integer")),
    _relation(2, ITEMS, ("id", 23, "integer"), ("price_cents", 23, "integer"), ("sku", 25, "text")),
    _relation(3, ORDERS, ("id", 23, "integer"), ("user_id", 23, "integer"), ("note", 25, "text")),
)


#: What tests/random_sql.py knows besides.
_WIDE = (
    replace(
        _PLAIN[0],
        columns=(
            *_PLAIN[0].columns,
            Column("nick", 4, 25, -1, "text"),
            Column("created", 5, 1184, -1, "timestamp with time zone"),
        ),
    ),
    replace(
        _PLAIN[1],
        columns=(*_PLAIN[1].columns, Column("user_id", 4, 23, -1, "integer"), Column("qty", 5, 23, -1, "integer")),
    ),
    replace(_PLAIN[2], columns=(*_PLAIN[2].columns, Column("total", 4, 1700, -1, "numeric"))),
)


def snapshot(
    phase_name: str, strategy: Strategy = Strategy.DUAL_WRITE, version: int = 180000, *, wide: bool = False
) -> Snapshot:
    """`users` (split_column) and `items` (change_columns) in that phase, beside the plain `orders`."""
    phase = phase_named(strategy, phase_name)
    relations = {r.table: r for r in (_WIDE if wide else _PLAIN)}
    tables = {}
    for table in (USERS, ITEMS):
        migration = load_file(CASES / f"{table.name}.yaml").compile(relations[table])
        tables[table] = in_phase(migration, phase, relations[table])
        relations[table] = tables[table].relation
    volatility = {"upper": Volatility.IMMUTABLE, "random": Volatility.VOLATILE}
    row_takers = frozenset({"pg_typeof"})
    return Snapshot(1, Catalog(version, relations, volatility, row_takers=row_takers), tables)
