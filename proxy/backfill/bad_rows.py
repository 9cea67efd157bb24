"""Rows that cannot be converted: listed in the database with key, value and PostgreSQL's error."""

from __future__ import annotations

import asyncpg

from proxy.backfill.drive import Cursor, one_line
from proxy.backfill.ranges import Job
from proxy.database import Connection
from rules.batches import source_sql

#: How many a command names at most; the table has all of them.
MOST_NAMED = 1000


async def record(
    connection: Connection, job: Job, row: Cursor, error: asyncpg.PostgresError, *, round_: int, outcome: str | None
) -> None:
    """In the transaction that goes past the row. `outcome`: None if it stays as it is, `default` if it got one."""
    value = await connection.fetchval(source_sql(job.migration, job.key, job.state), *row)
    await connection.execute(
        "INSERT INTO pgjanus.backfill_bad_rows"
        " (migration, state, key, description, value, sqlstate, error, outcome, round)"
        " VALUES ($1, $2, $3, $4, $5::text::json, $6, $7, $8, $9)"
        " ON CONFLICT (migration, state, key) DO UPDATE SET value = excluded.value, sqlstate = excluded.sqlstate,"
        " error = excluded.error, outcome = excluded.outcome, round = excluded.round, found_at = excluded.found_at",
        *(*job.name, list(row), job.key.describe(row), value, error.sqlstate, one_line(error), outcome, round_),
    )


async def count(connection: Connection, job: Job, round_: int) -> int:
    """How many of that round are as they were."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM pgjanus.backfill_bad_rows"
            " WHERE migration = $1 AND state = $2 AND round = $3 AND outcome IS NULL",
            *(*job.name, round_),
        )
    )


async def named(connection: Connection, job: Job) -> tuple[tuple[str, str], ...]:
    """The first `MOST_NAMED` that are as they were: (`id=7`, PostgreSQL's error)."""
    rows = await connection.fetch(
        "SELECT description, error FROM pgjanus.backfill_bad_rows"
        " WHERE migration = $1 AND state = $2 AND outcome IS NULL ORDER BY found_at, key LIMIT $3",
        *(*job.name, MOST_NAMED),
    )
    return tuple((r["description"], r["error"]) for r in rows)


async def forget_before(connection: Connection, job: Job, round_: int) -> None:
    """Those that an earlier round met and this one did not: somebody has mended them."""
    await connection.execute(
        "DELETE FROM pgjanus.backfill_bad_rows WHERE migration = $1 AND state = $2 AND round < $3 AND outcome IS NULL",
        *(*job.name, round_),
    )
