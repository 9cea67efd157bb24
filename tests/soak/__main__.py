"""`python -m tests.soak locks|recipes|back`; `make soak` runs all three."""

from __future__ import annotations

import asyncio
import sys
import time

import click

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from rules.operations import OPERATIONS
from rules.phases import Strategy
from tests.soak import back as way_back
from tests.soak import locks, recipes

_VERSIONS = click.option("--version", "versions", type=int, multiple=True, default=(18, 16), show_default=True)


def say(line: str) -> None:
    click.echo(f"-- {time.strftime('%H:%M:%S')} {line}", err=True)


@click.group()
def main() -> None:
    """Whole ladders under load."""


@main.command("locks")
@click.option("--rows", default=5_000_000, show_default=True)
@click.option("--rate", default=200.0, show_default=True, help="Requests a second, from both shapes together.")
@click.option("--live", "live_s", default=6.0, show_default=True, help="Seconds in each phase before the next step.")
@click.option("--version", default=18, show_default=True)
@click.option("--back/--no-back", default=False, show_default=True, help="Also down to writing_both and up again.")
def measure_locks(rows: int, rate: float, live_s: float, version: int, back: bool) -> None:
    """How long the table is locked in each step."""
    steps, sampling, load = asyncio.run(locks.measure(version, rows, rate, live_s, back=back, say=say))
    click.echo(f"PostgreSQL {version}, {rows:,} rows, {rate:g} requests a second")
    click.echo(locks.HEADER)
    for step in steps:
        click.echo(str(step))
    median, longest = sampling.gap_ms
    click.echo(f"{sampling.samples:,} samples, {median:.1f} ms apart (the longest gap {longest:.1f} ms)")
    errors = load.errors()
    click.echo(f"{len(load.requests):,} requests, {sum(errors.values())} errors")
    for error, count in errors.most_common(10):
        click.echo(f"{count:6} {error}")
    worst = max((s.longest.at_most_ms for s in steps if s.longest), default=0.0)
    click.echo(f"longest lock that stalls anybody: at most {worst:.1f} ms")
    sys.exit(1 if errors or worst > locks.LONGEST_LOCK_MS else 0)


@main.command("recipes")
@click.option("--recipe", "kinds", multiple=True, type=click.Choice([*OPERATIONS, "several"]))
@click.option("--strategy", "strategies", multiple=True, type=click.Choice([s.value for s in Strategy]))
@click.option("--pieces", default=40, show_default=True, help="What each client does at least in each phase.")
@_VERSIONS
def walk_recipes(kinds: tuple[str, ...], strategies: tuple[str, ...], pieces: int, versions: tuple[int, ...]) -> None:
    """Every recipe in every strategy, with clients of both shapes."""
    failed = False
    for result in recipes.walk_all(
        kinds or (*OPERATIONS, "several"), strategies or tuple(s.value for s in Strategy), versions, pieces
    ):
        click.echo(str(result))
        failed = failed or not result.is_good
    sys.exit(failed)


@main.command("back")
@click.option("--writes", default=100_000, show_default=True)
@click.option("--strategy", "strategies", multiple=True, type=click.Choice([s.value for s in Strategy]))
@_VERSIONS
def go_back(writes: int, strategies: tuple[str, ...], versions: tuple[int, ...]) -> None:
    """Writes in `new_only`, and everything is there after a rollback."""
    lost = 0
    for version in versions:
        with EmbeddedPostgres(version, settings=NOT_DURABLE) as server:
            for strategy in strategies or tuple(s.value for s in Strategy):
                result = asyncio.run(way_back.write_and_go_back(server, strategy, writes, say))
                click.echo(str(result))
                lost += len(result.lost)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
