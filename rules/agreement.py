"""SQL that asks each row whether its two formats are each other's, keeps those that are not, and derives one again.

A row in state `both` diverges if, for some change, neither the new columns are what `up` makes of the old ones nor the
old ones what `down` makes of the new ones. Values are compared as they are stored, not by `=`, for which 1.0 and 1.00,
0.0 and -0.0, and texts that a collation or type calls equal are the same.

A pass goes over the table in chunks along a key (`rules.batches`), each with a snapshot of its own, and is closed by
one statement over all row versions that are younger than its beginning. Every row that this statement sees was either
compared by it, or has not changed since the pass began, and was compared then: together they are a proof for the
moment of one snapshot, whatever was written meanwhile and wherever rows have moved.
"""

from __future__ import annotations

from rules.batches import (
    Key,
    after_key,
    converted,
    in_key_order,
    in_state,
    is_key,
    key_columns,
    key_values,
    last_key,
    same_key,
    truth,
    until_key,
    with_defaults,
)
from rules.changes import ColumnChange, quote_identifier, quote_literal, quote_table
from rules.migration import Migration
from rules.phases import STATE_COLUMN, Phase, RowState, Shape, Strategy, neighbours, phase_named

_STATE = f"t.{quote_identifier(STATE_COLUMN)}"


def needs_proof(strategy: Strategy, phase_name: str) -> bool:
    """Whether a step from that phase, up or down, lets clients read a format that they did not read before."""
    phase = phase_named(strategy, phase_name)
    if phase.policy is None or not phase.expanded:
        return False
    policies = [n.policy for n in neighbours(strategy, phase_name) if n is not None and n.expanded]
    return any(p is not None and p.reads is not phase.policy.reads for p in policies)


def comparable(migration: Migration) -> tuple[ColumnChange, ...]:
    """An added or dropped column has nothing to agree with: after its first value clients write what they like."""
    return tuple(c for c in migration.changes if c.old and c.new)


def agrees(change: ColumnChange, into: Shape) -> str:
    """SQL that is true where the stored columns of one side are what the other side converts to; never NULL.

    Images that differ may still be the same value (a NaN with its sign bit set, an array with a bitmap of no NULLs, a
    numeric of an older PostgreSQL), so the text has the last word: nothing that a client could see is alike in it.
    """
    pairs = converted(change, into)
    stored = f"ROW({', '.join(f't.{quote_identifier(name)}' for name, _ in pairs)})"
    wanted = f"ROW({', '.join(sql for _, sql in pairs)})"
    return f"({stored}::record OPERATOR(pg_catalog.*=) {wanted}::record OR {stored}::text = {wanted}::text)"


def describe_change(change: ColumnChange) -> str:
    """`full_name ↔ first_name, last_name`."""
    return " ↔ ".join(", ".join(c.name for c in side) for side in (change.old, change.new))


def ways_to_agree(migration: Migration, key: Key, change: ColumnChange) -> tuple[str, ...]:
    """Conditions of which one is enough."""
    ways = tuple(agrees(change, shape) for shape in (Shape.NEW, Shape.OLD))
    if not any(name in change.up for name in migration.backfill.defaults):
        return ways
    # A row that got a default because `up` fails on it: asking `up` again would fail again.
    given = next(c for c in with_defaults(migration).changes if c.new == change.new)
    listed = "" if key.is_physical else f" AND {_has_got_default(migration, key)}"
    return (f"({agrees(given, Shape.NEW)}{listed})", *ways)


def _has_got_default(migration: Migration, key: Key) -> str:
    return (
        f"EXISTS (SELECT FROM pgjanus.backfill_bad_rows AS b WHERE b.migration = {quote_literal(migration.name)}"
        f" AND b.outcome = 'default' AND b.key = {key_values(key, 't')})"
    )


def _diverges(migration: Migration, key: Key, change: ColumnChange) -> str:
    ways = "".join(f" WHEN {way} THEN false" for way in ways_to_agree(migration, key, change))
    return f"(CASE WHEN NOT ({in_state(RowState.BOTH)}) THEN false{ways} ELSE true END)"


