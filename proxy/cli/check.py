"""`pgjanus check FILE…`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli import common
from proxy.cli.extents import extent_of, extent_options
from proxy.database import connect
from proxy.errors import EXIT_REFUSED
from proxy.preflight import Extent, Finding, Report, Severity, preflight
from rules.errors import MigrationError
from rules.loader import load_file
from rules.spec import MigrationSpec


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False), metavar="FILE…")
@click.option(
    "--database-url",
    envvar="PGJANUS_DATABASE_URL",
    show_envvar=True,
    metavar="URL",
    help="Also check against this database: its catalog, its rows, what depends on the table.",
)
@extent_options
@common.json_option
def command(
    files: tuple[str, ...], database_url: str | None, sample_rows: int | None, all_rows: bool, as_json: bool
) -> None:
    """Validate migration files; with a database, everything that `start` would insist on. Nothing is changed.

    One line per finding, `file:line:column: what is wrong: what to do`. Warnings do not fail the check.
    """
    reports = common.run(_check(files, database_url, extent_of(sample_rows, all_rows)))
    if as_json:
        common.print_json([_as_json(file, report) for file, report in reports.items()])
    else:
        for file, report in reports.items():
            _print(file, report)
    if any(report.refusals for report in reports.values()):
        sys.exit(EXIT_REFUSED)


async def _check(files: tuple[str, ...], url: str | None, extent: Extent) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    loaded: dict[str, MigrationSpec] = {}
    for file in dict.fromkeys(files):
        try:
            loaded[file] = load_file(Path(file))
            reports[file] = Report(())
        except MigrationError as error:
            errors = getattr(error, "errors", (error,))
            reports[file] = Report(tuple(Finding(Severity.REFUSAL, e.message, "", e.place) for e in errors))
    if url is not None and loaded:
        connection = await connect(url, "pgjanus check")
        try:
            for file, spec in loaded.items():
                reports[file] = await preflight(connection, spec, extent)
        finally:
            await connection.close(timeout=5)
    return reports


def _print(file: str, report: Report) -> None:
    for finding in report.findings:
        where = "" if finding.place else f"{file}: "
        kind = "" if finding.severity is Severity.REFUSAL else f"{finding.severity.value}: "
        hint = f": {finding.hint}" if finding.hint else ""
        place = f"{finding.place}: " if finding.place else ""
        click.echo(f"{where}{place}{kind}{finding.message}{hint}")
    looked_at = f" ({report.looked_at})" if report.rows else ""
    if not report.refusals:
        click.echo(f"{file}: ok{looked_at}")
    elif report.rows:
        click.echo(f"{file}: refused{looked_at}")


def _as_json(file: str, report: Report) -> dict[str, Any]:
    return {
        "file": file,
        "ok": not report.refusals,
        "rows": report.rows,
        "sample_of_rows": report.of_rows,
        "findings": [
            {
                "severity": f.severity.value,
                "message": f.message,
                "hint": f.hint,
                "line": f.place.line if f.place else None,
                "column": f.place.column if f.place else None,
                "rows": f.rows,
                "keys": list(f.keys),
            }
            for f in report.findings
        ],
    }
