"""Run histories, print what is wrong with them; exit 1 if anything is (with `--bug`: if it is not found)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click
import pytest

from rules.phases import Strategy
from tests.chaos.arena import LEASE_S, Arena
from tests.chaos.bugs import Bug
from tests.chaos.history import Verdict, run_history
from tests.chaos.scenario import Harm, Scenario, make_scenario

_MOST_SHOWN, _LINE = 8, 240


@click.command()
@click.option("--histories", default=500, show_default=True, help="how many; with --bug: at most so many")
@click.option("--seed", help="default: another one each time; it is printed")
@click.option("--first", default=0, help="number of the first history: a seed and its number make one scenario")
@click.option("--strategy", type=click.Choice([s.value for s in Strategy]), help="default: each history draws one")
@click.option(
    "--bug", type=click.Choice([b.name.lower() for b in Bug]), help="a mistake to plant; ends when it is found"
)
@click.option("--harm", type=click.Choice([h.name.lower() for h in Harm]), multiple=True, help="default: all of them")
@click.option("--server", default="18", show_default=True, help="18, 16 or system-VERSION")
@click.option("--arenas", default=1, show_default=True, help="servers with three proxies each, side by side")
@click.option("--lease", default=LEASE_S, show_default=True, help="of the proxies, in seconds")
@click.option("--moves", default=2, show_default=True, help="the usual length of a walk")
@click.option("--verbose", is_flag=True, help="a line for each history, also those that nothing is wrong with")
def main(
    histories: int,
    seed: str | None,
    first: int,
    strategy: str | None,
    bug: str | None,
    harm: tuple[str, ...],
    server: str,
    arenas: int,
    lease: float,
    moves: int,
    verbose: bool,
) -> None:
    """Random histories against the checker of docs/chaos.md."""
    seed = seed or os.urandom(3).hex()
    planted = Bug[bug.upper()] if bug else None
    if planted is not None:
        planted.plant(pytest.MonkeyPatch())
    click.echo(f"seed {seed}, PostgreSQL {server}" + (f", planted: {planted.value}" if planted else ""))
    scenario = partial(
        make_scenario,
        strategy=Strategy(strategy) if strategy else None,
        moves=moves,
        harms=tuple(Harm[h.upper()] for h in harm) or tuple(Harm),
    )
    run = _Run(scenario, seed, range(first, first + histories), planted, verbose)
    started = time.monotonic()
    with suppress(asyncio.CancelledError):
        asyncio.run(run.everything(server, arenas, lease))
    wrong = Counter(v.wrong.value for verdict in run.bad for v in verdict.violations)
    click.echo(
        f"{run.done} histories in {time.monotonic() - started:.0f} s: {len(run.bad)} with violations {dict(wrong)};"
        f" {run.statements} statements, {run.reads} rows read, errors {dict(run.errors)}"
    )
    if planted is not None:
        click.echo("found" if run.bad else "NOT FOUND")
    sys.exit(int(bool(run.bad) != (planted is not None)))


class _Run:
    """Takes the numbers of histories from one row, in as many arenas as there are."""

    def __init__(
        self, scenario: Callable[[str], Scenario], seed: str, numbers: range, bug: Bug | None, verbose: bool
    ) -> None:
        self._scenario, self._seed, self._bug, self._verbose = scenario, seed, bug, verbose
        self._numbers = iter(numbers)
        self.bad: list[Verdict] = []
        self.done = self.statements = self.reads = 0
        self.errors: Counter[str] = Counter()

    async def everything(self, server: str, arenas: int, lease_s: float) -> None:
        # What was started is ended also when we are: `timeout` sends this one.
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with asyncio.TaskGroup() as group:
            for _ in range(arenas):
                group.create_task(self._fill(server, lease_s))

    async def _fill(self, server: str, lease_s: float) -> None:
        async with Arena(server, self._bug, lease_s) as arena:
            for number in self._numbers:
                verdict = await run_history(arena, self._scenario(f"{self._seed}-{number}"))
                self._count(verdict)
                if verdict.violations:
                    self._show(verdict)
                    if self._bug is not None:
                        return
                elif self._verbose:
                    click.echo(str(verdict))
                if self._bug is not None and self.bad:
                    return

    def _count(self, verdict: Verdict) -> None:
        self.done += 1
        self.statements += verdict.statements
        self.reads += verdict.reads
        self.errors.update(verdict.errors)
        if verdict.violations:
            self.bad.append(verdict)

    def _show(self, verdict: Verdict) -> None:
        click.echo(f"history {self.done}: {verdict}")
        for violation in verdict.violations[:_MOST_SHOWN]:
            click.echo(f"  {violation}")
        if len(verdict.violations) > _MOST_SHOWN:
            click.echo(f"  and {len(verdict.violations) - _MOST_SHOWN} more")
        for line in verdict.story:
            click.echo(f"    {line[:_LINE]}")


if __name__ == "__main__":
    main()
