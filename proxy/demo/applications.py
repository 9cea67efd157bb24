"""The live traffic: an application of the old shape and one of the new shape, on the same rows.

Neither knows anything of pgjanus but a port. Each reads back what the other wrote and compares it with the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

import asyncpg
import psycopg

from proxy.demo.ledger import Ledger
from proxy.demo.names import NEW_COLUMNS, OLD_COLUMNS, Name, invent, join, split

_THINK_SECONDS: Final = 0.002
_RETRY_SECONDS: Final = 0.1
_ERRORS_KEPT: Final = 20


class WrongAnswer(Exception):
    """The database answered, but not what it had acknowledged before."""


@dataclass(eq=False)
class Application(ABC):
    """Counts what it does. `errors` are texts; any of them fails the demo."""

    label: str
    url: str
    ledger: Ledger
    rng: random.Random
    statements: int = 0
    slowest_seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    running: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False
    _own: list[int] = field(default_factory=list)

    async def run(self) -> None:
        """Work until `stop`. A lost connection is an error, and is opened again."""
        while not self._stopping:
            try:
                await self._session()
            except (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                self._failed(error)
                await asyncio.sleep(_RETRY_SECONDS)

    def stop(self) -> None:
        """Finish the statement in hand, then end."""
        self._stopping = True

    async def _work(self) -> None:
        """Random work on the open connection, with a pause between two pieces as a user would make."""
        self.running.set()
        pieces = (self.read, self.read_whole_row, self.update, self.update_in_transaction, self.insert, self.delete)
        while not self._stopping:
            (piece,) = self.rng.choices(pieces, weights=(30, 15, 30, 10, 8, 3))
            try:
                await piece()
            except (psycopg.Error, asyncpg.PostgresError, WrongAnswer) as error:
                self._failed(error)
                if self._lost():
                    return
            await asyncio.sleep(_THINK_SECONDS)

    def _failed(self, error: Exception) -> None:
        self.error_count += 1
        if len(self.errors) < _ERRORS_KEPT:
            self.errors.append(f"{self.label}: {type(error).__name__}: {error}")

    def _timed(self, started: float) -> None:
        self.statements += 1
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)

    def _expect(self, user: int, found: object, expected: object) -> None:
        if found != expected:
            raise WrongAnswer(f"user {user} reads {found!r}, acknowledged was {expected!r}")

    @abstractmethod
    async def _session(self) -> None:
        """Open connections and `_work` on them."""

    @abstractmethod
    def _lost(self) -> bool:
        """Whether the connection is closed, by whoever."""

    @abstractmethod
    async def read(self) -> None: ...

    @abstractmethod
    async def read_whole_row(self) -> None: ...

    @abstractmethod
    async def update(self) -> None: ...

    @abstractmethod
    async def update_in_transaction(self) -> None: ...

    @abstractmethod
    async def insert(self) -> None: ...

    async def delete(self) -> None:
        """Only rows that this application inserted."""
        with self.ledger.claim_one_of(self._own) as user:
            if user is not None:
                await self._delete(user)
                self._own.remove(user)
                self.ledger.forget(user)

    @abstractmethod
    async def _delete(self, user: int) -> None: ...


class Protocol(Enum):
    SIMPLE = "simple"
    EXTENDED = "extended"
    PREPARED = "prepared"


@dataclass(eq=False)
class OldApplication(Application):
    """Knows `users(id, full_name, email, created_at)`; psycopg, in one of the protocol's three ways."""

    protocol: Protocol = Protocol.EXTENDED
    _connection: psycopg.AsyncConnection[Any] = field(init=False, repr=False)

    async def _session(self) -> None:
        factory: type[psycopg.AsyncCursor[Any]] = psycopg.AsyncCursor
        if self.protocol is Protocol.SIMPLE:
            factory = psycopg.AsyncClientCursor
        async with await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, cursor_factory=factory
        ) as connection:
            self._connection = connection
            await self._work()

    def _lost(self) -> bool:
        return self._connection.closed

    async def _execute(self, sql: str, *arguments: object) -> psycopg.AsyncCursor[Any]:
        started = time.monotonic()
        prepare = None if self.protocol is Protocol.SIMPLE else self.protocol is Protocol.PREPARED
        cursor = await self._connection.execute(cast(Any, sql), arguments, prepare=prepare)
        self._timed(started)
        return cursor

    async def _one(self, sql: str, *arguments: object) -> Any:
        cursor = await self._execute(sql, *arguments)
        row = await cursor.fetchone()
        if row is None or cursor.rowcount != 1:
            raise WrongAnswer(f"{cursor.rowcount} rows instead of one: {sql} {arguments}")
        return row

    async def read(self) -> None:
        with self.ledger.claim(self.rng) as user:
            expected = join(self.ledger.names[user])
            (found,) = await self._one("SELECT full_name FROM users WHERE id = %s", user)
            self._expect(user, found, expected)
            if expected is not None:
                found = await self._one("SELECT u.id FROM users u WHERE u.id = %s AND u.full_name = %s", user, expected)
                self._expect(user, found, (user,))

    async def read_whole_row(self) -> None:
        with self.ledger.claim(self.rng) as user:
            cursor = await self._execute("SELECT * FROM users WHERE id = %s", user)
            assert cursor.description is not None
            self._expect(user, tuple(column.name for column in cursor.description), OLD_COLUMNS)
            row = await cursor.fetchone()
            self._expect(user, row[1] if row else "no row", join(self.ledger.names[user]))

    async def update(self) -> None:
        with self.ledger.claim(self.rng) as user:
            name = invent(self.rng)
            sql = "UPDATE users SET full_name = %s WHERE id = %s RETURNING full_name"
            (found,) = await self._one(sql, join(name), user)
            self.ledger.acknowledge(user, name)
            self._expect(user, found, join(name))

    async def update_in_transaction(self) -> None:
        """Half of them are rolled back, and must leave nothing behind."""
        with self.ledger.claim(self.rng) as user:
            keep = self.rng.random() < 0.5
            async with self._connection.transaction(force_rollback=not keep):
                (found,) = await self._one("SELECT full_name FROM users WHERE id = %s FOR UPDATE", user)
                self._expect(user, found, join(self.ledger.names[user]))
                value = "coalesce(full_name || ' ', '') || %s"
                sql = f"UPDATE users SET full_name = {value} WHERE id = %s RETURNING full_name"
                (written,) = await self._one(sql, str(self.rng.randrange(10)), user)
            if keep:
                self.ledger.acknowledge(user, split(written))

    async def insert(self) -> None:
        name = invent(self.rng)
        sql = "INSERT INTO users (full_name, email) VALUES (%s, %s) RETURNING id"
        (user,) = await self._one(sql, join(name), "old@example.org")
        self.ledger.acknowledge(user, name)
        self._own.append(user)

    async def _delete(self, user: int) -> None:
        await self._one("DELETE FROM users WHERE id = %s RETURNING id", user)


