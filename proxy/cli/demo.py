"""`pgjanus demo`: a migration from the first to the last phase, on a PostgreSQL of its own, under live traffic."""

from __future__ import annotations

import sys
import time

import click

from proxy.cli.common import run
from proxy.errors import EXIT_REFUSED


@click.command("demo", short_help="See all of it, on an embedded PostgreSQL with live traffic.")
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(min=100), help="Rows of the table.")
@click.option("--seed", default=None, type=int, help="Make the traffic's choices repeatable.")
@click.option("--seconds-per-phase", default=2.0, show_default=True, help="Traffic before each command.")
def command(rows: int, seed: int | None, seconds_per_phase: float) -> None:
    """Split a column of a table of 200,000 rows while two applications, one of each shape, read and write it.

    Starts an embedded PostgreSQL 18 in a temporary directory, a proxy in front of it and both applications, walks
    through all phases with one rollback on the way, and compares every row with what the applications were told.
    """
    from proxy.demo.processes import DemoError
    from proxy.demo.screen import screen_for
    from proxy.demo.walk import run_demo

    seed = time.time_ns() % 1_000_000 if seed is None else seed
    terminal = sys.stdout.isatty()

    async def demo() -> tuple[str, ...]:
        with screen_for(terminal) as screen:
            try:
                result = await run_demo(screen, rows, seed, seconds_per_phase)
            except DemoError as error:
                return (str(error),)
        if not result.problems:
            click.echo(str(result))
        return result.problems

    problems = run(demo())
    if problems:
        for problem in problems:
            click.echo(f"demo: failed: {problem}", err=True)
        click.echo(f"demo: the traffic's choices can be repeated with --seed {seed}", err=True)
        sys.exit(EXIT_REFUSED)
