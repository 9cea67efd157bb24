"""Real drivers behind one face: the same statement in each of the ways in which applications send it.

Statements are written with `%s` for each parameter. A session is opened once and used through all phases, so whatever a
driver prepares or remembers has to survive them.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import asyncpg
import pg8000.native
import psycopg

Row = tuple[Any, ...]


class ServerError(Exception):
    """PostgreSQL (or the proxy) refused a statement; the session goes on."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate
        self.message = message


@dataclass(frozen=True, slots=True)
class Result:
    """`columns` is None where the driver does not tell the names of an empty result."""

    columns: tuple[str, ...] | None
    rows: list[Row]


class Session(ABC):
    """One connection of one driver."""

    driver: ClassVar[str]

    @abstractmethod
    def run(self, sql: str, *arguments: object) -> Result:
        """Raises ServerError."""

    @abstractmethod
    def close(self) -> None: ...


class _Psycopg(Session):
    cursor_factory: ClassVar[type[psycopg.Cursor[Any]]] = psycopg.Cursor
    prepare: ClassVar[bool | None] = None

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, cursor_factory=self.cursor_factory)

    def run(self, sql: str, *arguments: object) -> Result:
        try:
            cursor = self._connection.execute(sql.encode(), arguments or None, prepare=self.prepare)
            if cursor.description is None:
                return Result(None, [])
            return Result(tuple(c.name for c in cursor.description), cursor.fetchall())
        except psycopg.Error as error:
            raise ServerError(error.sqlstate or "", str(error)) from error

    def close(self) -> None:
        self._connection.close()


class PsycopgSimple(_Psycopg):
    """The simple protocol: parameters become literals in the client."""

    driver = "psycopg-simple"
    cursor_factory = psycopg.ClientCursor


class PsycopgExtended(_Psycopg):
    """The extended protocol, every time an unnamed statement."""

    driver = "psycopg-extended"
    prepare = False


class PsycopgPrepared(_Psycopg):
    """Named statements, prepared once per text and types of the parameters."""

    driver = "psycopg-prepared"
    prepare = True


class Asyncpg(Session):
    """Named statements, binary parameters and results, types taken from ParameterDescription."""

    driver = "asyncpg"

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection = self._loop.run_until_complete(asyncpg.connect(url))

    def run(self, sql: str, *arguments: object) -> Result:
        numbers = itertools.count(1)
        numbered = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        try:
            records = self._loop.run_until_complete(self._connection.fetch(numbered, *arguments))
        except asyncpg.PostgresError as error:
            raise ServerError(error.sqlstate or "", str(error)) from error
        return Result(tuple(records[0].keys()) if records else None, [tuple(r) for r in records])

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


class Pg8000(Session):
    """The extended protocol with untyped text parameters; a Describe and a Sync after each Parse."""

    driver = "pg8000"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = pg8000.native.Connection(
            parts.username or "postgres", host=parts.hostname or "", port=parts.port or 0, database=parts.path[1:]
        )

    def run(self, sql: str, *arguments: object) -> Result:
        try:
            return self._run(_named(sql), {f"p{i}": value for i, value in enumerate(arguments)})
        except pg8000.native.DatabaseError as error:
            raise ServerError(error.args[0]["C"], error.args[0]["M"]) from error

    def _run(self, sql: str, arguments: dict[str, object]) -> Result:
        rows = self._connection.run(sql, **arguments)
        return self._result(self._connection.columns, rows)

    @staticmethod
    def _result(columns: Any, rows: Any) -> Result:
        return Result(tuple(c["name"] for c in columns) if columns else None, [tuple(r) for r in rows or []])

    def close(self) -> None:
        self._connection.close()


class Pg8000Prepared(Pg8000):
    """Named statements that are described when they are prepared, and never again."""

    driver = "pg8000-prepared"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._statements: dict[str, Any] = {}

    def _run(self, sql: str, arguments: dict[str, object]) -> Result:
        if not arguments:
            return super()._run(sql, arguments)
        if sql not in self._statements:
            self._statements[sql] = self._connection.prepare(sql)
        statement = self._statements[sql]
        rows = statement.run(**arguments)
        return self._result(statement.columns, rows)


def _named(sql: str) -> str:
    numbers = itertools.count()
    return re.sub("%s", lambda _: f":p{next(numbers)}", sql)


#: Opens a session at a URL.
Driver = Callable[[str], Session]

DRIVERS: tuple[Driver, ...] = (
    PsycopgSimple,
    PsycopgExtended,
    PsycopgPrepared,
    Asyncpg,
    Pg8000,
    Pg8000Prepared,
)
