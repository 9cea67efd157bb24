"""The connection of a side worker (backfill, verify): settings that make its statements cheap, exact and polite."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

from proxy.database import Connection, connect
from rules.batches import PHYSICAL_KEY, Key, KeyColumn
from rules.changes import quote_table
from rules.errors import PgjanusError
from rules.migration import Migration

Connect = Callable[[], Awaitable[Connection]]

_SETTINGS: dict[str, str] = {
    # Cursors are kept as text: these make text → value → text exact whatever the role's defaults are.
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # An error rather than silently no rows for a role that row security applies to (TRAPS.md A18).
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "2s",
    # A batch lost in a crash is lost together with its cursor, so there is nothing to wait for.
    "synchronous_commit": "off",
    # One access path is right for every batch, the key's index; stale statistics must not choose another.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "synchronize_seqscans": "off",
    # Counting may take its time, on one core.
    "max_parallel_workers_per_gather": "0",
    # A gate that stands proves that there is no row to look for, without looking.
    "constraint_exclusion": "on",
}

#: Only superusers and grantees may say so.
_PRIVILEGED_SETTINGS: dict[str, str] = {
    # Users' triggers (updated_at, audit) must not see the backfill.
    "session_replication_role": "replica",
    # Of two sessions in a deadlock the one that looks first gives up: let it be ours.
    "deadlock_timeout": "50ms",
}


async def open_session(url: str, purpose: str) -> Connection:
    """Connect as a side worker; `purpose` ends up in `application_name`.

    Raises:
        DatabaseUnreachable: nothing is retried here.
    """
    connection = await connect(url, f"pgjanus {purpose}")
    for name, value in _SETTINGS.items():
        await connection.execute("SELECT set_config($1, $2, false)", name, value)
    for name, value in _PRIVILEGED_SETTINGS.items():
        with suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT set_config($1, $2, false)", name, value)
    return connection


class Session:
    """A worker connection that is opened again when it is lost."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def drop(self) -> None:
        """Forget a connection that failed: its state is not known."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=5)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()


_FIND_KEY = """
SELECT array_agg(a.attname::text ORDER BY k.n) AS names,
       array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n) AS types
  FROM pg_index i
 CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indcollation::oid[], i.indoption::int2[])
       WITH ORDINALITY AS k(attnum, coll, opt, n)
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
 WHERE i.indrelid = $1::text::regclass AND k.n <= i.indnkeyatts
   AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
 GROUP BY i.indexrelid, i.indisprimary
HAVING bool_and(coalesce(a.attnotnull AND k.opt = 0 AND k.coll = a.attcollation, false)
                AND a.attname <> ALL ($2::text[]))
 ORDER BY i.indisprimary DESC, count(*), i.indexrelid
 LIMIT 1"""


async def find_key(connection: Connection, migration: Migration) -> Key:
    """The primary key; else a unique index over NOT NULL columns in plain order; else the physical place of rows.

    Columns that the migration itself changes are no key to walk along.

    Raises:
        PgjanusError: there is no such table.
    """
    table = quote_table(migration.table)
    kind = await connection.fetchval("SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1::text)", table)
    if kind is None:
        raise PgjanusError(f"there is no table {migration.table} in this database")
    managed = [c.physical for change in migration.changes for c in (*change.old, *change.new)]
    found = await connection.fetchrow(_FIND_KEY, table, managed)
    if found is None:
        return PHYSICAL_KEY
    columns = tuple(KeyColumn(name, type_) for name, type_ in zip(found["names"], found["types"], strict=True))
    return Key(columns, of_partitions=kind == "p")