def changed_since(parameter: int) -> str:
    """Condition on `t`: a row version that was not there, or not committed, at a snapshot whose xmin is that parameter.

    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT: every transaction below a
    snapshot's xmin has ended. A version that is too old for its age to be known counts as changed.
    """
    return f"age(t.xmin) <= age(${parameter}::text::xid8::xid)"


#: The xmin of a statement's own snapshot, as text.
OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text"


def check_sql(
    migration: Migration, phase: Phase, key: Key, *, changed: bool, after: bool = False, until: bool = False
) -> str:
    """Compare one chunk of rows, and keep in `pgjanus.divergences` which ones are not as they have to be.

    Parameters: $1 how many rows; $2 the pass; if `changed`, $3: only versions younger than that (see `changed_since`);
    then the cursor's values if `after`, those of the end if `until`. Result: one row `(rows bigint, found bigint,
    first_id bigint, last text[], oldest_running text)`.
    """
    where = _range(key, 3 + changed, after=after, until=until, also=[changed_since(3)] if changed else [])
    return (
        f"WITH {_chunk(migration, phase, key)}{where}{in_key_order(key)} LIMIT $1::int8),"
        f" {_found(migration, phase, key)}"
        f" SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM found), (SELECT min(id) FROM found),"
        f" {last_key(key, 'chunk')}, {OLDEST_RUNNING}"
    )


def close_sql(migration: Migration, phase: Phase, key: Key) -> str:
    """Compare every row version that is younger than the pass, in place of what the pass has found in such rows.

    Parameters: $1 younger than that (see `changed_since`), $2 the pass. Result: `(rows bigint, found bigint,
    oldest_running text)`.
    """
    return (
        f"WITH {_chunk(migration, phase, key)} WHERE {changed_since(1)}),"
        f" gone AS ({forget_changed_sql(migration, key)}),"
        f" {_found(migration, phase, key)}"
        f" SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM found), {OLDEST_RUNNING}"
    )


def forget_changed_sql(migration: Migration, key: Key) -> str:
    """Take out what was found in rows that have changed since, or are gone. Parameters: as `close_sql`."""
    kept = " AND ".join(
        f"{name} = (d.key->>{quote_literal(column.name)})::{column.type}"
        for name, column in zip(key_columns(key, "t"), key.columns, strict=True)
    )
    as_it_was = f"SELECT FROM {quote_table(migration.table)} AS t WHERE {kept} AND NOT ({changed_since(1)})"
    return (
        f"DELETE FROM pgjanus.divergences AS d WHERE d.migration = {quote_literal(migration.name)}"
        f" AND d.pass = $2::int8 AND NOT EXISTS ({as_it_was})"
    )


def _chunk(migration: Migration, phase: Phase, key: Key) -> str:
    assert phase.policy is not None
    forbidden = phase.policy.reads.forbids
    cases = [
        f"CASE WHEN {_diverges(migration, key, c)} THEN {quote_literal(describe_change(c))} END"
        for c in comparable(migration)
    ]
    reason = f"nullif(concat_ws('; ', {', '.join(cases)}), '')" if cases else "NULL::text"
    return (
        f"chunk AS MATERIALIZED (SELECT {', '.join(key_columns(key, 't'))}, {reason} AS _reason,"
        f" {in_state(forbidden) if forbidden else 'false'} AS _forbidden FROM {quote_table(migration.table)} AS t"
    )


def _found(migration: Migration, phase: Phase, key: Key) -> str:
    assert phase.policy is not None
    forbidden = phase.policy.reads.forbids
    other = f"row state {forbidden.value}, which phase {phase.name} forbids" if forbidden else ""
    return (
        f"found AS (INSERT INTO pgjanus.divergences (migration, pass, kind, reason, key, old, new)"
        f" SELECT {quote_literal(migration.name)}, $2::int8,"
        f" CASE WHEN c._forbidden THEN 'forbidden' ELSE 'divergent' END, coalesce(c._reason, {quote_literal(other)}),"
        f" {_row_of(migration, key)}"
        f" FROM chunk AS c JOIN {quote_table(migration.table)} AS t ON {same_key(key, 'c', 't')}"
        f" WHERE c._reason IS NOT NULL OR c._forbidden RETURNING id)"
    )


