"""What every command owes to scripts, shells and terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proxy.cli import COMMANDS, main

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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, tmp_path: Path) -> None:
    """click's own completion, under the name that the README gives."""

    fish = shell == "fish"
    environment = {
        **os.environ,
        "_PGJANUS_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "pgjanus ro",
        "COMP_CWORD": "ro" if fish else "1",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    call = [sys.executable, "-c", "from proxy.cli import main; main(prog_name='pgjanus')"]
    done = subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "rollback" in done.stdout and "advance" not in done.stdout
