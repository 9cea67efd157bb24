"""Every recipe in every strategy, up, down and to the end, while clients of both shapes never stop."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from rules.phases import LADDERS, Shape, Strategy
from tests.clients import (
    Asyncpg,
    Pg8000Prepared,
    PsycopgExtended,
    PsycopgPrepared,
    PsycopgSimple,
    ServerError,
    Session,
)
from tests.conftest import Database, running_proxies
from tests.crowd import OWN_ROWS, Client
from tests.world import World, migration_file

_CLIENTS: tuple[tuple[Shape, Callable[[str], Session]], ...] = (
    (Shape.OLD, PsycopgPrepared),
    (Shape.OLD, PsycopgSimple),
    (Shape.OLD, Asyncpg),
    (Shape.NEW, Asyncpg),
    (Shape.NEW, PsycopgExtended),
    (Shape.NEW, Pg8000Prepared),
)
_PATIENCE_SECONDS = 300


class CountingClient(Client):
    """Goes on after an error; `errors` by SQLSTATE, a wrong answer as `wrong`."""

    def __init__(self, world: World, number: int, shape: Shape, driver: Callable[[str], Session]) -> None:
        super().__init__(world, number, shape, driver)
        self.errors: Counter[str] = Counter()
        self.samples: list[str] = []

    def _work(self, piece: Callable[[Session], None], session: Session) -> None:
        try:
            piece(session)
        except ServerError as error:
            self._count(error.sqlstate, str(error))
            session.run("ROLLBACK")
        except AssertionError as error:
            self._count("wrong", str(error))
            session.run("ROLLBACK")

    def _count(self, kind: str, text: str) -> None:
        self.errors[kind] += 1
        if len(self.samples) < 3:
            self.samples.append(f"{self}: {text}")


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of one recipe in one strategy on one version."""

    version: int
    strategy: str
    kind: str
    steps: int
    seconds: float
    pieces: int
    errors: Counter[str]
    samples: tuple[str, ...]
    table: str

    @property
    def is_good(self) -> bool:
        return not self.errors and not self.table

    def __str__(self) -> str:
        errors = ", ".join(f"{n} × {kind}" for kind, n in self.errors.most_common()) or "no error"
        line = (
            f"PostgreSQL {self.version}  {self.strategy:10}  {self.kind:15} {self.steps:2} steps,"
            f" {self.seconds:5.1f} s, {self.pieces:6} pieces of work: {errors}{'; ' + self.table if self.table else ''}"
        )
        return "\n    ".join([line, *self.samples])


def walk_all(kinds: Iterable[str], strategies: Iterable[str], versions: Iterable[int], pieces: int) -> Iterator[Walk]:
    for version in versions:
        with EmbeddedPostgres(version, settings=NOT_DURABLE) as server:
            for strategy in strategies:
                for kind in kinds:
                    yield walk(server, strategy, kind, pieces)


def walk(server: PostgresServer, strategy: str, kind: str, pieces: int) -> Walk:
    name = f"soak_{strategy}_{kind}"
    began = time.monotonic()
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    try:
        with ExitStack() as stack:
            start_proxy = stack.enter_context(running_proxies())
            database = Database(name, server, stack)
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / f"{kind}.yaml"
            definition = yaml.safe_load(migration_file(kind).read_text())
            file.write_text(yaml.safe_dump({**definition, "strategy": strategy}, sort_keys=False))
            world = World(kind, database, start_proxy(database), file)
            world.fill(len(_CLIENTS) * OWN_ROWS, random.Random(kind))
            clients = [CountingClient(world, i, shape, driver) for i, (shape, driver) in enumerate(_CLIENTS)]
            steps, table = _climb(world, Strategy(strategy), clients, pieces)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    errors = sum((c.errors for c in clients), Counter())
    samples = tuple(s for c in clients for s in c.samples)
    done = sum(c.done for c in clients)
    return Walk(server.version, strategy, kind, steps, time.monotonic() - began, done, errors, samples, table)


def _climb(world: World, strategy: Strategy, clients: list[CountingClient], pieces: int) -> tuple[int, str]:
    """How many steps, and how the table differs from what the clients were told."""
    name = world.migration.name
    ladder = [p.name for p in LADDERS[strategy] if p.policy is not None and p.expanded]
    commands = [("start", str(world.file))]
    commands += [("advance", p) for p in ladder[1:]] + [("rollback", p) for p in ladder[-2::-1]]
    commands += [("advance", p) for p in ladder[1:]]
    for client in clients:
        if client.shape is Shape.OLD:
            client.start()
    try:
        _work(clients, pieces)
        for command, argument in commands:
            world.pgjanus(command, *((argument,) if command == "start" else (name, "--to", argument)))
            if command == "start":
                for client in clients:
                    if client.shape is Shape.NEW:
                        client.start()
            _work(clients, pieces)
        for client in clients:
            if client.shape is Shape.OLD:
                client.stop()
        world.pgjanus("verify", name)
        world.pgjanus("advance", name, "--force")
        _work(clients, pieces)
    finally:
        for client in clients:
            if client.is_running:
                client.stop()
    return len(commands) + 1, _differences(world, clients)


def _work(clients: list[CountingClient], pieces: int) -> None:
    """Until each client that runs has done its share in this phase."""
    wanted = {c: c.done + pieces for c in clients if c.is_running}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(c.done < count for c, count in wanted.items()):
        for c in clients:
            if c.error is not None:
                raise SystemExit(f"{c}: {c.error!r}") from c.error
        if time.monotonic() > deadline:
            raise SystemExit(f"stuck: {[(str(c), c.done, count) for c, count in wanted.items()]}")
        time.sleep(0.01)


def _differences(world: World, clients: list[CountingClient]) -> str:
    """Through the new shape, the only one that is left: each client's rows as it was told."""
    for client in clients:
        first = 100 + clients.index(client) * OWN_ROWS
        for row_id in range(first, first + OWN_ROWS):
            world.model.rows.pop(row_id, None)
    for client in clients:
        for row_id, values in client.rows.items():
            world.model.insert(client.shape, row_id, values)
    try:
        world.check_table("contracted")
    except AssertionError as error:
        return f"the table differs: {error}"
    return ""
