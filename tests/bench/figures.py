"""What was measured: one figure per case, way and round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One run.

    Attributes:
        rate: how many `unit`s a second.
        cpu_us: processor time of the process in between for each of them, in microseconds; 0 if there is none.
        p50_us, p99_us: latency of a transaction, in microseconds; 0 if it was not looked at.
        rss_kib: memory of the process in between at the end of the run.
    """

    part: str
    case: str
    way: str
    unit: str
    rate: float
    cpu_us: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    rss_kib: float = 0.0


@dataclass(frozen=True)
class Summary:
    """The medians of a case's runs over one way; `spread` is (largest - smallest) / median of the rates."""

    figure: Figure
    spread: float
    runs: int


def summaries(figures: Iterable[Figure]) -> dict[tuple[str, str, str], Summary]:
    """By part, case and way, in the order of their first run."""
    runs: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        runs.setdefault((figure.part, figure.case, figure.way), []).append(figure)
    return {key: _summary(found) for key, found in runs.items()}


def _summary(runs: list[Figure]) -> Summary:
    medians = {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in ("rate", "cpu_us", "p50_us", "p99_us", "rss_kib")
    }
    rates = [run.rate for run in runs]
    spread = (max(rates) - min(rates)) / medians["rate"] if medians["rate"] else 0.0
    return Summary(Figure(**{**asdict(runs[0]), **medians}), spread, len(runs))
