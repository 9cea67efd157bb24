"""Statements from a live server's pg_stat_statements."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from proxy.database import Connection
from rules.changes import quote_identifier
from rules.errors import PgjanusError

_NO_RIGHT = "<insufficient privilege>"
_HOW_TO = (
    "set shared_preload_libraries = 'pg_stat_statements' (with a restart), and run"
    " CREATE EXTENSION pg_stat_statements in this database; its package is postgresql-contrib on most systems"
)


class NoStatistics(PgjanusError):
    """pg_stat_statements cannot be read: what is missing, and how to get it"""


async def read_statistics(connection: Connection) -> AsyncIterator[tuple[str, int]]:
    """(text with $n in place of constants, calls) of this database, one at a time.

    Raises:
        NoStatistics: the extension is not there, not loaded, or may not be read.
    """
    schema = await connection.fetchval(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'pg_stat_statements' AND c.relkind IN ('v', 'r')"
        " ORDER BY n.nspname = 'public' DESC, n.nspname LIMIT 1"
    )
    if schema is None:
        raise NoStatistics(f"there is no pg_stat_statements in this database: {_HOW_TO}")
    query = (
        f"SELECT s.query, s.calls FROM {quote_identifier(schema)}.pg_stat_statements s"
        " WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.query IS NOT NULL"
    )
    hidden = 0
    try:
        async with connection.transaction(readonly=True):
            async for row in connection.cursor(query):
                if row["query"] == _NO_RIGHT:
                    hidden += 1
                else:
                    yield row["query"], row["calls"]
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise NoStatistics(f"pg_stat_statements is not loaded: {_HOW_TO}") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise NoStatistics("this role may not read pg_stat_statements: GRANT pg_read_all_stats TO it") from error
    if hidden:
        raise NoStatistics(f"the texts of {hidden} statements are hidden from this role: GRANT pg_read_all_stats TO it")
