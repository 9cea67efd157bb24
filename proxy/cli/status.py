"""`pgjanus status [MIGRATION]`."""

from __future__ import annotations

import asyncio
import sys

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from proxy.backfill.report import BackfillReport
from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.database import connect
from proxy.ladder.status import MigrationStatus, Status, read_status
from proxy.verify.report import VerificationReport

_WATCH_SECONDS = 1.0


@click.command("status")
@click.argument("migration", required=False)
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@database_url_option
@json_option
def command(migration: str | None, watch: bool, database_url: str, as_json: bool) -> None:
    """Phase, gates, rows by row state, backfill and proxies of MIGRATION, or of all."""
    run(_status(migration, watch, database_url, as_json))


async def _status(migration: str | None, watch: bool, url: str, as_json: bool) -> None:
    connection = await connect(url, "pgjanus status")
    screen = Live(auto_refresh=False) if watch and not as_json and sys.stdout.isatty() else None
    try:
        if screen is not None:
            screen.start()
        while True:
            status = await read_status(connection, migration)
            if as_json:
                print_json(status.to_json())
            elif screen is not None:
                screen.update(page(status), refresh=True)
            else:
                click.echo("\n".join(lines(status)))
            if not watch:
                return
            await asyncio.sleep(_WATCH_SECONDS)
    finally:
        if screen is not None:
            screen.stop()
        await connection.close()


def page(status: Status) -> RenderableType:
    """The same page, drawn over itself, with a bar for each backfill whose end can be told."""
    bars = Table.grid(padding=(0, 1))
    for migration in status.migrations:
        for backfill in migration.backfills:
            if backfill.percent is not None and not backfill.done:
                left = f"{backfill.eta_s:,.0f} s left" if backfill.eta_s is not None else ""
                bar = ProgressBar(total=100, completed=backfill.percent, width=40)
                bars.add_row(f"{migration.name}: {backfill.empties} → both", bar, f"{backfill.percent:.0f} % {left}")
    return Group(Text("\n".join(lines(status))), bars)


def lines(status: Status) -> list[str]:
    """The page for people."""
    if not status.migrations:
        return ["no migration in this database: pgjanus start FILE"]
    shown = [line for migration in status.migrations for line in _migration_lines(migration)]
    if status.proxies:
        shown.append(f"proxies (epoch {status.epoch}):")
        shown += [f"  {'' if p.is_live else 'GONE: '}{p}" for p in status.proxies]
    else:
        shown.append("no proxy is connected")
    return shown


def _migration_lines(migration: MigrationStatus) -> list[str]:
    ladder = " → ".join(f"[{name}]" if name == migration.phase else name for name in migration.ladder)
    shown = [f"{migration.name} on {migration.table} ({migration.strategy})", f"  {ladder}"]
    if migration.held:
        shown.append("  new transactions are held: somebody is contracting")
    for state, gate in migration.gates.items():
        shown.append(f"  gate against row state {state}: {gate}")
    if migration.rows is not None:
        about = "" if migration.rows_are_exact else "about "
        shown.append("  rows: " + ", ".join(f"{about}{n:,} {state}" for state, n in migration.rows.items()))
    for index in migration.indexes:
        percent = "" if index.percent is None else f" {index.percent:.0f} %"
        shown.append(f"  index {index.name}: {index.state}{percent}, {index.bytes / 1_048_576:,.1f} MB")
    shown += [f"  {dependant.description}: {dependant.state}" for dependant in migration.dependants]
    for backfill in migration.backfills:
        shown += _backfill_lines(backfill)
    if migration.verification is not None:
        shown += _verification_lines(migration.name, migration.verification)
    return shown


def _verification_lines(name: str, pass_: VerificationReport) -> list[str]:
    stale = "" if pass_.current else f", in an earlier {pass_.phase}: it proves nothing now"
    if pass_.status == "done" and pass_.proved_s is not None:
        state = f"all agree, as of {pass_.proved_s:,.0f} s ago"
    elif pass_.status == "done":
        state = f"done, {pass_.found:,} found, {pass_.repaired:,} repaired{stale}"
    else:
        percent = "" if pass_.percent is None else f" ({pass_.percent:.0f} %)"
        reason = f": {pass_.reason}" if pass_.reason else ""
        state = f"{percent.strip()} {pass_.status}{reason}, {pass_.found:,} found{stale}".strip()
    shown = [f"  verify: {pass_.rows_done:,} rows, {state}"]
    if pass_.divergent:
        shown.append(f"    {pass_.divergent:,} rows differ (table pgjanus.divergences): pgjanus verify {name} --repair")
    if pass_.forbidden:
        shown.append(f"    {pass_.forbidden:,} rows are in a row state that phase {pass_.phase} forbids")
    if pass_.waited_s:
        shown.append("    waited: " + ", ".join(f"{s:,.1f} s for {cause}" for cause, s in pass_.waited_s.items()))
    return shown


def _backfill_lines(backfill: BackfillReport) -> list[str]:
    percent = "" if backfill.percent is None else f" ({backfill.percent:.0f} %)"
    pace = f", {backfill.rows_per_s:,.0f} rows/s" if backfill.workers else ""
    left = f", {backfill.eta_s:,.0f} s left" if backfill.eta_s is not None else ""
    reason = f": {backfill.reason}" if backfill.reason else ""
    shown = [
        f"  backfill of row state {backfill.empties}: {backfill.rows_done:,} rows{percent}{pace}{left},"
        f" {backfill.status}{reason}"
    ]
    if not backfill.done and any(backfill.ranges.values()):
        shown.append("    ranges: " + ", ".join(f"{n} {state}" for state, n in backfill.ranges.items() if n))
    if len(backfill.workers) > 1:
        shown += [
            f"    worker {w.host} pid {w.pid}: {w.rows_per_s:,.0f} rows/s, {w.batch_rows:,} rows a batch, {w.status}"
            + (f": {w.reason}" if w.reason else "")
            for w in backfill.workers
        ]
    if backfill.waited_s:
        shown.append("    waited: " + ", ".join(f"{s:,.1f} s for {cause}" for cause, s in backfill.waited_s.items()))
    if backfill.bad_rows:
        shown.append(f"    {backfill.bad_rows:,} rows cannot be converted: table pgjanus.backfill_bad_rows has them")
    return shown
