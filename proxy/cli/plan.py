"""`pgjanus plan FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from proxy.catalog import load_relation
from proxy.cli.common import database_url_option, json_option, print_json, run
from proxy.control import registry
from proxy.control.installation import is_installed
from proxy.database import Connection, connect, server_version
from proxy.ladder.dependants import survey_dependants
from proxy.ladder.grants import column_grants
from proxy.ladder.indexes import find_transition
from proxy.ladder.operator import LadderError
from proxy.ladder.partitions import load_tree
from rules.batches import converted
from rules.changes import quote_table
from rules.ddl.ladder import Rung, climb
from rules.loader import load_file
from rules.migration import ManagedTable, Migration
from rules.phases import ANNOUNCED, Shape

_SAMPLE_ROWS = 5
#: The server version from which on a NOT NULL is a constraint with a name.
_NAMES_NOT_NULL_FROM = 180000


@click.command("plan")
@click.argument("file", type=click.Path(dir_okay=False))
@database_url_option
@json_option
def command(file: str, database_url: str, as_json: bool) -> None:
    """Every statement of every phase of the migration in FILE, the locks they take, and sample rows."""
    run(_plan(file, database_url, as_json))


async def _plan(file: str, url: str, as_json: bool) -> None:
    spec = load_file(file)
    connection = await connect(url, f"pgjanus plan {spec.migration}")
    try:
        relation = await load_relation(connection, spec.table)
        if relation is None:
            raise LadderError(f"there is no table {spec.table} in this database")
        migration = spec.compile(relation)
        grants = await column_grants(connection, migration, relation)
        transition = await find_transition(connection, migration, relation)
        named = server_version(connection) >= _NAMES_NOT_NULL_FROM
        tree = await load_tree(connection, relation.oid) if relation.is_partitioned else ()
        survey = await survey_dependants(connection, ManagedTable(migration, ANNOUNCED, relation))
        rungs = climb(
            migration,
            relation,
            grants,
            transition,
            names_not_null=named,
            tree=tree,
            rebuilt=[rebuilding.statements for _, rebuilding in survey.rebuilt],
            in_the_way=map(str, survey.in_the_way),
        )
        samples = await _samples(connection, migration) if not await _is_open(connection, spec.migration) else []
    finally:
        await connection.close()
    if as_json:
        print_json({"migration": migration.name, "phases": _rungs_json(rungs), "samples": samples})
    else:
        click.echo("\n".join(_lines(migration, rungs, samples)))


async def _is_open(connection: Connection, name: str) -> bool:
    if not await is_installed(connection):
        return False
    return any(row.name == name for row in (await registry.read_state(connection)).migrations)


async def _samples(connection: Connection, migration: Migration) -> list[dict[str, Any]]:
    """Some rows as they are, and what `up` makes of them."""
    pairs: list[tuple[str, str]] = []
    for change in migration.changes:
        names = {c.physical: c.name for c in change.new}
        pairs += [(f"before {c.name}", f't."{c.physical.replace(chr(34), chr(34) * 2)}"') for c in change.old]
        pairs += [(f"after {names[physical]}", sql) for physical, sql in converted(change, Shape.NEW)]
    if not pairs:
        return []
    columns = ", ".join(f"({sql})::text" for _, sql in pairs)
    rows = await connection.fetch(f"SELECT {columns} FROM {quote_table(migration.table)} AS t LIMIT {_SAMPLE_ROWS}")
    return [
        {
            side: {
                label.removeprefix(f"{side} "): v
                for (label, _), v in zip(pairs, row, strict=True)
                if label.startswith(side)
            }
            for side in ("before", "after")
        }
        for row in rows
    ]


def _rungs_json(rungs: Sequence[Rung]) -> list[dict[str, Any]]:
    return [
        {"phase": r.phase.name, "statements": [{"sql": s.sql, "lock": s.lock.value} for s in r.statements]}
        for r in rungs
    ]


def _lines(migration: Migration, rungs: Sequence[Rung], samples: list[dict[str, Any]]) -> list[str]:
    shown = [f"-- {migration.name} on {migration.table}, strategy {migration.strategy.value}"]
    for rung in rungs:
        shown += ["", f"-- {rung.phase.name}"]
        for statement in rung.statements:
            end = "" if statement.sql.startswith("--") else ";"
            shown.append(f"{statement.sql}{end}  -- lock: {statement.lock.value}")
    if samples:
        shown += ["", "-- sample rows"]
        shown += [f"-- {_values(row['before'])}  →  {_values(row['after'])}" for row in samples]
    return shown


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={'NULL' if value is None else repr(value)}" for name, value in values.items())
