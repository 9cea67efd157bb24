"""Clients of both shapes that never stop writing while the ladder goes up, down and up again: no error, nothing lost.

Each client has rows of its own, which must read as it wrote them last, and all of them append to the same few shared
rows, where each acknowledged append must be found exactly once.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from rules.phases import CONTRACTED, Shape
from tests.clients import Asyncpg, Pg8000Prepared, PsycopgExtended, PsycopgPrepared, PsycopgSimple, Row, Session
from tests.conftest import Database, StartProxy
from tests.recipe_rows import Values
from tests.world import World

ROWS = 3000
OWN_ROWS = 40
SHARED = range(90, 98)
SHARED_START = "start"
#: What each client does at least between two steps of the ladder.
PIECES_PER_PHASE = 40
_STEP_SECONDS = 60

CLIENTS: tuple[tuple[Shape, Callable[[str], Session]], ...] = (
    (Shape.OLD, PsycopgPrepared),
    (Shape.OLD, PsycopgSimple),
    (Shape.OLD, Pg8000Prepared),
    (Shape.NEW, Asyncpg),
    (Shape.NEW, PsycopgExtended),
)


class Client:
    """One application. `rows` are its own rows as it knows them, `appended` its tokens in the shared ones."""

    def __init__(self, world: World, number: int, shape: Shape, driver: Callable[[str], Session], appends: str) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._world, self._driver, self._appends = world, driver, appends
        self.shape = shape
        self._rng = random.Random(number)
        self._columns = world.model.columns[shape]
        first = 100 + number * OWN_ROWS
        self.rows: dict[int, Values] = {i: dict(world.model.rows[i][shape]) for i in range(first, first + OWN_ROWS)}
        self._ids = itertools.count(100_000 * (number + 1))
        self._tokens = (f",{shape.value}{number}_{n};" for n in itertools.count())
        self.appended: list[tuple[int, str]] = []
        self.done = 0
        self.error: BaseException | None = None
        self._stopping = threading.Event()

    def __str__(self) -> str:
        return f"{self.shape.value} client by {self._driver}"

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        pieces: tuple[Callable[[Session], None], ...]
        pieces = (self._read, self._write, self._write, self._write_one_column, self._insert, self._delete)
        pieces += (self._append, self._append, self._transaction)
        try:
            session = self._driver(self._world.proxy.url(self.shape.value))
            try:
                while not self._stopping.is_set():
                    self._rng.choice(pieces)(session)
                    self.done += 1
            finally:
                session.close()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """After the piece in hand."""
        self._stopping.set()
        self._thread.join(_STEP_SECONDS)
        assert not self.is_running

    def _own(self) -> int:
        return self._rng.choice(sorted(self.rows))

    def _row(self, row_id: int) -> Row:
        return tuple(self.rows[row_id][c] for c in self._columns)

    def _ask(self, session: Session, sql: str, *arguments: object) -> Row:
        found = session.run(sql, *arguments).rows
        assert len(found) == 1, f"{len(found)} rows instead of one: {sql} {arguments}"
        return found[0]

    def _check(self, found: Row, expected: Row) -> None:
        assert found == expected, f"{self} reads {found}, acknowledged was {expected}"

    def _read(self, session: Session) -> None:
        row_id = self._own()
        self._check(self._ask(session, f"SELECT * FROM {self._world.table} WHERE id = %s", row_id), self._row(row_id))

    def _write(self, session: Session) -> None:
        row_id = self._own()
        self.rows[row_id].update(self._set(session, row_id, self._world.rows.sample[self.shape](self._rng)))

    def _set(self, session: Session, row_id: int, values: Values) -> Values:
        names = ", ".join(values)
        sets = ", ".join(f"{c} = %s" for c in values)
        sql = f"UPDATE {self._world.table} SET {sets} WHERE id = %s RETURNING {names}"
        self._check(self._ask(session, sql, *values.values(), row_id), tuple(values.values()))
        return values

    def _write_one_column(self, session: Session) -> None:
        row_id = self._own()
        for column, value in self._world.rows.sample[self.shape](self._rng).items():
            if self._world.rows.fits({**self.rows[row_id], column: value}):
                self.rows[row_id].update(self._set(session, row_id, {column: value}))

    def _insert(self, session: Session) -> None:
        row_id = next(self._ids)
        row = {"id": row_id, **self._world.rows.kept(self._rng), **self._world.rows.sample[self.shape](self._rng)}
        marks = ", ".join(["%s"] * len(self._columns))
        sql = f"INSERT INTO {self._world.table} ({', '.join(self._columns)}) VALUES ({marks}) RETURNING *"
        values = tuple(row[c] for c in self._columns)
        self._check(self._ask(session, sql, *values), values)
        self.rows[row_id] = row

    def _delete(self, session: Session) -> None:
        row_id = self._own()
        found = self._ask(session, f"DELETE FROM {self._world.table} WHERE id = %s RETURNING *", row_id)
        self._check(found, self._row(row_id))
        del self.rows[row_id]
        if len(self.rows) < OWN_ROWS // 2:
            self._insert(session)

    def _append(self, session: Session) -> None:
        row_id, token = self._rng.choice(SHARED), next(self._tokens)
        sql = f"UPDATE {self._world.table} SET {self._appends} = {self._appends} || %s::text WHERE id = %s"
        session.run(sql, token, row_id)
        self.appended.append((row_id, token))

    def _transaction(self, session: Session) -> None:
        """Two rows in any order, some time between them; half of them are rolled back."""
        keep = self._rng.random() < 0.5
        written: dict[int, Values] = {}
        session.run("BEGIN")
        for row_id in self._rng.sample(sorted(self.rows), 2):
            sql = f"SELECT * FROM {self._world.table} WHERE id = %s FOR UPDATE"
            self._check(self._ask(session, sql, row_id), self._row(row_id))
            written[row_id] = self._set(session, row_id, self._world.rows.sample[self.shape](self._rng))
            session.run("SELECT pg_sleep(0.02)")
        session.run("COMMIT" if keep else "ROLLBACK")
        if keep:
            for row_id, values in written.items():
                self.rows[row_id].update(values)


class Crowd:
    """All clients of the test."""

    def __init__(self, world: World) -> None:
        self._world = world
        append_to = {Shape.OLD: "full_name", Shape.NEW: "last_name"}
        self.clients = [Client(world, i, shape, driver, append_to[shape]) for i, (shape, driver) in enumerate(CLIENTS)]

    def start(self, shape: Shape) -> None:
        for client in self.of(shape):
            client.start()

    def of(self, shape: Shape) -> list[Client]:
        return [c for c in self.clients if c.shape is shape]

    def stop(self, *shapes: Shape) -> None:
        for client in self.clients:
            if client.shape in shapes and client.is_running:
                client.stop()
        self.raise_errors()

    def raise_errors(self) -> None:
        for client in self.clients:
            if client.error is not None:
                raise AssertionError(f"{client}: {client.error}\n{self._world.proxy.log}") from client.error

    def work(self) -> None:
        """Until each client that runs has done its share in this phase."""
        wanted = {c: c.done + PIECES_PER_PHASE for c in self.clients if c.is_running}
        deadline = time.monotonic() + _STEP_SECONDS
        while any(c.done < count for c, count in wanted.items()):
            self.raise_errors()
            assert time.monotonic() < deadline, {str(c): c.done for c in wanted}
            time.sleep(0.01)

    def check(self) -> None:
        """What is in the table, in both shapes where there are two, against what the clients were told."""
        model = self._world.model
        for client in self.clients:
            for row_id in [i for i in model.rows if i >= 100 and self._belongs_to(i, client)]:
                del model.rows[row_id]
            for row_id, values in client.rows.items():
                model.insert(client.shape, row_id, values)
        sql = f"SELECT last_name FROM {self._world.table} WHERE id = %s"
        for row_id in SHARED:
            tokens = [token for client in self.clients for at, token in client.appended if at == row_id]
            found = self._world.direct.execute(sql.encode(), [row_id]).fetchall()[0][0]
            assert sorted(re.findall(",[^;]*;", found)) == sorted(tokens), f"shared row {row_id}"
            assert len(found) == len(SHARED_START) + sum(map(len, tokens)), f"shared row {row_id}"
            model.update(Shape.NEW, row_id, {"last_name": found})
        self._world.check_table(CONTRACTED.name)

    def _belongs_to(self, row_id: int, client: Client) -> bool:
        number = self.clients.index(client)
        return number == ((row_id - 100) // OWN_ROWS if row_id < 100_000 else row_id // 100_000 - 1)


def pgjanus(database: Database, *arguments: str) -> str:
    """A process of its own, as an operator would start it."""
    result = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        env={**os.environ, "PGJANUS_DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    assert result.returncode == 0, f"pgjanus {' '.join(arguments)}: {result.stdout}{result.stderr}"
    return result.stdout


def test_nothing_is_lost_and_nobody_notices(database: Database, start_proxy: StartProxy) -> None:
    world = World("split_column", database, start_proxy(database))
    world.fill(ROWS, random.Random(7))
    for row_id in SHARED:
        values = {"id": row_id, "email": None, "full_name": f"Shared {SHARED_START}"}
        world.model.insert(Shape.OLD, row_id, values)
        world.direct.execute("INSERT INTO public.users VALUES (%(id)s, %(email)s, %(full_name)s)", values)
    name, crowd = world.migration.name, Crowd(world)
    crowd.start(Shape.OLD)
    crowd.work()
    pgjanus(database, "start", str(world.file))
    crowd.start(Shape.NEW)
    crowd.work()
    try:
        for command, to in (
            ("advance", "writing_both"),
            ("advance", "reading_new"),
            ("advance", "new_only"),
            ("rollback", "reading_new"),
            ("rollback", "expanded"),
            ("advance", "new_only"),
        ):
            pgjanus(database, command, name, "--to", to)
            crowd.work()
            pgjanus(database, "verify", name)
        crowd.stop(Shape.OLD)
        pgjanus(database, "advance", name)
        crowd.work()
    finally:
        crowd.stop(*Shape)
    crowd.check()
    assert "_pgjanus" not in world.schema()
