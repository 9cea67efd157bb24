"""One table of millions of rows, a steady rate of requests, and every lock that stalls somebody, step by step."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from tests.bench.ways import proxy_before
from tests.soak.commands import pgjanus
from tests.soak.load import Load, Request
from tests.soak.sampler import Sampler, Sampling, Sighting

SETTINGS = {
    **NOT_DURABLE,
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
DATABASE = "soak"
NAME = "mail"
#: What issue trackers would call downtime: nobody may be shut out of the table for longer.
LONGEST_LOCK_MS = 200.0

_TABLE = """
CREATE TABLE people (id bigint PRIMARY KEY, email text, tenant int NOT NULL, note text,
                     created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO people SELECT g, 'User' || g || '@Example.org', g % 1000, repeat('x', 20) FROM generate_series(1, {rows}) g;
CREATE INDEX people_email_idx ON people (email);
CREATE INDEX people_lower_email_idx ON people (lower(email));
"""

_MIGRATION = """
migration: mail
table: public.people
operations:
  - rename_column: {column: email, to: mail, not_null: true, unique: true}
"""

#: Phase and command. The old application ends before the last one.
UP = (
    ("expanded", "start"),
    ("writing_both", "advance"),
    ("reading_new", "advance"),
    ("new_only", "advance"),
)
BACK = (("reading_new", "rollback"), ("writing_both", "rollback"), ("reading_new", "advance"), ("new_only", "advance"))
END = (("contracted", "advance"),)


@dataclass(frozen=True, slots=True)
class Step:
    """From when the command began to when the next one did; times in seconds since 1970."""

    name: str
    began: float
    ended: float
    until: float
    locks: tuple[Sighting, ...]
    requests: tuple[Request, ...]

    @property
    def longest(self) -> Sighting | None:
        """Of pgjanus's own; the longest."""
        held = [s for s in self.locks if s.granted and s.who.startswith("pgjanus")]
        return max(held, key=lambda s: s.at_most_ms, default=None)

    @property
    def longest_wait_ms(self) -> float:
        """How long pgjanus was in the queue for such a lock, with others behind it."""
        waits = [s.at_most_ms for s in self.locks if not s.granted and s.who.startswith("pgjanus")]
        return max(waits, default=0.0)

    def latency_ms(self, part: float) -> float:
        found = sorted(r.seconds * 1000 for r in self.requests)
        return found[min(len(found) - 1, int(part * len(found)))] if found else 0.0

    def __str__(self) -> str:
        lock = self.longest
        held = f"{lock.at_least_ms:6.1f} to {lock.at_most_ms:6.1f}" if lock else f"{'none seen':>16}"
        count = len({s.at for s in self.locks if s.granted and s.who.startswith("pgjanus")})
        kinds = {r.kind for r in self.requests}
        slow = {k: sorted(r.seconds for r in self.requests if r.kind == k) for k in kinds}
        worst = max(slow, key=lambda k: slow[k][len(slow[k]) // 2], default="")
        return (
            f"{self.name:24} {self.ended - self.began:7.1f} s  {count:3}  {held} ms  {self.longest_wait_ms:6.1f} ms"
            f"   {len(self.requests):6} requests: p50 {self.latency_ms(0.5):6.1f}, p99 {self.latency_ms(0.99):7.1f},"
            f" max {self.latency_ms(1):7.1f} ms; slowest kind {worst} ({len(slow.get(worst, ()))})"
        )


HEADER = f"{'step':24} {'took':>9}  {'n':>3}  {'longest lock seen':>19}  {'queued':>9}   until the next step"


async def measure(
    version: int, rows: int, rate: float, live_s: float, *, back: bool, say: Callable[[str], None]
) -> tuple[list[Step], Sampling, Load]:
    """The whole way, some of it also `back` and up again.

    `live_s`: how long both shapes are at work in each phase before the next step.
    """
    with EmbeddedPostgres(version, settings=SETTINGS) as server:
        say(f"PostgreSQL {version}: making {rows:,} rows")
        url = _create(server, rows)
        with proxy_before(server, DATABASE) as (old, new), tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "mail.yaml"
            file.write_text(_MIGRATION)
            load = Load(rows, rate)
            await load.join("old", _address(old))
            await asyncio.sleep(live_s)
            sampler = Sampler(server, DATABASE, "people")
            sampler.start()
            marks: list[tuple[str, float, float]] = []
            for phase, command in (*UP, *(BACK if back else ()), *END):
                if phase == "contracted":
                    await load.leave("old")
                began = time.time()
                arguments = [str(file)] if command == "start" else [NAME, "--to", phase, "--timeout", "600"]
                if phase == "contracted":
                    arguments.append("--force")  # they left a moment ago
                await pgjanus(url, command, *arguments, say=say)
                marks.append((f"{command} to {phase}", began, time.time()))
                if command == "start":
                    await load.join("new", _address(new))
                await asyncio.sleep(live_s)
            sampling = sampler.stop()
            await load.stop()
            ends = [*(began for _, began, _ in marks[1:]), time.time()]
            steps = [
                Step(
                    *(name, began, ended, until),
                    tuple(s for s in sampling.sightings if began <= s.at < until),
                    tuple(r for r in load.requests if began <= r.at < until),
                )
                for (name, began, ended), until in zip(marks, ends, strict=True)
            ]
            _check(url, load)
            return steps, sampling, load


def _create(server: PostgresServer, rows: int) -> str:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {DATABASE}".encode())
    url = server.url(DATABASE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE.format(rows=rows).encode())
        connection.execute("VACUUM ANALYZE people")
    return url


def _address(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/{DATABASE}"


def _check(url: str, load: Load) -> None:
    """The table at the end: as CREATE TABLE would have made it, every row with its value, none too many."""
    with psycopg.connect(url) as connection:
        definitions = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'people'::regclass"
        indexes = {r[0] for r in connection.execute(definitions)}
        assert any("UNIQUE" in i and "(mail)" in i for i in indexes), indexes
        assert any("lower(mail)" in i for i in indexes), indexes
        inserted = sum(r.kind.endswith("insert") and r.error is None for r in load.requests)
        count = connection.execute("SELECT count(*), count(mail) FROM people").fetchone()
        assert count == (load.rows + inserted, load.rows + inserted), (count, load.rows, inserted)
