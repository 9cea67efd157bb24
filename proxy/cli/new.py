"""`pgjanus new [FILE]`: a first version of a migration file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from proxy.catalog import load_relation
from proxy.cli.common import database_url_option, fail, json_option, one_line_for_errors, print_json, run
from proxy.database import connect
from rules.catalog import Relation, TableName
from rules.draft import Draft
from rules.loader import load_text
from rules.operations import OPERATIONS
from rules.operations.sql import did_you_mean
from rules.phases import Strategy
from rules.spec import Table

#: How many columns each operation takes, and how many new names: (least, most), None for any number.
_COUNTS: dict[str, tuple[tuple[int, int | None], tuple[int, int | None]]] = {
    "rename_column": ((1, 1), (1, 1)),
    "change_type": ((1, 1), (0, 0)),
    "split_column": ((1, 1), (2, None)),
    "merge_columns": ((2, None), (1, 1)),
    "add_column": ((1, 1), (0, 0)),
    "drop_column": ((1, 1), (0, 0)),
    "change_columns": ((1, None), (1, None)),
}
_WITHOUT_TYPE = frozenset({"rename_column", "drop_column"})
_USUALLY_TEXT = frozenset({"split_column", "merge_columns"})
_TABLE: TypeAdapter[TableName] = TypeAdapter(Table)


@click.command("new")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--table", metavar="SCHEMA.NAME", help="The table.")
@click.option("--operation", type=click.Choice(list(OPERATIONS)), help="What should become of its columns.")
@click.option("--column", "columns", multiple=True, metavar="NAME", help="A column that changes; may be repeated.")
@click.option("--into", multiple=True, metavar="NAME", help="A new name; may be repeated.")
@click.option("--type", "type_", metavar="TYPE", help="The type of the new columns.")
@click.option(
    "--strategy",
    type=click.Choice([strategy.value for strategy in Strategy]),
    default=Strategy.DUAL_WRITE.value,
    show_default=True,
    help="Which ladder it climbs.",
)
@click.option("--force", is_flag=True, help="Write over FILE if it exists.")
@database_url_option
@json_option
def command(
    file: Path | None,
    table: str | None,
    operation: str | None,
    columns: tuple[str, ...],
    into: tuple[str, ...],
    type_: str | None,
    strategy: str,
    force: bool,
    database_url: str,
    as_json: bool,
) -> None:
    """Write a migration file to go on from, with comments.

    Asks for what is not given, if there is a terminal. The table is looked at, so that names and types are right;
    nothing in the database is changed. FILE is called after the table and the operation if it is left out.
    """
    name = _read_table(table or _ask("--table", "Table (schema.name)"))
    relation = run(_load(database_url, name))
    if not as_json and sys.stdin.isatty():
        click.echo(f"{name} has " + ", ".join(f"{c.name} {c.type}" for c in relation.columns), err=True)
    operation = operation or _ask("--operation", "Operation", click.Choice(list(OPERATIONS)))
    needed_columns, needed_into = _COUNTS[operation]
    columns = _counted("--column", "Columns that change", columns, needed_columns)
    for column in columns if operation != "add_column" else ():
        if relation.column(column) is None:
            near = did_you_mean(column, [c.name for c in relation.columns])
            fail(f"table {name} has no column {column!r}{near}")
    into = _counted("--into", "New names", into, needed_into)
    if operation not in _WITHOUT_TYPE:
        asks = sys.stdin.isatty() or operation not in _USUALLY_TEXT
        type_ = type_ or (_ask("--type", "Type of the new columns", default="text") if asks else "text")
    words = "_".join([name.name, *(into or columns), operation.split("_")[0]])
    migration = file.stem if file else re.sub(r"[^A-Za-z0-9_]+", "_", words)[:63]
    path = file or Path(f"{migration}.yaml")
    if path.exists() and not force:
        fail(f"{path} exists already: give another name, or --force")
    table_text = _TABLE.dump_python(name)
    text = Draft(migration, table_text, relation, strategy, operation, columns, into, type_ or "text").text()
    with one_line_for_errors():
        load_text(text, str(path)).compile(relation)
    try:
        path.write_text(text)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    if as_json:
        print_json({"file": str(path), "migration": migration, "table": str(name), "operation": operation})
    else:
        click.echo(f"{path} is written. Next: pgjanus check {path}")


def _read_table(text: str) -> TableName:
    try:
        return _TABLE.validate_python(text)
    except ValidationError as error:
        raise click.UsageError(error.errors()[0]["msg"]) from None


async def _load(url: str, table: TableName) -> Relation:
    connection = await connect(url, "pgjanus new")
    try:
        relation = await load_relation(connection, table)
    finally:
        await connection.close()
    if relation is None:
        fail(f"there is no table {table} in this database: mind the schema, and upper and lower case")
    return relation


def _ask(option: str, question: str, type_: click.Choice[str] | None = None, default: str | None = None) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{option} is missing, and there is no terminal to ask")
    answer: str = click.prompt(question, type=type_, default=default, err=True)
    return answer


def _counted(option: str, question: str, given: tuple[str, ...], needed: tuple[int, int | None]) -> tuple[str, ...]:
    """As many as the operation takes."""
    least, most = needed
    if not given and least:
        given = tuple(word.strip() for word in _ask(option, f"{question} (separated by commas)").split(","))
    if len(given) < least or (most is not None and len(given) > most):
        wanted = f"{least}" if least == most else f"{least} or more"
        raise click.UsageError(f"this operation takes {wanted} of {option}, and {len(given)} are given")
    return given
