"""Who stands in the way of a lock: process, application, state, age of the transaction and query, for a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from proxy.database import Connection, connect
from rules.catalog import TableName
from rules.changes import quote_table
from rules.ddl.statements import Lock
from rules.errors import PgjanusError

_SHOWN = 3
_QUERY_CHARS = 120
_WATCH_AFTER_SECONDS = 1.0
_WATCH_EVERY_SECONDS = 1.0
_AUTOVACUUM = "autovacuum worker"
_VACUUMS_LOCK = "ShareUpdateExclusiveLock"

_MODES = "AccessShare RowShare RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive"
#: The weakest mode that is in the way of each; https://www.postgresql.org/docs/current/explicit-locking.html.
_CONFLICTS_FROM = {
    Lock.ACCESS_EXCLUSIVE: "AccessShare",
    Lock.SHARE_ROW_EXCLUSIVE: "RowExclusive",
    Lock.SHARE: "RowExclusive",
    Lock.SHARE_UPDATE_EXCLUSIVE: "ShareUpdateExclusive",
}

# A prepared transaction has no process; its own transaction's number is the object of another lock that it holds.
_SHOW = """
SELECT s.pid, a.application_name, a.state, a.query, a.backend_type, p.gid, p.owner::text AS owner,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 AS age_s,
       s.mode, count(*) OVER () AS total
  FROM ({0}) s(pid, virtualtransaction, mode)
  LEFT JOIN pg_stat_activity a ON a.pid = s.pid
  LEFT JOIN pg_locks x ON s.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
                      AND x.virtualtransaction = s.virtualtransaction
  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
 ORDER BY coalesce(a.xact_start, p.prepared) LIMIT {1}"""

_ON_TABLES = """
WITH tables AS (SELECT to_regclass(name)::oid AS relation FROM unnest($1::text[]) n(name))
SELECT l.pid, l.virtualtransaction, min(l.mode) FROM pg_locks l
 WHERE l.locktype = 'relation' AND l.granted AND l.mode = ANY ($2::text[]) AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation IN (SELECT relation FROM tables
                      UNION SELECT p.relid FROM tables, pg_partition_tree(relation::regclass) p)
 GROUP BY 1, 2"""

_OLDEST = """
SELECT pid, NULL, NULL FROM pg_stat_activity
 WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()
 ORDER BY xact_start LIMIT 1"""

_OF_SESSION = "SELECT DISTINCT nullif(pid, 0), NULL, NULL FROM unnest(pg_blocking_pids($1::int4)) b(pid)"


@dataclass(frozen=True, slots=True)
class Blocker:
    """One session or prepared transaction; `pid` is None for the latter."""

    pid: int | None
    description: str
    #: An autovacuum worker (perhaps) that PostgreSQL ends when somebody has waited for it for deadlock_timeout.
    makes_way: bool

    def __str__(self) -> str:
        return self.description


@dataclass(frozen=True, slots=True)
class Blockers:
    """The oldest of them first; `more` are not shown."""

    shown: tuple[Blocker, ...] = ()
    more: int = 0

    def __bool__(self) -> bool:
        return bool(self.shown)

    def __str__(self) -> str:
        if not self.shown:
            return "somebody who is gone now; try again"
        return "; ".join([*map(str, self.shown), *([f"and {self.more} more"] if self.more else [])])


async def holders(connection: Connection, tables: Iterable[TableName], lock: Lock) -> Blockers:
    """Who has one of the tables, or a part of it, locked in a way that is in the way of `lock`."""
    modes = _MODES.split()
    conflicting = [f"{mode}Lock" for mode in modes[modes.index(_CONFLICTS_FROM[lock]) :]]
    return await _find(connection, _ON_TABLES, [quote_table(t) for t in tables], conflicting)


async def blockers_of(connection: Connection, pid: int) -> Blockers:
    """Whom the session `pid` waits for right now, whatever it is that they hold."""
    return await _find(connection, _OF_SESSION, pid)


async def oldest_transaction(connection: Connection) -> Blockers:
    """CREATE INDEX CONCURRENTLY waits for every transaction that began before it, whatever it touches."""
    return await _find(connection, _OLDEST)


async def describe_session(connection: Connection, pid: int) -> str:
    """`pid 4711 (application, state, for 3.5 s): query`."""
    return str(await _find(connection, "SELECT $1::int4, NULL, NULL", pid))


async def _find(connection: Connection, sessions: str, *arguments: object) -> Blockers:
    rows = await connection.fetch(_SHOW.format(sessions, _SHOWN), *arguments)
    return Blockers(tuple(map(_blocker, rows)), rows[0]["total"] - len(rows) if rows else 0)


@asynccontextmanager
async def watching(url: str, pid: int, tell: Callable[[Blockers], None]) -> AsyncIterator[None]:
    """While the block waits for a statement of session `pid`, `tell` once a second who blocks that one."""
    watch = asyncio.create_task(_watch(url, pid, tell))
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch(url: str, pid: int, tell: Callable[[Blockers], None]) -> None:
    await asyncio.sleep(_WATCH_AFTER_SECONDS)
    # What is not known cannot be said; whoever waits finds out by waiting.
    with suppress(PgjanusError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection = await connect(url, "pgjanus watch")
        try:
            while True:
                if found := await blockers_of(connection, pid):
                    tell(found)
                await asyncio.sleep(_WATCH_EVERY_SECONDS)
        finally:
            connection.terminate()


def _blocker(row: asyncpg.Record) -> Blocker:
    age = f"for {row['age_s']:.1f} s" if row["age_s"] is not None else "for an unknown time"
    if row["pid"] is None:
        name = f" {row['gid']!r} of {row['owner']}, {age}" if row["gid"] is not None else ""
        return Blocker(None, f"a prepared transaction{name} (pg_prepared_xacts): COMMIT PREPARED or ROLLBACK it", False)
    if row["backend_type"] is None:
        # Others' sessions are hidden from roles without pg_read_all_stats; VACUUM has its lock alone to be known by.
        text = f"pid {row['pid']} (what it does is not shown to a role without pg_read_all_stats)"
        return Blocker(row["pid"], text, row["mode"] == _VACUUMS_LOCK)
    query = " ".join((row["query"] or "").split())[:_QUERY_CHARS]
    is_autovacuum = row["backend_type"] == _AUTOVACUUM
    must_not = is_autovacuum and "(to prevent wraparound)" in query
    if must_not:
        query += " (nobody calls that off: wait until it is done)"
    text = f"pid {row['pid']} ({row['application_name'] or row['backend_type']}, {row['state']}, {age}): {query}"
    return Blocker(row["pid"], text, is_autovacuum and not must_not)
