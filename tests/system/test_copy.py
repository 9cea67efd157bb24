"""COPY into a managed table through `pgjanus serve`: real drivers, on every rung of a real ladder, up and down.

What single statements do, in every policy and protocol, is in tests/cases/copy.sql.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
from click.testing import CliRunner

from proxy.cli import main
from rules.phases import CONTRACTED, LADDERS, Shape, Strategy
from tests.conftest import Database, RunningProxy, StartProxy
from tests.playbook import port_of

NAME = "split_full_name"
MIGRATION = """
migration: split_full_name
table: public.users
strategy: {strategy}
guard: {guard}
operations:
  - split_column:
      column: full_name
      into:
        first_name: {{type: text, up: "split_part(full_name, ' ', 1)"}}
        last_name:
          type: text
          up: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END"
      down: "first_name || coalesce(' ' || last_name, '')"
"""
TABLE = "CREATE TABLE users (id int PRIMARY KEY, full_name text, age int DEFAULT 7)"
COLUMNS = {Shape.OLD: ("id", "full_name", "age"), Shape.NEW: ("id", "age", "first_name", "last_name")}
NAMES = ["Ada Lovelace", "Plato", None, "Jean Luc Picard", "Żółć Jaźń", 'Tab\tand "quote"', "back\\slash N", ""]


def values(shape: Shape, row_id: int, name: str | None) -> tuple[Any, ...]:
    """One row as a client of that shape sends and sees it."""
    if shape is Shape.OLD:
        return row_id, name, row_id % 90
    first, _, last = (None, None, None) if name is None else name.partition(" ")
    return row_id, row_id % 90, first, last or None


@dataclass
class Scene:
    """A table on its ladder, a proxy in front of it, and what was copied into the table so far."""

    database: Database
    proxy: RunningProxy
    direct: psycopg.Connection[Any]
    rows: dict[int, str | None] = field(default_factory=dict)

    def url(self, shape: Shape) -> str:
        return self.proxy.url(shape.value)

    def connect(self, shape: Shape, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(shape), **{"autocommit": True, **options})

    def pgjanus(self, *arguments: str) -> None:
        result = CliRunner().invoke(main, [*arguments, "--database-url", self.database.url])
        assert result.exit_code == 0, f"pgjanus {' '.join(arguments)}: {result.output} {result.exception!r}"

    def phase(self) -> str:
        row = self.direct.execute("SELECT phase FROM pgjanus.migrations").fetchone()
        assert row is not None
        return str(row[0])

    def new_rows(self, shape: Shape) -> list[tuple[Any, ...]]:
        first = len(self.rows)
        added = {first + i: name for i, name in enumerate(NAMES)}
        self.rows |= added
        return [values(shape, row_id, name) for row_id, name in added.items()]

    def check(self, phase: str) -> None:
        for shape in Shape:
            with self.connect(shape) as connection:
                found = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
            assert found == [values(shape, i, n) for i, n in sorted(self.rows.items())], f"{shape} in {phase}"


StartScene = Callable[..., Scene]


@pytest.fixture
def start_scene(database: Database, start_proxy: StartProxy, tmp_path: Any) -> Iterator[StartScene]:
    scenes = []

    def start(strategy: str = "dual_write", guard: str = "heal", phase: str = "expanded", more: str = "") -> Scene:
        direct = database.connect()
        direct.execute(f"{TABLE}; {more}".encode())
        scene = Scene(database, start_proxy(database), direct)
        file = tmp_path / "migration.yaml"
        file.write_text(MIGRATION.format(strategy=strategy, guard=guard))
        scene.pgjanus("start", str(file))
        if phase != "expanded":
            scene.pgjanus("advance", NAME, "--to", phase)
        scenes.append(scene)
        return scene

    yield start
    for scene in scenes:
        assert scene.proxy.stop() == 0


# The drivers, each in its own manner


def psycopg_text(scene: Scene, shape: Shape) -> None:
    rows = scene.new_rows(shape)
    with scene.connect(shape) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY users FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        assert cursor.rowcount == len(rows)


def psycopg_binary(scene: Scene, shape: Shape) -> None:
    names = ", ".join(COLUMNS[shape])
    with scene.connect(shape) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY public.users ({names}) FROM STDIN (FORMAT binary)".encode()) as copy:
            copy.set_types(["int4", "text", "int4"] if shape is Shape.OLD else ["int4", "int4", "text", "text"])
            for row in scene.new_rows(shape):
                copy.write_row(row)


def asyncpg_records(scene: Scene, shape: Shape) -> None:
    async def copy() -> str:
        connection = await asyncpg.connect(scene.url(shape))
        try:
            return str(await connection.copy_records_to_table("users", records=rows, columns=COLUMNS[shape]))
        finally:
            await connection.close()

    rows = scene.new_rows(shape)
    assert asyncio.run(copy()) == f"COPY {len(rows)}"


def pg8000_csv(scene: Scene, shape: Shape) -> None:
    port = port_of(scene.url(shape))
    connection = pg8000.dbapi.connect("postgres", host="127.0.0.1", port=port, database=scene.database.name)
    cursor = connection.cursor()
    stream = io.BytesIO(csv(scene.new_rows(shape)).encode())
    cursor.execute("COPY users FROM STDIN WITH (FORMAT csv, NULL 'nil', HEADER)", stream=stream)
    connection.commit()
    connection.close()


def psql_copy(scene: Scene, shape: Shape) -> None:
    command = [str(scene.database.server.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", scene.url(shape)]
    script = "\\copy users from pstdin with csv header null 'nil'"
    sent = csv(scene.new_rows(shape))
    done = subprocess.run([*command, "-c", script], input=sent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def csv(rows: list[tuple[Any, ...]]) -> str:
    def cell(value: Any) -> str:
        return "nil" if value is None else '"' + str(value).replace('"', '""') + '"'

    return "".join(",".join(map(cell, row)) + "\n" for row in [("a", "header", "line"), *rows])


WAYS = (psycopg_text, psycopg_binary, asyncpg_records, pg8000_csv, psql_copy)


# The ladder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", Strategy)
def test_every_driver_copies_on_every_rung(start_scene: StartScene, strategy: Strategy) -> None:
    """On one strategy in each of the guard's settings; none of them may matter."""
    guard = {Strategy.DUAL_WRITE: "heal", Strategy.DUAL_READ: "off", Strategy.BOTH: "reject"}[strategy]
    scene = start_scene(strategy.value, guard)
    rungs = [p.name for p in LADDERS[strategy] if p.expanded]
    for rung in [*rungs, *reversed(rungs[:-1])]:
        if rung != scene.phase():
            step(scene, "advance" if rungs.index(rung) > rungs.index(scene.phase()) else "rollback", rung)
        for shape in Shape:
            for copy in WAYS:
                copy(scene, shape)
        scene.check(rung)
    scene.pgjanus("backfill", NAME)
    scene.pgjanus("verify", NAME)
    scene.pgjanus("abort", NAME)
    with scene.connect(Shape.OLD) as connection:
        found = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert found == [values(Shape.OLD, i, n) for i, n in sorted(scene.rows.items())]
    left = "SELECT (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_proc WHERE proname LIKE 'copy%')"
    assert scene.direct.execute(left).fetchone() == (0, 0)


