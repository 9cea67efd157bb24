"""A steady rate of requests from applications of both shapes, whether they are answered or not.

A request counts from the moment at which it was due, so whoever stalls one also delays those behind it, as for users.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass

import asyncpg

_CONNECTIONS_PER_SHAPE = 8
_TICK_SECONDS = 0.002
_KINDS = {"read": 35, "find": 20, "find_in_index": 10, "write": 25, "insert": 10}

#: Moments at which a request is due; None ends a worker.
Due = asyncio.Queue[float | None]


@dataclass(frozen=True, slots=True)
class Request:
    """`at` and `seconds` from when it was due, `kind` with its shape, `error` the SQLSTATE or what was wrong."""

    at: float
    seconds: float
    kind: str
    error: str | None


class Load:
    """Both shapes at work on `people`, in which the old shape says `email` and the new one `mail`."""

    def __init__(self, rows: int, rate: float) -> None:
        self.rows = rows
        self.requests: list[Request] = []
        self._rate = rate
        self._due: dict[str, Due] = {}
        self._workers: dict[str, list[asyncio.Task[None]]] = {}
        self._ids = itertools.count(rows + 1)
        self._ticking = asyncio.create_task(self._tick())

    async def join(self, shape: str, url: str) -> None:
        """The applications of a shape come, as many requests as there are being shared by the shapes that are there."""
        connections = [await asyncpg.connect(url) for _ in range(_CONNECTIONS_PER_SHAPE)]
        first = len(self._workers) * _CONNECTIONS_PER_SHAPE
        due: Due = asyncio.Queue()
        self._workers[shape] = [
            asyncio.create_task(self._work(shape, due, connection, first + n))
            for n, connection in enumerate(connections)
        ]
        self._due[shape] = due

    async def leave(self, shape: str) -> None:
        due = self._due.pop(shape)
        for _ in range(_CONNECTIONS_PER_SHAPE):
            due.put_nowait(None)
        await asyncio.gather(*self._workers[shape])

    async def stop(self) -> None:
        for shape in list(self._due):
            await self.leave(shape)
        self._ticking.cancel()

    async def _tick(self) -> None:
        started, sent = time.time(), 0
        while True:
            while sent < (time.time() - started) * self._rate:
                if shapes := list(self._due.values()):
                    shapes[sent % len(shapes)].put_nowait(started + sent / self._rate)
                sent += 1
            await asyncio.sleep(_TICK_SECONDS)

    async def _work(self, shape: str, queue: Due, connection: asyncpg.Connection, number: int) -> None:
        column = {"old": "email", "new": "mail"}[shape]
        piece = _Piece(self, connection, random.Random(number), {}, column, number)
        while (due := await queue.get()) is not None:
            (name,) = piece.rng.choices(list(_KINDS), list(_KINDS.values()))
            error = None
            try:
                await getattr(piece, name)()
            except asyncpg.PostgresError as caught:
                error = f"{caught.sqlstate} {caught}"
            except (AssertionError, asyncpg.InterfaceError, OSError) as caught:
                error = f"wrong: {caught!r}"
            self.requests.append(Request(due, time.time() - due, f"{shape} {name}", error))
        await connection.close()

    def new_id(self) -> int:
        return next(self._ids)

    def errors(self) -> Counter[str]:
        return Counter(r.error for r in self.requests if r.error is not None)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one connection does; what it has written in `own` rows it must read again."""

    load: Load
    connection: asyncpg.Connection
    rng: random.Random
    own: dict[int, str]
    column: str
    number: int

    def _some_id(self) -> int:
        """Nobody else writes rows of the same remainder."""
        every = 2 * _CONNECTIONS_PER_SHAPE
        return self.rng.randrange(self.load.rows // every) * every + self.number + 1

    async def read(self) -> None:
        key = self.rng.choice(list(self.own)) if self.own and self.rng.random() < 0.5 else self._some_id()
        row = await self.connection.fetchrow(f"SELECT id, {self.column} FROM people WHERE id = $1", key)
        assert row is not None, f"row {key} is not there"
        assert key not in self.own or row[1] == self.own[key], f"row {key} is {row[1]!r}, written was {self.own[key]!r}"

    async def find(self) -> None:
        value = f"user{self._some_id()}@example.org"
        await self.connection.fetch(f"SELECT id FROM people WHERE {self.column} = $1", value)

    async def find_in_index(self) -> None:
        value = f"user{self._some_id()}@example.org"
        await self.connection.fetch(f"SELECT id FROM people WHERE lower({self.column}) = $1", value)

    async def write(self) -> None:
        key, value = self._some_id(), f"User{self.rng.randrange(10**12)}.{self.number}@Example.org"
        sql = f"UPDATE people SET {self.column} = $2 WHERE id = $1 RETURNING {self.column}"
        found = await self.connection.fetchval(sql, key, value)
        assert found == value, f"row {key} is {found!r}, written was {value!r}"
        self.own[key] = value

    async def insert(self) -> None:
        key = self.load.new_id()
        value = f"User{key}.new@Example.org"
        sql = f"INSERT INTO people (id, {self.column}, tenant) VALUES ($1, $2, 1) RETURNING id"
        assert await self.connection.fetchval(sql, key, value) == key
        self.own[key] = value
