"""Which rows are asked: all of a small table, some of a large one; and how gently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from proxy.backfill import ranges
from proxy.backfill.drive import Cursor
from proxy.database import Connection
from rules.batches import Key, bounds_sql
from rules.catalog import TableName

#: A sample is so many runs of neighbouring rows, spread over the table.
_RUNS = 200
#: Not fewer in a run: keys that follow a pattern would be met at the same place in each.
_LEAST_RUN = 10
_PLANNING_SECONDS = 60
#: Questions to the whole table at once, such as for duplicates: of one that is read as a whole, and of a sampled one.
_WHOLE_TABLE_SECONDS = 60
_SAMPLED_TABLE_SECONDS = 10
_UNBOUNDED_SECONDS = 3600

# Keys are kept as text, and values are compared as such: these make that exact, whatever the role's defaults are.
_SETTINGS = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # An error rather than silently no rows for a role that row security applies to (TRAPS.md A18).
    "row_security": "off",
    "lock_timeout": "2s",
    "max_parallel_workers_per_gather": "0",
    "default_transaction_read_only": "on",
}
#: One access path is right for every chunk, the key's index.
IN_CHUNKS = {"enable_sort": "off", "synchronize_seqscans": "off"}


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows to ask: all of a table of up to `most_rows`, else a sample of `sample_rows`; None: all, always."""

    sample_rows: int | None = 100_000
    most_rows: int = 1_000_000


USUAL = Extent()
ALL_ROWS = Extent(None)


@dataclass(frozen=True, slots=True)
class Run:
    """Rows after `low` up to `high`, the first `rows` of them; None is open, or all."""

    low: Cursor | None = None
    high: Cursor | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What to ask.

    Attributes:
        whole_table_seconds: that a question to the whole table at once may take.
        table_rows: about how many the table has, if the runs are a sample of them.
    """

    whole_table_seconds: float
    runs: tuple[Run, ...] = (Run(),)
    table_rows: int | None = None


async def select(connection: Connection, table: TableName, key: Key, extent: Extent) -> Selection:
    """Decide what to ask, from the table's size now."""
    if extent.sample_rows is None:
        return Selection(_UNBOUNDED_SECONDS)
    async with settled(connection, gently(_PLANNING_SECONDS)):
        rows, _ = await ranges.estimate_table(connection, table)
        if rows <= extent.most_rows:
            return Selection(_WHOLE_TABLE_SECONDS)
        cuts = await _cuts(connection, table, key, max(1, min(_RUNS, extent.sample_rows // _LEAST_RUN)))
    edges: list[Cursor | None] = [None, *cuts, None]
    each = -(-extent.sample_rows // (len(edges) - 1))
    runs = tuple(Run(low, high, each) for low, high in pairwise(edges))
    return Selection(_SAMPLED_TABLE_SECONDS, runs, rows)


async def _cuts(connection: Connection, table: TableName, key: Key, parts: int) -> Sequence[Cursor]:
    if parts < 2:
        return ()
    if key.is_physical:
        return ranges.block_cuts(await ranges.count_pages(connection, table), parts)
    percent = await ranges.sample_percent(connection, table)
    found = await connection.fetch(bounds_sql(table, key, None), percent, parts)
    return list(dict.fromkeys(tuple(r[0]) for r in found))


@asynccontextmanager
async def settled(connection: Connection, settings: Mapping[str, str]) -> AsyncIterator[None]:
    """These settings for a while; no transaction, so that every statement's snapshot and lock end with it."""
    names = list(settings)
    query = "SELECT n, current_setting(n) FROM unnest($1::text[]) AS n"
    before = dict(await connection.fetch(query, names))
    await _set(connection, settings)
    try:
        yield
    finally:
        if not connection.is_closed():
            await _set(connection, before)


async def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    await connection.execute(
        "SELECT set_config(n, v, false) FROM unnest($1::text[], $2::text[]) AS s (n, v)",
        *(list(settings), list(settings.values())),
    )


def gently(seconds: float) -> dict[str, str]:
    """Settings for questions to rows: exact, read only, and given up after that time."""
    return {**_SETTINGS, "statement_timeout": f"{round(seconds * 1000)}ms"}
