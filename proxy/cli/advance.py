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
@database_url_option
@timeout_option
@json_option
def command(migration: str, to: str | None, database_url: str, timeout_s: float, as_json: bool) -> None:
    """One rung up: wait for every proxy, backfill, prove the gate, enter the next phase.

    Every step but the last, `contracted`, can be taken back with `rollback`.
    """
    run(_advance(migration, to, database_url, timeout_s, as_json))


async def _advance(migration: str, to: str | None, url: str, timeout_s: float, as_json: bool) -> None:
    say = say_for(as_json)
    async with operate(url, f"advance {migration}", say=say, timeout_s=timeout_s) as operator:
        outcome = await advance(operator, migration, to)
    over = outcome.phase == CONTRACTED.name
    report(outcome, as_json, then=None if over else f"pgjanus advance {migration}, or pgjanus rollback {migration}")
