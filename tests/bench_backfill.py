"""`make bench-backfill`: memory and rate of the side worker from the first to the last percent of a large table.

Writes a page and its plot. The server's settings are not durable; the rate is of this machine, what
counts is that it is the same at the end as at the beginning.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.system.expanded import SPLIT, expand

ROOT = Path(__file__).parent.parent
_SETTINGS = {**NOT_DURABLE, "shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
_LOOK_EVERY_SECONDS = 0.2
_STEPS = 20


@dataclass(frozen=True)
class Sample:
    """After so many rows: seconds since the worker began, its memory, what it had waited for until then."""

    rows: int
    seconds: float
    memory_mb: float
    waited_s: float


class Target:
    """What `expand` needs to know of a database."""

    def __init__(self, url: str) -> None:
        self.url = url


def measure(rows: int) -> tuple[list[Sample], dict[str, Any]]:
    with EmbeddedPostgres(18, settings=_SETTINGS) as server, psycopg.connect(server.url(), autocommit=True) as db:
        sys.stdout.write(f"filling a table of {rows:,} rows\n")
        sys.stdout.flush()
        db.execute("CREATE TABLE users (id bigint PRIMARY KEY, full_name text, note text DEFAULT repeat('n', 130))")
        db.execute(
            "INSERT INTO users (id, full_name) SELECT i, 'First' || i || ' Last' || i FROM generate_series(1, %s) i",
            (rows,),
        )
        db.execute("VACUUM ANALYZE users")
        found: dict[str, Any] = {"width": _value(db, "SELECT pg_relation_size('users') / %s", rows)}
        expand(Target(server.url()), SPLIT)  # type: ignore[arg-type]
        samples = _follow(server.url(), db, rows)
        found["left"] = _value(db, "SELECT count(*) FROM users WHERE _pgjanus_state < 4")
        found["waited"] = _value(db, "SELECT waited_ms FROM pgjanus.backfill_workers LIMIT 1")
        found["ranges"] = _value(db, "SELECT count(*) FROM pgjanus.backfill_ranges")
    return samples, found


def _value(db: psycopg.Connection[Any], sql: str, *parameters: object) -> Any:
    row = db.execute(sql, parameters).fetchone()
    return row[0] if row else None


def _follow(url: str, db: psycopg.Connection[Any], rows: int) -> list[Sample]:
    command = [sys.executable, "-m", "proxy", "backfill", "split_name", "--database-url", url]
    samples: list[Sample] = []
    started = None
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as worker:
        while worker.poll() is None:
            time.sleep(_LOOK_EVERY_SECONDS)
            done = _value(db, "SELECT coalesce(sum(rows_done), 0)::int8 FROM pgjanus.backfill_ranges")
            if done and started is None:
                started = time.monotonic()
                samples.append(Sample(done, 0.0, _memory_mb(worker.pid), 0.0))
            elif started is not None and done - samples[-1].rows >= rows / 200:
                waited = _value(
                    db,
                    "SELECT coalesce(sum(value::float8) / 1000, 0) FROM pgjanus.backfill_workers,"
                    " jsonb_each_text(waited_ms)",
                )
                samples.append(Sample(done, time.monotonic() - started, _memory_mb(worker.pid), waited))
        if worker.returncode:
            raise SystemExit(f"the worker ended with {worker.returncode}")
    return samples


def _memory_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def by_step(samples: list[Sample], rows: int) -> list[tuple[int, float, float, float]]:
    """(percent, rows per second while at work, memory in MB, seconds waited) for each twentieth of the table."""
    found, before = [], samples[0]
    for step in range(1, _STEPS + 1):
        upto = next((s for s in samples if s.rows >= rows * step / _STEPS), samples[-1])
        if upto.rows == before.rows:
            continue
        seconds = upto.seconds - before.seconds - (upto.waited_s - before.waited_s)
        rate = (upto.rows - before.rows) / max(seconds, 0.001)
        found.append((100 * step // _STEPS, rate, upto.memory_mb, upto.waited_s - before.waited_s))
        before = upto
    return found


def plot(steps: list[tuple[int, float, float, float]]) -> str:
    """An SVG of the rate and of the memory over the percent done."""
    most_rate, most_memory = max(r for _, r, _, _ in steps) * 1.2, max(m for _, _, m, _ in steps) * 1.2

    def line(values: list[tuple[float, float]], most: float, colour: str) -> str:
        points = " ".join(f"{60 + 5.6 * x:.0f},{260 - 220 * y / most:.0f}" for x, y in values)
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'

    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 300" font-family="sans-serif" font-size="12">'
        '<rect width="680" height="300" fill="white"/>'
        '<path d="M60 40V260H620" fill="none" stroke="#888"/>'
        + "".join(f'<text x="{60 + 5.6 * p:.0f}" y="276" text-anchor="middle">{p} %</text>' for p in range(0, 101, 20))
        + line([(p, r) for p, r, _, _ in steps], most_rate, "#1f77b4")
        + line([(p, m) for p, _, m, _ in steps], most_memory, "#d62728")
        + f'<text x="70" y="30" fill="#1f77b4">rows per second (top: {most_rate:,.0f})</text>'
        + f'<text x="420" y="30" fill="#d62728">memory of the worker (top: {most_memory:,.0f} MB)</text></svg>\n'
    )


def report(rows: int, samples: list[Sample], found: dict[str, Any]) -> str:
    steps = by_step(samples, rows)
    rates = [rate for _, rate, _, _ in steps]
    memory = [mb for _, _, mb, _ in steps if mb]
    table = "\n".join(f"| {p} % | {rate:,.0f} | {mb:,.1f} | {waited:,.1f} |" for p, rate, mb, waited in steps)
    waited = ", ".join(f"{cause}: {ms / 1000:,.0f} s" for cause, ms in found["waited"].items()) or "for nothing"
    last = samples[-1]
    return f"""# The backfill, measured

Written by `make bench-backfill` (ROWS={rows}): {rows:,} rows of {found["width"]} bytes each, one column that becomes
two, one worker in {found["ranges"]} ranges, PostgreSQL 18 with settings that are not durable ({", ".join(NOT_DURABLE)}
off), on {os.cpu_count()} cores that other work used at the same time. It took {last.seconds:,.0f} s from the first
batch to the last one, of which it waited {last.waited_s:,.0f} s ({waited}).

The rate is in rows per second of the time in which it did not wait. The first twentieth of the table had
{rates[0]:,.0f}, the last {rates[-1]:,.0f}, the slowest {min(rates):,.0f}, the fastest {max(rates):,.0f}. The worker's
memory was between {min(memory):,.1f} and {max(memory):,.1f} MB. {found["left"]} rows were left.

![rate and memory](backfill_measured.svg)

| done | rows/s | memory in MB | waited in s |
|---|---|---|---|
{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--into", type=Path, default=Path())
    arguments = parser.parse_args()
    samples, found = measure(arguments.rows)
    text = report(arguments.rows, samples, found)
    (arguments.into / "backfill_measured.md").write_text(text)
    (arguments.into / "backfill_measured.svg").write_text(plot(by_step(samples, arguments.rows)))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
