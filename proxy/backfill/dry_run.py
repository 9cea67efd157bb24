"""What a backfill would do: one real batch, and up to ten rows of it shown, in a transaction that is rolled back.

    started ──► the table itself: a range of it, locked as a worker locks it ─┐
    a file  ──► a temporary copy of some rows, with the new columns ──────────┴► batch ──► the same rows, one by one

Same SQL and session settings as a worker, users' triggers silenced where it may. Nothing is written to the tables of
pgjanus, so no cursor moves, and no claim outlives the transaction. What no rollback takes back: the room of the row
versions that were written, until the next vacuum, and numbers that triggers or functions drew from sequences.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from proxy.backfill import ranges
from proxy.backfill.drive import Cursor, one_line
from proxy.backfill.ranges import Job
from proxy.backfill.session import find_key, open_session
from proxy.backfill.sqlstate import belongs_to_a_row, is_disconnect, is_worth_a_retry
from proxy.backfill.throttle import START_ROWS
from proxy.catalog import load_relation
from proxy.control.installation import is_installed, require_installed
from proxy.control.registry import read_managed_table, read_state
from proxy.database import Connection
from rules.batches import (
    Key,
    batch_sql,
    count_sql,
    next_key_sql,
    show_row_sql,
    states_to_empty,
    target_shape,
    with_defaults,
)
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl.statements import expand
from rules.errors import PgjanusError
from rules.migration import Migration
from rules.pace import OnError
from rules.phases import ANNOUNCED, HIDDEN_PREFIX, LADDERS, RowState, Shape, Strategy
from rules.spec import MigrationSpec

SHOWN_ROWS = 10
#: How long to wait for a range of the table that no worker has.
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_COPY = TableName("pg_temp", "_pgjanus_dry_run")


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row: its key, the columns it is computed from, the columns that would be written."""

    key: str
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be converted; `default`: it would get the default that the migration gives such rows."""

    key: str
    error: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class DryBatch:
    """What one batch of one row state would do.

    Attributes:
        rows: converted and taken back.
        rows_left: in that row state, all over the table; an estimate unless `is_exact`.
        phase: in which a worker does this, if not in the present one.
        is_copy: it was tried on a copy, without the table's indexes, constraints and triggers.
    """

    migration: str
    empties: RowState
    rows: int
    seconds: float
    rows_left: int
    is_exact: bool
    bad: tuple[BadRow, ...]
    samples: tuple[SampleRow, ...]
    phase: str | None = None
    is_copy: bool = False

    @property
    def estimated_seconds(self) -> float | None:
        """For all rows that are left, at the pace of this batch, one worker, no waiting."""
        return self.seconds * self.rows_left / self.rows if self.rows else None


async def dry_run(url: str, name: str | None = None, *, exact: bool = False) -> tuple[DryBatch, ...]:
    """Try one batch of each row state that has rows to convert, now or in another phase, of one migration or all.

    Args:
        exact: count the rows that are left, instead of estimating them.

    Raises:
        PgjanusError: unreachable, not installed, unknown or finished migration, or workers have all that is left.
        asyncpg.PostgresError: the conversion cannot work at all.
    """
    connection = await open_session(url, "backfill --dry-run")
    try:
        await require_installed(connection)
        names = [name] if name else [m.name for m in (await read_state(connection)).migrations if m.is_active]
        return tuple([batch for each in names for batch in await _try_migration(connection, each, exact)])
    finally:
        await connection.close(timeout=5)


async def dry_run_file(url: str, spec: MigrationSpec, *, exact: bool = False) -> tuple[DryBatch, ...]:
    """The same for a migration that is not started, on a temporary copy of some rows.

    Raises:
        PgjanusError: unreachable, no such table, or a migration of that name is there.
        asyncpg.PostgresError: PostgreSQL does not take the new columns or the expressions.
    """
    connection = await open_session(url, "backfill --dry-run")
    try:
        if await is_installed(connection):
            if any(m.name == spec.migration for m in (await read_state(connection)).migrations):
                raise PgjanusError(f"{spec.migration} is started already: pgjanus backfill {spec.migration} --dry-run")
        relation = await load_relation(connection, spec.table)
        if relation is None:
            raise PgjanusError(f"there is no table {spec.table} in this database")
        return (await _try_copy(connection, spec.compile(relation), relation, exact),)
    finally:
        await connection.close(timeout=5)


async def _try_migration(connection: Connection, name: str, exact: bool) -> list[DryBatch]:
    row, managed = await read_managed_table(connection, name)
    migration = managed.migration
    if not row.phase.expanded:
        return [await _try_copy(connection, migration, managed.relation, exact)]
    key = await find_key(connection, migration)
    wanted = states_to_empty(row.strategy, row.phase.name)
    found = []
    for state in (RowState.OLD, RowState.NEW):
        job = Job(migration, state, key)
        left, is_exact = await _count(connection, job, exact)
        if not left:
            continue
        batch = _Batch(migration, key, state)
        async with _rolled_back(connection):
            await batch.claim(connection, job)
            await batch.run(connection)
        elsewhere = None if state in wanted else _phase_of(row.strategy, row.phase.name, state)
        found.append(batch.report(left, is_exact, elsewhere))
    return found


async def _count(connection: Connection, job: Job, exact: bool) -> tuple[int, bool]:
    if not exact:
        left = await ranges.estimate(connection, job)
        if left:
            return left, await ranges.sample_percent(connection, job.migration.table) == 100.0
    return int(await connection.fetchval(count_sql(job.migration.table, job.state))), True


def _phase_of(strategy: Strategy, here: str, state: RowState) -> str | None:
    """The nearest phase in which a worker empties that state."""
    names = [p.name for p in LADDERS[strategy]]
    there = [n for n in names if state in states_to_empty(strategy, n)]
    return min(there, key=lambda n: abs(names.index(n) - names.index(here)), default=None)


async def _try_copy(connection: Connection, migration: Migration, relation: Relation, exact: bool) -> DryBatch:
    if exact:
        left, is_exact = int(await connection.fetchval(f"SELECT count(*) FROM {quote_table(migration.table)}")), True
    else:
        left, is_exact = await ranges.estimate_table(connection, migration.table)
    # Rows of a copy are in one place, and told apart by their key if they have one.
    key = Key((await find_key(connection, migration)).columns)
    copy = replace(migration, table=_COPY)
    batch = _Batch(copy, key, RowState.OLD)
    name = quote_table(_COPY)
    async with _rolled_back(connection):
        await connection.execute(
            f"CREATE TEMP TABLE {quote_identifier(_COPY.name)} (LIKE {quote_table(relation.table)})"
        )
        await connection.execute(f"INSERT INTO {name} SELECT * FROM {quote_table(relation.table)} LIMIT {START_ROWS}")
        for column in relation.columns:
            if column.name.startswith(HIDDEN_PREFIX):
                await connection.execute(f"ALTER TABLE {name} DROP COLUMN {quote_identifier(column.name)}")
        for statement in expand(copy, relation):
            await connection.execute(statement.sql)
        await batch.limit(connection)
        await batch.run(connection)
    first = _phase_of(migration.strategy, ANNOUNCED.name, RowState.OLD)
    return batch.report(left, is_exact, first, is_copy=True)


@dataclass(slots=True)
class _Batch:
    """What a worker does between the claim of a range and its commit: up to `START_ROWS` rows, bad ones one by one."""

    migration: Migration
    key: Key
    state: RowState
    low: Cursor | None = None
    high: Cursor | None = None
    rows: int = 0
    seconds: float = 0.0
    bad: list[BadRow] = field(default_factory=list)
    samples: list[SampleRow] = field(default_factory=list)

    async def limit(self, connection: Connection) -> None:
        """The timeouts of a batch, until the transaction ends."""
        settings = self.migration.backfill
        await connection.execute(
            "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)",
            *(str(settings.lock_timeout_ms), str(settings.statement_timeout_ms)),
        )

    async def claim(self, connection: Connection, job: Job) -> None:
        """A range that is left, so that workers keep to others meanwhile; the whole table if none is planned."""
        await self.limit(connection)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while await ranges.any_left(connection, job):
            claimed = await ranges.claim(connection, job, self.migration.backfill, None)
            if claimed is not None:
                self.low, self.high = claimed.cursor, claimed.high
                return
            if time.monotonic() > deadline:
                raise PgjanusError(
                    f"workers have all that is left of {self.migration.name}:"
                    f" pgjanus backfill {self.migration.name} --pause, then try again"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def run(self, connection: Connection) -> None:
        async with _rolled_back(connection):
            started = time.monotonic()
            await self._convert(connection)
            if not self.rows and not self.bad and (self.low or self.high):
                # What was left of that range is converted by now.
                self.low = self.high = None
                await self._convert(connection)
            self.seconds = time.monotonic() - started
        if self.rows or self.bad:
            async with _rolled_back(connection):
                await self._show(connection)

    async def _convert(self, connection: Connection) -> None:
        cursor, size, met = self.low, START_ROWS, 0
        while met < START_ROWS:
            try:
                if size > 1:
                    count, done, last = await self._take(connection, cursor, size)
                else:
                    count, done, last = await self._one(connection, cursor)
            except asyncpg.PostgresError as error:
                if size == 1 or not (belongs_to_a_row(error) or _may_pass_smaller(error)):
                    raise
                size = max(1, size // 2)
                continue
            self.rows += done
            met += count
            if count < size:
                return
            cursor = last
            size = min(2 * size, START_ROWS - met)

    async def _take(self, connection: Connection, cursor: Cursor | None, size: int) -> tuple[int, int, Cursor | None]:
        """Rows met, rows converted, the last one's key."""
        limits = {"after": cursor is not None, "until": self.high is not None}
        async with connection.transaction():
            sql = batch_sql(self.migration, self.key, self.state, **limits, wait=False)
            row = await connection.fetchrow(sql, size, *(cursor or ()), *(self.high or ()))
        assert row is not None
        return int(row[0]), int(row[1]), tuple(row[2]) if row[2] else None

    async def _one(self, connection: Connection, cursor: Cursor | None) -> tuple[int, int, Cursor | None]:
        key = await self._next(connection, cursor)
        if key is None:
            return 0, 0, None
        outcome = await self._attempt(connection, key)
        if isinstance(outcome, SampleRow):
            return 1, 1, key
        self.bad.append(outcome)
        return 1, int(outcome.default), key

    async def _show(self, connection: Connection) -> None:
        """The first rows of the batch that can be converted, with what becomes of them."""
        cursor = self.low
        for _ in range(SHOWN_ROWS + len(self.bad)):
            key = await self._next(connection, cursor)
            if key is None or len(self.samples) == SHOWN_ROWS:
                return
            outcome = await self._attempt(connection, key)
            if isinstance(outcome, SampleRow):
                self.samples.append(outcome)
            cursor = key

    async def _next(self, connection: Connection, cursor: Cursor | None) -> Cursor | None:
        limits = {"after": cursor is not None, "until": self.high is not None}
        sql = next_key_sql(self.migration, self.key, self.state, **limits, wait=False)
        found = await connection.fetchval(sql, *(cursor or ()), *(self.high or ()))
        return tuple(found) if found else None

    async def _attempt(self, connection: Connection, key: Cursor) -> SampleRow | BadRow:
        """Convert one row, or say why that cannot be done."""
        found = await self._show_row(connection, self.migration, key)
        if isinstance(found, SampleRow):
            return found
        default = False
        if self.migration.backfill.on_error is OnError.DEFAULT and target_shape(self.state) is Shape.NEW:
            default = isinstance(await self._show_row(connection, with_defaults(self.migration), key), SampleRow)
        return BadRow(self.key.describe(key), found, default)

    async def _show_row(self, connection: Connection, migration: Migration, key: Cursor) -> SampleRow | str:
        try:
            async with connection.transaction():
                row = await connection.fetchrow(show_row_sql(migration, self.key, self.state), *key)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
            return one_line(error)
        # It is locked, so it is there; a trigger may have made nothing of the UPDATE.
        before, after = row or ("{}", "{}")
        return SampleRow(self.key.describe(key), json.loads(before), json.loads(after))

    def report(self, left: int, is_exact: bool, phase: str | None, *, is_copy: bool = False) -> DryBatch:
        return DryBatch(
            *(self.migration.name, self.state, self.rows, self.seconds, left, is_exact),
            *(tuple(self.bad), tuple(self.samples), phase, is_copy),
        )


def _may_pass_smaller(error: asyncpg.PostgresError) -> bool:
    return is_worth_a_retry(error) and not is_disconnect(error)


class _TakenBack(Exception):
    """Leaves a transaction."""


@asynccontextmanager
async def _rolled_back(connection: Connection) -> AsyncIterator[None]:
    """A transaction, or a savepoint within one, of which nothing is left."""
    try:
        async with connection.transaction():
            yield
            raise _TakenBack
    except _TakenBack:
        pass
