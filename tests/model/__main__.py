"""Search settings from the command line, and print what is found."""

from __future__ import annotations

import sys
import time

import click

from rules.migration import Guard
from rules.phases import Strategy
from tests.model.bugs import Bug
from tests.model.pairs import PAIRS
from tests.model.search import describe, search
from tests.model.states import Setting


@click.command()
@click.option("--strategy", type=click.Choice([s.value for s in Strategy]), multiple=True, help="default: all")
@click.option("--pair", type=click.Choice([p.name for p in PAIRS]), multiple=True, help="default: all")
@click.option("--guard", type=click.Choice([g.value for g in Guard]), default=Guard.HEAL.value, show_default=True)
@click.option("--bug", type=click.Choice([b.name.lower() for b in Bug]), help="a mistake to plant")
@click.option("--held", is_flag=True, help="uncommitted rows and REPEATABLE READ (minutes)")
@click.option("--parity", is_flag=True, help="both codes of each row state (minutes)")
@click.option("--no-abort", is_flag=True, help="without the step back to `announced`")
@click.option("--harm", is_flag=True, help="go on until something is read or written wrongly")
def main(
    strategy: tuple[str, ...],
    pair: tuple[str, ...],
    guard: str,
    bug: str | None,
    held: bool,
    parity: bool,
    no_abort: bool,
    harm: bool,
) -> None:
    """Search every state of the given settings; exit 1 if one is wrong."""
    found = False
    for ladder in Strategy:
        for formats in PAIRS:
            if (strategy and ladder.value not in strategy) or (pair and formats.name not in pair):
                continue
            setting = Setting(
                ladder,
                formats,
                Guard(guard),
                held=held,
                parity=parity,
                abort=not no_abort,
                distance=not harm,
                bugs=frozenset([Bug[bug.upper()]] if bug else []),
            )
            started = time.process_time()
            result = search(setting)
            found = found or result.wrong is not None
            click.echo(f"{describe(setting, result)}\n  in {time.process_time() - started:.1f} s\n")
    sys.exit(int(found))


if __name__ == "__main__":
    main()
