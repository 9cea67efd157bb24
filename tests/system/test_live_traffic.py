"""Clients of both shapes that never stop writing while the ladder goes up, down and up again: no error, nothing lost.

Each client has rows of its own, which must read as it wrote them last, and all of them append to the same few shared
rows, where each acknowledged append must be found exactly once.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

from rules.phases import CONTRACTED, Shape
from tests.clients import Asyncpg, Pg8000Prepared, PsycopgExtended, PsycopgPrepared, PsycopgSimple, Session
from tests.conftest import Database, StartProxy
from tests.crowd import OWN_ROWS, SHARED, Client
from tests.world import World

ROWS = 3000
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
    world.pgjanus("start", str(world.file))
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
            world.pgjanus(command, name, "--to", to)
            crowd.work()
            world.pgjanus("verify", name)
        crowd.stop(Shape.OLD)
        world.pgjanus("advance", name, "--force")
        crowd.work()
    finally:
        crowd.stop(*Shape)
    crowd.check()
    assert "_pgjanus" not in world.schema()
