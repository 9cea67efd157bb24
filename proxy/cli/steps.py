"""What `start`, `advance`, `rollback` and `abort` share: their timeout, their lines of progress, their result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from proxy.cli.common import print_json
from proxy.ladder.climb import Outcome
from proxy.ladder.operator import DEFAULT_TIMEOUT_SECONDS, Say

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def timeout_option(function: AnyFunction) -> AnyFunction:
    """`--timeout S`. The command gets it as `timeout_s: float`."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.1),
        default=DEFAULT_TIMEOUT_SECONDS,
        show_default=True,
        metavar="S",
        help="Give up waiting for a proxy or for a lock after S seconds; the backfill takes as long as it takes.",
    )(function)


def to_option(function: AnyFunction) -> AnyFunction:
    """`--to PHASE`. The command gets it as `to: str | None`."""
    return click.option("--to", metavar="PHASE", help="Go on until this phase, rung by rung.")(function)


def say_for(as_json: bool) -> Say:
    """Progress goes to stdout; with `--json`, where stdout is the result, to stderr."""
    return lambda line: click.echo(f"  {line}", err=as_json)


def report(outcome: Outcome, as_json: bool, then: str | None = None) -> None:
    """The result, and what comes next."""
    if as_json:
        print_json(outcome.to_json())
        return
    where = f"is in phase {outcome.phase}" if outcome.phase else "is gone, the table is as it was"
    click.echo(f"{outcome.migration} {where}." + (f" Next: {then}" if then else ""))
