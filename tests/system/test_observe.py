"""What a real proxy writes down in the phase `expanded`, and what `observe` and `advance` say of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from rules.migration import Client
from rules.plan import Refuse
from rules.planner import plan
from tests.clients import DRIVERS, ServerError
from tests.conftest import Database, RunningProxy, StartProxy
from tests.rules.managed import snapshot
from tests.twin import CASES

MIGRATION = "users_name"
_WAIT_SECONDS = 30


@dataclass
class Scene:
    database: Database
    proxy: RunningProxy

    def pgjanus(self, *arguments: str) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--database-url", self.database.url], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    def observed(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.pgjanus("observe", MIGRATION, "--json", *arguments).stdout)
        return found

    def wait_for(self, what: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """What was observed, as soon as it is so."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not what(found := self.observed()):
            assert time.monotonic() < deadline, f"{found}\n{self.proxy.log}"
            time.sleep(0.05)
        return found

    def connect(self, shape: str = "old", **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.proxy.url(shape), autocommit=True, **options)


@pytest.fixture
def scene(
    database: Database, start_proxy: StartProxy, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """A parameter, if there is one, has further keys of the migration, and what pgjanus.yaml says of observing."""
    more, settings = getattr(request, "param", ("", "every_s: 0.1"))
    database.connect().execute((CASES / "schema_old.sql").read_bytes())
    migration = tmp_path / "users.yaml"
    migration.write_text((CASES / "users.yaml").read_text() + more)
    config = tmp_path / "pgjanus.yaml"
    config.write_text(f"observe: {{{settings}}}\n")
    scene = Scene(database, start_proxy(database, "--config", str(config)))
    scene.pgjanus("start", str(migration))
    yield scene
    assert scene.proxy.stop() == 0


def outcomes(observed: dict[str, Any]) -> dict[str, str]:
    return {outlook["phase"]: outlook["outcome"] for outlook in observed["forecast"]}


def test_every_distinct_statement_is_reported_with_its_senders_and_what_becomes_of_it(scene: Scene) -> None:
    with scene.connect(application_name="billing") as billing, scene.connect(application_name="reports") as reports:
        for i in range(5):
            psycopg.ClientCursor(billing).execute("SELECT full_name FROM users WHERE id = %s -- secret", (i,))
        for i in range(3):
            reports.execute("SELECT full_name  FROM users WHERE id = %s", (i,), prepare=True)
        billing.execute("SET application_name = 'night'; UPDATE users SET age = 1 WHERE full_name = 'secret'")
        billing.execute("UPDATE users SET age = 2 WHERE full_name = 'secret'")
        billing.execute("SELECT note FROM orders WHERE note = 'users'")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            reports.execute("CREATE VIEW v AS SELECT id FROM users WHERE full_name = 'secret'")
    with scene.connect("new", application_name="next") as after:
        after.execute("SELECT first_name FROM users WHERE id = 1")
    found = scene.wait_for(lambda found: sum(o["seen"] for o in found) == 12)
    by_statement = {o["statement"]: o for o in found}
    read = by_statement["SELECT full_name FROM users WHERE id = $1"]
    assert {(s["application_name"], s["user"], s["seen"]) for s in read["senders"]} == {
        ("billing", "postgres", 5),
        ("reports", "postgres", 3),
    }
    assert outcomes(read) == dict.fromkeys(("expanded", "writing_both"), "untouched") | dict.fromkeys(
        ("reading_new", "new_only"), "rewritten"
    )
    assert [
        s["application_name"] for s in by_statement["UPDATE users SET age = $1 WHERE full_name = $2"]["senders"]
    ] == ["night"]
    view = by_statement["CREATE VIEW v AS SELECT id FROM users WHERE full_name = '…'"]
    assert set(outcomes(view).values()) == {"refused"}
    assert all(o["message"] and o["hint"] for o in view["forecast"])
    assert by_statement["SELECT first_name FROM users WHERE id = $1"]["shape"] == "new"
    assert "secret" not in json.dumps(found)
    assert [o["statement"] for o in scene.observed("--refused")] == [view["statement"]]
    page = scene.pgjanus("observe", MIGRATION).stdout
    assert page.startswith(view["statement"])
    assert "billing as postgres" in page
    assert "1 of 5 distinct statements would be refused: 1 in expanded, 1 in writing_both" in page


def test_a_log_is_explained_from_the_phase_that_a_started_migration_is_in(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("LOG:  statement: SELECT full_name FROM users\n")
    first = scene.pgjanus("explain", MIGRATION, "--from-log", str(log)).stdout
    assert "    expanded, writing_both: untouched\n    reading_new, new_only: rewritten\n" in first
    scene.pgjanus("advance", MIGRATION, "--to", "reading_new")
    second = scene.pgjanus("explain", MIGRATION, "--from-log", str(log)).stdout
    assert second.splitlines()[2:4] == ["    reading_new, new_only: rewritten", ""]


def test_advance_warns_of_what_the_next_phases_would_refuse_and_goes_on(scene: Scene) -> None:
    assert "warning" not in scene.pgjanus("advance", MIGRATION).stdout
    scene.pgjanus("rollback", MIGRATION)
    with scene.connect() as client:
        client.execute("SELECT id FROM users WHERE full_name = 'x'")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            client.execute("CREATE VIEW v AS SELECT id FROM users")
    scene.wait_for(lambda found: len(found) == 2)
    said = scene.pgjanus("advance", MIGRATION).stdout
    assert (
        "warning: 1 of 2 observed statements would be refused (1 in writing_both, 1 in reading_new, 1 in new_only):"
        f" pgjanus observe {MIGRATION} --refused" in said
    )
    assert "is in phase writing_both" in said
    with scene.connect() as client:
        client.execute("SELECT age FROM users WHERE full_name = 'x'")
    scene.pgjanus("rollback", MIGRATION)
    with scene.connect() as client:
        client.execute("DELETE FROM users WHERE full_name = 'y'")
    found = scene.wait_for(lambda found: any("DELETE" in o["statement"] for o in found))
    assert not any("SELECT age" in o["statement"] for o in found), "nothing is observed above expanded"
    scene.pgjanus("observe", MIGRATION, "--forget")
    assert scene.observed() == []
    scene.pgjanus("abort", MIGRATION)
    assert scene.database.connect().execute("SELECT count(*) FROM pgjanus.observations").fetchone() == (0,)


#: Statements that reach no hidden column and that the planner cannot rewrite (yet): one such is enough.
CANDIDATES = (
    "SELECT id FROM users x WHERE EXISTS (SELECT 1 FROM orders x WHERE note = full_name)",
    "SELECT full_name FROM users, pg_stat_activity WHERE pid = pg_backend_pid()",
)


@pytest.mark.parametrize("scene", [("\non_unsupported: observe\n", "every_s: 0.1, keep_samples: true")], indirect=True)
def test_on_unsupported_observe_reports_instead_of_refusing_where_it_does_no_harm(scene: Scene) -> None:
    refused = next(sql for sql in CANDIDATES if isinstance(plan(sql, snapshot("expanded"), Client()), Refuse))
    direct = scene.database.connect().execute(refused.encode()).fetchall()
    for driver in DRIVERS:
        session = driver(scene.proxy.url())
        try:
            assert session.run(refused).rows == direct, session.driver
            with pytest.raises(ServerError, match="0A000"):
                session.run("CREATE VIEW v AS SELECT full_name FROM users")
        finally:
            session.close()
    found = scene.wait_for(lambda found: sum(o["seen"] for o in found) >= 2 * len(DRIVERS))
    (reported,) = (o for o in found if o["sample"] == refused)
    assert outcomes(reported) == {"expanded": "untouched"} | dict.fromkeys(
        ("writing_both", "reading_new", "new_only"), "refused"
    )
    assert reported["forecast"][0]["message"]
    with urlopen(f"http://127.0.0.1:{scene.proxy.admin_port}/metrics", timeout=10) as page:
        counted = re.findall(r'pgjanus_statements_observed_total\{migration="users_name"\} (\S+)', page.read().decode())
    assert [float(n) for n in counted] == [len(DRIVERS)]
    assert "the migration only observes" in scene.pgjanus("observe", MIGRATION).stdout
    session = DRIVERS[2](scene.proxy.url())
    try:
        session.run(refused)
        scene.pgjanus("advance", MIGRATION)
        with pytest.raises(ServerError, match="0A000"):
            session.run(refused)
    finally:
        session.close()


def test_what_cannot_be_written_is_tried_again_and_nothing_waits_for_it(scene: Scene) -> None:
    direct = scene.database.connect()
    direct.execute("ALTER TABLE pgjanus.observations RENAME TO elsewhere")
    with scene.connect() as client:
        for _ in range(4):
            client.execute("SELECT count(full_name) FROM users")
        deadline = time.monotonic() + _WAIT_SECONDS
        while "observations cannot be written" not in scene.proxy.log:
            assert time.monotonic() < deadline, scene.proxy.log
            time.sleep(0.05)
        client.execute("SELECT count(full_name) FROM users")
    direct.execute("ALTER TABLE pgjanus.elsewhere RENAME TO observations")
    scene.wait_for(lambda found: [o["seen"] for o in found] == [5])


@pytest.mark.parametrize("scene", [("", "every_s: 3600")], indirect=True)
def test_a_proxy_that_stops_writes_down_what_it_has_counted(scene: Scene) -> None:
    with scene.connect() as client:
        client.execute("SELECT count(full_name) FROM users")
    assert scene.observed() == []
    assert scene.proxy.stop() == 0
    assert [o["seen"] for o in scene.observed()] == [1]
