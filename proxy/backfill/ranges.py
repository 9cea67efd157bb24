"""The parts of a table, each one's cursor, and who may take the next batch of it.

    plan ──► ranges ──claim (FOR UPDATE SKIP LOCKED)──► one batch ──advance──► … until no range is left ──► next round

Cursor and rows commit together (TRAPS.md C10). A range that is done may still hold rows in the state that is to be
emptied: rows that were locked, and rows that came after it. The scan at the end of a round finds them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from proxy.backfill.drive import Cursor
from proxy.database import Connection
from rules.batches import Key, bounds_sql, sample_count_sql
from rules.catalog import TableName
from rules.changes import quote_table
from rules.migration import Migration
from rules.pace import BackfillSettings
from rules.phases import RowState

#: A range is about that long: one statement may have to read all of it to find nothing to do.
ROWS_PER_RANGE = 25_000
MOST_RANGES = 20_000
_SAMPLE_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """One row state of one table to be emptied, and who we are while we do it."""

    migration: Migration
    state: RowState
    key: Key
    worker: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def name(self) -> tuple[str, str]:
        return self.migration.name, self.state.value


@dataclass(frozen=True, slots=True)
class Claim:
    """A range whose row this transaction has locked: rows after the cursor, up to `high`; None is open."""

    number: int
    cursor: Cursor | None
    high: Cursor | None
    round: int

    @property
    def bounds(self) -> Cursor:
        """The parameters of a statement that has this range's bounds, in their order."""
        return *(self.cursor or ()), *(self.high or ())


async def claim(connection: Connection, job: Job, settings: BackfillSettings, last: int | None) -> Claim | None:
    """Lock a range with something left, until the transaction ends; None: there is none that nobody else has.

    The transaction gets the timeouts of the settings as well.

    Args:
        last: the range that this worker had before, which it goes on with. Else one that nobody has begun.
    """
    row = await connection.fetchrow(
        "SELECT r.number, coalesce(r.cursor, r.low), r.high,"
        " (SELECT round FROM pgjanus.backfills WHERE migration = $1 AND state = $2),"
        " set_config('lock_timeout', $4, true), set_config('statement_timeout', $5, true),"
        " set_config('synchronous_commit', $6, true)"
        " FROM pgjanus.backfill_ranges r WHERE r.migration = $1 AND r.state = $2 AND NOT r.done"
        " ORDER BY r.number = coalesce($3::int, -1) DESC, (r.cursor IS NULL) DESC, r.number"
        " LIMIT 1 FOR NO KEY UPDATE OF r SKIP LOCKED",
        *(*job.name, last, str(settings.lock_timeout_ms), str(settings.statement_timeout_ms)),
        settings.synchronous_commit,
    )
    if row is None:
        return None
    number, cursor, high, round_, *_ = row
    return Claim(number, tuple(cursor) if cursor else None, tuple(high) if high else None, round_ or 0)


async def advance(
    connection: Connection, job: Job, claimed: Claim, *, rows: int, cursor: Cursor | None, done: bool, bad: int = 0
) -> None:
    """In the transaction of the batch: the cursor can never be ahead of the rows."""
    await connection.execute(
        "UPDATE pgjanus.backfill_ranges SET cursor = coalesce($4, cursor), rows_done = rows_done + $5, done = $6,"
        " bad_rows = bad_rows + $7, worker = $8, updated_at = clock_timestamp()"
        " WHERE migration = $1 AND state = $2 AND number = $3",
        *(*job.name, claimed.number, list(cursor) if cursor else None, rows, done, bad, job.worker),
    )


