"""`pgjanus explain`, for a file that is not started and for a migration that is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import Database

RECIPES = Path(__file__).parents[2] / "rules" / "recipes"


def explain(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", "explain", "--database-url", database.url, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_that_is_not_started_is_explained_for_every_phase(database: Database) -> None:
    database.connect().execute((RECIPES / "split_column.sql").read_text().encode())
    recipe = str(RECIPES / "split_column.yaml")
    done = explain(database, recipe, "UPDATE users SET full_name = $1 WHERE id = $2")
    assert done.returncode == 0, done.stderr
    assert [x for x in done.stdout.splitlines() if x.startswith("--")] == [
        "-- announced",
        "-- expanded",
        "-- writing_both",
        "-- reading_new",
        "-- new_only",
    ]
    assert done.stdout.splitlines()[1] == "untouched: forwarded byte for byte"
    assert '"_pgjanus_first_name" = ' in done.stdout


def test_one_phase_as_json_and_a_refusal_exits_with_1(database: Database) -> None:
    database.connect().execute((RECIPES / "split_column.sql").read_text().encode())
    recipe = str(RECIPES / "split_column.yaml")
    done = explain(database, recipe, "SELECT u::users FROM users u", "--phase", "new_only", "--shape", "new", "--json")
    assert done.returncode == 1, done.stderr
    (answer,) = json.loads(done.stdout)
    assert (answer["outcome"], answer["sqlstate"], answer["phase"]) == ("refused", "0A000", "new_only")
    assert answer["hint"]


def test_mistakes_are_one_clear_line(database: Database) -> None:
    database.connect().execute((RECIPES / "split_column.sql").read_text().encode())
    recipe = str(RECIPES / "split_column.yaml")
    done = explain(database, recipe, "SELECT 1", "--phase", "sideways")
    assert done.returncode == 1
    assert "its phases are announced, expanded, writing_both, reading_new, new_only" in done.stderr
    done = explain(database, "nosuch", "SELECT 1")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
