"""Many writes in `new_only`, all the way down, and every value compared through the old shape."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import yaml

from proxy.embedded import PostgresServer
from tests.bench.ways import proxy_before
from tests.soak.commands import pgjanus
from tests.world import migration_file

DATABASE = "soak_back"
_BATCH = 1000
_TABLE = """
CREATE TABLE public.users (id bigint PRIMARY KEY, email text, full_name text);
INSERT INTO public.users SELECT g, NULL, 'First' || g || ' Last' || g FROM generate_series(1, {rows}) g;
"""


@dataclass(frozen=True, slots=True)
class WentBack:
    """`lost`: keys of rows that do not read as they were acknowledged, through the proxy or in the column itself."""

    version: int
    strategy: str
    writes: int
    steps_s: tuple[tuple[str, float], ...]
    rows: int
    lost: tuple[int, ...]

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.steps_s)
        return (
            f"PostgreSQL {self.version}  {self.strategy:10} {self.writes:,} writes in new_only, then {steps}:"
            f" {self.rows:,} rows compared, {len(self.lost)} lost {list(self.lost[:10]) or ''}"
        )


async def write_and_go_back(server: PostgresServer, strategy: str, writes: int, say: Callable[[str], None]) -> WentBack:
    """Half of the writes are UPDATEs of rows that were there before, half are INSERTs; all by the new shape."""
    rows = writes // 2
    url = server.url(DATABASE)
    with (
        psycopg.connect(server.url("postgres"), autocommit=True) as admin,
        ExitStack() as stack,
        tempfile.TemporaryDirectory() as directory,
    ):
        admin.execute(f"CREATE DATABASE {DATABASE}".encode())
        stack.callback(admin.execute, f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())
        with psycopg.connect(url, autocommit=True) as direct:
            direct.execute(_TABLE.format(rows=rows).encode())
        definition = yaml.safe_load(migration_file("split_column").read_text())
        file = Path(directory) / "split_column.yaml"
        file.write_text(yaml.safe_dump({**definition, "strategy": strategy}, sort_keys=False))
        name = str(definition["migration"])
        with proxy_before(server, DATABASE) as (old, new):
            await pgjanus(url, "start", str(file), say=say)
            await pgjanus(url, "advance", name, "--to", "new_only", say=say)
            written = await _write(f"postgresql://postgres@127.0.0.1:{new}/{DATABASE}", rows)
            say(f"{len(written):,} rows written")
            steps = []
            for phase in ("first", "expanded"):
                arguments = () if phase == "first" else ("--to", phase)
                began = time.monotonic()
                await pgjanus(url, "rollback", name, *arguments, say=say)
                steps.append(("one rung down" if phase == "first" else "all the way", time.monotonic() - began))
            found = await _read(f"postgresql://postgres@127.0.0.1:{old}/{DATABASE}")
            await pgjanus(url, "abort", name, say=say)
            after = await _read(url)
        lost = {
            key
            for table in (found, after)
            for key in table.keys() | written.keys()
            if table.get(key) != written.get(key)
        }
        return WentBack(server.version, strategy, writes, tuple(steps), len(found), tuple(sorted(lost)))


async def _write(url: str, rows: int) -> dict[int, str | None]:
    """What an old-shape client has to read, by key."""
    connection = await asyncpg.connect(url)
    expected: dict[int, str | None] = {}
    update = "UPDATE users SET first_name = $2, last_name = $3 WHERE id = $1"
    insert = "INSERT INTO users (id, first_name, last_name) VALUES ($1, $2, $3)"
    for sql, first_key in ((update, 1), (insert, rows + 1)):
        for at in range(first_key, first_key + rows, _BATCH):
            batch = [(key, *_name(key)) for key in range(at, min(at + _BATCH, first_key + rows))]
            await connection.executemany(sql, batch)
            expected.update((key, _joined(first, last)) for key, first, last in batch)
    await connection.close()
    return expected


def _name(key: int) -> tuple[str | None, str | None]:
    """NULLs are values too."""
    if key % 50 == 0:
        return None, None
    return f"Neu{key}", None if key % 7 == 0 else f"Nachname {key}"


def _joined(first: str | None, last: str | None) -> str | None:
    return first if first is None or last is None else f"{first} {last}"


async def _read(url: str) -> dict[int, str | None]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch("SELECT id, full_name FROM users")
    await connection.close()
    return {r["id"]: r["full_name"] for r in found}
