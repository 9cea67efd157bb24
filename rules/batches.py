"""SQL of the backfill's batches and of the verification's chunks, walked along a key.

One walk serves both: rows in key order after a cursor, a limited number at a time. A table without a usable key
is walked along `ctid`, which behaves like any other key of one column except that rows may move past the cursor;
nothing depends on the cursor being right, because the end of a backfill is decided by a scan (TRAPS.md C10).

    WITH batch AS (SELECT key, ctid … WHERE key > cursor AND key <= end AND <state> ORDER BY key LIMIT n
                   FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE t SET <values computed from t itself> FROM batch WHERE t.ctid = batch.ctid AND <state>

Values are computed from the target row, never from the batch: under READ COMMITTED only the target is read
again after a wait, so a value carried over from the batch would be a lost update (TRAPS.md C1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rules import reads
from rules.catalog import TableName
from rules.changes import ColumnChange, quote_identifier, quote_table
from rules.migration import Migration
from rules.phases import (
    NEW_IS_VALID_FROM,
    OLD_IS_VALID_BELOW,
    STATE_COLUMN,
    Reads,
    RowState,
    Shape,
    Strategy,
    neighbours,
    phase_named,
)

_STATE = f"t.{quote_identifier(STATE_COLUMN)}"


@dataclass(frozen=True, slots=True)
class KeyColumn:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Key:
    """Columns that identify a row and whose order an index gives. A cursor is a tuple of their values as text.

    `of_partitions`: rows of a partitioned table, whose places are told apart only within one partition.
    """

    columns: tuple[KeyColumn, ...]
    of_partitions: bool = False

    @property
    def is_physical(self) -> bool:
        """Whether it is a row's place in the file: it changes with each update of the row."""
        return self == PHYSICAL_KEY

    def describe(self, values: tuple[str, ...]) -> str:
        """`id=7` or `tenant=3, id=7`."""
        return ", ".join(f"{c.name}={v}" for c, v in zip(self.columns, values, strict=True))


#: For a table without a primary key and without a unique index over NOT NULL columns.
PHYSICAL_KEY = Key((KeyColumn("ctid", "tid"),))


def states_to_empty(strategy: Strategy, phase_name: str) -> tuple[RowState, ...]:
    """What the worker empties in a phase: a neighbour's reads forbid it, and this phase's writers do not make it."""
    phase = phase_named(strategy, phase_name)
    if phase.policy is None or not phase.expanded:
        return ()
    forbidden = {n.policy.reads.forbids for n in neighbours(strategy, phase_name) if n and n.policy}
    return tuple(s for s in (RowState.OLD, RowState.NEW) if s in forbidden and s is not phase.policy.writes.leaves)


def in_state(state: RowState, code: str = _STATE) -> str:
    """SQL condition: a row is in that state; `code` is the SQL of its stored code."""
    match state:
        case RowState.OLD:
            return f"{code} < {NEW_IS_VALID_FROM}"
        case RowState.NEW:
            return f"{code} >= {OLD_IS_VALID_BELOW}"
        case RowState.BOTH:
            return f"{code} >= {NEW_IS_VALID_FROM} AND {code} < {OLD_IS_VALID_BELOW}"


def converted(change: ColumnChange, into: Shape) -> tuple[tuple[str, str], ...]:
    """(physical column, SQL of its value computed from the other side), as a canonical read computes it."""
    return tuple((c.physical, reads.converted(change, c, into, "t.")) for c in change.side(into))


def _assignments(migration: Migration, into: Shape) -> str:
    pairs = [p for change in migration.changes for p in converted(change, into)]
    state = RowState.BOTH.next_code(_STATE)
    return ", ".join(f"{quote_identifier(name)} = {sql}" for name, sql in [*pairs, (STATE_COLUMN, state)])


def target_shape(state: RowState) -> Shape:
    """The format that a row in that state lacks."""
    assert state is not RowState.BOTH
    return Shape.NEW if state is RowState.OLD else Shape.OLD