@dataclass(eq=False)
class NewApplication(Application):
    """Knows `users(id, email, created_at, first_name, last_name)`; asyncpg, which prepares every statement by name.

    It is deployed before its columns exist, and waits for them.
    """

    _connection: asyncpg.Connection = field(init=False, repr=False)

    async def _session(self) -> None:
        connection = await self._connect_when_available()
        if connection is None:
            return
        self._connection = connection
        try:
            await self._work()
        finally:
            await connection.close()

    async def _connect_when_available(self) -> asyncpg.Connection | None:
        while not self._stopping:
            try:
                connection = await asyncpg.connect(self.url)
                try:
                    await connection.execute("SELECT first_name, last_name FROM users LIMIT 0")
                except BaseException:
                    await connection.close()
                    raise
                return connection
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                if self.running.is_set():
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
        return None

    def _lost(self) -> bool:
        return self._connection.is_closed()

    async def _one(self, sql: str, *arguments: object) -> asyncpg.Record:
        started = time.monotonic()
        rows = await self._connection.fetch(sql, *arguments)
        self._timed(started)
        if len(rows) != 1:
            raise WrongAnswer(f"{len(rows)} rows instead of one: {sql} {arguments}")
        return rows[0]

    async def read(self) -> None:
        with self.ledger.claim(self.rng) as user:
            expected = self.ledger.names[user]
            row = await self._one("SELECT first_name, last_name FROM users WHERE id = $1", user)
            self._expect(user, tuple(row), expected)
            sql = "SELECT id FROM users u WHERE id = $1 AND u.first_name IS NOT DISTINCT FROM $2"
            row = await self._one(sql, user, expected[0])
            self._expect(user, tuple(row), (user,))

    async def read_whole_row(self) -> None:
        with self.ledger.claim(self.rng) as user:
            row = await self._one("SELECT * FROM users WHERE id = $1", user)
            self._expect(user, tuple(row.keys()), NEW_COLUMNS)
            self._expect(user, (row["first_name"], row["last_name"]), self.ledger.names[user])

    async def update(self) -> None:
        with self.ledger.claim(self.rng) as user:
            first, last = invent(self.rng)
            sql = "UPDATE users SET first_name = $1, last_name = $2 WHERE id = $3 RETURNING first_name, last_name"
            row = await self._one(sql, first, last, user)
            self.ledger.acknowledge(user, (first, last))
            self._expect(user, tuple(row), (first, last))

    async def update_in_transaction(self) -> None:
        """Sets one of the two columns, so that the other has to come from the row whatever its format is."""
        with self.ledger.claim(self.rng) as user:
            transaction = self._connection.transaction()
            await transaction.start()
            try:
                row = await self._one("SELECT first_name, last_name FROM users WHERE id = $1 FOR UPDATE", user)
                first, last = self.ledger.names[user]
                self._expect(user, tuple(row), (first, last))
                name: Name = (f"Nova{self.rng.randrange(1000)}", last)
                sql = "UPDATE users SET first_name = $1 WHERE id = $2 RETURNING first_name, last_name"
                row = await self._one(sql, name[0], user)
                self._expect(user, tuple(row), name)
            except BaseException:
                await transaction.rollback()
                raise
            if self.rng.random() < 0.5:
                await transaction.commit()
                self.ledger.acknowledge(user, name)
            else:
                await transaction.rollback()

    async def insert(self) -> None:
        first, last = invent(self.rng)
        sql = "INSERT INTO users (first_name, last_name, email) VALUES ($1, $2, $3) RETURNING id"
        row = await self._one(sql, first, last, "new@example.org")
        self.ledger.acknowledge(row["id"], (first, last))
        self._own.append(row["id"])

    async def _delete(self, user: int) -> None:
        await self._one("DELETE FROM users WHERE id = $1 RETURNING id", user)
