"""`pgjanus backfill MIGRATION --pause …`: telling workers that are running."""

from __future__ import annotations

import click
from pydantic import ValidationError

from proxy.backfill.controls import Controls, change_controls
from proxy.backfill.report import read_backfills
from proxy.cli import common
from proxy.control.installation import require_installed
from proxy.control.registry import read_migration
from proxy.database import connect
from rules.backfill import LIVE, BackfillSpec
from rules.explanations import problems_in


def given_changes(settings: tuple[str, ...], batch_target: str | None, max_lag: str | None) -> dict[str, object]:
    """What was asked for, by name in the file; a mistake is one of usage."""
    given: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in LIVE:
            raise click.BadParameter(f"{setting!r}: NAME=VALUE is wanted, with one of {', '.join(LIVE)}")
        given[name] = _value(name, value)
    given |= {n: v for n, v in (("batch_target", batch_target), ("max_lag", max_lag)) if v is not None}
    try:
        BackfillSpec.model_validate(given)
    except ValidationError as error:
        raise click.BadParameter(
            "; ".join(f"{p.path[0]}: {p.message}" for p in problems_in(error, BackfillSpec))
        ) from error
    return given


def _value(name: str, text: str) -> object:
    match text:
        case "true" | "false":
            return text == "true"
        case _ if text.isdecimal():
            return int(text)
        case _:
            return text.split(",") if name == "ignore_standbys" else text


async def change(
    url: str, migration: str, paused: bool | None, changes: dict[str, object], reset: bool
) -> tuple[Controls, int]:
    """What is in force then, and how many workers there are to act on it."""
    connection = await connect(url, "pgjanus backfill control")
    try:
        await require_installed(connection)
        await read_migration(connection, migration)
        controls = await change_controls(connection, migration, paused=paused, settings=changes, reset=reset)
        return controls, sum(len(b.workers) for b in await read_backfills(connection, migration))
    finally:
        await connection.close()


async def control(
    url: str, migration: str, paused: bool | None, changes: dict[str, object], reset: bool, as_json: bool
) -> None:
    controls, workers = await change(url, migration, paused, changes, reset)
    if as_json:
        common.print_json({"paused": controls.paused, "settings": controls.settings, "workers": workers})
        return
    changed = ", ".join(f"{name} {value}" for name, value in (controls.settings or {}).items())
    click.echo(
        f"{migration}: {'paused' if controls.paused else 'not paused'}{f', {changed}' if changed else ''}"
        f" ({workers or 'no'} {'worker' if workers == 1 else 'workers'} at work)"
    )
