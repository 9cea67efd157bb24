"""One chunk of a pass: compare, keep what differs, repair it if that was asked for, move the cursor, commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from proxy.backfill.drive import BadRow, Cursor, Met, TooManyBadRows, one_line
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.watch import Watch
from proxy.database import Connection
from proxy.verify import passes
from proxy.verify.passes import Claim, Part
from rules.agreement import (
    check_sql,
    close_sql,
    comparable,
    describe_change,
    finding_sql,
    next_row_sql,
    repair_row_sql,
    repair_sql,
    ways_sql,
    ways_to_agree,
)
from rules.batches import Key
from rules.changes import ColumnChange
from rules.migration import ManagedTable, Migration

#: From so many rows that cannot be converted it is asked whether they are the rule rather than the exception.
_BAD_ROWS = 1000
_BAD_SHARE = 0.1


class _NotInOneStatement(Exception):
    """Leaves the savepoint of a closing statement that found what it cannot deal with."""


@dataclass(slots=True)
class Comparer:
    """What one process does for a pass.

    Attributes:
        rows: of the whole pass.
        met, found: rows that this process has compared, those of them that are not as they have to be.
    """

    managed: ManagedTable
    key: Key
    watch: Watch
    number: int
    rows: int = 0
    met: int = 0
    found: int = 0
    _bad: int = 0

    @property
    def _migration(self) -> Migration:
        return self.managed.migration

    async def take(self, connection: Connection, rows: int) -> Met | None:
        """Up to so many rows; None: the pass is done.

        Raises:
            PassEnded, Superseded: it is none any more.
        """
        async with connection.transaction():
            claimed = await self._claim(connection)
            if claimed.part is Part.DONE:
                return None
            if claimed.part is Part.CLOSING:
                self.found += await self._close(connection, claimed)
                return Met(0, None)
            started = time.monotonic()
            met, found, first, last, oldest = await self._check(connection, claimed, claimed.cursor, rows)
            cursor = tuple(last) if last else None
            repaired = 0
            if found and claimed.repair:
                assert cursor is not None
                repaired = await self._repair(connection, claimed, first, cursor)
            ended = met < rows
            part = Part.CLOSING if ended else Part.WALKING
            counted = 0 if claimed.younger_than else met
            await passes.move(
                connection,
                self._migration.name,
                claimed,
                part=part,
                cursor=cursor,
                rows=counted,
                found=found,
                repaired=repaired,
            )
            if ended and claimed.at_the_beginning and not repaired:
                # One snapshot has seen all of the table.
                took_ms = (time.monotonic() - started) * 1000
                await passes.finish(connection, self._migration.name, claimed, oldest, took_ms)
        self.rows = claimed.rows + counted
        self.met += met
        self.found += found
        return Met(met, cursor)

    async def blame(self, connection: Connection) -> Met | BadRow | None:
        """Exactly one row, by whichever of the two ways does not fail on it."""
        try:
            return await self.take(connection, 1)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
        async with connection.transaction():
            claimed = await self._claim(connection)
            sql = next_row_sql(
                self._migration, self.key, changed=claimed.younger_than is not None, after=claimed.cursor is not None
            )
            younger = (claimed.younger_than,) if claimed.younger_than else ()
            found = await connection.fetchval(sql, *younger, *(claimed.cursor or ()))
            if found is None:
                # It was deleted in between; whatever comes after it is met by the next one.
                return Met(1, claimed.cursor)
            row = tuple(found)
            reasons, repaired = await self._one_row(connection, claimed, row)
            if reasons and not repaired:
                await connection.execute(
                    finding_sql(self._migration, self.key), *row, claimed.number, "; ".join(reasons)
                )
            await passes.move(
                connection,
                self._migration.name,
                claimed,
                part=Part.WALKING,
                cursor=row,
                rows=0 if claimed.younger_than else 1,
                found=int(bool(reasons)),
                repaired=int(repaired),
            )
        self.met += 1
        self.found += bool(reasons)
        if not reasons or repaired:
            return Met(1, row)
        self._bad += 1
        bad = BadRow(row, reasons[0])
        if self._bad > _BAD_ROWS and self._bad > _BAD_SHARE * max(self.rows, self._bad):
            raise TooManyBadRows([bad], self._bad)
        return bad

    async def _claim(self, connection: Connection) -> Claim:
        claimed = await passes.claim(connection, self._migration, self.key, self.number, self.watch.settings)
        if claimed.part is Part.CLOSING or claimed.younger_than is not None:
            # One statement reads all of the table, which takes as long as it takes.
            await connection.execute("SET LOCAL statement_timeout = 0")
        return claimed

    async def _check(
        self, connection: Connection, claimed: Claim, cursor: Cursor | None, rows: int | None, end: Cursor | None = None
    ) -> asyncpg.Record:
        sql = check_sql(
            self._migration,
            self.managed.phase,
            self.key,
            changed=claimed.younger_than is not None,
            after=cursor is not None,
            until=end is not None,
        )
        younger = (claimed.younger_than,) if claimed.younger_than else ()
        arguments = (rows, claimed.number, *younger, *(cursor or ()), *(end or ()))
        row: asyncpg.Record | None = await connection.fetchrow(sql, *arguments)
        assert row is not None
        return row

    async def _repair(self, connection: Connection, claimed: Claim, first: int, end: Cursor) -> int:
        """Derive again what the chunk found, and look once more; how many rows."""
        sql = repair_sql(self._migration, self.managed.phase, self.key, after=claimed.cursor is not None)
        tag = await connection.execute(sql, *(claimed.cursor or ()), *end)
        await connection.execute(
            "DELETE FROM pgjanus.divergences WHERE migration = $1 AND pass = $2 AND id >= $3",
            *(self._migration.name, claimed.number, first),
        )
        await self._check(connection, claimed, claimed.cursor, None, end)
        return int(tag.split()[-1])

    async def _close(self, connection: Connection, claimed: Claim) -> int:
        """Compare what has changed since, in one statement; else go over that in chunks first. How many rows differ."""
        migration = self._migration
        started = time.monotonic()
        try:
            async with connection.transaction():
                row = await connection.fetchrow(
                    close_sql(migration, self.managed.phase, self.key), claimed.since, claimed.number
                )
                assert row is not None
                _, found, oldest = row
                if found and claimed.repair:
                    raise _NotInOneStatement
        except (asyncpg.PostgresError, _NotInOneStatement) as error:
            if isinstance(error, asyncpg.PostgresError) and not belongs_to_a_row(error):
                raise
            await passes.walk_what_changed(connection, migration, self.key, claimed)
            return 0
        if found:
            await passes.move(connection, migration.name, claimed, part=Part.CLOSING, cursor=None, rows=0, found=found)
        await passes.finish(connection, migration.name, claimed, oldest, (time.monotonic() - started) * 1000)
        return int(found)

    async def _one_row(self, connection: Connection, claimed: Claim, row: Cursor) -> tuple[Sequence[str], bool]:
        """What is wrong with a row that a chunk fails on, and whether it is mended."""
        wrong = [(c, reason) for c in comparable(self._migration) if (reason := await self._reason(connection, c, row))]
        reasons = [reason for _, reason in wrong]
        if not wrong or not claimed.repair:
            return reasons, False
        try:
            async with connection.transaction():
                for change, _ in wrong:
                    await connection.execute(
                        repair_row_sql(self._migration, self.managed.phase, self.key, change), *row
                    )
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
            return reasons, False
        return reasons, True

    async def _reason(self, connection: Connection, change: ColumnChange, row: Cursor) -> str | None:
        """Why the two sides of a change are not each other's, or None."""
        failed = ""
        for way in ways_to_agree(self._migration, self.key, change):
            try:
                async with connection.transaction():
                    agrees = await connection.fetchval(ways_sql(self._migration, self.key, way), *row)
            except asyncpg.PostgresError as error:
                if not belongs_to_a_row(error):
                    raise
                failed = failed or f"cannot be converted: {one_line(error)}"
            else:
                if agrees is not False:
                    return None
        return failed or describe_change(change)
