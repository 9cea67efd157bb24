"""Run the cases, all ways in turn, and write what came out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
import psycopg
from click.testing import CliRunner

from proxy.cli import main as pgjanus
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from tests.bench import pgbench, report, stream
from tests.bench.figures import Figure, summaries
from tests.bench.ways import Way, ways
from tests.bench.ways import pgbouncer as found_pgbouncer
from tests.system.ladder_case import USERS
from tests.world import FOLDERS

_DATABASE: Final = "bench"
_PARTS: Final = ("pgbench", "stream", "idle")
#: Every connection of a client is one of the server's.
_SETTINGS: Final = {**NOT_DURABLE, "max_connections": "2200"}

Run = Callable[[Way], Figure]


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each way has its turn in each case.")
@click.option("--seconds", default=3.0, show_default=True, help="How long one run of pgbench takes.")
@click.option("--parts", default=",".join(_PARTS), show_default=True, help="What to measure.")
@click.option("--cases", default="", help="Only cases with this in their name.")
@click.option("--connections", default=2000, show_default=True, help="How many idle connections.")
@click.option("--into", default="build", show_default=True, help="A directory for benchmarks.md, .json and .svg.")
def command(rounds: int, seconds: float, parts: str, cases: str, connections: int, into: str) -> None:
    """What pgjanus costs beside PgBouncer and beside no proxy, for statements that concern no migration."""
    chosen = parts.split(",")
    if unknown := set(chosen) - set(_PARTS):
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(_PARTS)}")
    facts = report.machine(_versions())
    figures: list[Figure] = []
    with EmbeddedPostgres(18, settings=_SETTINGS) as server:
        _prepare(server)
        with ways(server, _DATABASE) as running:
            for name, times, run in _runs(server, chosen, rounds, seconds, connections):
                if cases not in name:
                    continue
                figures += [run(way) for _ in range(times) for way in running]
                _tell(figures, name)
    directory = Path(into)
    directory.mkdir(exist_ok=True)
    plotted = report.plot(summaries(figures), directory / "benchmarks.svg")
    if not plotted:
        click.echo("no plot: pip install -e .[bench]", err=True)
    text = report.markdown(summaries(figures), facts, "make bench INTO=docs", plotted=plotted)
    (directory / "benchmarks.md").write_text(text)
    (directory / "benchmarks.json").write_text(
        json.dumps({"machine": facts, "figures": [asdict(figure) for figure in figures]}, indent=1) + "\n"
    )
    click.echo(f"{directory / 'benchmarks.md'} has it all")


def _runs(
    server: PostgresServer, parts: Sequence[str], rounds: int, seconds: float, connections: int
) -> list[tuple[str, int, Run]]:
    found: list[tuple[str, int, Run]] = []
    if "pgbench" in parts:
        found += [(case.name, rounds, partial(_pgbench, server, case, seconds)) for case in pgbench.cases()]
    if "stream" in parts:
        found += [(case, rounds, partial(_stream, case)) for case in stream.CASES]
    if "idle" in parts:
        # Once: memory that a process has got, it does not give back.
        found.append((f"{connections} idle connections", 1, partial(_idle, connections)))
    return found


def _pgbench(server: PostgresServer, case: pgbench.Case, seconds: float, way: Way) -> Figure:
    return pgbench.run(server, case, way, seconds, _DATABASE)


def _stream(case: str, way: Way) -> Figure:
    return stream.run(case, way, _DATABASE)


def _idle(connections: int, way: Way) -> Figure:
    return stream.idle(way, _DATABASE, connections)


def _prepare(server: PostgresServer) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {_DATABASE}".encode())
    url = server.url(_DATABASE)
    made = [str(server.bin / "pgbench"), "--initialize", "--quiet", f"--scale={pgbench.SCALE}", url]
    subprocess.run(made, check=True, capture_output=True)
    with psycopg.connect(url, autocommit=True) as admin:
        for script in (pgbench.PREPARE, stream.PREPARE, USERS):
            admin.execute(script.encode())
    recipe = str(FOLDERS[0] / "split_column.yaml")
    begun = CliRunner().invoke(pgjanus, ["start", recipe, "--database-url", url])
    if begun.exit_code:
        raise SystemExit(begun.output)


def _versions() -> dict[str, str]:
    found = {"pgjanus": version("pgjanus")}
    if program := found_pgbouncer():
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        found["PgBouncer"] = said.split("\n")[0].removeprefix("PgBouncer ")
    return found


def _tell(figures: Sequence[Figure], case: str) -> None:
    for (_, name, way), summary in summaries(figures).items():
        if name == case:
            figure = summary.figure
            click.echo(
                f"{name:24} {way:10} {figure.rate:10,.0f} {figure.unit:14} ±{summary.spread / 2:4.0%}"
                f" {figure.cpu_us:8.1f} µs CPU  p50 {figure.p50_us:6.0f}  p99 {figure.p99_us:6.0f} µs"
                f"  {figure.rss_kib:8.0f} KiB"
            )


if __name__ == "__main__":
    command()
