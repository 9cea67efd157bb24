"""The command line: `pgjanus COMMAND`, also `python -m proxy COMMAND`. One file per command, listed in `COMMANDS`."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version

import click

#: One module of this package per command, in the order in which a user meets them.
COMMANDS = (
    "serve",
    "new",
    "check",
    "plan",
    "explain",
    "start",
    "advance",
    "rollback",
    "abort",
    "backfill",
    "verify",
    "status",
    "reopen",
    "observe",
    "usage",
    "schema",
    "demo",
)


class _Commands(click.Group):
    """Imports a command's module only when that command is named, so that `--help` needs no PostgreSQL driver."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(f"{__name__}.{name}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


def _version() -> str:
    try:
        return version("pgjanus")
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A migration's way: check, start, advance … advance. Before `contracted`, every step has a rollback.",
)
@click.version_option(_version(), "--version", prog_name="pgjanus", message="%(prog)s %(version)s")
def main() -> None:
    """Change a table's columns under live, unchanged applications.

    A proxy between applications and PostgreSQL: in every phase of a migration, old and new clients each see only their
    own columns, every write reaches both formats, and a side worker converts the rows that were there before.
    """
