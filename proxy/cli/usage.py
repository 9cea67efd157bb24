"""`pgjanus usage [MIGRATION]`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.control import registry
from proxy.control.installation import require_installed
from proxy.database import connect
from proxy.usage import store
from proxy.usage.store import Used


@click.command("usage")
@click.argument("migration", required=False)
@database_url_option
@json_option
def command(migration: str | None, database_url: str, as_json: bool) -> None:
    """Who used the columns of MIGRATION, or of any, in which shape, how often, and when last.

    Proxies write it down every few seconds. `advance --to contracted` looks at it.
    """
    run(_usage(migration, database_url, as_json))


async def _usage(migration: str | None, url: str, as_json: bool) -> None:
    connection = await connect(url, "pgjanus usage")
    try:
        await require_installed(connection)
        if migration is not None:
            await registry.read_migration(connection, migration)
        found = await store.read(connection, migration)
    finally:
        await connection.close()
    if as_json:
        print_json([used.to_json() for used in found])
        return
    for used in found:
        click.echo(_line(used))
    if not found:
        click.echo("nobody was seen")


def _line(used: Used) -> str:
    sender = used.sender
    name = sender.application_name or "(no application_name)"
    last = used.last_seen.strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"{sender.migration}, {sender.shape.value} shape: {name} as {sender.user}, {used.statements:,} statements,"
        f" last {last}\n    {used.sample}"
    )
