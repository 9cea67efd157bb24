"""Reading a log with a progress bar, and showing what was found in it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import click

from proxy.cli.common import print_json
from proxy.cli.forecasts import Line, page, summary
from proxy.observe.census import Census
from rules.catalog import TableName
from rules.phases import Shape


def read_lines(log: BinaryIO) -> Iterator[str]:
    """The lines of a file with their ends, as text; a bar on stderr shows how far it is, if somebody is looking."""
    with ExitStack() as stack:
        size = _size(log) if sys.stderr.isatty() else None
        if size is not None:
            # Only here: importing it takes longer than most commands.
            from rich.console import Console
            from rich.progress import wrap_file

            bar = wrap_file(log, size, description="reading", console=Console(stderr=True), transient=True)
            log = stack.enter_context(bar)
        for line in log:
            yield line.decode(errors="replace")


def _size(log: BinaryIO) -> int | None:
    """In bytes; None for what is no file."""
    try:
        status = os.fstat(log.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def show_census(census: Census, table: TableName, shape: Shape, as_json: bool) -> bool:
    """Print it; whether anything is refused, or was not looked at."""
    lines = {what: Line(what.statement, seen, what.forecast) for what, seen in census.seen.items()}
    refused = [what for what, line in lines.items() if line.is_refused]
    if as_json:
        print_json(
            {
                "table": str(table),
                "shape": shape.value,
                "read": census.read,
                "rewritten_before": census.rewritten,
                "left_out": census.left_out,
                "distinct": len(lines),
                "refused": len(refused),
                "statements": [
                    {
                        "id": what.id,
                        "fingerprint": what.fingerprint,
                        "statement": what.statement,
                        "seen": seen,
                        "forecast": [outlook.to_json() for outlook in what.forecast],
                    }
                    for what, seen in census.seen.most_common()
                ],
            }
        )
        return bool(refused or census.left_out)
    for text in page(lines.values()):
        click.echo(text)
    click.echo(f"{table}, {shape.value} shape: {summary(lines.values())} ({census.read:,} statements read)")
    if census.rewritten:
        click.echo(f"left out, because they came from pgjanus itself: {census.rewritten:,} statements")
    if census.left_out:
        click.echo(f"not looked at, because there are too many distinct ones: {census.left_out:,} statements on it")
    return bool(refused or census.left_out)
