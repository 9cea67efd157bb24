"""`pgjanus demo`, on a smaller table: its last line, its exit code, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.ledger import Ledger
from proxy.demo.names import NEW_COLUMNS
from proxy.demo.walk import Result, verdict
from tests.conftest import Database

_LAST_LINE = re.compile(
    r"demo: ok statements=(\d+) errors=0 rows=(\d+) divergent=0 backfill_rows_per_s=(\d+)", re.ASCII
)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """In place of the system's directory for temporary files; must be empty afterwards.

    Not below `tmp_path`, which only its owner may enter: run by root, PostgreSQL is somebody else.
    """
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def start_demo(temporary: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "proxy", "demo", "--rows", "2000", "--seconds-per-phase", "0.4"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary)},
            # A shell that runs the tests in the background makes them, and what they start, deaf to SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def test_the_demo_ends_with_its_line_and_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    output = tmp_path / "output"
    assert start_demo(temporary, output).wait(100) == 0, output.read_text()
    lines = output.read_text().splitlines()
    match = _LAST_LINE.fullmatch(lines[-1])
    assert match, lines[-5:]
    statements, rows, rate = map(int, match.groups())
    assert statements > 200
    assert rows > 1500
    assert rate > 0
    for phase in ("expanded", "writing_both", "reading_new", "new_only", "contracted"):
        assert any(f"phase={phase}" in line for line in lines), f"no picture of {phase}"
    assert sum(line.startswith("demo:") for line in lines) == 1
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cleans_up(tmp_path: Path, temporary: Path, with_signal: signal.Signals) -> None:
    output = tmp_path / "output"
    demo = start_demo(temporary, output)
    deadline = time.monotonic() + 60
    while "phase=expanded" not in output.read_text():
        assert demo.poll() is None, output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    demo.send_signal(with_signal)
    assert demo.wait(30) == 128 + with_signal
    assert "Traceback" not in output.read_text()
    assert list(temporary.iterdir()) == []


def test_the_ledger_finds_every_kind_of_difference() -> None:
    ledger = Ledger({1: ("Ada", "Lovelace"), 2: ("Plato", None), 3: (None, None)})
    ledger.acknowledge(2, ("Grace", "Hopper"))
    rows = [(1, "Ada", "Lovelace"), (2, "Plato", None), (4, "Nobody", None)]
    found = ledger.divergent(rows)
    assert [line.split(" ")[1] for line in found] == ["2", "4", "3"]
    assert ledger.divergent([(1, "Ada", "Lovelace"), (2, "Grace", "Hopper"), (3, None, None)]) == []


def test_the_verdict_names_a_wrong_row_and_a_wrong_shape(database: Database) -> None:
    connection = database.connect()
    connection.execute(f"CREATE TABLE users AS SELECT 1 AS {NEW_COLUMNS[0]}")
    assert verdict(database.url, Ledger({}), [], 1).problems[0].startswith("the table's columns are ('id',)")
    connection.execute("ALTER TABLE users ADD email text, ADD created_at text, ADD first_name text, ADD last_name text")
    connection.execute("UPDATE users SET first_name = 'Ada'")
    assert verdict(database.url, Ledger({1: ("Ada", None)}), [], 1) == Result(0, 0, 1, 0, 1, ())
    wrong = verdict(database.url, Ledger({1: ("Ada", "Lovelace")}), [], 1)
    assert wrong.divergent == 1
    assert wrong.problems == ("user 1 is ('Ada', None) but was acknowledged as ('Ada', 'Lovelace')",)
