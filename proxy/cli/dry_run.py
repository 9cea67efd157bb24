"""`pgjanus backfill --dry-run`: what one batch would do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from proxy.backfill.dry_run import DryBatch, dry_run, dry_run_file
from proxy.cli import common
from proxy.control.registry import UnknownMigration
from proxy.errors import EXIT_REFUSED
from rules.errors import PgjanusError
from rules.loader import load_file

_MOST_BAD_ROWS_SHOWN = 50


def try_batch(url: str, migration: str | None, exact: bool, as_json: bool) -> None:
    """`migration` is its name, or the file of one that is not started. Exit 1 if a row cannot be converted."""
    batches = common.run(_dry_run(url, migration, exact))
    if as_json:
        common.print_json({"dry_run": True, "batches": [_as_json(b) for b in batches]})
    else:
        for batch in batches:
            _print(batch)
        if not batches:
            click.echo("nothing to convert: every row has both formats")
    if any(not row.default for batch in batches for row in batch.bad):
        sys.exit(EXIT_REFUSED)


async def _dry_run(url: str, migration: str | None, exact: bool) -> tuple[DryBatch, ...]:
    if migration is not None and Path(migration).suffix in (".yaml", ".yml"):
        return await dry_run_file(url, load_file(migration), exact=exact)
    try:
        return await dry_run(url, migration, exact=exact)
    except UnknownMigration as error:
        raise PgjanusError(f"{error}; one that is not started yet: pgjanus backfill FILE.yaml --dry-run") from error


def _as_json(batch: DryBatch) -> dict[str, object]:
    estimate = batch.estimated_seconds
    return {
        "migration": batch.migration,
        "empties": batch.empties.value,
        "rows": batch.rows,
        "seconds": round(batch.seconds, 4),
        "rows_left": batch.rows_left,
        "rows_left_exact": batch.is_exact,
        "estimated_seconds": None if estimate is None else round(estimate, 1),
        "phase": batch.phase,
        "copy": batch.is_copy,
        "samples": [asdict(s) for s in batch.samples],
        "bad_rows": [asdict(b) for b in batch.bad],
    }


def _print(batch: DryBatch) -> None:
    name = f"{batch.migration}: {batch.empties.value} → both"
    where = " on a temporary copy" if batch.is_copy else ""
    if batch.phase is not None:
        name += f" (in phase {batch.phase})"
    if not batch.rows and not batch.bad:
        click.echo(f"{name}: no row to convert")
        return
    click.echo(f"{name}: {batch.rows} rows converted{where} in {batch.seconds * 1000:.0f} ms, and rolled back")
    for sample in batch.samples:
        click.echo(f"  {sample.key}: {_values(sample.before)} → {_values(sample.after)}")
    for row in batch.bad[:_MOST_BAD_ROWS_SHOWN]:
        click.echo(f"  {row.key} {'gets its default' if row.default else 'cannot be converted'}: {row.error}")
    if len(batch.bad) > _MOST_BAD_ROWS_SHOWN:
        click.echo(f"  and {len(batch.bad) - _MOST_BAD_ROWS_SHOWN} more that cannot be converted")
    about = "" if batch.is_exact else "about "
    if batch.estimated_seconds is None:
        click.echo(f"  {about}{batch.rows_left} rows to do")
        return
    least = ", the table's own indexes and WAL not counted" if batch.is_copy else ""
    click.echo(
        f"  {about}{batch.rows_left} rows to do: {_duration(batch.estimated_seconds)} for one worker that never"
        f" has to wait{least}"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _values(columns: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in columns.items())
