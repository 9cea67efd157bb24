"""SQL that asks real rows whether a migration would hold, before any column of it exists.

The new columns are computed beside each row, as the backfill would; every condition is then asked of them:

    SELECT … FROM t CROSS JOIN LATERAL (SELECT (<up>)::text AS first_name, …) AS n0
     WHERE key > cursor ORDER BY key LIMIT n
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from rules import reads
from rules.batches import Equality, Key, after_key, in_key_order, key_values, last_key, same_value
from rules.changes import ColumnChange, ManagedColumn, parse_expression, quote_identifier, quote_table
from rules.migration import Migration
from rules.phases import Shape

SAMPLE_KEYS = 5


class LawKind(Enum):
    ROUND_TRIP = "round trip"
    NOT_NULL = "NOT NULL"
    CHECK = "CHECK"


@dataclass(frozen=True, slots=True)
class Law:
    """A condition that is true for a row that breaks the law; `column` is the one it is about."""

    kind: LawKind
    column: ManagedColumn
    broken: str


def laws(migration: Migration, equality: Mapping[str, Equality]) -> tuple[Law, ...]:
    """`down(up(x)) = x` for each old column unless the change is lossy; NOT NULL and CHECK of each new one."""
    found: list[Law] = []
    for at, change in enumerate(migration.changes):
        if change.old and change.new and not change.lossy:
            for column in change.old:
                back = f"{change.down[column.name].render(_computed(at))}::{column.type}"
                same = same_value(
                    f"t.{quote_identifier(column.physical)}", back, equality.get(column.type, Equality.PLAIN)
                )
                found.append(Law(LawKind.ROUND_TRIP, column, f"NOT ({same})"))
        for column in change.new:
            value = _computed(at)(column.name)
            if column.not_null:
                found.append(Law(LawKind.NOT_NULL, column, f"{value} IS NULL"))
            if column.check is not None:
                condition = parse_expression(column.check).render(_computed(at))
                found.append(Law(LawKind.CHECK, column, f"{condition} IS FALSE"))
    return tuple(found)


def _computed(at: int) -> Callable[[str], str]:
    """How the new columns of the change at that place are spelt."""
    return lambda name: f"n{at}.{quote_identifier(name)}"


def _from(migration: Migration) -> str:
    parts = [f"{quote_table(migration.table)} AS t"]
    for at, change in enumerate(migration.changes):
        if change.new:
            values = (
                f"{reads.converted(change, c, Shape.NEW, 't.')} AS {quote_identifier(c.name)}" for c in change.new
            )
            parts.append(f"(SELECT {', '.join(values)}) AS n{at}")
    return " CROSS JOIN LATERAL ".join(parts)


def scan_sql(migration: Migration, key: Key, asked: tuple[Law, ...], *, after: bool) -> str:
    """Ask one chunk of rows.

    Parameters: $1 how many rows, then the cursor's values if `after`. Result: one row `(rows, last text[], converted)`,
    then for each law `(broken bigint, keys text[][])` with up to `SAMPLE_KEYS` keys. `converted` only makes sure that
    every conversion is computed.
    """
    where = f" WHERE {after_key(key, 2)}" if after else ""
    values = [f"{_computed(at)(c.name)}::text" for at, change in enumerate(migration.changes) for c in change.new]
    values += [
        f"{change.down[c.name].render(_computed(at))}::{c.type}::text"
        for at, change in enumerate(migration.changes)
        for c in change.old
    ]
    conditions = "".join(f", ({law.broken}) AS broken{i}" for i, law in enumerate(asked))
    answers = "".join(
        f", count(*) FILTER (WHERE broken{i}),"
        f" (SELECT array_agg(key) FROM (SELECT {key_values(key, 'c')} AS key FROM chunk AS c WHERE broken{i}"
        f" LIMIT {SAMPLE_KEYS}) AS s)"
        for i in range(len(asked))
    )
    return (
        f"WITH chunk AS MATERIALIZED (SELECT {', '.join(f't.{quote_identifier(c.name)}' for c in key.columns)},"
        f" cardinality(ARRAY[{', '.join(values)}]) AS converted{conditions}"
        f" FROM {_from(migration)}{where}{in_key_order(key)} LIMIT $1::int8)"
        f" SELECT count(*), {last_key(key, 'chunk')}, sum(converted){answers} FROM chunk"
    )


def duplicates_sql(migration: Migration, change: ColumnChange, column: ManagedColumn, key: Key) -> str:
    """Values of a unique column that several rows would get: some rows of `(value text, keys text[][])`."""
    value = reads.converted(change, column, Shape.NEW, "t.")
    return (
        f"SELECT value::text, (array_agg(key))[1:{SAMPLE_KEYS}] FROM"
        f" (SELECT {value} AS value, {key_values(key, 't')} AS key FROM {quote_table(migration.table)} AS t) AS s"
        f" WHERE value IS NOT NULL GROUP BY value HAVING count(*) > 1 LIMIT {SAMPLE_KEYS}"
    )


def orphans_sql(
    migration: Migration, change: ColumnChange, column: ManagedColumn, key: Key, referenced: str, referenced_column: str
) -> str:
    """Rows whose new value the referenced column does not have: some rows of `(value text, key text[])`."""
    value = reads.converted(change, column, Shape.NEW, "t.")
    return (
        f"SELECT value::text, key FROM"
        f" (SELECT {value} AS value, {key_values(key, 't')} AS key FROM {quote_table(migration.table)} AS t) AS s"
        f" WHERE value IS NOT NULL AND NOT EXISTS (SELECT FROM {referenced} AS r"
        f" WHERE r.{quote_identifier(referenced_column)} = s.value) LIMIT {SAMPLE_KEYS}"
    )
