"""`pgjanus new`: what it writes is what `check` takes, for every operation, and every wrong word is named."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from rules.operations import OPERATIONS
from tests.conftest import Database

TABLE = """
CREATE TABLE public.people (id bigint PRIMARY KEY, full_name text, given text, family varchar(40), age integer NOT NULL,
                            "Odd ""one" text);
INSERT INTO public.people VALUES
    (1, 'Ada Lovelace', 'Ada', 'Lovelace', 36, 'x'), (2, 'Plato', 'Plato', NULL, 80, NULL)"""
#: Per operation: what is typed.
TYPED = {
    "rename_column": ["--column", 'Odd "one', "--into", "plain"],
    "change_type": ["--column", "age", "--type", "bigint"],
    "split_column": ["--column", "full_name", "--into", "first", "--into", "no", "--type", "varchar(60)"],
    "merge_columns": ["--column", "given", "--column", "family", "--into", "Display name"],
    "add_column": ["--column", "email", "--type", "text"],
    "drop_column": ["--column", "given"],
    "change_columns": ["--column", "age", "--into", "years", "--type", "numeric(5,0)"],
}


@pytest.fixture
def people(database: Database) -> Database:
    database.connect().execute(TABLE)
    return database


def pgjanus(database: Database, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--database-url", database.url], catch_exceptions=False)


def test_what_it_writes_passes_the_check(people: Database, tmp_path: Path) -> None:
    assert TYPED.keys() == OPERATIONS.keys()
    for operation, typed in TYPED.items():
        file = tmp_path / f"{operation}.yaml"
        made = pgjanus(people, "new", str(file), "--table", "people", "--operation", operation, *typed)
        assert made.exit_code == 0, made.output
        assert f"Next: pgjanus check {file}" in made.output
        checked = pgjanus(people, "check", str(file), "--json")
        assert json.loads(checked.stdout)[0]["ok"], (file.read_text(), checked.stdout)
        assert "# " in file.read_text()


def test_wrong_words_are_named_and_nothing_is_written(people: Database, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    base = ("new", str(file), "--table", "people", "--operation")
    for arguments, code, said in (
        ((*base, "change_type", "--column", "aeg", "--type", "bigint"), 1, "no column 'aeg' (did you mean 'age'?)"),
        ((*base, "change_type", "--column", "age", "--type", "big int"), 1, "big int"),
        ((*base, "merge_columns", "--column", "age", "--into", "x", "--type", "text"), 2, "2 or more of --column"),
        ((*base, "split_column", "--column", "age"), 2, "--into is missing"),
        ((*base, "drop_column", "--column", "id"), 1, "primary key"),
        (("new", str(file), "--table", "peeple"), 1, "no table public.peeple"),
        (("new", str(file), "--table", "pg_catalog.pg_class"), 2, "system table"),
        (("new", str(file)), 2, "--table is missing"),
        (
            ("new", str(tmp_path / "no/m.yaml"), *base[2:], "drop_column", "--column", "age"),
            1,
            "cannot be written: No such",
        ),
        ((*base, "drop_column", "--column", "age", "--into", "x"), 2, "0 of --into, and 1 are given"),
        ((*base, "add_column", "--column", "age", "--type", "text"), 1, "age"),
    ):
        result = pgjanus(people, *arguments)
        assert result.exit_code == code and said in result.output, (arguments, result.output)
        assert not file.exists()
    file.write_text("mine")
    assert "exists already" in pgjanus(people, *base, "drop_column", "--column", "age").output
    assert file.read_text() == "mine"
    assert pgjanus(people, *base, "drop_column", "--column", "age", "--force").exit_code == 0
    assert file.read_text() != "mine"


def test_it_asks_on_a_terminal(people: Database, tmp_path: Path) -> None:
    terminal, other_end = pty.openpty()
    try:
        os.write(terminal, b"public.people\nsplit_column\nfull_name\nfirst_name, last_name\n\n")
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "new", "--database-url", people.url],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=other_end,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(other_end)
    assert done.returncode == 0, done.stderr
    assert "full_name text" in done.stderr
    (file,) = tmp_path.glob("*.yaml")
    assert file.name == "people_first_name_last_name_split.yaml"
    assert pgjanus(people, "check", str(file)).exit_code == 0
