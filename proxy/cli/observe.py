"""`pgjanus observe MIGRATION`."""

from __future__ import annotations

import click

from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.cli.forecasts import Line, page, summary
from proxy.control import registry
from proxy.control.installation import require_installed
from proxy.control.registry import MigrationRow
from proxy.database import connect
from proxy.observe import store
from proxy.observe.store import Observed

_SENDERS_SHOWN = 3


@click.command("observe")
@click.argument("migration")
@click.option("--refused", "refused_only", is_flag=True, help="Only what a later phase would refuse.")
@click.option("--forget", is_flag=True, help="Delete what was observed so far, and begin again.")
@database_url_option
@json_option
def command(migration: str, refused_only: bool, forget: bool, database_url: str, as_json: bool) -> None:
    """What was sent to the table in the phase `expanded`, and what each later phase of MIGRATION would make of it.

    Proxies write it down every few seconds, without the constants in it unless pgjanus.yaml says otherwise.
    """
    run(_observe(migration, refused_only, forget, database_url, as_json))


async def _observe(name: str, refused_only: bool, forget: bool, url: str, as_json: bool) -> None:
    connection = await connect(url, "pgjanus observe")
    try:
        await require_installed(connection)
        row = await registry.read_migration(connection, name)
        if forget:
            await store.forget(connection, name)
        _show(row, await store.read(connection, name), refused_only, as_json)
    finally:
        await connection.close()


def _show(row: MigrationRow, found: list[Observed], refused_only: bool, as_json: bool) -> None:
    lines = {observed.what: _line(observed) for observed in found}
    if as_json:
        print_json([o.to_json() for o in found if lines[o.what].is_refused or not refused_only])
        return
    for text in page(lines.values(), refused_only=refused_only):
        click.echo(text)
    if found:
        click.echo(f"{row.name} on {row.table}: {summary(lines.values())}")
    else:
        click.echo(f"{row.name} on {row.table}: nothing was observed; proxies do it in the phase expanded")


def _line(observed: Observed) -> Line:
    senders = [f"{s.application_name or '(no application_name)'} as {s.user}" for s in observed.senders]
    more = len(senders) - _SENDERS_SHOWN
    by = ", ".join(senders[:_SENDERS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    last = observed.last_seen.strftime("%Y-%m-%d %H:%M:%S UTC")
    statement = observed.what.statement if observed.sample is None else observed.sample
    about = f"{observed.what.shape.value} shape, by {by}, last {last}"
    return Line(statement, observed.seen, observed.what.forecast, about)
