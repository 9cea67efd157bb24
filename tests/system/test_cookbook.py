"""docs/cookbook.md, as written: every table, its migration from the first phase to the last, and the table after it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import main
from tests.conftest import Database

COOKBOOK = Path(__file__).parents[2] / "docs/cookbook.md"
_BLOCK = re.compile(r"<!-- (table|recipe|contracted): (\w+) -->\n```(?:sql|yaml|text)\n(.*?)```", re.DOTALL)


def blocks() -> dict[str, dict[str, str]]:
    """Per table: its `table`, `recipe` and `contracted` block."""
    found: dict[str, dict[str, str]] = {}
    for kind, name, text in _BLOCK.findall(COOKBOOK.read_text()):
        found.setdefault(name, {})[kind] = text
    return found


def pgjanus(database: Database, *arguments: str) -> str:
    result = CliRunner().invoke(
        main, [*arguments, "--json", "--database-url", database.url], catch_exceptions=False, env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def psql(database: Database, sql: str) -> str:
    command = [str(database.server.bin / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "-c", sql, database.url]
    environment = {**os.environ, "PGTZ": "UTC", "PAGER": "cat", "PGOPTIONS": "-c datestyle=ISO"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout


def bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def test_every_recipe_of_the_cookbook_works_as_written(database: Database, tmp_path: Path) -> None:
    recipes = blocks()
    headings = re.findall(r"^## ", COOKBOOK.read_text(), re.MULTILINE)
    assert len(recipes) == len(headings) == 8
    for name, recipe in recipes.items():
        assert recipe.keys() == {"table", "recipe", "contracted"}, name
        database.connect().execute(recipe["table"])
        file = tmp_path / f"{name}.yaml"
        file.write_text(recipe["recipe"])
        (checked,) = json.loads(pgjanus(database, "check", str(file)))
        assert checked["ok"] and checked["rows"] >= 2, checked
        migration = json.loads(pgjanus(database, "start", str(file)))["migration"]
        assert json.loads(pgjanus(database, "advance", migration, "--to", "contracted"))["phase"] == "contracted"
        assert bare(psql(database, f"SELECT * FROM {name} ORDER BY id")) == bare(recipe["contracted"]), name