def key_columns(key: Key, row: str) -> list[str]:
    return [f"{row}.{c.name if key.is_physical else quote_identifier(c.name)}" for c in key.columns]


def after_key(key: Key, first_parameter: int) -> str:
    """Condition on `t`: beyond the cursor, whose values are parameters of type text from that one on."""
    values = [f"${first_parameter + i}::text::{c.type}" for i, c in enumerate(key.columns)]
    return f"({', '.join(key_columns(key, 't'))}) > ({', '.join(values)})"


def until_key(key: Key, first_parameter: int) -> str:
    """Condition on `t`: up to the end of a range, whose values are parameters of type text from that one on."""
    values = [f"${first_parameter + i}::text::{c.type}" for i, c in enumerate(key.columns)]
    return f"({', '.join(key_columns(key, 't'))}) <= ({', '.join(values)})"


def _within(key: Key, state: RowState, first_parameter: int, *, after: bool, until: bool) -> str:
    """Rows in `state`, beyond the cursor if `after`, up to the end if `until`: parameters in that order."""
    conditions = [after_key(key, first_parameter)] if after else []
    if until:
        conditions.append(until_key(key, first_parameter + (len(key.columns) if after else 0)))
    return " AND ".join([*conditions, in_state(state)])


def in_key_order(key: Key) -> str:
    """ORDER BY for rows of `t`."""
    # A scan along ctid is in order by nature; asking for the order would sort the rest of the table for each batch.
    return "" if key.is_physical else f" ORDER BY {', '.join(key_columns(key, 't'))}"


def key_values(key: Key, row: str) -> str:
    """A row's key as text[]."""
    return f"ARRAY[{', '.join(f'{c}::text' for c in key_columns(key, row))}]"


def last_key(key: Key, relation: str) -> str:
    """Sub-select of the greatest key in a CTE, as text[]."""
    order = ", ".join(f"{c} DESC" for c in key_columns(key, "k"))
    return f"(SELECT {key_values(key, 'k')} FROM {relation} AS k ORDER BY {order} LIMIT 1)"


def same_key(key: Key, left: str, right: str) -> str:
    return " AND ".join(f"{a} = {b}" for a, b in zip(key_columns(key, left), key_columns(key, right), strict=True))


def batch_sql(migration: Migration, key: Key, state: RowState, *, after: bool, until: bool = False, wait: bool) -> str:
    """One batch of rows that leave `state` for `both`.

    Parameters: $1 how many rows at most; if `after`, then the cursor's values as text, those of the range's end if
    `until`. Result: one row
    `(met bigint, done bigint, last text[])`: rows locked, rows converted, the last key (None if none was met).

    Without `wait` it goes around locked rows, and finds its rows again by their place (a third less work than by key):
    a row that was moved between snapshot and lock is met and not done. With `wait` it is found by its key.
    """
    table = quote_table(migration.table)
    by = key if wait or key.of_partitions else PHYSICAL_KEY
    columns = ", ".join(dict.fromkeys([*key_columns(key, "t"), *key_columns(by, "t")]))
    where = _within(key, state, 2, after=after, until=until)
    return (
        f"WITH batch AS MATERIALIZED (SELECT {columns} FROM {table} AS t WHERE {where}{in_key_order(key)}"
        f" LIMIT $1::int8 FOR NO KEY UPDATE{'' if wait else ' SKIP LOCKED'}),"
        f" done AS (UPDATE {table} AS t SET {_assignments(migration, target_shape(state))}"
        f" FROM batch WHERE {same_key(by, 't', 'batch')} AND {in_state(state)} RETURNING 1)"
        f" SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM done), {last_key(key, 'batch')}"
    )


def _json_of(migration: Migration, shape: Shape) -> str:
    columns = [c for change in migration.changes for c in change.side(shape)]
    values = ", ".join(f"t.{quote_identifier(c.physical)} AS {quote_identifier(c.name)}" for c in columns)
    return f"(SELECT row_to_json(s)::text FROM (SELECT {values}) AS s)"


