"""One batch: claim a range, convert rows of it, move its cursor, commit. And one row, when a batch fails on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from proxy.backfill import bad_rows, ranges
from proxy.backfill.drive import BadRow, Met, TooManyBadRows, one_line
from proxy.backfill.progress import Meter
from proxy.backfill.ranges import Claim, Job
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.watch import Watch
from proxy.database import Connection
from rules.batches import batch_sql, next_key_sql, one_row_sql, target_shape, with_defaults
from rules.errors import PgjanusError
from rules.migration import Migration
from rules.pace import OnError
from rules.phases import Shape

#: From so many bad rows on it is asked whether they are the rule rather than the exception.
_BAD_ROWS = 1000
_BAD_SHARE = 0.1


class StoppedAtRow(PgjanusError):
    """a row cannot be converted, and the migration says on_error: fail: its key and PostgreSQL's error"""


@dataclass(slots=True)
class Converter:
    """What one worker does in one round, batch by batch.

    `wait`: wait for rows that somebody has locked, instead of going around them.
    """

    job: Job
    meter: Meter
    watch: Watch
    wait: bool = False
    _last: int | None = None
    _bad: int = 0

    async def take(self, connection: Connection, rows: int) -> Met | None:
        """Up to so many rows of one range; None if no range can be had."""
        async with connection.transaction():
            claimed = await self._claim(connection)
            if claimed is None:
                return None
            found = await connection.fetchrow(self._within(batch_sql, claimed), rows, *claimed.bounds)
            assert found is not None
            met, done, last = found
            cursor = tuple(last) if last else None
            await ranges.advance(connection, self.job, claimed, rows=done, cursor=cursor, done=met < rows)
        self._note(claimed, done, ended=met < rows)
        return Met(met, cursor)

    async def blame(self, connection: Connection) -> Met | BadRow | None:
        """Exactly one row: convert it, or list it as one that cannot be."""
        async with connection.transaction():
            claimed = await self._claim(connection)
            if claimed is None:
                return None
            found = await connection.fetchval(self._within(next_key_sql, claimed), *claimed.bounds)
            if found is None:
                await ranges.advance(connection, self.job, claimed, rows=0, cursor=None, done=True)
                self._note(claimed, 0, ended=True)
                return Met(0, None)
            row = tuple(found)
            error, outcome = await self._convert_one(connection, row)
            if error is not None:
                await bad_rows.record(connection, self.job, row, error, round_=claimed.round, outcome=outcome)
            done, bad = int(error is None or outcome is not None), int(error is not None and outcome is None)
            # A run that stops at this row meets it again when it is run again.
            if not (bad and self._policy is OnError.FAIL):
                await ranges.advance(connection, self.job, claimed, rows=done, cursor=row, done=False, bad=bad)
        self._note(claimed, done, ended=False)
        if error is None or outcome is not None:
            return Met(1, row)
        if self._policy is OnError.FAIL:
            raise StoppedAtRow(f"{self.job.key.describe(row)} cannot be converted: {one_line(error)} (on_error: fail)")
        self._bad += 1
        found = BadRow(row, one_line(error))
        if self._bad > _BAD_ROWS and self._bad > _BAD_SHARE * (self.meter.rows + self._bad):
            raise TooManyBadRows([found], self._bad)
        return found

    @property
    def _policy(self) -> OnError | None:
        return self.job.migration.backfill.on_error

    def _within(self, make: Callable[..., str], claimed: Claim) -> str:
        """The statement that `make` makes for rows of this range; the range's bounds are its last parameters."""
        after, until = claimed.cursor is not None, claimed.high is not None
        return make(self.job.migration, self.job.key, self.job.state, after=after, until=until, wait=self.wait)

    async def _claim(self, connection: Connection) -> Claim | None:
        return await ranges.claim(connection, self.job, self.watch.settings, self._last)

    async def _convert_one(
        self, connection: Connection, row: tuple[str, ...]
    ) -> tuple[asyncpg.PostgresError | None, str | None]:
        """Its error, if it has one, and what became of the row all the same."""
        migration, state = self.job.migration, self.job.state
        error = await self._attempt(connection, migration, row)
        if error is not None and self._policy is OnError.DEFAULT and target_shape(state) is Shape.NEW:
            if await self._attempt(connection, with_defaults(migration), row) is None:
                return error, "default"
        return error, None

    async def _attempt(
        self, connection: Connection, migration: Migration, row: tuple[str, ...]
    ) -> asyncpg.PostgresError | None:
        try:
            async with connection.transaction():
                await connection.execute(one_row_sql(migration, self.job.key, self.job.state), *row)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
            return error
        return None

    def _note(self, claimed: Claim, rows: int, *, ended: bool) -> None:
        """After the commit."""
        self._last = None if ended else claimed.number
        self.meter.count(rows)
