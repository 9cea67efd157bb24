"""The operator's commands as a person or a script meets them: text, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.conftest import Database
from tests.system.ladder_case import NAME, USERS, columns_of, phase_of, schema_dump

RECIPES = Path(__file__).parents[2] / "rules/recipes"
RECIPE = RECIPES / "split_column.yaml"


def pgjanus(database: Database, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--database-url", database.url], catch_exceptions=False)


def done(database: Database, *arguments: str) -> str:
    result = pgjanus(database, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(database: Database, *arguments: str) -> str:
    """One line on stderr, exit 1."""
    result = pgjanus(database, *arguments)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("pgjanus: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("kind", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_goes_all_the_way_and_all_the_way_back(database: Database, kind: str) -> None:
    session = database.connect()
    session.execute((RECIPES / f"{kind}.sql").read_text())
    before = schema_dump(database)
    file = str(RECIPES / f"{kind}.yaml")
    name = json.loads(done(database, "start", file, "--json"))["migration"]
    done(database, "advance", name, "--to", "new_only")
    done(database, "abort", name)
    assert schema_dump(database) == before
    plan = json.loads(done(database, "plan", file, "--json"))
    done(database, "start", file)
    assert json.loads(done(database, "advance", name, "--to", "contracted", "--json"))["phase"] == "contracted"
    assert "_pgjanus" not in schema_dump(database)
    assert [p["phase"] for p in plan["phases"]][-1] == "contracted"


def test_the_commands_in_text_say_what_was_done_and_what_comes_next(database: Database) -> None:
    database.connect().execute(USERS)
    assert "no migration in this database" in done(database, "status")
    assert f"Next: pgjanus advance {NAME}" in done(database, "start", str(RECIPE))
    text = done(database, "advance", NAME, "--to", "reading_new")
    for said in ("500 rows converted", "gate closed and proved", "both formats of every row agree"):
        assert said in text
    page = done(database, "status", NAME)
    assert "announced → expanded → writing_both → [reading_new] → new_only → contracted" in page
    assert "gate against row state old: validated" in page
    assert "rows: 0 old, 500 both, 0 new" in page
    assert "in phase writing_both" in done(database, "rollback", NAME)
    assert "is gone, the table is as it was" in done(database, "abort", NAME)
    assert columns_of(database) == ["id", "full_name", "age"]


def test_the_commands_in_json_print_nothing_else_on_stdout(database: Database) -> None:
    database.connect().execute(USERS)
    started: dict[str, Any] = json.loads(done(database, "start", str(RECIPE), "--json"))
    assert started == {
        "migration": NAME,
        "phase": "expanded",
        "steps": ["announced", "expanded"],
        "held_ms": None,
        "missing": None,
    }
    moved = json.loads(done(database, "advance", NAME, "--to", "contracted", "--json"))
    assert moved["steps"] == ["writing_both", "reading_new", "new_only", "contracted"]
    assert moved["held_ms"] > 0
    status = json.loads(done(database, "status", "--json"))
    assert [(m["name"], m["phase"], m["next_phase"]) for m in status["migrations"]] == [(NAME, "contracted", None)]
    assert status["proxies"] == []


def test_refusals_are_one_line_and_exit_1_and_change_nothing(database: Database, tmp_path: Path) -> None:
    database.connect().execute(USERS)
    before = schema_dump(database)
    assert "No such file" in refused(database, "start", "nothing.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text(RECIPE.read_text().replace("full_name", "ful_name"))
    assert "ful_name" in refused(database, "start", str(broken))
    assert "pgjanus start FILE" in refused(database, "advance", NAME)
    assert "pgjanus start FILE" in refused(database, "status", NAME)
    assert schema_dump(database) == before
    assert phase_of(database) is None
    done(database, "start", str(RECIPE))
    assert "already there" in refused(database, "start", str(RECIPE))
    assert "no phase 'readin_new': did you mean 'reading_new'" in refused(
        database, "advance", NAME, "--to", "readin_new"
    )
    assert "did you mean" in refused(database, "rollback", "split_fullname")
    done(database, "advance", NAME, "--to", "contracted")
    assert "is over" in refused(database, "advance", NAME)
    assert "is over" in refused(database, "abort", NAME)


def test_wrong_usage_is_exit_2_and_an_unreachable_database_exit_1(database: Database) -> None:
    assert pgjanus(database, "advance").exit_code == 2
    assert pgjanus(database, "advance", NAME, "--timeout", "soon").exit_code == 2
    nowhere = CliRunner().invoke(main, ["status", "--database-url", "postgresql://postgres:secret@127.0.0.1:1/x"])
    assert nowhere.exit_code == 1
    assert "cannot connect" in nowhere.stderr
    assert "secret" not in nowhere.stderr


def test_the_plan_shows_every_phase_with_its_locks_and_what_rows_become(database: Database) -> None:
    session = database.connect()
    session.execute(USERS)
    before = schema_dump(database)
    text = done(database, "plan", str(RECIPE))
    for phase in ("announced", "expanded", "writing_both", "reading_new", "new_only", "contracted"):
        assert f"-- {phase}\n" in text
    assert 'ADD COLUMN "_pgjanus_first_name" text' in text
    assert "lock: ACCESS EXCLUSIVE" in text
    assert "full_name='First1 Last1'  →  first_name='First1', last_name='Last1'" in text
    assert schema_dump(database) == before
    assert session.execute("SELECT to_regnamespace('pgjanus')").fetchone() == (None,)


def test_what_the_plan_says_is_what_is_done(database: Database) -> None:
    """Its statements, run one after the other with the backfill between them, make the table that the ladder makes."""
    session = database.connect()
    session.execute(USERS)
    plan = json.loads(done(database, "plan", str(RECIPE), "--json"))
    session.execute("CREATE SCHEMA pgjanus")  # as the first `serve` or `start` does; the guard's function is in it
    for phase in plan["phases"]:
        for statement in phase["statements"]:
            if "backfill" in statement["sql"]:
                session.execute(
                    "UPDATE users SET _pgjanus_first_name = split_part(full_name, ' ', 1), _pgjanus_state = 4,"
                    " _pgjanus_last_name = split_part(full_name, ' ', 2)"
                )
            else:
                session.execute(statement["sql"])
    planned = schema_dump(database)
    session.execute("DROP TABLE users; DROP SCHEMA pgjanus")
    session.execute(USERS)
    done(database, "start", str(RECIPE))
    done(database, "advance", NAME, "--to", "contracted")
    assert schema_dump(database) == planned
