"""`pgjanus start FILE`."""

from __future__ import annotations

import sys

import click

from proxy.cli.common import database_url_option, json_option, run
from proxy.cli.extents import extent_of, extent_options
from proxy.cli.steps import report, say_for, timeout_option
from proxy.ladder.climb import Outcome, start
from proxy.ladder.operator import operate
from proxy.preflight import Extent
from rules.loader import load_file
from rules.spec import MigrationSpec


@click.command("start")
@click.argument("file", type=click.Path(dir_okay=False))
@database_url_option
@timeout_option
@click.option("--yes", is_flag=True, help="Agree to what start would ask about, such as triggers that will fire.")
@extent_options
@json_option
def command(
    file: str,
    database_url: str,
    timeout_s: float,
    yes: bool,
    sample_rows: int | None,
    all_rows: bool,
    as_json: bool,
) -> None:
    """Register the migration in FILE, add its columns, enter the first phase.

    Every proxy learns of it before the table is touched. What fails on the way is taken back.
    """
    run(_start(file, database_url, timeout_s, yes, extent_of(sample_rows, all_rows), as_json))


async def _start(file: str, url: str, timeout_s: float, yes: bool, extent: Extent, as_json: bool) -> None:
    spec: MigrationSpec = load_file(file)
    say = say_for(as_json)

    def consent(question: str) -> bool:
        return yes or (sys.stdin.isatty() and click.confirm(f"{question}. Is that all right?", err=True))

    async with operate(url, f"start {spec.migration}", say=say, timeout_s=timeout_s) as operator:
        outcome: Outcome = await start(operator, spec, consent, extent)
    report(outcome, as_json, then=f"pgjanus advance {spec.migration}")
