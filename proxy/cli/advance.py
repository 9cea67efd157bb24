"""`pgjanus advance MIGRATION`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, run
from proxy.cli.steps import report, say_for, timeout_option, to_option
from proxy.ladder.climb import advance
from proxy.ladder.operator import operate
from rules.phases import CONTRACTED


@click.command("advance")
@click.argument("migration")
@to_option
@click.option(
    "--force", is_flag=True, help="Drop the old columns although their clients were seen within the quiet_period."
)
@database_url_option
@timeout_option
@json_option
def command(migration: str, to: str | None, force: bool, database_url: str, timeout_s: float, as_json: bool) -> None:
    """One rung up: wait for every proxy, backfill, prove the gate, enter the next phase.

    Every step but the last, `contracted`, can be taken back with `rollback`. That one is refused while a client of the
    old shape was seen within the migration's `quiet_period`.
    """
    run(_advance(migration, to, force, database_url, timeout_s, as_json))


async def _advance(migration: str, to: str | None, force: bool, url: str, timeout_s: float, as_json: bool) -> None:
    say = say_for(as_json)
    async with operate(url, f"advance {migration}", say=say, timeout_s=timeout_s) as operator:
        outcome = await advance(operator, migration, to, force=force)
    over = outcome.phase == CONTRACTED.name
    report(outcome, as_json, then=None if over else f"pgjanus advance {migration}, or pgjanus rollback {migration}")
