"""What every command owes to scripts, shells and terminals."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from proxy.backfill.report import BackfillReport
from proxy.cli import COMMANDS, main
from proxy.cli.status import page
from proxy.ladder.status import MigrationStatus, Status

#: `serve` logs JSON anyway, `demo` is a show, `schema` prints nothing else.
WITHOUT_JSON = {"serve", "demo", "schema"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_speaks_json(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) is (name not in WITHOUT_JSON)
    said = CliRunner().invoke(main, [name, "--help"])
    assert said.exit_code == 0 and len(command.help or "") > 20
    assert "\x1b[" not in said.output


def test_a_shell_can_complete(tmp_path: Path) -> None:
    """click's own completion, under the name that the README gives."""

    environment = {
        **os.environ,
        "_PGJANUS_COMPLETE": "bash_complete",
        "COMP_WORDS": "pgjanus ro",
        "COMP_CWORD": "1",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    call = [sys.executable, "-c", "from proxy.cli import main; main(prog_name='pgjanus')"]
    done = subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "rollback" in done.stdout and "advance" not in done.stdout


def test_the_watched_page_has_a_bar_for_a_backfill_that_is_under_way() -> None:
    backfill = BackfillReport("old", "running", "", 250, 1000, 10.0, 75.0, {}, (), {}, 0, False, None)
    migration = MigrationStatus("m", "public.t", "dual_write", "b", ("a", "b"), {}, None, False, (backfill,), False)
    for shown, bars in ((migration, 1), (replace(migration, backfills=(replace(backfill, done=True),)), 0)):
        console = Console(width=100, file=io.StringIO(), no_color=True)
        with console.capture() as captured:
            console.print(page(Status(1, (shown,), ())))
        assert "m on public.t" in captured.get()
        assert captured.get().count("m: old → both ") == bars
        assert ("25 % 75 s left" in captured.get()) is bool(bars)
