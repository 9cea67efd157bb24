"""`pgjanus abort MIGRATION`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, run
from proxy.cli.steps import report, say_for, timeout_option
from proxy.ladder.climb import abort
from proxy.ladder.operator import operate


@click.command("abort")
@click.argument("migration")
@database_url_option
@timeout_option
@json_option
def command(migration: str, database_url: str, timeout_s: float, as_json: bool) -> None:
    """All the way down; then the new columns and everything else of the migration are removed."""
    run(_abort(migration, database_url, timeout_s, as_json))


async def _abort(migration: str, url: str, timeout_s: float, as_json: bool) -> None:
    say = say_for(as_json)
    async with operate(url, f"abort {migration}", say=say, timeout_s=timeout_s) as operator:
        outcome = await abort(operator, migration)
    report(outcome, as_json)