async def any_left(connection: Connection, job: Job) -> bool:
    """Whether a range of this round is not finished, whoever has it."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pgjanus.backfill_ranges WHERE migration = $1 AND state = $2 AND NOT done)",
            *job.name,
        )
    )


async def rows_done(connection: Connection, job: Job) -> int:
    """By all workers, since the state began to be emptied."""
    done = await connection.fetchval(
        "SELECT sum(rows_done) FROM pgjanus.backfill_ranges WHERE migration = $1 AND state = $2", *job.name
    )
    return int(done or 0)


async def begin_again(connection: Connection, job: Job) -> None:
    """All ranges from their beginnings, for another round."""
    await connection.execute(
        "UPDATE pgjanus.backfill_ranges SET cursor = NULL, done = false, bad_rows = 0"
        " WHERE migration = $1 AND state = $2",
        *job.name,
    )


async def estimate(connection: Connection, job: Job) -> int:
    """Rows in the state, from a sample of the table's pages; exact where the table is as small as the sample."""
    percent = await sample_percent(connection, job.migration.table)
    found = await connection.fetchval(sample_count_sql(job.migration.table, job.state), percent)
    return round(int(found) * 100 / percent)


async def estimate_table(connection: Connection, table: TableName) -> tuple[int, bool]:
    """All rows of a table, and whether they are counted rather than extrapolated from a sample of its pages."""
    percent = await sample_percent(connection, table)
    found = await connection.fetchval(
        f"SELECT count(*) FROM {quote_table(table)} TABLESAMPLE SYSTEM ($1::float4)", percent
    )
    return round(int(found) * 100 / percent), percent == 100.0


async def plan(connection: Connection, job: Job, rows: int) -> int:
    """Cut the table into ranges of about `ROWS_PER_RANGE` of the `rows` that there are to do; returns how many.

    The cuts are quantiles of a fresh sample, as ANALYZE takes one: statistics that are there may be old, and have
    nothing on several columns together. Without a key a range is a run of blocks.
    """
    await connection.execute("DELETE FROM pgjanus.backfill_ranges WHERE migration = $1 AND state = $2", *job.name)
    parts = max(1, min(MOST_RANGES, rows // ROWS_PER_RANGE))
    cuts = await (_block_cuts if job.key.is_physical else _key_cuts)(connection, job, parts)
    edges: list[Sequence[str] | None] = [None, *cuts, None]
    await connection.executemany(
        "INSERT INTO pgjanus.backfill_ranges (migration, state, number, low, high) VALUES ($1, $2, $3, $4, $5)",
        [(*job.name, i, low, high) for i, (low, high) in enumerate(pairwise(edges))],
    )
    return len(edges) - 1


async def _key_cuts(connection: Connection, job: Job, parts: int) -> list[Cursor]:
    if parts == 1:
        return []
    percent = await sample_percent(connection, job.migration.table)
    found = await connection.fetch(bounds_sql(job.migration.table, job.key, job.state), percent, parts)
    # A sample can hold equal keys only where rows moved while it was taken; an empty range is no harm, but no use.
    return list(dict.fromkeys(tuple(r[0]) for r in found))


async def _block_cuts(connection: Connection, job: Job, parts: int) -> list[Cursor]:
    return block_cuts(await count_pages(connection, job.migration.table), parts)


def block_cuts(pages: int, parts: int) -> list[Cursor]:
    """Places that cut so many pages into about equal parts: one less than there are parts, or fewer."""
    blocks = sorted({pages * i // parts for i in range(1, parts)} - {0})
    # Rows are counted from 1 in each block: "after (7,0)" begins with block 7, and "up to (7,0)" ends before it.
    return [(f"({block},0)",) for block in blocks]


async def count_pages(connection: Connection, table: TableName) -> int:
    """Of the table and its partitions."""
    # An empty table has one page, so that there is something to take a percentage of.
    return int(
        await connection.fetchval(
            "SELECT greatest(1, coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(t.name)),"
            " pg_relation_size(t.name)) / current_setting('block_size')::int8)"
            " FROM (SELECT format('%I.%I', $1::text, $2::text)::regclass) AS t (name)",
            *(table.schema, table.name),
        )
    )


async def sample_percent(connection: Connection, table: TableName) -> float:
    """Of its pages, for TABLESAMPLE SYSTEM: all of a small table."""
    return min(100.0, 100.0 * _SAMPLE_PAGES / await count_pages(connection, table))
