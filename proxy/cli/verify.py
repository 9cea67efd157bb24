"""`pgjanus verify`: compare the two formats of every row."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from proxy.cli import common
from proxy.errors import EXIT_REFUSED
from proxy.verify.runner import VerifyProgress, VerifyResult, verify

_LINE_EVERY_SECONDS = 2.0
_MOST_FINDINGS_SHOWN = 50


@click.command()
@click.argument("migration")
@common.database_url_option
@click.option("--repair", is_flag=True, help="Derive the other format again from the one that clients read now.")
@common.json_option
def command(migration: str, database_url: str, repair: bool, as_json: bool) -> None:
    """Compare every row's two formats, inside the database and beside live traffic.

    Differing keys are printed and kept in pgjanus.divergences; with any, the exit code is 1.
    """
    with _Display(quiet=as_json) as display:
        result = common.run(verify(database_url, migration, repair=repair, on_progress=display.show))
    if as_json:
        common.print_json({**asdict(result), "clean": result.clean})
    else:
        _print(result)
    if not result.clean:
        sys.exit(EXIT_REFUSED)


class _Display:
    """A bar on a terminal, else a line every few seconds."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._quiet = quiet
        self._bar = (
            Progress(
                TextColumn("verify"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(
                    "{task.fields[rate]:.0f} rows/s, {task.fields[left]}, {task.fields[divergent]} divergent,"
                    " {task.fields[state]}"
                ),
                console=console,
            )
            if console.is_terminal and not quiet
            else None
        )
        self._task = self._bar.add_task("verify", rate=0.0, left="", divergent=0, state="") if self._bar else None
        self._shown = time.monotonic()

    def __enter__(self) -> _Display:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, progress: VerifyProgress) -> None:
        if self._bar and self._task is not None:
            self._bar.update(
                self._task,
                total=progress.rows_total,
                completed=progress.rows,
                rate=progress.rate,
                left=_left(progress),
                divergent=progress.divergent,
                state=progress.state,
            )
        elif not self._quiet and time.monotonic() - self._shown >= _LINE_EVERY_SECONDS:
            self._shown = time.monotonic()
            click.echo(
                f"verify: {progress.rows}/{progress.rows_total} rows, {progress.rate:.0f} rows/s, {_left(progress)},"
                f" {progress.divergent} divergent, {progress.state}",
                err=True,
            )


def _left(progress: VerifyProgress) -> str:
    """At the rate of now; nothing is known of rows that are still to come."""
    if not progress.rate:
        return "no rate yet"
    return f"{max(progress.rows_total - progress.rows, 0) / progress.rate:,.0f} s left"


def _print(result: VerifyResult) -> None:
    for finding in result.findings[:_MOST_FINDINGS_SHOWN]:
        click.echo(f"  {finding.key}: {finding.reason}; old {_values(finding.old)}; new {_values(finding.new)}")
    hidden = result.divergent + result.forbidden - len(result.findings[:_MOST_FINDINGS_SHOWN])
    if hidden > 0:
        click.echo(f"  and {hidden} more (table pgjanus.divergences has all of them)")
    parts = [f"{result.rows} rows", f"{result.divergent} divergent"]
    if result.repaired:
        parts.append(f"{result.repaired} repaired")
    if result.forbidden:
        parts.append(f"{result.forbidden} in a row state that phase {result.phase} forbids")
    click.echo(f"{result.migration}: {', '.join(parts)} ({result.seconds:.1f} s)")


def _values(columns: dict[str, str | None]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in columns.items())
