"""What a dry run shows, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from proxy.backfill import dry_run as module
from proxy.backfill import ranges
from proxy.backfill.dry_run import BadRow, DryBatch, SampleRow, dry_run
from proxy.backfill.progress import Progress
from proxy.backfill.runner import run
from proxy.cli import main
from rules.errors import PgjanusError
from rules.phases import RowState
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import SPLIT, USERS, change_type, expand
from tests.system.test_backfill import FILL, value
from tests.system.test_backfill_ranges import table

EVERYTHING = "SELECT sum(hashtext(u::text)), array_agg(ctid ORDER BY ctid) FROM {} u"
#: Tables in which a worker leaves a trace.
TRACES = "SELECT count(*) FROM pgjanus.backfills, pgjanus.backfill_ranges, pgjanus.backfill_bad_rows"


def tried(database: Database, name: str | None = None, **options: Any) -> tuple[DryBatch, ...]:
    return asyncio.run(dry_run(database.url, name, **options))


def users(database: Database, rows: int, phase: str = "writing_both") -> psycopg.Connection[Any]:
    db = database.connect()
    db.execute(USERS)
    db.execute(FILL.format(rows=rows))
    expand(database, SPLIT, phase)
    return db


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_it_shows_rows_and_a_pace_and_changes_nothing(database: Database) -> None:
    db = users(database, 700)
    before = db.execute(EVERYTHING.format("users")).fetchone()
    (batch,) = tried(database, "split_name")
    assert (batch.rows, batch.rows_left, batch.is_exact, batch.bad) == (500, 700, True, ())
    assert batch.phase is None
    assert batch.estimated_seconds == pytest.approx(batch.seconds * 1.4)
    assert len(batch.samples) == 10
    assert batch.samples[1] == SampleRow("id=2", {"full_name": "Zoë 2"}, {"first_name": "Zoë", "last_name": "2"})
    assert db.execute(EVERYTHING.format("users")).fetchone() == before
    assert value(db, TRACES) == 0
    db.execute("UPDATE users SET _pgjanus_state = 4")
    assert tried(database) == ()


def test_downwards_and_in_phases_that_convert_nothing(database: Database) -> None:
    db = users(database, 20, "expanded")
    (batch,) = tried(database, "split_name")
    assert (batch.empties, batch.rows, batch.phase) == (RowState.OLD, 20, "writing_both")
    db.execute("UPDATE users SET _pgjanus_first_name = 'F' || id, _pgjanus_last_name = 'L', _pgjanus_state = 6")
    for phase, elsewhere in (("new_only", "reading_new"), ("reading_new", None)):
        db.execute("UPDATE pgjanus.migrations SET phase = %s", (phase,))
        batch = tried(database, "split_name")[-1]
        assert (batch.empties, batch.rows, batch.phase) == (RowState.NEW, 20, elsewhere)
        assert batch.samples[2].before == {"first_name": "F3", "last_name": "L"}
        assert batch.samples[2].after == {"full_name": "F3 L"}
    assert value(db, "SELECT count(*) FROM users WHERE _pgjanus_state = 6 AND full_name IS DISTINCT FROM 'F3 L'") == 20


@pytest.mark.parametrize("key", ["id int PRIMARY KEY", "id int"])
def test_rows_that_cannot_be_converted_are_named_and_the_others_shown(database: Database, key: str) -> None:
    db = table(database, 1200, key)
    db.execute("UPDATE t SET v = 'n/a' WHERE id IN (2, 250, 251, 499)")
    (batch,) = tried(database, "retype_v")
    # Rows that were updated are at the end of a table that is walked by place.
    seen = 4 if "KEY" in key else 0
    assert len(batch.bad) == seen
    assert batch.rows == 500 - seen
    if seen:
        wrong = 'invalid input syntax for type integer: "n/a"'
        assert batch.bad == tuple(BadRow(f"id={i}", wrong) for i in (2, 250, 251, 499))
        assert [s.key for s in batch.samples] == [f"id={i}" for i in range(1, 12) if i != 2]
    assert len(batch.samples) == 10
    assert batch.samples[0].after == {"v": 1}
    assert value(db, "SELECT count(*) FROM audit") == 0


def test_it_works_beside_a_worker_and_neither_minds_the_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "ROWS_PER_RANGE", 500)
    db = table(database, 5000, backfill={"batch_target": "1ms"})
    asked: list[tuple[DryBatch, ...]] = []

    async def both() -> bool:
        tries: list[asyncio.Task[tuple[DryBatch, ...]]] = []

        def on_progress(progress: Progress) -> None:
            if 0 < progress.rows_done < 4000 and len(tries) < 3:
                tries.append(asyncio.create_task(dry_run(database.url, "retype_v")))

        result = await asyncio.wait_for(run(database.url, "retype_v", on_progress=on_progress), 60)
        asked.extend(await asyncio.gather(*tries))
        return result.complete and result.rows == 5000

    assert asyncio.run(both())
    assert len(asked) == 3
    assert db.execute("SELECT count(*), count(DISTINCT id) FROM audit").fetchone() == (5000, 5000)


def test_it_does_not_take_what_a_worker_is_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)
    db = table(database, 100)
    db.execute("INSERT INTO pgjanus.backfills (migration, state, round) VALUES ('retype_v', 'old', 1)")
    db.execute("INSERT INTO pgjanus.backfill_ranges (migration, state, number) VALUES ('retype_v', 'old', 0)")
    with database.connect() as worker, worker.transaction():
        worker.execute("SELECT FROM pgjanus.backfill_ranges FOR NO KEY UPDATE")
        with pytest.raises(PgjanusError, match=r"workers have all that is left of retype_v: .* --pause"):
            tried(database, "retype_v")
    (batch,) = tried(database, "retype_v")
    assert batch.rows == 100
    left = db.execute("SELECT cursor, rows_done, done, worker FROM pgjanus.backfill_ranges").fetchall()
    assert left == [(None, 0, False, None)]


YAML = """
table: public.t
operations:
  - change_type: {column: v, type: integer, up: "v::int", down: "v::text"}
