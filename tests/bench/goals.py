"""What pgjanus wants to cost at most beside PgBouncer, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.bench.figures import Figure, Summary

Summaries = Mapping[tuple[str, str, str], Summary]


@dataclass(frozen=True)
class Goal:
    """`worst` is the measured value that is furthest from the goal, in `case`."""

    text: str
    worst: float
    case: str
    reached: bool


def goals(found: Summaries) -> Iterator[Goal]:
    """Of those whose cases were run."""
    busy = [
        f"{workload} {protocol} {clients}"
        for workload in ("-S", "TPC-B")
        for protocol in ("simple", "extended", "prepared")
        for clients in (8, 64)
    ]
    alone = [f"-S {protocol} 1" for protocol in ("simple", "extended", "prepared")]
    stream = [case for part, case, _ in found if part == "stream"]
    rates = {case: _ratio(found, "pgbench", case, "rate") for case in busy}
    yield from _at_least("throughput at 8 and 64 clients ≥ 0.95 × PgBouncer's", 0.95, rates)
    cpu = {case: _ratio(found, "pgbench", case, "cpu_us") for case in busy}
    yield from _at_most("CPU per transaction at 8 and 64 clients ≤ 1.2 × PgBouncer's", 1.2, cpu)
    yield from _at_most(
        "added p50 latency at 1 client ≤ 1.3 × PgBouncer's", 1.3, {case: _added(found, case) for case in alone}
    )
    data = {case: _ratio(found, "stream", case, "rate") for case in stream}
    yield from _at_least("large results and COPY ≥ 0.95 × PgBouncer's", 0.95, data)
    held = {
        case: summary.figure.rss_kib
        for (part, case, way), summary in found.items()
        if (part, way) == ("idle", "pgjanus")
    }
    yield from _at_most("RSS per idle connection ≤ 20 KiB", 20, dict(held))


def _of(found: Summaries, part: str, case: str, way: str) -> Figure | None:
    summary = found.get((part, case, way))
    return summary.figure if summary else None


def _ratio(found: Summaries, part: str, case: str, name: str) -> float | None:
    ours, theirs = _of(found, part, case, "pgjanus"), _of(found, part, case, "pgbouncer")
    if ours is None or theirs is None or not getattr(theirs, name):
        return None
    return float(getattr(ours, name) / getattr(theirs, name))


def _added(found: Summaries, case: str) -> float | None:
    direct, ours, theirs = (_of(found, "pgbench", case, way) for way in ("direct", "pgjanus", "pgbouncer"))
    if direct is None or ours is None or theirs is None or theirs.p50_us <= direct.p50_us:
        return None
    return (ours.p50_us - direct.p50_us) / (theirs.p50_us - direct.p50_us)


def _at_least(text: str, limit: float, values: Mapping[str, float | None]) -> Iterator[Goal]:
    known = {case: value for case, value in values.items() if value is not None}
    if known:
        case = min(known, key=known.__getitem__)
        yield Goal(text, known[case], case, known[case] >= limit)


def _at_most(text: str, limit: float, values: Mapping[str, float | None]) -> Iterator[Goal]:
    known = {case: value for case, value in values.items() if value is not None}
    if known:
        case = max(known, key=known.__getitem__)
        yield Goal(text, known[case], case, known[case] <= limit)
