"""An application that never stops writing while a ladder moves, and compares each answer with what it was told."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable

from rules.phases import Shape
from tests.clients import Row, Session
from tests.recipe_rows import Values
from tests.world import World

OWN_ROWS = 40
#: Rows that all of them append to.
SHARED = range(90, 98)
_STOP_SECONDS = 60


class Client:
    """One application. `rows` are its own rows as it knows them.

    `appends` is a column of text that it extends in the shared rows, `appended` are its tokens there.
    """

    def __init__(
        self,
        world: World,
        number: int,
        shape: Shape,
        driver: Callable[[str], Session],
        appends: str | None = None,
    ) -> None:
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
        pieces += (self._transaction,)
        if self._appends is not None:
            pieces += (self._append, self._append)
        try:
            session = self._driver(self._world.proxy.url(self.shape.value))
            try:
                while not self._stopping.is_set():
                    self._work(self._rng.choice(pieces), session)
                    self.done += 1
            finally:
                session.close()
        except BaseException as error:
            self.error = error

    def _work(self, piece: Callable[[Session], None], session: Session) -> None:
        piece(session)

    def stop(self) -> None:
        """After the piece in hand."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
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
