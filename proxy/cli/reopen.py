"""`pgjanus reopen`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.cli.steps import say_for, timeout_option
from proxy.ladder.operator import operate
from proxy.ladder.reopen import reopen


@click.command("reopen")
@database_url_option
@timeout_option
@json_option
def command(database_url: str, timeout_s: float, as_json: bool) -> None:
    """Serve managed tables again after the database went back in time.

    After a restore, or a failover to a standby that was behind, proxies know of later phases than the database, and
    serve no managed table. Look at `pgjanus status` first: the phases that it shows are those that will hold. Each
    proxy begins again with what the database says now.
    """
    run(_reopen(database_url, timeout_s, as_json))


async def _reopen(url: str, timeout_s: float, as_json: bool) -> None:
    async with operate(url, "reopen", say=say_for(as_json), timeout_s=timeout_s) as operator:
        before, after = await reopen(operator)
    if as_json:
        print_json({"epoch_before": before, "epoch": after})
    else:
        click.echo(f"the epoch was {before} and is {after}; every proxy serves what the database says")
