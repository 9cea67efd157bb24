"""The rows that are there: whether every one converts, comes back as it was, and fits the new columns' constraints.

run of rows ──► chunk: all questions in one statement ──► counts and some keys
                  │ an error: half the chunk … one row ──► each question alone, so that none hides another
                  └ too many such rows: each question alone for a whole chunk
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import asyncpg

from proxy.backfill.drive import one_line
from proxy.backfill.session import Session
from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.backfill.throttle import BatchSize
from proxy.backfill.walk import BadRow, Cursor, Met, Step, walk
from proxy.database import Connection
from proxy.preflight.extent import IN_CHUNKS, Extent, Run, gently, select, settled
from proxy.preflight.findings import Notes
from proxy.preflight.uniqueness import check_references, check_uniqueness
from proxy.preflight.verdicts import Tallies
from rules.batches import Key
from rules.changes import ColumnChange
from rules.errors import PgjanusError
from rules.laws import Ask, Question, questions, scan_sql
from rules.migration import Migration

_CHUNK_TARGET_MS = 500
_CHUNK_START_ROWS = 5000
#: Rows that are looked at one by one; more of them are not counted.
MOST_EXAMINED = 500
#: How many rows at a time, from then on.
_SKIMMED_ROWS = 1000


async def check_rows(
    connection: Connection, migration: Migration, key: Key, extent: Extent, notes: Notes
) -> tuple[int, int | None]:
    """Ask the rows; returns how many were asked, and about how many there are if these were a sample."""
    selection = await select(connection, migration.table, key, extent)
    survey = _Survey(migration, key)
    async with settled(connection, {**gently(migration.backfill.statement_timeout_ms / 1000), **IN_CHUNKS}):
        for run in selection.runs:
            await survey.take_run(connection, run)
    among = "" if selection.table_rows is None else f" of {survey.rows:,} that were looked at"
    survey.tallies.report(migration, key, survey.asked, among, notes)
    seconds = selection.whole_table_seconds
    await check_uniqueness(connection, migration, key, survey.asked, survey.tallies, seconds, notes)
    await check_references(connection, migration, key, survey.asked, survey.tallies, seconds, notes)
    return survey.rows, selection.table_rows


@dataclass(slots=True)
class _Survey:
    migration: Migration
    key: Key
    asked: tuple[Question, ...] = ()
    tallies: Tallies = field(default_factory=Tallies)
    rows: int = 0
    _examined: int = 0

    def __post_init__(self) -> None:
        self.asked = questions(self.migration)

    async def take_run(self, connection: Connection, run: Run) -> None:
        until = self.rows + run.rows if run.rows is not None else None

        async def same_connection() -> Connection:
            if connection.is_closed():
                raise PgjanusError("the connection to the database was lost while rows were looked at: try again")
            return connection

        async def after(_: Met, __: BatchSize, ___: float) -> bool:
            return True

        step = Step(partial(self._take, run, until), partial(self._blame, run, until), most_bad_rows=MOST_EXAMINED + 1)
        await walk(Session(same_connection), step, run.low, BatchSize(_CHUNK_TARGET_MS, _CHUNK_START_ROWS), after)

    async def _take(
        self, run: Run, until: int | None, connection: Connection, cursor: Cursor | None, limit: int
    ) -> Met:
        """All questions of one chunk. Raises PostgreSQL's error if a row fails, unless enough of them were examined."""
        limit = limit if until is None else min(limit, until - self.rows)
        if limit <= 0:
            return Met(0, None)
        try:
            met, counts = await self._ask(connection, run, self.asked, cursor, limit)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error) or self._examined < MOST_EXAMINED:
                raise
            limit = max(limit, _SKIMMED_ROWS)
            return await self._skim(connection, run, cursor, limit if until is None else min(limit, until - self.rows))
        self.rows += met.rows
        self._count(counts)
        return met

    async def _blame(self, run: Run, until: int | None, connection: Connection, cursor: Cursor | None) -> Met | BadRow:
        """All questions of one row."""
        if self._examined >= MOST_EXAMINED:
            return await self._take(run, until, connection, cursor, 1)
        try:
            return await self._take(run, until, connection, cursor, 1)
        except asyncpg.PostgresError as error:
            if not belongs_to_a_row(error):
                raise
        self._examined += 1
        met, _ = await self._ask(connection, run, (), cursor, 1)
        self.rows += met.rows
        if met.last is None:
            return met
        words = await self._examine(connection, run, cursor, met.last)
        return BadRow(met.last, words) if words else met

    async def _examine(self, connection: Connection, run: Run, cursor: Cursor | None, row: Cursor) -> str:
        """Each question alone; returns the first error."""
        errors: dict[tuple[Ask, str], str] = {}
        for question in self.asked:
            try:
                _, counts = await self._ask(connection, run, (question,), cursor, 1)
            except asyncpg.PostgresError as error:
                if not belongs_to_a_row(error):
                    raise
                words = one_line(error)
                # Whatever is made of a value that cannot be computed fails as well, in the same words.
                if question.ask is Ask.UP or (Ask.UP, words) not in errors:
                    self.tallies.failed(question, row, error.sqlstate or "", words)
                errors[question.ask, words] = words
            else:
                self._count(counts)
        return next(iter(errors.values()), "")

    async def _skim(self, connection: Connection, run: Run, cursor: Cursor | None, limit: int) -> Met:
        """Each question alone for a chunk; of one that fails only the first row is found, unless some are known."""
        met, _ = await self._ask(connection, run, (), cursor, limit)
        self.rows += met.rows
        failing: list[ColumnChange] = []
        for question in self.asked:
            try:
                _, counts = await self._ask(connection, run, (question,), cursor, limit)
            except asyncpg.PostgresError as error:
                if not belongs_to_a_row(error):
                    raise
                self.tallies.not_counted(question)
                if question.ask is not Ask.UP and question.change in failing:
                    continue
                failing.append(question.change)
                if not self.tallies.failing(question):
                    await self._find_first(connection, run, question, cursor, limit)
            else:
                self._count(counts)
        return met

    async def _find_first(
        self, connection: Connection, run: Run, question: Question, cursor: Cursor | None, limit: int
    ) -> None:
        """Halve the chunk until it is one row."""
        while limit > 1:
            try:
                met, _ = await self._ask(connection, run, (question,), cursor, limit // 2)
            except asyncpg.PostgresError:
                limit //= 2
            else:
                cursor, limit = met.last, limit - limit // 2
        met, _ = await self._ask(connection, run, (), cursor, 1)
        try:
            await self._ask(connection, run, (question,), cursor, 1)
        except asyncpg.PostgresError as error:
            if met.last is not None:
                self.tallies.failed(question, met.last, error.sqlstate or "", one_line(error))

    async def _ask(
        self, connection: Connection, run: Run, asked: tuple[Question, ...], cursor: Cursor | None, limit: int
    ) -> tuple[Met, list[tuple[Question, int, list[Cursor]]]]:
        """What was met, and how many rows break which law, with some keys."""
        sql = scan_sql(self.migration, self.key, asked, after=cursor is not None, until=run.high is not None)
        found = await connection.fetchrow(sql, limit, *(cursor or ()), *(run.high or ()))
        assert found is not None
        rows, last, _, *answers = found.values()
        laws = [q for q in asked if not q.is_conversion]
        counts = [
            (law, int(answers[2 * i]), [tuple(k) for k in answers[2 * i + 1] or ()]) for i, law in enumerate(laws)
        ]
        return Met(rows, tuple(last) if last else None), counts

    def _count(self, counts: list[tuple[Question, int, list[Cursor]]]) -> None:
        for question, count, keys in counts:
            self.tallies.broken(question, count, keys)
