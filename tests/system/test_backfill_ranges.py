"""Several workers on one table, and what they leave for each other."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from proxy.backfill import ranges
from proxy.backfill.runner import run
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import change_type, expand
from tests.system.test_backfill import value

#: Counts how often each row was converted; ALWAYS, or the workers' sessions would not wake it.
AUDIT = """
CREATE TABLE audit (id int, worker int);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.audit VALUES (NEW.id, pg_backend_pid()); RETURN NULL; END$$;
CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW
    WHEN (OLD._pgjanus_state < 4 AND NEW._pgjanus_state >= 4) EXECUTE FUNCTION audit();
ALTER TABLE t ENABLE ALWAYS TRIGGER audit;
"""


def table(database: Database, rows: int, key: str = "id int PRIMARY KEY", **rest: Any) -> psycopg.Connection[Any]:
    db = database.connect()
    db.execute(f"CREATE TABLE t ({key}, v text)")
    db.execute(f"INSERT INTO t SELECT i, i::text FROM generate_series(1, {rows}) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text", **rest))
    db.execute(AUDIT)
    return db


@pytest.mark.parametrize(
    ("server", "key"),
    [*((server, "id int PRIMARY KEY") for server in ALL_SERVERS), ("18", "id int")],
    indirect=["server"],
)
def test_two_workers_share_a_table_and_convert_each_row_once(
    database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "ROWS_PER_RANGE", 500)
    db = table(database, 6_000, key, backfill={"batch_target": "2ms"})

    async def both() -> Any:
        return await asyncio.gather(*(run(database.url, "retype_v") for _ in range(2)))

    results = asyncio.run(both())

    assert all(r.complete for r in results)
    assert sum(r.rows for r in results) == 6_000
    assert all(r.rows > 0 for r in results)
    assert db.execute("SELECT count(*), count(DISTINCT id), count(DISTINCT worker) FROM audit").fetchone() == (
        6_000,
        6_000,
        2,
    )
    assert value(db, "SELECT count(*) FROM t WHERE _pgjanus_v IS DISTINCT FROM v::int OR _pgjanus_state < 4") == 0
    assert value(db, "SELECT sum(rows_done) FROM pgjanus.backfill_ranges") == 6_000
    assert value(db, "SELECT count(*) FROM pgjanus.backfill_workers WHERE status = 'done'") == 2


def test_rows_are_estimated_from_a_sample_and_counted_on_request(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_SAMPLE_PAGES", 20)
    db = table(database, 8_000)
    totals = []
    result = asyncio.run(run(database.url, "retype_v", on_progress=lambda p: totals.append(p.rows_total)))
    assert result.rows == 8_000
    assert 3_000 < totals[0] < 20_000, totals
    assert totals[-1] == 8_000

    db.execute("UPDATE t SET _pgjanus_state = 0")
    totals.clear()
    asyncio.run(run(database.url, "retype_v", exact=True, on_progress=lambda p: totals.append(p.rows_total)))
    assert totals[0] == 8_000


def test_a_range_that_another_worker_has_is_left_to_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stands still in the middle of a batch keeps one range; all others are done meanwhile."""
    monkeypatch.setattr(ranges, "ROWS_PER_RANGE", 500)
    db = table(database, 5000)
    stuck = database.connect()

    def hold(progress: Any) -> None:
        if not stuck.info.transaction_status and progress.rows_done < 5000:
            stuck.execute("BEGIN")
            stuck.execute("SELECT FROM pgjanus.backfill_ranges WHERE number = 7 FOR NO KEY UPDATE")
        elif stuck.info.transaction_status and value(db, LEFT) == 500:
            stuck.execute("ROLLBACK")

    async def bounded() -> Any:
        return await asyncio.wait_for(run(database.url, "retype_v", on_progress=hold), 60)

    assert asyncio.run(bounded()).complete
    assert not stuck.info.transaction_status
    assert value(db, "SELECT count(*) FROM audit") == 5000


LEFT = "SELECT count(*) FROM t WHERE _pgjanus_state < 4"
