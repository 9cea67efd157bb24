"""`python -m tests.mutants [WORD…]`: exit 1 if one survives."""

from __future__ import annotations

import argparse
import sys
import time

import click

import tests.mutants
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.mutants import MUTANTS
from tests.mutants.hunt import Hunt
from tests.twin import open_twins


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tests.mutants", description=tests.mutants.__doc__, formatter_class=formatter)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    given = parser.parse_args()
    wanted = [m for m in MUTANTS if not given.words or any(w in m.name for w in given.words)]
    survivors = 0
    with EmbeddedPostgres(18, settings=NOT_DURABLE) as server, open_twins(server) as make:
        hunt = Hunt(make)
        for mutant in wanted:
            started = time.monotonic()
            killer = hunt.killer(mutant)
            survivors += not killer
            seconds = time.monotonic() - started
            click.echo(f"{'killed  ' if killer else 'SURVIVES'} {seconds:5.1f} s  {mutant.name:72} {killer}")
    click.echo(f"{len(wanted)} mutants, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
