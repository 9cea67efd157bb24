"""The rows that are there: whether every one converts, comes back as it was, and fits the new columns' constraints."""

from __future__ import annotations

from collections import defaultdict

import asyncpg

from proxy.backfill.session import Session, load_equality
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.throttle import BatchSize
from proxy.backfill.walk import BadRow, Cursor, Met, Step, TooManyBadRows, walk
from proxy.database import Connection
from proxy.preflight.findings import Notes
from rules.batches import Key, plain_next_key_sql
from rules.changes import ColumnChange, ManagedColumn, quote_table, referenced_column
from rules.laws import SAMPLE_KEYS, Law, LawKind, duplicates_sql, laws, orphans_sql, scan_sql
from rules.migration import Migration
from rules.pace import OnError

_CHUNK_TARGET_MS = 500
_CHUNK_START_ROWS = 5000
_MOST_BAD_ROWS = 100


async def check_rows(connection: Connection, migration: Migration, key: Key, notes: Notes) -> int:
    """Ask every row; returns how many there are."""
    asked = laws(migration, await load_equality(connection, migration))
    rows = 0
    broken: defaultdict[int, int] = defaultdict(int)
    samples: defaultdict[int, list[Cursor]] = defaultdict(list)

    async def take(connection: Connection, cursor: Cursor | None, limit: int) -> Met:
        nonlocal rows
        found = await connection.fetchrow(
            scan_sql(migration, key, asked, after=cursor is not None), limit, *(cursor or ())
        )
        assert found is not None
        met, last, _, *answers = found.values()
        rows += met
        for i in range(len(asked)):
            broken[i] += answers[2 * i]
            samples[i] += [tuple(k) for k in answers[2 * i + 1] or ()]
        return Met(met, tuple(last) if last else None)

    async def blame(connection: Connection, cursor: Cursor | None) -> Met | BadRow:
        try:
            return await take(connection, cursor, 1)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
            found = await connection.fetchval(
                plain_next_key_sql(migration.table, key, after=cursor is not None), *(cursor or ())
            )
            return Met(0, None) if found is None else BadRow(tuple(found), " ".join(str(error).split()))

    async def after(_: Met, __: BatchSize, ___: float) -> bool:
        return True

    async def same_connection() -> Connection:
        return connection

    step = Step(take, blame, most_bad_rows=_MOST_BAD_ROWS)
    size = BatchSize(_CHUNK_TARGET_MS, _CHUNK_START_ROWS)
    try:
        bad = (await walk(Session(same_connection), step, None, size, after)).bad
        more = ""
    except TooManyBadRows as error:
        bad, more = error.bad, " at least"
    if bad:
        listed = "; ".join(f"{key.describe(row.key)} ({row.error})" for row in bad[:SAMPLE_KEYS])
        _report_bad_rows(migration, f"{len(bad)} rows{more} cannot be converted: {listed}{_more(len(bad))}", notes)
    for i, law in enumerate(asked):
        if broken[i]:
            _refuse_law(law, broken[i], [key.describe(k) for k in samples[i][:SAMPLE_KEYS]], notes)
    if not bad:
        await _check_uniqueness_and_references(connection, migration, key, notes)
    return rows + len(bad)


def _report_bad_rows(migration: Migration, found: str, notes: Notes) -> None:
    match migration.backfill.on_error:
        case OnError.SKIP_AND_REPORT:
            notes.warn(found, "the backfill leaves them as they are, and the gate shut, until they are mended")
        case OnError.DEFAULT:
            columns = ", ".join(migration.backfill.defaults)
            notes.warn(
                found, f"the backfill gives them a default for {columns}; until then new-shape reads of them fail"
            )
        case OnError.FAIL | None:
            notes.refuse(found, "mend them, or make the expression cope with them, or say what on_error is")


def _more(count: int) -> str:
    return f" and {count - SAMPLE_KEYS} more" if count > SAMPLE_KEYS else ""


def _refuse_law(law: Law, count: int, keys: list[str], notes: Notes) -> None:
    name, listed = law.column.name, "; ".join(keys) + _more(count)
    match law.kind:
        case LawKind.ROUND_TRIP:
            notes.refuse(
                f"{count} rows do not come back as they were: {name} is something else after up and down ({listed})",
                "correct up or down, or say lossy: true if that is meant",
                at=(name, "down"),
            )
        case LawKind.NOT_NULL:
            notes.refuse(
                f"{count} rows would have NULL in {name} ({listed})", "give them a value in up", at=(name, "not_null")
            )
        case LawKind.CHECK:
            notes.refuse(
                f"{count} rows would violate CHECK ({law.column.check}) of {name} ({listed})",
                "mend them, or the condition",
                at=(name, "check"),
            )


async def _check_uniqueness_and_references(
    connection: Connection, migration: Migration, key: Key, notes: Notes
) -> None:
    for change in migration.changes:
        for column in change.new:
            if column.unique:
                found = await connection.fetch(duplicates_sql(migration, change, column, key))
                for value, keys in found:
                    listed = "; ".join(key.describe(tuple(k)) for k in keys)
                    notes.refuse(
                        f"{column.name} would not be unique: {value!r} in several rows ({listed})",
                        "mend them, or leave unique out",
                        at=(column.name, "unique"),
                    )
            if column.references is not None:
                await _check_references(connection, migration, change, column, key, notes)


async def _check_references(
    connection: Connection, migration: Migration, change: ColumnChange, column: ManagedColumn, key: Key, notes: Notes
) -> None:
    assert column.references is not None
    referenced, target = referenced_column(column.references)
    table = quote_table(referenced)
    at = (column.name, "references")
    if await connection.fetchval("SELECT to_regclass($1::text)", table) is None:
        notes.refuse(f"{column.name} references {referenced}, which is not there", "create it first", at=at)
        return
    candidates = await connection.fetch(
        "SELECT a.attname::text FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid = $1::text::regclass AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL"
        " AND ($2::text IS NULL AND i.indisprimary OR a.attname = $2)",
        *(table, target),
    )
    if not candidates:
        notes.refuse(
            f"{column.name} references {referenced}{f'({target})' if target else ''}, which is not unique there",
            "a foreign key needs a primary key or a unique constraint of one column",
            at=at,
        )
        return
    try:
        orphans = await connection.fetch(orphans_sql(migration, change, column, key, table, candidates[0][0]))
    except asyncpg.UndefinedFunctionError as error:
        notes.refuse(f"{column.name} cannot be compared with {referenced}: {error}", "take the same type", at=at)
        return
    if orphans:
        listed = "; ".join(f"{key.describe(tuple(k))} ({value!r})" for value, k in orphans)
        notes.refuse(f"rows would reference what {referenced} does not have: {listed}", "mend them first", at=at)
