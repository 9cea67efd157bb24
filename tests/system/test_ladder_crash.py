"""An operator that dies: whatever it had done, the next command completes it or undoes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.operator import Operator
from rules.errors import PgjanusError
from tests.conftest import Database
from tests.system.ladder_case import (
    NAME,
    ROWS,
    USERS,
    Lines,
    columns_of,
    constraints_of,
    operator_of,
    phase_of,
    schema_dump,
    spec,
)
from tests.system.test_ladder import attributed

CRASH = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, PgjanusError)


class DiesAtLine(Lines):
    """Loses its connection at the n-th line that it says: for the database, the operator is gone from then on."""

    def __init__(self, number: int) -> None:
        super().__init__(self._die)
        self.operator: Operator | None = None
        self._number = number
        self.died = False

    def _die(self, number: int, line: str) -> None:
        if number == self._number and self.operator is not None:
            self.died = True
            self.operator.connection.terminate()


async def die_while_climbing(database: Database, number: int, *, turns: bool) -> bool:
    """Start and climb to the end (or to `new_only` and down again), unless it dies before: whether it did."""
    lines = DiesAtLine(number)
    try:
        async with operator_of(database, say=lines) as operator:
            lines.operator = operator
            await start(operator, spec(attributed()))
            await advance(operator, NAME, "new_only" if turns else "contracted")
            if turns:
                await rollback(operator, NAME, "writing_both")
    except CRASH:
        assert lines.died
    return lines.died


@pytest.mark.timeout(300)  # as many climbs as an operator says lines
async def test_a_dead_operators_work_is_completed_by_the_next_one(database: Database) -> None:
    session = database.connect()
    number = 0
    died = True
    while died:
        number += 1
        session.execute("DROP SCHEMA IF EXISTS pgjanus CASCADE; DROP TABLE IF EXISTS public.users")
        session.execute(USERS)
        died = await die_while_climbing(database, number, turns=False)
        async with operator_of(database) as operator:
            if phase_of(database) in (None, "announced"):
                await start(operator, spec(attributed()))
            if phase_of(database) != "contracted":
                await advance(operator, NAME, "contracted")
        assert columns_of(database) == ["id", "age", "first_name", "last_name"], f"after dying at line {number}"
        assert set(constraints_of(database)) == {"users_pkey", "users_first_name_key", "users_first_name_check"}
        count = session.execute(
            "SELECT count(*) FROM public.users WHERE first_name = 'First' || id AND last_name = 'Last' || id"
        )
        assert count.fetchone() == (ROWS,)
    assert number > 10, "it died at many different lines"


@pytest.mark.timeout(300)  # as many climbs as an operator says lines
async def test_a_dead_operators_work_is_undone_by_abort(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    before = schema_dump(database)
    number = 0
    died = True
    while died:
        number += 1
        session.execute("DROP SCHEMA IF EXISTS pgjanus CASCADE; DROP TABLE IF EXISTS public.users")
        session.execute(USERS)
        died = await die_while_climbing(database, number, turns=True)
        phase = phase_of(database)
        async with operator_of(database) as operator:
            if phase is not None:
                await abort(operator, NAME)
        assert schema_dump(database) == before, f"after dying at line {number} in phase {phase}"
    assert number > 10


async def test_an_abort_that_dies_is_finished_by_start_or_abort_without_using_stale_columns(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
        await advance(operator, NAME, "writing_both")
    # What a crash between the last two transactions of `abort` leaves: announced, and columns full of old values.
    session.execute("ALTER TABLE public.users DROP CONSTRAINT IF EXISTS _pgjanus_gate_old")
    session.execute("UPDATE public.users SET _pgjanus_first_name = 'stale', _pgjanus_state = 4")
    session.execute("UPDATE pgjanus.migrations SET phase = 'announced'; UPDATE pgjanus.epoch SET epoch = epoch + 1")
    async with operator_of(database) as operator:
        await advance(operator, NAME)
        states = session.execute("SELECT DISTINCT _pgjanus_state, _pgjanus_first_name FROM public.users").fetchall()
        assert states == [(0, None)]
        await abort(operator, NAME)
    assert columns_of(database) == ["id", "full_name", "age"]


@pytest.mark.parametrize("line", ["announced", "reading_new", "new_only → reading_new"])
def test_a_killed_command_leaves_a_ladder_that_goes_on(database: Database, tmp_path: Path, line: str) -> None:
    """The real thing: `kill -9` of the command line at a line of its output."""
    database.connect().execute(USERS)
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(
        "table: public.users\noperations:\n  - rename_column: {column: full_name, to: name}\n", encoding="utf-8"
    )

    def pgjanus(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "proxy", *arguments, "--database-url", database.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run_until(process: subprocess.Popen[str], text: str) -> bool:
        with process:
            assert process.stdout is not None
            for said in process.stdout:
                if text in said:
                    process.send_signal(signal.SIGKILL)
                    return True
        assert process.returncode == 0
        return False

    commands = [
        ("start", str(file)),
        ("advance", NAME, "--to", "new_only"),
        ("rollback", NAME, "--to", "expanded"),
        ("advance", NAME, "--to", "contracted"),
    ]
    killed = any(run_until(pgjanus(*command), line) for command in commands)
    assert killed
    if phase_of(database) in (None, "announced"):
        process = pgjanus("start", str(file))
        output, _ = process.communicate()
        assert process.returncode == 0, output
    process = pgjanus("advance", NAME, "--to", "contracted")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert columns_of(database) == ["id", "age", "name"]
