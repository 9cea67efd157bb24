"""What the commands share: their common options, and one way to run a coroutine and to report an error."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import asyncpg
import click

from proxy.errors import EXIT_REFUSED
from rules.errors import PgjanusError

T = TypeVar("T")
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + 2
EXIT_TERMINATED = 128 + 15


def database_url_option(function: AnyFunction) -> AnyFunction:
    """`--database-url URL`, required: the control connection. The command gets it as `database_url: str`."""
    return click.option(
        "--database-url",
        envvar="PGJANUS_DATABASE_URL",
        required=True,
        show_envvar=True,
        metavar="URL",
        help="The database that holds the migration: postgresql://user@host:5432/dbname.",
    )(function)


def json_option(function: AnyFunction) -> AnyFunction:
    """`--json`. The command gets it as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")(function)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. A refusal or a failing connection is one line on stderr and exit 1, never a traceback.

    Ctrl-C and SIGTERM cancel the coroutine, so that its `finally` blocks run, and exit with 130 and 143. SIGTERM is
    for services and pods, and for children of a shell script's `&`, which are deaf to Ctrl-C.
    """
    try:
        with one_line_for_errors():
            return asyncio.run(_until_terminated(coroutine))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except asyncio.CancelledError:
        sys.exit(EXIT_TERMINATED)


async def _until_terminated(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    with suppress(RuntimeError, ValueError):  # not in the main thread, where no signal arrives
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await coroutine


@contextmanager
def one_line_for_errors() -> Iterator[None]:
    """What a user can do something about is one line on stderr and exit 1; a defect of ours keeps its traceback."""
    try:
        yield
    except Exception as error:
        message = describe(error)
        if message is None:
            raise
        fail(message)


def fail(message: str) -> NoReturn:
    """Say in one line what is wrong, and exit 1."""
    click.echo(f"pgjanus: {message}", err=True)
    sys.exit(EXIT_REFUSED)


def describe(error: Exception) -> str | None:
    """One line for what a user can do something about; None for a defect of ours, which keeps its traceback."""
    match error:
        case PgjanusError():
            return str(error).strip()
        case asyncpg.PostgresError():
            hint = getattr(error, "hint", None)
            return (
                f"the database says: {_one_line(error)} (SQLSTATE {error.sqlstate}{f', hint: {hint}' if hint else ''})"
            )
        case asyncpg.InterfaceError() | asyncpg.ClientConfigurationError() | asyncpg.InternalClientError():
            # The last: what the driver makes of a connection that is cut in the middle of an answer.
            return f"the connection to the database: {_one_line(error)}"
        case TimeoutError():
            return "the database did not answer in time: check --database-url and that the server is up"
        case OSError():
            return f"{_one_line(error)}: check --database-url (or --server) and that the server is up"
        case _:
            return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
