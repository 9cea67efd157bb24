"""Cases that pgbench runs: short transactions in each protocol, with few and many clients."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.embedded import PostgresServer
from tests.bench.figures import Figure
from tests.bench.ways import Way

SCALE: Final = 10
CLIENTS: Final = (1, 8, 64)
PROTOCOLS: Final = ("simple", "extended", "prepared")
_SAMPLED: Final = 0.2

_SCRIPTS: Final = {
    "pipelines of 100": "\\startpipeline\n" + "SELECT 1;\n" * 100 + "\\endpipeline\n",
    "64 KiB bytea": "SELECT content FROM large WHERE id = 1;\n",
}
PREPARE: Final = """
CREATE TABLE large (id int PRIMARY KEY, content bytea);
ALTER TABLE large ALTER content SET STORAGE EXTERNAL;
INSERT INTO large SELECT 1, string_agg(sha256(i::text::bytea), '') FROM generate_series(1, 2048) i
"""


@dataclass(frozen=True)
class Case:
    """`arguments` are pgbench's; `script` is its own, if it has one; `per` statements make one transaction."""

    name: str
    clients: int
    arguments: tuple[str, ...]
    script: str | None = None
    unit: str = "tps"


def cases() -> Iterator[Case]:
    for workload, arguments in (("-S", ("--select-only",)), ("TPC-B", ())):
        for protocol in PROTOCOLS:
            for clients in CLIENTS:
                yield Case(f"{workload} {protocol} {clients}", clients, (*arguments, f"--protocol={protocol}"))
    for name, script in _SCRIPTS.items():
        yield Case(f"{name}, 8", 8, ("--protocol=prepared",), script)
    yield Case("connect, -S, 8", 8, ("--select-only", "--connect"), unit="connections/s")


def run(server: PostgresServer, case: Case, way: Way, seconds: float, database: str) -> Figure:
    """pgbench for some seconds."""
    with tempfile.TemporaryDirectory() as directory:
        script: tuple[str, ...] = ()
        if case.script is not None:
            path = Path(directory) / "script.sql"
            path.write_text(case.script)
            script = (f"--file={path}",)
        before = way.cpu_s()
        done = subprocess.run(
            [
                *(str(server.bin / "pgbench"), "--host=127.0.0.1", f"--port={way.port}", "--username=postgres"),
                *("--no-vacuum", f"--client={case.clients}", f"--time={max(1, round(seconds))}"),
                *("--log", f"--sampling-rate={_SAMPLED}", *case.arguments, *script, database),
            ],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60 + 10 * seconds,
            check=False,
        )
        cpu_s = way.cpu_s() - before
        if done.returncode:
            raise SystemExit(f"{case.name}, {way.name}: {done.stderr}")
        latencies = sorted(
            float(line.split()[2])
            for log in Path(directory).glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        )
    rate, transactions = _number(r"^tps = ([\d.]+)", done.stdout), _number(r"processed: (\d+)", done.stdout)
    return Figure(
        *("pgbench", case.name, way.name, case.unit, rate, cpu_s / transactions * 1e6),
        p50_us=statistics.median(latencies) if latencies else 0.0,
        p99_us=latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
        rss_kib=way.rss_kib(),
    )


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"pgbench printed no {pattern}:\n{text}")
    return float(match[1])
