"""Whether PostgreSQL takes every expression: on an empty copy of the table, in a transaction that is rolled back."""

from __future__ import annotations

from dataclasses import replace

import asyncpg

from proxy.database import Connection
from proxy.preflight.findings import Notes
from rules import reads
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl.attributes import Kind, attributes
from rules.ddl.statements import expand
from rules.migration import Migration
from rules.phases import Shape

# `pg_temp` is this session's own schema: nobody else sees the copy, and no name of the user's can be in the way.
_COPY = TableName("pg_temp", "_pgjanus_preflight")


#: A rewrite of so much takes some milliseconds.
REWRITTEN_UP_TO_BYTES = 4_000_000


class _RolledBack(Exception):
    """Leaves the transaction."""


async def check_expressions(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> bool:
    """Types exist, defaults fit, `up` and `down` are valid and IMMUTABLE, attributes can be made; False if not all."""
    before = len(notes.findings)
    try:
        async with connection.transaction():
            await connection.execute(
                f"CREATE TEMP TABLE {quote_identifier(_COPY.name)} (LIKE {quote_table(relation.table)})"
            )
            await _check_all(connection, relation, replace(migration, table=_COPY), notes)
            raise _RolledBack
    except _RolledBack:
        pass
    return len(notes.findings) == before


async def _check_all(connection: Connection, relation: Relation, copy: Migration, notes: Notes) -> None:
    dropped = [c.name for c in relation.columns if c.name.startswith("_pgjanus_")]
    for name in dropped:
        await connection.execute(f"ALTER TABLE {quote_table(_COPY)} DROP COLUMN {quote_identifier(name)}")
    types_exist = True
    for change in copy.changes:
        for column in change.new:
            error = await _attempt(connection, f"SELECT NULL::{column.type}")
            if error is not None:
                types_exist = False
                notes.refuse(f"type of {column.name}: {error}", _hint(error), at=(column.name, "type"))
    if not types_exist:
        return
    without_defaults = replace(
        copy,
        changes=tuple(replace(c, new=tuple(replace(n, default=None) for n in c.new)) for c in copy.changes),
    )
    for statement in expand(without_defaults, relation):
        error = await _attempt(connection, statement.sql)
        if error is not None:
            notes.refuse(f"adding the columns: {error}", _hint(error))
            return
    await _check_domains(connection, relation, copy, notes)
    for change in copy.changes:
        for shape, word in ((Shape.NEW, "up"), (Shape.OLD, "down")):
            for column in change.side(shape):
                sql = reads.converted(change, column, shape, "")
                # Any type has IS NOT NULL, whereas only some can be indexed themselves.
                error = await _attempt(
                    connection, f"CREATE INDEX ON {quote_table(_COPY)} ((1)) WHERE ({sql}) IS NOT NULL"
                )
                if error is not None:
                    message = f"{word} of {column.name}: {error}"
                    notes.refuse(message, _hint(error), at=(column.name, word))
        for column in change.new:
            if column.default is not None:
                error = await _attempt(
                    connection,
                    f"ALTER TABLE {quote_table(_COPY)} ALTER COLUMN {quote_identifier(column.physical)}"
                    f" SET DEFAULT {column.default}",
                )
                if error is not None:
                    notes.refuse(f"default of {column.name}: {error}", _hint(error), at=(column.name, "default"))
    for attribute in attributes(copy):
        match attribute.kind:
            case Kind.REFERENCES:
                continue
            case Kind.UNIQUE | Kind.INDEX:
                unique = "UNIQUE " if attribute.kind is Kind.UNIQUE else ""
                name = quote_identifier(attribute.column.physical)
                sql = f"CREATE {unique}INDEX ON {quote_table(_COPY)} ({name})"
            case _:
                sql = attribute.add.sql
        error = await _attempt(connection, sql)
        if error is not None:
            key = {Kind.NOT_NULL: "not_null", Kind.CHECK: "check", Kind.UNIQUE: "unique", Kind.INDEX: "index"}
            at = (attribute.column.name, key[attribute.kind])
            notes.refuse(f"{attribute}: {error}", _hint(error), at=at)


# Since the beginning and up to PostgreSQL 18, ALTER TABLE ADD COLUMN checks such a domain row by row (ATExecAddColumn).
_CONSTRAINED_DOMAINS = """
WITH RECURSIVE types(column_name, type, base) AS (
    SELECT attname::text, format_type(atttypid, NULL), atttypid FROM pg_attribute
     WHERE attrelid = $1::text::regclass AND attname = ANY ($2::text[])
    UNION ALL
    SELECT s.column_name, s.type, t.typbasetype FROM types s JOIN pg_type t ON t.oid = s.base WHERE t.typtype = 'd')
SELECT DISTINCT s.column_name, s.type FROM types s JOIN pg_type t ON t.oid = s.base
 WHERE t.typnotnull OR EXISTS (SELECT FROM pg_constraint c WHERE c.contypid = t.oid)"""


async def _check_domains(connection: Connection, relation: Relation, copy: Migration, notes: Notes) -> None:
    size = await connection.fetchval("SELECT pg_table_size($1::int8::oid::regclass)", relation.oid)
    if size <= REWRITTEN_UP_TO_BYTES:
        return
    names = {c.physical: c.name for change in copy.changes for c in change.new}
    for physical, domain in await connection.fetch(_CONSTRAINED_DOMAINS, quote_table(_COPY), list(names)):
        notes.refuse(
            f"{names[physical]} has the domain {domain}, which has constraints, and to add such a column PostgreSQL"
            f" rewrites the table ({size / 1e6:,.0f} MB) while nobody can use it",
            "give the new column the domain's base type, and its condition as check and not_null",
            at=(names[physical], "type"),
        )


async def _attempt(connection: Connection, sql: str) -> asyncpg.PostgresError | None:
    """Execute in a savepoint; the error, if any."""
    try:
        async with connection.transaction():
            await connection.execute(sql)
    except asyncpg.PostgresError as error:
        return error
    return None


def _hint(error: asyncpg.PostgresError) -> str:
    match error.sqlstate:
        case "42P17" | "42P16":
            return (
                "it must be IMMUTABLE, the same in every session: no now(), no time zone, no concat() or to_char() of a"
                " timestamp; a cast may depend on DateStyle"
            )
        case "42883" | "42704" | "3F000":
            return "names are looked up in pg_catalog alone: put the schema in front of your own functions and types"
        case "42846":
            return "write up and down as expressions that say how to convert"
        case _:
            return str(getattr(error, "hint", None) or "")
