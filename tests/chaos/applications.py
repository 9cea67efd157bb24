"""The clients of a history. Each does one thing after the other, and writes down what it was told.

A client that loses its connection comes back by any proxy. Errors that it may meet are listed (`may_meet`,
docs/chaos.md); any other is a violation by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from proxy.planning.process import LONG_CHARS
from rules.phases import Shape
from tests.chaos.arena import Arena
from tests.chaos.records import Isolation, Outcome, Records, Seen, SeenRow, Transaction, Violation, Written, Wrong
from tests.chaos.register import COLUMNS, HOT_ROWS, Assignment, How, Register, Write
from tests.chaos.scenario import LONGEST_PAUSE_S, SHORTEST_PAUSE_S

Connection = psycopg.AsyncConnection[TupleRow]
Rows = list[tuple[Any, ...]]

#: A statement that takes longer hangs: nothing that is done to a history lasts that long.
STUCK_S = 60.0
#: Statements of that length are planned by a process of their own.
_LONG_STATEMENT_CHARS = LONG_CHARS + 1_000

#: To be tried again, as always: serialization failure, deadlock.
_AGAIN = {"40001", "40P01"}
#: The proxy has lost its control connection; the server is starting or stopping.
_NOT_NOW = {"57P03"}
#: The columns of the other shape are not there (yet, or any more): undefined column or operator, another type.
_NO_SUCH_COLUMN = {"42703", "42883", "42804"}
_NOT_AVAILABLE = "0A000"
#: What the guard and the gates say to writers without a proxy.
_GUARDED = {"55000", "23514"}


class Lost(Exception):
    """the connection is gone"""


class Failed(Exception):
    """the server said no; the connection goes on"""


@dataclass(slots=True)
class Surroundings:
    """What all clients of a history share.

    `without`: the shapes whose columns may be missing just now; the history says so before it lets it happen.
    """

    arena: Arena
    table: str
    records: Records
    brief: bool = False
    without: set[Shape] = field(default_factory=lambda: {Shape.NEW})
    rows: list[int] = field(default_factory=lambda: list(range(HOT_ROWS)))
    stopping: bool = False
    statements: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    writers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    ids: Callable[[], int] = field(default_factory=lambda: itertools.count(1000).__next__)


class Client:
    """One application of a shape; `bypass` connects to the server itself and sees the old columns."""

    def __init__(self, around: Surroundings, number: int, shape: Shape, seed: str, *, bypass: bool = False) -> None:
        self.around, self.shape, self.bypass = around, shape, bypass
        self.name = f"{'bypass' if bypass else shape.value}{number}"
        self._rng = random.Random(f"{seed} {self.name}")
        self._protocol = self._rng.choice(["simple", "simple", "extended", "prepared"])
        self._columns = COLUMNS[shape]
        self._mine: list[int] = []
        self._connection: Connection | None = None
        self._isolation = Isolation.READ_COMMITTED

    # Connections

    async def run(self) -> None:
        while not self.around.stopping:
            try:
                self._connection = await self._connect()
                while not self.around.stopping:
                    await self._act()
                    await asyncio.sleep(self._rng.uniform(0.05, 0.25) * (2 if self.around.brief else 1))
            except (Lost, psycopg.OperationalError):
                await asyncio.sleep(self._rng.uniform(0.02, 0.2))
            finally:
                if self._connection is not None:
                    await self._connection.close()
                    self._connection = None

    async def _connect(self) -> Connection:
        arena = self.around.arena
        url = arena.url if self.bypass else self._rng.choice(arena.proxies).url(self.shape)
        factory = psycopg.AsyncClientCursor if self._protocol == "simple" else psycopg.AsyncCursor
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, cursor_factory=factory, connect_timeout=int(STUCK_S), application_name=self.name
        )

    async def _run(self, sql: str, *arguments: object) -> Rows:
        """Raises Lost or Failed; an error that nobody may meet is a violation first."""
        assert self._connection is not None
        self.around.statements += 1
        prepare = {"prepared": True, "extended": False}.get(self._protocol)
        try:
            async with asyncio.timeout(STUCK_S):
                cursor = await self._connection.execute(sql.encode(), arguments or None, prepare=prepare)
            return await cursor.fetchall() if cursor.description is not None else []
        except TimeoutError as error:
            self._complain(Wrong.STUCK, f"no answer to {sql} {arguments} for {STUCK_S:g} s")
            raise Lost from error
        except psycopg.Error as error:
            code = error.sqlstate or "none"
            self.around.errors[code] = self.around.errors.get(code, 0) + 1
            if self._connection.closed or self._connection.broken:
                raise Lost from error
            if not self.may_meet(code):
                self._complain(Wrong.REFUSED, f"{code} {' '.join(str(error).split())} for {sql} {arguments}")
            raise Failed from error

    def may_meet(self, code: str) -> bool:
        """Whether a client may get this SQLSTATE on a connection that goes on."""
        if code in _AGAIN | _NOT_NOW:
            return True
        if self.shape in self.around.without and code in _NO_SUCH_COLUMN | {_NOT_AVAILABLE}:
            return True
        return self.bypass and code in _GUARDED

    def _complain(self, wrong: Wrong, what: str) -> None:
        self.around.records.violations.append(Violation(wrong, f"{self.name}: {what}"))

    # What it does

    async def _act(self) -> None:
        whole = self._rng.random() < (0.1 if self.bypass else 0.35)
        transaction = Transaction(self.name, Isolation.READ_COMMITTED, began=time.monotonic())
        if whole:
            transaction.isolation = self._rng.choice(list(Isolation))
        self.around.records.transactions.append(transaction)
        self._isolation = transaction.isolation
        try:
            if whole:
                await self._transaction(transaction)
            else:
                await self._autocommit(transaction)
        except Failed:
            pass
        finally:
            transaction.ended = time.monotonic()

    async def _autocommit(self, transaction: Transaction) -> None:
        try:
            await self._one(transaction, inside=False)
        except Lost:
            transaction.outcome = Outcome.UNKNOWN
            raise
        transaction.outcome = Outcome.DONE

    async def _transaction(self, transaction: Transaction) -> None:
        await self._run(f"BEGIN ISOLATION LEVEL {transaction.isolation.value}")
        try:
            if self._rng.random() < 0.5:
                await self._pause()
            # A snapshot before the table is touched.
            for _ in range(self._rng.choice([0, 0, 0, 1] if self.around.brief else [0, 0, 0, 1, 1, 1, 3])):
                transaction.snapshot_at = transaction.snapshot_at or time.monotonic()
                await self._run("SELECT id FROM elsewhere")
                await self._pause()
            for _ in range(self._rng.randint(1, 2 if self.around.brief else 3)):
                if transaction.snapshot_at is None:
                    transaction.snapshot_at = time.monotonic()
                if self._rng.random() < 0.1:
                    await self._savepoint(transaction)
                else:
                    await self._one(transaction, inside=True)
                # Rarer: whoever has touched the table keeps the operator from its lock on it.
                if self._rng.random() < 0.2:
                    await self._pause()
        except Failed:
            await self._run("ROLLBACK")
            raise
        if self._rng.random() < 0.15:
            await self._run("ROLLBACK")
            return
        try:
            await self._run("COMMIT")
        except Lost:
            transaction.outcome = Outcome.UNKNOWN
            raise
        transaction.outcome = Outcome.DONE

    async def _savepoint(self, transaction: Transaction) -> None:
        await self._run("SAVEPOINT s")
        kept = len(transaction.written)
        await self._one(transaction, inside=True)
        if self._rng.random() < 0.5:
            await self._run("ROLLBACK TO s")
            for written in transaction.written[kept:]:
                written.discarded = True

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S))

    async def _one(self, transaction: Transaction, *, inside: bool) -> None:
        kinds: list[tuple[Callable[[Transaction], Any], int]] = [
            (self._update, 6),
            (self._update_several, 2),
            (self._insert, 1),
            (self._delete, 1),
        ]
        if not self.bypass:
            # Nothing is promised of what a writer without a proxy reads.
            kinds += [(self._read, 5), (self._read_all, 2), (self._upsert, 1), (self._update_if, 2)]
            if inside:
                kinds.append((self._save_unchanged, 2))
        await self._rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0](transaction)

    # Reading

    def _selected(self) -> str:
        return ", ".join(("id", "version", "writer", *self._columns))

    async def _select(self, transaction: Transaction, sql: str, asked: Sequence[int], *arguments: object) -> Seen:
        began, own = time.monotonic(), transaction.own()
        rows = await self._run(sql, *arguments)
        found = {r[0]: SeenRow(r[1], r[2], tuple(r[3:])) for r in rows}
        seen = Seen(began, time.monotonic(), self.shape, tuple(asked), found, own)
        transaction.seen.append(seen)
        return seen

    async def _read(self, transaction: Transaction) -> None:
        ids = self._rng.sample(self.around.rows, self._rng.choice([1, 1, 1, 3]))
        sql = f"SELECT {self._selected()} FROM {self.around.table} WHERE id = ANY (%s){self._padding()}"
        await self._select(transaction, sql, ids, ids)

    async def _read_all(self, transaction: Transaction) -> None:
        asked = range(HOT_ROWS)
        await self._select(transaction, f"SELECT {self._selected()} FROM {self.around.table}", asked)

    def _padding(self) -> str:
        """Now and then a long list of constants, as ORMs write them."""
        if self._rng.random() > 0.03 or self.around.brief:
            return ""
        numbers = ", ".join(map(str, range(100_000, 100_000 + _LONG_STATEMENT_CHARS // 8)))
        return f" AND id NOT IN ({numbers})"

    # Writing

    def _row(self) -> int:
        # Half of all writes meet on a few rows.
        return self._rng.choice(self.around.rows[:6] if self._rng.random() < 0.5 else self.around.rows)

    def _new_register(self, number: int) -> Register:
        return Register(f"f{number}", self._rng.choice([f"l{number}", f"l{number}", None]), number)

    def _some_write(self, number: int) -> Write:
        """One column, some, or all; a value, or something done to what is there."""
        if self._rng.random() < 0.4:
            return Write.whole(self.shape, self._new_register(number))
        whole = Write.whole(self.shape, self._new_register(number)).assignments
        assignments = self._rng.sample(whole, self._rng.randint(1, len(whole) - 1))
        return Write(self.shape, tuple(self._perhaps_on_top(a, number) for a in assignments))

    def _perhaps_on_top(self, assignment: Assignment, number: int) -> Assignment:
        if self._rng.random() < 0.6:
            return assignment
        if assignment.column == "code":
            return Assignment("code", How.INCREMENT, 1)
        return Assignment(assignment.column, How.APPEND, f"+{number}")

    def _set(self, write: Write) -> tuple[str, list[object]]:
        """What stands behind SET, and its arguments but for the writer."""
        sets = ", ".join(a.sql(self.shape, a.column) for a in write.assignments)
        return f"version = version + 1, writer = %s, {sets}", [a.value for a in write.assignments]

    async def _write(
        self, transaction: Transaction, ids: Sequence[int], write: Write, sql: str, *arguments: object,
        writer: str, inserted: bool = False,
    ) -> None:  # fmt: skip
        """Send a write; its RETURNING says id, version, and maybe the columns."""
        pending = {i: Written(writer, i, write, inserted) for i in ids}
        transaction.written += pending.values()
        for row in await self._run(sql, *arguments):
            written = pending.pop(row[0])
            written.version = row[1]
            if len(row) > 2:
                written.returned = tuple(row[2:])
        for missed in pending.values():
            transaction.written.remove(missed)

    def _returning(self) -> str:
        more = self._rng.random() < 0.5
        return " RETURNING " + ", ".join(("id", "version", *(self._columns if more else ())))

    def _next_writer(self) -> tuple[int, str]:
        number = self.around.writers()
        return number, f"{self.name}.{number}"

    async def _update(self, transaction: Transaction) -> None:
        number, writer = self._next_writer()
        row_id, write = self._row(), self._some_write(number)
        sets, values = self._set(write)
        sql = f"UPDATE {self.around.table} SET {sets} WHERE id = %s{self._padding()}{self._returning()}"
        await self._write(transaction, [row_id], write, sql, writer, *values, row_id, writer=writer)

    async def _update_several(self, transaction: Transaction) -> None:
        number, writer = self._next_writer()
        ids, write = self._rng.sample(self.around.rows, 3), self._some_write(number)
        sets, values = self._set(write)
        sql = f"UPDATE {self.around.table} SET {sets} WHERE id = ANY (%s){self._returning()}"
        await self._write(transaction, ids, write, sql, writer, *values, ids, writer=writer)

    async def _update_if(self, transaction: Transaction) -> None:
        """Only if the row still says what it was read to say."""
        row_id = self._row()
        sql = f"SELECT {self._selected()} FROM {self.around.table} WHERE id = %s"
        found = (await self._select(transaction, sql, [row_id], row_id)).rows.get(row_id)
        if found is None:
            return
        if self._rng.random() < 0.3:
            await self._pause()
        number, writer = self._next_writer()
        write = self._some_write(number)
        write = Write(write.shape, write.assignments, found.values)
        sets, values = self._set(write)
        where = " AND ".join(f"{c} IS NOT DISTINCT FROM %s" for c in self._columns)
        sql = f"UPDATE {self.around.table} SET {sets} WHERE id = %s AND {where}{self._returning()}"
        await self._write(transaction, [row_id], write, sql, writer, *values, row_id, *found.values, writer=writer)

    async def _save_unchanged(self, transaction: Transaction) -> None:
        """What an ORM does that saves every column."""
        row_id = self._row()
        sql = f"SELECT {self._selected()} FROM {self.around.table} WHERE id = %s FOR UPDATE"
        found = (await self._select(transaction, sql, [row_id], row_id)).rows.get(row_id)
        if found is None:
            return
        if self._rng.random() < 0.5:
            await self._pause()
        _, writer = self._next_writer()
        write = Write.whole(self.shape, Register.said_by(self.shape, found.values))
        sets, values = self._set(write)
        sql = f"UPDATE {self.around.table} SET {sets} WHERE id = %s{self._returning()}"
        await self._write(transaction, [row_id], write, sql, writer, *values, row_id, writer=writer)

    async def _insert(self, transaction: Transaction) -> None:
        number, writer = self._next_writer()
        row_id, write = self.around.ids(), Write.whole(self.shape, self._new_register(number))
        values = [a.value for a in write.assignments]
        sql = f"{self._insert_sql()}{self._returning()}"
        await self._write(
            transaction, [row_id], write, sql, row_id, writer, *values, writer=writer, inserted=True
        )  # fmt: skip
        self._mine.append(row_id)

    def _insert_sql(self) -> str:
        names, marks = ", ".join(self._columns), ", ".join(["%s"] * len(self._columns))
        return f"INSERT INTO {self.around.table} (id, version, writer, {names}) VALUES (%s, 1, %s, {marks})"

    async def _upsert(self, transaction: Transaction) -> None:
        number, writer = self._next_writer()
        row_id, write = self._row(), Write.whole(self.shape, self._new_register(number))
        values = [a.value for a in write.assignments]
        table = self.around.table
        sets = ", ".join(("writer = excluded.writer", *(f"{c} = excluded.{c}" for c in self._columns)))
        sql = f"{self._insert_sql()} ON CONFLICT (id) DO UPDATE SET version = {table}.version + 1, {sets}"
        await self._write(
            transaction, [row_id], write, sql + self._returning(), row_id, writer, *values, writer=writer
        )  # fmt: skip

    async def _delete(self, transaction: Transaction) -> None:
        """One of the rows that this client has inserted; it is never inserted again."""
        if not self._mine:
            return
        row_id = self._mine.pop()
        written = Written("", row_id, None)
        transaction.written.append(written)
        rows = await self._run(f"DELETE FROM {self.around.table} WHERE id = %s RETURNING version", row_id)
        if rows:
            written.version = rows[0][0] + 1
        else:
            transaction.written.remove(written)
