"""`pgjanus explain MIGRATION SQL`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from proxy.catalog import load_catalog
from proxy.cli.census import read_lines, show_census
from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.control import registry
from proxy.database import Connection, connect
from proxy.errors import EXIT_REFUSED
from proxy.observe.census import Census
from proxy.observe.observation import Describer
from proxy.observe.server import read_statistics
from proxy.observe.serverlog import read_log
from rules.catalog import Catalog, TableName
from rules.errors import PgjanusError, Refusal
from rules.forecast import Forecaster
from rules.loader import load_file
from rules.migration import Client, Migration
from rules.phases import LADDERS, Phase, Shape
from rules.plan import Plan, Refuse, Rewrite, Untouched


class ExplainError(PgjanusError):
    """the migration, phase or table that should be explained does not exist"""


@click.command("explain")
@click.argument("migration")
@click.argument("sql", required=False)
@click.option("--phase", metavar="PHASE", help="A phase of its ladder; the default is the phase it is in, else all.")
@click.option("--shape", type=click.Choice([s.value for s in Shape]), default="old", show_default=True)
@click.option(
    "--from-log",
    "log",
    type=click.File("rb"),
    metavar="FILE",
    help="All statements in a log of PostgreSQL (stderr, csvlog or jsonlog; - for stdin) instead of SQL.",
)
@click.option("--pg-stat-statements", "statistics", is_flag=True, help="All that the server has seen, instead of SQL.")
@database_url_option
@json_option
def command(
    migration: str,
    sql: str | None,
    phase: str | None,
    shape: str,
    log: BinaryIO | None,
    statistics: bool,
    database_url: str,
    as_json: bool,
) -> None:
    """What becomes of SQL while MIGRATION (its name, or a file that is not started yet) is in a phase.

    With --from-log or --pg-stat-statements: what becomes of every distinct statement on its table, in the phase that
    it is in and all later ones. Exits with 1 if anything is refused.
    """
    if (sql is not None) + (log is not None) + statistics != 1:
        raise click.UsageError("give one of SQL, --from-log and --pg-stat-statements")
    asked = Asked(migration, phase, Shape(shape), database_url)
    if sql is None:
        census, table = run(_take_census(asked, log))
        refused = show_census(census, table, asked.shape, as_json)
    else:
        answers = run(explain(asked, sql))
        refused = any(isinstance(found, Refuse) for _, found in answers)
        if as_json:
            print_json([{"phase": name, "shape": shape, **explained(found)} for name, found in answers])
        else:
            alone = len(answers) == 1
            click.echo("\n".join(line for name, found in answers for line in _lines(name, found, alone=alone)))
    if refused:
        raise SystemExit(EXIT_REFUSED)


@dataclass(frozen=True, slots=True)
class Asked:
    """`migration` is a name or a file, `phase` None for the usual ones."""

    migration: str
    phase: str | None
    shape: Shape
    url: str


async def explain(asked: Asked, sql: str) -> list[tuple[str, Plan]]:
    """What becomes of a statement, by phase."""
    connection = await connect(asked.url, "pgjanus explain")
    try:
        catalog = await load_catalog(connection)
        migration, current = await _find(connection, asked.migration, catalog)
    finally:
        await connection.close()
    forecaster = Forecaster(migration, catalog, _phases(migration, asked.phase, current, and_later=False))
    return [(phase.name, forecaster.plan(sql, phase, Client(asked.shape))) for phase in forecaster.phases]


async def _take_census(asked: Asked, log: BinaryIO | None) -> tuple[Census, TableName]:
    """Of a log, or of pg_stat_statements where there is none."""
    connection = await connect(asked.url, "pgjanus explain")
    try:
        catalog = await load_catalog(connection)
        migration, current = await _find(connection, asked.migration, catalog)
        phases = _phases(migration, asked.phase, current, and_later=True)
        census = Census(Describer(Forecaster(migration, catalog, phases)), Client(asked.shape))
        if log is None:
            async for text, calls in read_statistics(connection):
                census.add(text, calls)
    finally:
        await connection.close()
    if log is not None:
        for logged in read_log(read_lines(log)):
            census.add(logged.sql, logged.times)
        if not census.read:
            raise ExplainError(
                "there is no statement in this log: it needs log_statement = all (or log_min_duration_statement = 0)"
                " and lc_messages = C"
            )
    return census, migration.table


async def _find(connection: Connection, name: str, catalog: Catalog) -> tuple[Migration, Phase | None]:
    """A file's migration, or a registered one with the phase it is in."""
    if Path(name).suffix in (".yaml", ".yml"):
        spec = load_file(name)
        relation = catalog.relations.get(spec.table)
        if relation is None:
            raise ExplainError(f"there is no table {spec.table} in this database")
        return spec.compile(relation), None
    row, table = await registry.read_managed_table(connection, name)
    return table.migration, row.phase


def _phases(migration: Migration, name: str | None, current: Phase | None, *, and_later: bool) -> list[Phase]:
    ladder = [p for p in LADDERS[migration.strategy] if p.policy is not None]
    if name is None and current is not None:
        at = ladder.index(current)
        return ladder[at:] if and_later else [current]
    if name is None:
        return ladder
    chosen = [p for p in ladder if p.name == name]
    if not chosen:
        raise ExplainError(
            f"{migration.strategy.value} has no phase {name!r} in which statements are rewritten:"
            f" its phases are {', '.join(p.name for p in ladder)}"
        )
    return chosen


def _lines(phase: str, found: Plan, *, alone: bool) -> list[str]:
    lines = [] if alone else [f"-- {phase}"]
    match found:
        case Untouched(despite=None):
            lines.append("untouched: forwarded byte for byte")
        case Untouched(despite=Refusal() as refusal):
            lines.append(f"untouched, as the migration only observes; it would be refused: {refusal.message}")
        case Rewrite(sql=sql):
            lines.append(sql)
        case Refuse(refusal=refusal):
            lines.append(f"refused ({refusal.sqlstate}): {refusal.message}")
            lines += [f"hint: {refusal.hint}"] if refusal.hint else []
    return lines


def explained(found: Plan) -> dict[str, Any]:
    """For JSON: `outcome`, and what belongs to it."""
    match found:
        case Untouched(despite=Refusal() as refusal):
            return {"outcome": "untouched", "despite": refusal.message, "hint": refusal.hint}
        case Untouched():
            return {"outcome": "untouched"}
        case Rewrite(sql=sql):
            return {"outcome": "rewritten", "sql": sql}
        case Refuse(refusal=refusal):
            return {
                "outcome": "refused",
                "sqlstate": refusal.sqlstate,
                "message": refusal.message,
                "hint": refusal.hint,
                "position": refusal.position,
            }
