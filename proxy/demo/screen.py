"""What a person sees of the demo: one live picture on a terminal, plain lines on a pipe."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rules.phases import LADDERS, Strategy

_PHASES: Final = tuple(phase.name for phase in LADDERS[Strategy.DUAL_WRITE])
_PLAIN_EVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """One application's numbers. `available` is False while a new application waits for its columns."""

    label: str
    available: bool
    statements: int
    per_second: float
    slowest_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is shown at one moment. `phase` is '' before `start`; `rows_total` is 0 before the backfill."""

    phase: str
    rows_done: int
    rows_total: int
    traffic: tuple[Traffic, ...]


class Screen(ABC):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def say(self, line: str) -> None:
        """A sentence, or a line that a command printed."""

    @abstractmethod
    def command(self, line: str) -> None:
        """A command as a user would type it, before it runs."""

    @abstractmethod
    def show(self, picture: Picture) -> None:
        """Called a few times per second."""


class PlainScreen(Screen):
    def __init__(self) -> None:
        self._started = time.monotonic()
        self._next = 0.0
        self._phase = ""

    def _print(self, line: str) -> None:
        click.echo(f"{time.monotonic() - self._started:6.1f}s  {line}")
        sys.stdout.flush()

    def say(self, line: str) -> None:
        self._print(f"  {line}")

    def command(self, line: str) -> None:
        self._print(f"$ {line}")

    def show(self, picture: Picture) -> None:
        now = time.monotonic()
        if now < self._next and picture.phase == self._phase:
            return
        self._next = now + _PLAIN_EVERY_SECONDS
        self._phase = picture.phase
        backfill = f" backfill={picture.rows_done}/{picture.rows_total}" if picture.rows_total else ""
        rates = {label: _rate(picture, label) for label in ("old", "new")}
        errors = sum(t.errors for t in picture.traffic)
        slowest = max(t.slowest_ms for t in picture.traffic)
        numbers = f"old={rates['old']} new={rates['new']} errors={errors} slowest={slowest:.0f}ms"
        self._print(f"  phase={picture.phase or '-'}{backfill} {numbers}")


def _rate(picture: Picture, label: str) -> str:
    """Of all connections of one application together."""
    traffic = [t for t in picture.traffic if t.label.startswith(label)]
    return f"{sum(t.per_second for t in traffic):.0f}/s" if any(t.available for t in traffic) else "waiting"


class LiveScreen(Screen):
    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._live.console.print(Text(f"  {line}", style="dim"))

    def command(self, line: str) -> None:
        self._live.console.print(Text.assemble(("$ ", "dim"), (line, "bold")))

    def show(self, picture: Picture) -> None:
        self._live.update(
            Group("", _ladder(picture.phase), "", _traffic(picture), "", _backfill(picture)), refresh=True
        )


def _ladder(current: str) -> Text:
    reached = _PHASES.index(current) if current in _PHASES else -1
    text = Text()
    for index, name in enumerate(_PHASES):
        style = "bold reverse" if index == reached else "green" if index < reached else "dim"
        text.append(name, style)
        if index + 1 < len(_PHASES):
            text.append(" → ", "dim")
    return text


def _traffic(picture: Picture) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("application", "statements", "per second", "slowest", "errors"):
        table.add_column(heading, justify="left" if heading == "application" else "right")
    for t in picture.traffic:
        if t.available:
            errors = Text(str(t.errors), "bold red" if t.errors else "green")
            table.add_row(t.label, f"{t.statements:,}", f"{t.per_second:,.0f}", f"{t.slowest_ms:.0f} ms", errors)
        else:
            table.add_row(t.label, Text("waits for its columns", "dim"))
    return table


def _backfill(picture: Picture) -> Table:
    grid = Table.grid(padding=(0, 2))
    if picture.rows_total:
        bar = ProgressBar(total=picture.rows_total, completed=picture.rows_done, width=40)
        grid.add_row("backfill", bar, f"{picture.rows_done:,} of {picture.rows_total:,}")
    return grid


def screen_for(terminal: bool) -> Screen:
    return LiveScreen() if terminal else PlainScreen()