def is_key(key: Key) -> str:
    pairs = zip(key_columns(key, "t"), key.columns, strict=True)
    return " AND ".join(f"{name} = ${i}::text::{column.type}" for i, (name, column) in enumerate(pairs, 1))


def next_key_sql(
    migration: Migration, key: Key, state: RowState, *, after: bool, until: bool = False, wait: bool
) -> str:
    """Lock the next row in that state and give its key. Parameters as `batch_sql`, without the number of rows."""
    where = _within(key, state, 1, after=after, until=until)
    return (
        f"SELECT {key_values(key, 't')} FROM {quote_table(migration.table)} AS t WHERE {where}{in_key_order(key)}"
        f" LIMIT 1 FOR NO KEY UPDATE{'' if wait else ' SKIP LOCKED'}"
    )


def one_row_sql(migration: Migration, key: Key, state: RowState) -> str:
    """Convert exactly the row of the key given by $1 … (as text)."""
    return (
        f"UPDATE {quote_table(migration.table)} AS t SET {_assignments(migration, target_shape(state))}"
        f" WHERE {is_key(key)} AND {in_state(state)}"
    )


def show_row_sql(migration: Migration, key: Key, state: RowState) -> str:
    """`one_row_sql` that shows what it does: `(before text, after text)`, JSON under visible names."""
    before, after = (_json_of(migration, shape) for shape in (target_shape(state).other, target_shape(state)))
    return f"{one_row_sql(migration, key, state)} RETURNING {before}, {after}"


def source_sql(migration: Migration, key: Key, state: RowState) -> str:
    """What the row of the key given by $1 … (as text) is converted from: one text, JSON under visible names."""
    source = _json_of(migration, target_shape(state).other)
    return f"SELECT {source} FROM {quote_table(migration.table)} AS t WHERE {is_key(key)}"


def sample_count_sql(table: TableName, state: RowState) -> str:
    """How many rows of a sample of $1 percent of the table's pages are in that state."""
    return f"SELECT count(*) FROM {quote_table(table)} AS t TABLESAMPLE SYSTEM ($1::float4) WHERE {in_state(state)}"


def bounds_sql(table: TableName, key: Key, state: RowState | None) -> str:
    """Keys that cut the rows in that state, or all rows, into about equal parts: rows of text[], in key order.

    Parameters: $1 percent of the table's pages to look at, $2 into how many parts. One key less than there are parts,
    or fewer where the sample is small.
    """
    names = [f"k{i}" for i, _ in enumerate(key.columns)]
    columns = ", ".join(f"{c} AS {name}" for c, name in zip(key_columns(key, "t"), names, strict=True))
    order = ", ".join(names)
    where = f" WHERE {in_state(state)}" if state else ""
    return (
        f"SELECT ARRAY[{', '.join(f's.{n}::text' for n in names)}] FROM ("
        f"SELECT {order}, row_number() OVER (ORDER BY {order}) AS n, count(*) OVER () AS c"
        f" FROM (SELECT {columns} FROM {quote_table(table)} AS t TABLESAMPLE SYSTEM ($1::float4){where}) AS t) AS s"
        f" WHERE s.n < s.c AND s.n * $2::int8 / s.c > (s.n - 1) * $2::int8 / s.c ORDER BY {order}"
    )


def count_sql(table: TableName, state: RowState) -> str:
    return f"SELECT count(*) FROM {quote_table(table)} AS t WHERE {in_state(state)}"


# Comparison


def with_defaults(migration: Migration) -> Migration:
    """The same, with `up` of columns that have a default for rows that cannot be converted replaced by that."""
    defaults = migration.backfill.defaults
    changes = tuple(
        replace(change, up={name: defaults.get(name, up) for name, up in change.up.items()})
        for change in migration.changes
    )
    return replace(migration, changes=changes)


def truth(reads: Reads) -> Shape:
    """The format that a phase holds true where the two of one row differ: the one that clients read."""
    return Shape.NEW if reads is Reads.NEW else Shape.OLD
