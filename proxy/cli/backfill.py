"""`pgjanus backfill`: the side worker."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from proxy.backfill.progress import Progress
from proxy.backfill.runner import BackfillResult, run
from proxy.cli import common
from proxy.cli.controls import control, given_changes
from proxy.cli.dry_run import try_batch
from proxy.errors import EXIT_REFUSED

_LINE_EVERY_SECONDS = 2.0
_MOST_BAD_ROWS_SHOWN = 50


@click.command()
@click.argument("migration", required=False)
@common.database_url_option
@click.option("--once", is_flag=True, help="Without MIGRATION: do what is to be done now for all of them, and exit.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Convert one batch, show up to ten rows of it, and roll it back. MIGRATION may be a file that is not started.",
)
@click.option("--exact", is_flag=True, help="Count the rows to do first, instead of estimating them from a sample.")
@click.option("--pause", "paused", flag_value=True, type=bool, default=None, help="Let all workers of MIGRATION wait.")
@click.option("--resume", "paused", flag_value=False, type=bool, help="Let them go on.")
@click.option("--batch-target", metavar="TIME", help="From now on: how long one batch of theirs should take.")
@click.option("--max-lag", metavar="TIME", help="From now on: how far behind a standby may be.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting of the file's backfill."
)
@click.option("--reset", is_flag=True, help="Back to the file's settings.")
@common.json_option
def command(
    migration: str | None,
    database_url: str,
    once: bool,
    dry_run: bool,
    exact: bool,
    paused: bool | None,
    batch_target: str | None,
    max_lag: str | None,
    settings: tuple[str, ...],
    reset: bool,
    as_json: bool,
) -> None:
    """Convert the rows that were there before, beside live traffic.

    With MIGRATION it ends when nothing is left in the row state that a neighbouring phase forbids. Without, it serves
    all migrations for ever. It can be killed at any time, and goes on where it was; several share the work.

    With --pause, --resume, --batch-target, --max-lag, --set or --reset it only tells the workers of MIGRATION that are
    running, one within `advance` too, and returns.
    """
    changes = given_changes(settings, batch_target, max_lag)
    if paused is not None or changes or reset:
        if migration is None:
            raise click.UsageError("which migration? pgjanus backfill MIGRATION --pause")
        common.run(control(database_url, migration, paused, changes, reset, as_json))
        return
    if dry_run:
        try_batch(database_url, migration, exact, as_json)
        return
    with _Display(quiet=as_json) as display:
        result = common.run(
            run(
                database_url,
                migration,
                once=once,
                exact=exact,
                on_progress=display.show,
                on_error=lambda message: click.echo(f"pgjanus: {message}", err=True),
            )
        )
    if as_json:
        common.print_json(_as_json(result))
    else:
        _print_result(result)
    if not result.complete:
        sys.exit(EXIT_REFUSED)


class _Display:
    """A bar per row state on a terminal; else a line every few seconds, and one at each end."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._quiet = quiet
        self._bars = (
            Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:.0f} rows/s, {task.fields[left]}, {task.fields[state]}"),
                console=console,
            )
            if console.is_terminal and not quiet
            else None
        )
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> _Display:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, progress: Progress) -> None:
        name = f"{progress.migration}: {progress.empties.value} → both"
        left = "" if progress.eta_s is None else f"{progress.eta_s:.0f} s left"
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, rate=0.0, left="", state="")
            self._bars.update(
                self._tasks[name],
                total=progress.rows_total,
                completed=progress.rows_done,
                rate=progress.rate,
                left=left,
                state=progress.state,
            )
        elif not self._quiet:
            now = time.monotonic()
            at, state = self._shown.get(name, (0.0, ""))
            if now - at >= _LINE_EVERY_SECONDS or state != progress.state:
                self._shown[name] = (now, progress.state)
                percent = 100 * progress.rows_done // progress.rows_total if progress.rows_total else 100
                click.echo(
                    f"{name}: {progress.rows_done}/{progress.rows_total} rows ({percent} %), {progress.rate:.0f} rows/s"
                    f"{', ' + left if left else ''}, {progress.state}",
                    err=True,
                )


def _as_json(result: BackfillResult) -> object:
    states = [
        {
            "migration": s.migration,
            "empties": s.empties.value,
            "rows": s.rows,
            "seconds": round(s.seconds, 3),
            "complete": s.complete,
            "bad_rows": [{"key": key, "error": error} for key, error in s.bad],
        }
        for s in result.states
    ]
    return {"complete": result.complete, "rows": result.rows, "states": states}


def _print_result(result: BackfillResult) -> None:
    if not result.states:
        click.echo("nothing to convert in this phase")
    for s in result.states:
        rate = s.rows / s.seconds if s.seconds else 0.0
        end = "none left" if s.complete else f"{len(s.bad)} cannot be converted"
        click.echo(f"{s.migration}: {s.rows} rows {s.empties.value} → both in {s.seconds:.1f} s ({rate:.0f}/s), {end}")
    for key, error in result.bad[:_MOST_BAD_ROWS_SHOWN]:
        click.echo(f"  {key}: {error}", err=True)
    if len(result.bad) > _MOST_BAD_ROWS_SHOWN:
        click.echo(f"  and {len(result.bad) - _MOST_BAD_ROWS_SHOWN} more", err=True)
    if result.bad:
        click.echo("pgjanus: mend these rows (or the migration's expressions) and run the backfill again", err=True)
