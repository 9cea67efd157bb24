"""`pgjanus explain MIGRATION SQL`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from proxy import registry
from proxy.cli.common import EXIT_REFUSED, database_url_option, json_option, print_json, run
from proxy.database import Connection, connect, load_catalog
from rules.catalog import Catalog
from rules.errors import PgjanusError
from rules.expansion import in_phase
from rules.loader import load_file
from rules.migration import Client, Migration
from rules.phases import LADDERS, Phase, Shape
from rules.plan import Plan, Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot


class ExplainError(PgjanusError):
    """the migration, phase or table that should be explained does not exist"""


@click.command("explain")
@click.argument("migration")
@click.argument("sql")
@click.option("--phase", metavar="PHASE", help="A phase of its ladder; the default is the phase it is in, else all.")
@click.option("--shape", type=click.Choice([s.value for s in Shape]), default="old", show_default=True)
@database_url_option
@json_option
def command(migration: str, sql: str, phase: str | None, shape: str, database_url: str, as_json: bool) -> None:
    """What becomes of SQL while MIGRATION (its name, or a file that is not started yet) is in a phase."""
    answers = run(_explain(migration, sql, phase, Shape(shape), database_url))
    if as_json:
        print_json([{"phase": name, "shape": shape, **_as_json(found)} for name, found in answers])
    else:
        click.echo("\n".join(line for name, found in answers for line in _lines(name, found, alone=len(answers) == 1)))
    if any(isinstance(found, Refuse) for _, found in answers):
        raise SystemExit(EXIT_REFUSED)


async def _explain(name: str, sql: str, phase_name: str | None, shape: Shape, url: str) -> list[tuple[str, Plan]]:
    connection = await connect(url, "pgjanus explain")
    try:
        catalog = await load_catalog(connection)
        migration, current = await _find(connection, name, catalog)
    finally:
        await connection.close()
    found = []
    for phase in _phases(migration, phase_name, current):
        table = in_phase(migration, phase, catalog.relations[migration.table])
        known = replace(catalog, relations={**catalog.relations, migration.table: table.relation})
        found.append((phase.name, plan(sql, Snapshot(0, known, {migration.table: table}), Client(shape))))
    return found


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


def _phases(migration: Migration, name: str | None, current: Phase | None) -> list[Phase]:
    ladder = [p for p in LADDERS[migration.strategy] if p.policy is not None]
    if name is None:
        return [p for p in ladder if current is None or p == current]
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
        case Untouched():
            lines.append("untouched: forwarded byte for byte")
        case Rewrite(sql=sql):
            lines.append(sql)
        case Refuse(refusal=refusal):
            lines.append(f"refused ({refusal.sqlstate}): {refusal.message}")
            lines += [f"hint: {refusal.hint}"] if refusal.hint else []
    return lines


def _as_json(found: Plan) -> dict[str, Any]:
    match found:
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
