"""`pgjanus verify`: compare the two formats of every row, inside PostgreSQL, and derive one again where they differ."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from proxy.backfill.session import Session, find_key, load_equality, open_session
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.throttle import BatchSize
from proxy.backfill.walk import BadRow, Cursor, Met, Step, walk
from proxy.control.installation import require_installed
from proxy.control.registry import read_managed_table
from proxy.database import Connection
from rules.batches import Equality, Key, chunk_sql, plain_next_key_sql, repair_sql, values_sql
from rules.errors import PgjanusError
from rules.migration import ManagedTable

#: Keys that are kept in `pgjanus.divergences` and named in the result; all of them are counted.
MOST_KEYS = 1000

_CHUNK_TARGET_MS = 500
_CHUNK_START_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that is not as it has to be: `id=7`, why, and both formats under visible names."""

    key: str
    key_values: dict[str, str]
    reason: str
    old: dict[str, object]
    new: dict[str, object]


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """`rows_total` is the planner's estimate."""

    rows: int
    rows_total: int
    divergent: int
    rate: float
    state: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a whole pass over the table found.

    Attributes:
        divergent: rows in state `both` where neither format is what the other converts to, or cannot be converted.
        forbidden: rows in the state that the phase's gate forbids.
        repaired: rows that `repair` derived again (before this pass, which is the one after the repair).
        findings: the first `MOST_KEYS` of divergent and forbidden rows.
    """

    migration: str
    phase: str
    rows: int
    divergent: int
    forbidden: int
    repaired: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        return not self.divergent and not self.forbidden

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f.key for f in self.findings)


OnProgress = Callable[[VerifyProgress], None]


async def verify(
    url: str, migration_name: str, *, repair: bool = False, on_progress: OnProgress = lambda _: None
) -> VerifyResult:
    """Check every row of the table beside live traffic; each chunk sees one snapshot.

    A row diverges if, for some change, neither the new columns are what `up` makes of the old ones nor the old ones
    what `down` makes of the new ones. Findings replace those of the last run in `pgjanus.divergences`.

    Args:
        repair: derive the other format again from the one that the phase's clients read, and check once more.

    Raises:
        PgjanusError: unreachable, not installed, unknown or finished migration, columns not there yet.
    """
    session = Session(lambda: open_session(url, f"verify {migration_name}"))
    try:
        connection = await session.connection()
        await require_installed(connection)
        _, managed = await read_managed_table(connection, migration_name)
        if not managed.phase.expanded:
            raise PgjanusError(
                f"migration {migration_name!r} is in phase {managed.phase.name}: there is nothing to compare"
            )
        equality = await load_equality(connection, managed.migration)
        key = await find_key(connection, managed.migration)
        check = _Check(session, managed, key, equality, on_progress)
        result = await check.run(0)
        if repair and result.divergent:
            repaired = await check.repair()
            result = await check.run(repaired)
        await _store(await session.connection(), result)
        return result
    finally:
        await session.close()


@dataclass(slots=True)
class _Check:
    session: Session
    managed: ManagedTable
    key: Key
    equality: dict[str, Equality]
    on_progress: OnProgress
    _rows: int = 0
    _divergent: int = 0
    _forbidden: int = 0
    _found: list[tuple[Cursor, str]] = field(default_factory=list)

    async def run(self, repaired: int) -> VerifyResult:
        started = time.monotonic()
        self._rows = self._divergent = self._forbidden = 0
        self._found.clear()
        connection = await self.session.connection()
        total = int(
            await connection.fetchval(
                "SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = $1::int8::oid", self._oid
            )
        )

        def report(state: str) -> None:
            seconds = time.monotonic() - started
            rate = self._rows / seconds if seconds else 0.0
            self.on_progress(VerifyProgress(self._rows, max(total, self._rows), self._divergent, rate, state))

        async def after(_: Met, __: BatchSize, ___: float) -> bool:
            report("comparing")
            return True

        step = Step(self._compare, self._blame, report, most_bad_rows=MOST_KEYS)
        done = await walk(self.session, step, None, BatchSize(_CHUNK_TARGET_MS, _CHUNK_START_ROWS), after)
        self._rows += len(done.bad)
        self._divergent += len(done.bad)
        self._found += [(bad.key, f"cannot be converted: {bad.error}") for bad in done.bad]
        findings = [await self._finding(row, reason) for row, reason in self._found[:MOST_KEYS]]
        report("done")
        return VerifyResult(
            self.managed.migration.name,
            self.managed.phase.name,
            self._rows,
            self._divergent,
            self._forbidden,
            repaired,
            tuple(findings),
            time.monotonic() - started,
        )

    @property
    def _oid(self) -> int:
        return self.managed.relation.oid

    async def _compare(self, connection: Connection, cursor: Cursor | None, rows: int) -> Met:
        migration, phase = self.managed.migration, self.managed.phase
        sql = chunk_sql(migration, phase, self.key, self.equality, after=cursor is not None)
        row = await connection.fetchrow(sql, rows, MOST_KEYS - len(self._found), *(cursor or ()))
        assert row is not None
        met, divergent, forbidden, last, keys, reasons = row
        self._rows += met
        self._divergent += divergent
        self._forbidden += forbidden
        self._found += [(tuple(k), reason) for k, reason in zip(keys or (), reasons or (), strict=True)]
        return Met(met, tuple(last) if last else None)

    async def _blame(self, connection: Connection, cursor: Cursor | None) -> Met | BadRow:
        try:
            return await self._compare(connection, cursor, 1)
        except asyncpg.PostgresError as error:
            return await self._bad_row(connection, cursor, error)

    async def _bad_row(
        self, connection: Connection, cursor: Cursor | None, error: asyncpg.PostgresError
    ) -> Met | BadRow:
        if not belongs_to_a_row(error):
            raise error
        sql = plain_next_key_sql(self.managed.migration.table, self.key, after=cursor is not None)
        row = await connection.fetchval(sql, *(cursor or ()))
        return Met(0, None) if row is None else BadRow(tuple(row), " ".join(str(error).split()))

    async def _finding(self, row: Cursor, reason: str) -> Finding:
        connection = await self.session.connection()
        found = await connection.fetchrow(values_sql(self.managed.migration, self.key), *row)
        old, new = (json.loads(found[0]), json.loads(found[1])) if found else ({}, {})
        values = dict(zip((c.name for c in self.key.columns), row, strict=True))
        return Finding(self.key.describe(row), values, reason, old, new)

    async def repair(self) -> int:
        """Derive again what diverges; rows that cannot be converted stay as they are, and are found again."""
        repaired = 0

        async def take(connection: Connection, cursor: Cursor | None, rows: int) -> Met:
            nonlocal repaired
            sql = repair_sql(
                self.managed.migration, self.managed.phase, self.key, self.equality, after=cursor is not None
            )
            row = await connection.fetchrow(sql, rows, *(cursor or ()))
            assert row is not None
            repaired += row[1]
            return Met(row[0], tuple(row[2]) if row[2] else None)

        async def blame(connection: Connection, cursor: Cursor | None) -> Met | BadRow:
            try:
                return await take(connection, cursor, 1)
            except asyncpg.PostgresError as error:
                return await self._bad_row(connection, cursor, error)

        async def after(_: Met, __: BatchSize, ___: float) -> bool:
            return True

        step = Step(take, blame, most_bad_rows=MOST_KEYS)
        await walk(self.session, step, None, BatchSize(_CHUNK_TARGET_MS, _CHUNK_START_ROWS), after)
        return repaired


async def _store(connection: Connection, result: VerifyResult) -> None:
    async with connection.transaction():
        await connection.execute("DELETE FROM pgjanus.divergences WHERE migration = $1", result.migration)
        await connection.executemany(
            "INSERT INTO pgjanus.divergences (migration, key, old, new)"
            " VALUES ($1, $2::text::jsonb, $3::text::jsonb, $4::text::jsonb)",
            [
                (result.migration, json.dumps(f.key_values), json.dumps(f.old), json.dumps(f.new))
                for f in result.findings
            ],
        )