backfill: {on_error: {default: {v: "0"}}}
"""


def test_a_file_that_is_not_started_is_tried_on_a_copy(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "retype_v.yaml"
    file.write_text(YAML)
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, g text GENERATED ALWAYS AS (v || '!') STORED, v text)")
    db.execute(
        "INSERT INTO t (id, v) SELECT i, CASE i WHEN 3 THEN 'three' ELSE i::text END FROM generate_series(1, 600) i"
    )
    before = db.execute("SELECT count(*), max(oid) FROM pg_class").fetchone()

    def pgjanus(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["backfill", *arguments, "--dry-run", "--database-url", database.url])
        return result.exit_code, result.output

    code, said = pgjanus(str(file))
    assert code == 0, said
    first, *rest = said.splitlines()
    assert first.startswith("retype_v: old → both (in phase writing_both): 500 rows converted on a temporary copy in ")
    assert rest[0] == "  id=1: v='1' → v=1"
    assert '  id=3 gets its default: invalid input syntax for type integer: "three"' in rest
    assert "  600 rows to do: " in rest[-1]
    assert db.execute("SELECT count(*), max(oid) FROM pg_class").fetchone() == before
    assert value(db, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgjanus'") == 0
    file.write_text(YAML[: YAML.index("backfill")])
    code, said = pgjanus(str(file), "--json")
    assert code == 1
    (batch,) = json.loads(said)["batches"]
    assert (batch["rows"], batch["copy"], batch["bad_rows"][0]["key"]) == (499, True, "id=3")

    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    assert "retype_v is started already" in pgjanus(str(file))[1]
    assert "one that is not started yet: pgjanus backfill FILE.yaml --dry-run" in pgjanus("retype_w")[1]


def test_the_command_line_on_a_pipe(database: Database) -> None:
    table(database, 3)
    command = [sys.executable, "-m", "proxy", "backfill", "--dry-run", "--database-url", database.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("retype_v: old → both: 3 rows converted in ")
    assert "  id=2: v='2' → v=2\n" in done.stdout