def step(scene: Scene, command: str, rung: str) -> None:
    """One rung, with a client of either shape that is in the middle of a transaction and copies when it is done."""
    before = [(shape, scene.connect(shape, autocommit=False)) for shape in Shape]
    for _, connection in before:
        connection.execute("SELECT 1")
    mover = threading.Thread(target=scene.pgjanus, args=(command, NAME, "--to", rung))
    mover.start()
    deadline = threading.Event()
    for _ in range(600):
        if scene.phase() == rung:
            break
        deadline.wait(0.05)
    assert scene.phase() == rung
    for shape, connection in before:
        with connection.cursor().copy("COPY users FROM STDIN") as copy:
            for row in scene.new_rows(shape):
                copy.write_row(row)
        connection.commit()
        connection.close()
    mover.join(60)
    assert not mover.is_alive()


def test_after_the_last_rung_nothing_is_left_of_it(start_scene: StartScene) -> None:
    scene = start_scene(phase="new_only")
    psycopg_text(scene, Shape.OLD)
    psycopg_text(scene, Shape.NEW)
    scene.pgjanus("advance", NAME, "--to", CONTRACTED.name)
    psycopg_text(scene, Shape.NEW)
    with scene.connect(Shape.NEW) as connection:
        found = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert found == [values(Shape.NEW, i, n) for i, n in sorted(scene.rows.items())]
    assert scene.direct.execute("SELECT count(*) FROM pg_trigger").fetchone() == (0,)
