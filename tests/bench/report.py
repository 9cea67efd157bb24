"""Figures as a document: what it ran on, which goals are reached, a table per part, a plot."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench.goals import Summaries, goals

_PARTS: Final = {"pgbench": "Transactions", "stream": "Much data on one connection", "idle": "Idle connections"}
_HEAD: Final = (
    "| case | way | rate | to PgBouncer | spread | CPU | to PgBouncer | p50 | p99 | RSS |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)
_WHAT: Final = """\
What the proxy costs for statements that concern no migration, while one is active in the same database; beside
PgBouncer in session mode and beside no proxy at all. All ways take turns in each round on one machine, whose cores
client, proxy and server share. Medians; a spread is (largest - smallest) / median. CPU is that of the process in
between, from the operating system, in µs per transaction (or per MB, or per login). A login at PgBouncer does not wait
for one at the server, and takes a pooled connection later; pgjanus relays each to the server."""
_WHERE_THE_TIME_GOES: Final = """\
What short transactions cost more than PgBouncer's is the event loop and Python. In a run of their own (8 clients,
`-S`; µs of CPU per transaction; simple, prepared, extended) a relay on the same event loop that looks at no byte took
27.5, 29.3 and 30.7, PgBouncer 24.6, 23.8 and 27.0, and pgjanus 51.4, 42.2 and 51.8: the loop's dispatch of two sockets
is more than half of it, the walk over messages and the look at statements in Python the rest. Parity wants a data path
that serves a wake-up without entering Python. Where few wake-ups carry much data, as in results and COPY, there is
little to gain."""


def machine(versions: dict[str, str]) -> dict[str, str]:
    """What a reader has to know before a comparison with another run."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} × {model[1] if model else platform.machine()}",
        "kernel": ".".join(platform.release().split(".")[:2]),
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        **versions,
    }


def markdown(found: Summaries, facts: dict[str, str], command: str, *, plotted: bool) -> str:
    """The whole document."""
    return "\n".join([*_head(facts, command), *_goals(found, plotted), *_tables(found)]) + "\n"


def _head(facts: dict[str, str], command: str) -> Iterator[str]:
    yield from ("# Benchmarks", "", *_WHAT.splitlines(), "")
    yield f"Written by `{command}`; the numbers behind it are in [benchmarks.json](benchmarks.json)."
    yield ""
    yield from (f"- {name}: {value}" for name, value in facts.items())
    yield ""


def _goals(found: Summaries, plotted: bool) -> Iterator[str]:
    lines = [
        f"| {goal.text} | {goal.worst:.2f} ({goal.case}) | {'reached' if goal.reached else '**not reached**'} |"
        for goal in goals(found)
    ]
    if lines:
        yield from ("## Goals", "", "| goal | the worst case | |", "|---|---|---|", *lines, "")
        yield from (*_WHERE_THE_TIME_GOES.splitlines(), "")
    if plotted:
        yield "![Throughput and CPU beside PgBouncer](benchmarks.svg)"
        yield ""


def _tables(found: Summaries) -> Iterator[str]:
    for part, title in _PARTS.items():
        if not any(key[0] == part for key in found):
            continue
        yield from (f"## {title}", "", *_HEAD.splitlines())
        for (of, case, way), summary in found.items():
            if of != part:
                continue
            ours, theirs = summary.figure, found.get((part, case, "pgbouncer"))
            rate, cpu = "", ""
            if theirs is not None:
                rate = f"{ours.rate / theirs.figure.rate:.2f}"
                cpu = f"{ours.cpu_us / theirs.figure.cpu_us:.2f}" if ours.cpu_us and theirs.figure.cpu_us else ""
            cells = (
                case,
                way,
                f"{ours.rate:,.0f} {ours.unit}",
                rate,
                f"{summary.spread:.0%}",
                _some(ours.cpu_us, " µs"),
            )
            more = (cpu, _some(ours.p50_us, " µs"), _some(ours.p99_us, " µs"), _some(ours.rss_kib, " KiB"))
            yield f"| {' | '.join((*cells, *more))} |"
        yield ""


def _some(value: float, unit: str) -> str:
    return f"{value:,.1f}{unit}" if value else ""


def plot(found: Summaries, path: Path) -> bool:
    """Ratios to PgBouncer as bars, as SVG. False where matplotlib or PgBouncer is not installed, or nothing was run."""
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        return False
    cases = [case for part, case, way in found if (part, way) == ("pgbench", "pgbouncer")]
    if not cases:
        return False
    canvas = Canvas(figsize=(9, 0.34 * len(cases) + 1.2), layout="constrained")
    for axes, name, title in zip(
        canvas.subplots(1, 2, sharey=True), ("rate", "cpu_us"), ("throughput", "CPU per transaction"), strict=True
    ):
        ratios = [_quotient(found, case, name) for case in cases]
        axes.barh(cases, ratios, color="#336791")
        axes.axvline(1, color="black", linewidth=1)
        axes.set_title(f"{title}, PgBouncer = 1")
    axes.invert_yaxis()
    canvas.savefig(path, metadata={"Date": None})
    return True


def _quotient(found: Summaries, case: str, name: str) -> float:
    ours, theirs = found["pgbench", case, "pgjanus"].figure, found["pgbench", case, "pgbouncer"].figure
    return float(getattr(ours, name) / (getattr(theirs, name) or 1))
