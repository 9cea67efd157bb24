"""`pgjanus status --watch` on a terminal: drawn over itself until Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import Database

RECIPE = Path(__file__).parents[2] / "rules/recipes/split_column.yaml"


def test_it_shows_the_ladder_again_and_again_without_colours_that_nobody_wants(database: Database) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "PYTHONPATH": str(RECIPE.parents[2])}
    database.connect().execute(RECIPE.with_suffix(".sql").read_text())
    pgjanus = [sys.executable, "-m", "proxy"]
    where = ["--database-url", database.url]
    subprocess.run(
        [*pgjanus, "start", str(RECIPE), *where], env=environment, capture_output=True, timeout=60, check=True
    )
    terminal, other_end = pty.openpty()
    watching = subprocess.Popen(
        [*pgjanus, "status", "--watch", *where],
        stdout=other_end,
        stderr=other_end,
        env=environment,
        # A shell that runs the tests in the background makes them, and what they start, deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(other_end)
    shown = ""
    try:
        while shown.count("[expanded]") < 2:
            shown += os.read(terminal, 65536).decode(errors="replace")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
