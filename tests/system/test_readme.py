"""What the README tells its reader to type, as written, against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ports import free_ports
from tests.conftest import Database, port_accepts

README = Path(__file__).parent.parent.parent / "README.md"
_BLOCK = re.compile(r"<!-- (quick start(?:: settings)?|pgbench) -->\n```sh\n(.*?)```", re.DOTALL)
_SECONDS = 60


def blocks(kind: str) -> list[str]:
    """The README's blocks with the comment `<!-- kind -->`."""
    return [text for of, text in _BLOCK.findall(README.read_text()) if of == kind]


class Shell:
    """One bash for all blocks, as a reader has one terminal. Any failing command ends it."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.output_path = directory / "output"
        self._output = self.output_path.open("wb")
        self.process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    def run(self, block: str, number: int) -> str:
        """Type one block; returns what it printed."""
        before = len(self.output)
        done = f"--- block {number} is done ---"
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{block}\necho '{done}'\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pytest.fail(f"the shell has ended:\n{self.output}")
        deadline = time.monotonic() + _SECONDS
        while done not in self.output[before:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"this block failed:\n{block}\nit printed:\n{self.output[before:]}")
            time.sleep(0.02)
        return self.output[before:].replace(done, "")

    def close(self) -> None:
        assert self.process.stdin is not None
        if self.process.poll() is None:
            self.process.stdin.write(b"kill $(jobs -p) 2>/dev/null || true; wait || true; exit\n")
        self.process.stdin.close()
        self.process.wait(_SECONDS)
        self._output.close()


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Iterator[Shell]:
    """Has the settings of the README's first block, with this test's server in place of the reader's."""
    old, new = free_ports(2)
    server = f"127.0.0.1:{database.server.port}"
    bin_directories = [str(Path(sys.executable).parent), str(database.server.bin)]
    mine = {
        "PGJANUS_DATABASE_URL": database.url,
        "SERVER": f"postgresql://{server}",
        "LISTEN_OLD": f"127.0.0.1:{old}",
        "LISTEN_NEW": f"127.0.0.1:{new}",
        "OLD": f"postgresql://postgres@127.0.0.1:{old}/{database.name}",
        "NEW": f"postgresql://postgres@127.0.0.1:{new}/{database.name}",
    }
    (settings,) = blocks("quick start: settings")
    assert set(re.findall(r"(\w+)=", settings)) == set(mine)
    path = os.pathsep.join([*bin_directories, os.environ["PATH"]])
    shell = Shell(tmp_path, {**os.environ, **mine, "PATH": path, "PSQLRC": os.devnull, "PAGER": "cat"})
    yield shell
    shell.close()


def type_all(shell: Shell, kind: str) -> list[str]:
    """What each of the README's blocks of that kind printed."""
    printed = []
    for number, block in enumerate(blocks(kind)):
        printed.append(shell.run(block, number))
        if block.rstrip().endswith("&"):
            # A reader takes longer to read on than the proxy takes to start.
            wait_until_listening(shell)
    return printed


def test_the_quick_start_works_as_written(shell: Shell, database: Database) -> None:
    printed = type_all(shell, "quick start")
    assert len(printed) >= 5
    for name in ("Ada", "Grace", "Plato", "Alan"):
        assert name in printed[-1]
    columns = database.connect().execute("SELECT * FROM users").description
    assert columns is not None
    assert [column.name for column in columns] == ["id", "first_name", "last_name"]


def test_a_reader_finishes_a_migration_under_pgbench(shell: Shell, database: Database) -> None:
    """With nothing but what the README says, from an empty database to the end, and the application notices nothing."""
    printed = type_all(shell, "pgbench")
    assert len(printed) == 4
    assert "number of failed transactions: 0 (0.000%)" in printed[-1], printed[-1]
    assert re.search(r"abalance +\| bigint", printed[-1])
    session = database.connect()
    assert session.execute("SELECT phase FROM pgjanus.migrations WHERE name = 'big_balance'").fetchone() == (
        "contracted",
    )
    rows = session.execute("SELECT abalance FROM pgbench_accounts WHERE aid = 100000").fetchone()
    assert rows is not None and rows[0] > 2**31
    worked = session.execute(
        "SELECT count(*) > 0 AND sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_history"
    ).fetchone()
    assert worked == (True,)


def wait_until_listening(shell: Shell) -> None:
    address = shell.run("echo $LISTEN_OLD $LISTEN_NEW", -1).split()
    deadline = time.monotonic() + _SECONDS
    for port in (int(item.rpartition(":")[2]) for item in address):
        while not port_accepts(port):
            assert time.monotonic() < deadline, shell.output
            time.sleep(0.02)
