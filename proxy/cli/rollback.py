"""`pgjanus rollback MIGRATION`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, run
from proxy.cli.steps import report, say_for, timeout_option, to_option
from proxy.ladder.climb import rollback
from proxy.ladder.operator import operate


@click.command("rollback")
@click.argument("migration")
@to_option
@database_url_option
@timeout_option
@json_option
def command(migration: str, to: str | None, database_url: str, timeout_s: float, as_json: bool) -> None:
    """One rung down. What was written in the new format only is converted back first; nothing is lost."""
    run(_rollback(migration, to, database_url, timeout_s, as_json))


async def _rollback(migration: str, to: str | None, url: str, timeout_s: float, as_json: bool) -> None:
    say = say_for(as_json)
    async with operate(url, f"rollback {migration}", say=say, timeout_s=timeout_s) as operator:
        outcome = await rollback(operator, migration, to)
    report(outcome, as_json, then=f"pgjanus advance {migration}, or pgjanus abort {migration}")
