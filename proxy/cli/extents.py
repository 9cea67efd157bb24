"""How many rows `check` and `start` look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from proxy.preflight import ALL_ROWS, USUAL, Extent

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def extent_options(function: AnyFunction) -> AnyFunction:
    """`--sample-rows N`, `--all-rows`. The command gets them as `sample_rows: int | None` and `all_rows: bool`."""
    sample = click.option(
        "--sample-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"Look at N rows of a larger table. Else: at {USUAL.sample_rows:,} of more than {USUAL.most_rows:,}.",
    )
    whole = click.option("--all-rows", is_flag=True, help="Look at every row, however long it takes.")
    return whole(sample(function))


def extent_of(sample_rows: int | None, all_rows: bool) -> Extent:
    if all_rows and sample_rows is not None:
        raise click.UsageError("--all-rows or --sample-rows, not both")
    if all_rows:
        return ALL_ROWS
    return USUAL if sample_rows is None else Extent(sample_rows, sample_rows)