def finding_sql(migration: Migration, key: Key) -> str:
    """Keep the row of the key given by $1 … (as text) as one that `up` or `down` fails on.

    Parameters after the key's: the pass, the reason.
    """
    n = len(key.columns)
    return (
        f"INSERT INTO pgjanus.divergences (migration, pass, kind, reason, key, old, new)"
        f" SELECT {quote_literal(migration.name)}, ${n + 1}::int8, 'unconvertible', ${n + 2}::text,"
        f" {_row_of(migration, key)} FROM {quote_table(migration.table)} AS t WHERE {is_key(key)}"
    )


def _row_of(migration: Migration, key: Key) -> str:
    """Key, old and new columns of `t` as JSON objects of texts (or null), under visible names."""
    # Output functions tell everything apart; a cast to text takes trailing blanks away, JSON numbers lose their sign.
    sides = (
        [
            (c.name, f"CASE WHEN num_nulls(t.{name}) = 0 THEN format('%s', t.{name}) END")
            for change in migration.changes
            for c in change.side(shape)
            for name in [quote_identifier(c.physical)]
        ]
        for shape in (Shape.OLD, Shape.NEW)
    )
    keys = [
        (column.name, f"{name}::text") for name, column in zip(key_columns(key, "t"), key.columns, strict=True)
    ]  # fmt: skip
    return ", ".join(
        f"json_build_object({', '.join(f'{quote_literal(name)}, {sql}' for name, sql in pairs)})"
        for pairs in (keys, *sides)
    )


def ways_sql(migration: Migration, key: Key, way: str) -> str:
    """Whether the row of the key given by $1 … (as text) agrees in that way; no row if it is not in state `both`."""
    return f"SELECT {way} FROM {quote_table(migration.table)} AS t WHERE {is_key(key)} AND {in_state(RowState.BOTH)}"


def next_row_sql(migration: Migration, key: Key, *, changed: bool, after: bool) -> str:
    """The key of the next row as text[]. Parameters: as `check_sql`, from its $3 on."""
    where = _range(key, 1 + changed, after=after, until=False, also=[changed_since(1)] if changed else [])
    return f"SELECT {key_values(key, 't')} FROM {quote_table(migration.table)} AS t{where}{in_key_order(key)} LIMIT 1"


def _range(key: Key, first_parameter: int, *, after: bool, until: bool, also: list[str]) -> str:
    conditions = list(also)
    if after:
        conditions.append(after_key(key, first_parameter))
    if until:
        conditions.append(until_key(key, first_parameter + (len(key.columns) if after else 0)))
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


# Repair


def repair_sql(migration: Migration, phase: Phase, key: Key, *, after: bool) -> str:
    """Derive one format again in the divergent rows of one chunk; only the changes that diverge are touched.

    Parameters: the cursor's values if `after`, then those of the chunk's last key.
    """
    assignments, conditions = [], ["false"]
    for change in comparable(migration):
        wrong = _diverges(migration, key, change)
        conditions.append(wrong)
        for name, sql in converted(change, _derived(phase)):
            column = quote_identifier(name)
            assignments.append(f"{column} = CASE WHEN {wrong} THEN {sql} ELSE t.{column} END")
    assignments.append(f"{quote_identifier(STATE_COLUMN)} = {RowState.BOTH.next_code(_STATE)}")
    where = _range(key, 1, after=after, until=True, also=[f"({' OR '.join(conditions)})"])
    return f"UPDATE {quote_table(migration.table)} AS t SET {', '.join(assignments)}{where}"


def repair_row_sql(migration: Migration, phase: Phase, key: Key, change: ColumnChange) -> str:
    """Derive one change again in the row of the key given by $1 … (as text)."""
    pairs = [(quote_identifier(name), sql) for name, sql in converted(change, _derived(phase))]
    pairs.append((quote_identifier(STATE_COLUMN), RowState.BOTH.next_code(_STATE)))
    return (
        f"UPDATE {quote_table(migration.table)} AS t SET {', '.join(f'{name} = {sql}' for name, sql in pairs)}"
        f" WHERE {is_key(key)} AND {in_state(RowState.BOTH)}"
    )


def _derived(phase: Phase) -> Shape:
    assert phase.policy is not None
    return truth(phase.policy.reads).other
