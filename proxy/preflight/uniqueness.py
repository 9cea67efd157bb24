"""What one row cannot tell: whether new values are unique, and whether what they reference is there."""

from __future__ import annotations

import json
from collections.abc import Sequence

import asyncpg

from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.database import Connection
from proxy.preflight.extent import gently, settled
from proxy.preflight.findings import Notes, Severity
from proxy.preflight.verdicts import Tallies
from rules.batches import Key
from rules.changes import ManagedColumn, quote_table, referenced_column
from rules.laws import Ask, Question, duplicates_sql, orphans_sql
from rules.migration import Migration


async def check_uniqueness(
    connection: Connection,
    migration: Migration,
    key: Key,
    asked: Sequence[Question],
    tallies: Tallies,
    seconds: float,
    notes: Notes,
) -> None:
    """Duplicates among all rows whose value can be computed, also where rows were only sampled."""
    for question in _values(asked):
        column = question.column
        if not column.unique:
            continue
        failing = tallies.failing(question)
        sql = duplicates_sql(migration, question.change, column, key, excluding=bool(failing))
        found = None
        if not tallies.is_partial(question):
            found = await _ask(connection, sql, failing, seconds)
        if found is None:
            _unknown(
                f"whether {column.name} would be unique",
                not tallies.is_partial(question),
                seconds,
                (column.name, "unique"),
                notes,
            )
        elif found:
            values, rows = found[0][2:]
            pairs = [(value, [key.describe(tuple(k)) for k in keys]) for value, keys, *_ in found]
            listed = "; ".join(f"{value!r} ({'; '.join(keys)})" for value, keys in pairs)
            more = f"; and {values - len(found)} more values" if values > len(found) else ""
            notes.add_rows(
                Severity.REFUSAL,
                f"{column.name} would not be unique: {rows:,} rows would share {values:,} values: {listed}{more}",
                "mend them, or leave unique out",
                (column.name, "unique"),
                count=rows,
                keys=tuple(k for _, keys in pairs for k in keys),
            )


async def check_references(
    connection: Connection,
    migration: Migration,
    key: Key,
    asked: Sequence[Question],
    tallies: Tallies,
    seconds: float,
    notes: Notes,
) -> None:
    """What is referenced can be, and every value that can be computed is there."""
    for question in _values(asked):
        column = question.column
        if column.references is None:
            continue
        target = await _find_target(connection, column, notes)
        if target is None:
            continue
        failing = tallies.failing(question)
        at = (column.name, "references")
        referenced, _ = referenced_column(column.references)
        table = quote_table(referenced)
        sql = orphans_sql(migration, question.change, column, key, table, target, excluding=bool(failing))
        found = None
        try:
            if not tallies.is_partial(question):
                found = await _ask(connection, sql, failing, seconds)
        except asyncpg.UndefinedFunctionError as error:
            notes.refuse(f"{column.name} cannot be compared with {referenced}: {error}", "take the same type", at=at)
            continue
        if found is None:
            _unknown(
                f"whether {referenced} has what {column.name} references",
                not tallies.is_partial(question),
                seconds,
                at,
                notes,
            )
        elif found:
            rows = found[0][2]
            keys = [key.describe(tuple(k)) for _, k, _ in found]
            listed = "; ".join(f"{k} ({value!r})" for k, (value, *_) in zip(keys, found, strict=True))
            more = f"; and {rows - len(found)} more" if rows > len(found) else ""
            message = f"{rows:,} rows would reference what {referenced} does not have: {listed}{more}"
            notes.add_rows(Severity.REFUSAL, message, "mend them first", at, count=rows, keys=tuple(keys))


def _values(asked: Sequence[Question]) -> list[Question]:
    return [q for q in asked if q.ask is Ask.UP]


async def _ask(
    connection: Connection, sql: str, excluded: Sequence[Sequence[str]], seconds: float
) -> list[asyncpg.Record] | None:
    """None if there is no answer in that time, or a row has begun to fail meanwhile."""
    parameters = [json.dumps([list(k) for k in excluded])] if excluded else []
    try:
        async with settled(connection, gently(seconds)):
            return list(await connection.fetch(sql, *parameters))
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
        return None
    except asyncpg.PostgresError as error:
        if not belongs_to_a_row(error):
            raise
        return None


def _unknown(what: str, could_ask: bool, seconds: float, at: tuple[str, str], notes: Notes) -> None:
    why = f"no answer within {seconds:g} s" if could_ask else "too many rows fail before it"
    notes.warn(
        f"it is not known {what}: {why}",
        "check --all-rows takes longer; the step that needs it finds out, and stays where it is" if could_ask else "",
        at=at,
    )


async def _find_target(connection: Connection, column: ManagedColumn, notes: Notes) -> str | None:
    """The column that is referenced, if it can be."""
    assert column.references is not None
    referenced, target = referenced_column(column.references)
    table = quote_table(referenced)
    at = (column.name, "references")
    if await connection.fetchval("SELECT to_regclass($1::text)", table) is None:
        notes.refuse(f"{column.name} references {referenced}, which is not there", "create it first", at=at)
        return None
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
        return None
    return str(candidates[0][0])
