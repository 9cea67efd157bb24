"""One namespace of prepared statements, whether SQL or the protocol made them; pipelines; what cannot be read."""

from __future__ import annotations

from tests.playbook import NOTHING, SYNC, bind, close, describe, error_of, execute, kinds, parse, query, swap
from tests.system.scene import FIRST, NAME, SECOND, Scene, rows

PREPARE = "PREPARE p (int) AS SELECT name FROM users WHERE id = $1"


def plan_both(scene: Scene) -> None:
    for snapshot, value in ((FIRST, "'one'"), (SECOND, "'two'")):
        for text, old in ((PREPARE, "name"), (NAME, "first")):
            scene.plan(snapshot, text, swap(text, old, value))


def run(scene: Scene, statement: str, *values: str) -> list[tuple[bytes, bytes]]:
    scene.client.send(bind("", statement, *values), describe("P"), execute(), SYNC)
    return scene.client.until(b"Z")


def test_what_sql_prepared_can_be_bound_in_every_phase(scene: Scene) -> None:
    plan_both(scene)
    scene.client.query(PREPARE)
    for snapshot, value in ((FIRST, b"one"), (SECOND, b"two"), (FIRST, b"one")):
        scene.pins.snapshot = snapshot
        replies = run(scene, "p", "1")
        assert (kinds(replies), rows(replies)) == ("2TDCZ", [value])
        scene.client.send(describe("S", "p"), SYNC)
        assert kinds(scene.client.until(b"Z")) == "tTZ"
    scene.client.send(close("S", "p"), SYNC)
    scene.client.until(b"Z")
    assert error_of(scene.client.query("EXECUTE p (1)"))["C"] == "26000"


def test_what_sql_prepared_while_nothing_was_managed_follows(scene: Scene) -> None:
    plan_both(scene)
    scene.pins.snapshot = NOTHING
    scene.client.query("SELECT 1; " + PREPARE + "; SELECT 2")
    assert rows(scene.client.query("EXECUTE p (2)")) == [b"Plato"]
    scene.pins.snapshot = FIRST
    assert rows(scene.client.query("EXECUTE p (2)")) == [b"one"]
    scene.pins.snapshot = NOTHING
    assert rows(scene.client.query("EXECUTE p (2)")) == [b"Plato"]
    assert scene.proxy.tally.prepared_again == 2


def test_what_the_driver_prepared_can_be_executed_until_the_phase_moves(scene: Scene) -> None:
    plan_both(scene)
    scene.client.send(parse("s", NAME), SYNC)
    scene.client.until(b"Z")
    assert rows(scene.client.query("EXECUTE s")) == [b"one"]
    scene.pins.snapshot = SECOND
    assert error_of(scene.client.query("SELECT 1; EXECUTE s"))["C"] == "0A000"
    assert rows(run(scene, "s")) == [b"two"]
    assert rows(scene.client.query("EXECUTE s")) == [b"two"]


def test_an_execute_of_the_extended_protocol_renews_what_it_runs(scene: Scene) -> None:
    plan_both(scene)
    scene.client.query(PREPARE)
    scene.client.send(parse("e", "EXECUTE p (1)"), SYNC)
    scene.client.until(b"Z")
    for snapshot, value in ((FIRST, b"one"), (SECOND, b"two"), (FIRST, b"one")):
        scene.pins.snapshot = snapshot
        assert rows(run(scene, "e")) == [value]


def test_a_pipeline_of_prepare_and_execute_is_followed(scene: Scene) -> None:
    plan_both(scene)
    scene.client.send(
        *(query(PREPARE), query("EXECUTE p (1)"), query("DEALLOCATE p"), query("EXECUTE p (1)")),
        *(parse("", PREPARE), bind("", ""), execute(), parse("", "EXECUTE p (1)"), bind("", ""), execute(), SYNC),
    )
    replies = scene.client.until(b"Z", 5)
    assert kinds(replies) == "CZ" + "TDCZ" + "CZ" + "EZ" + "12C12DCZ"
    assert rows(replies) == [b"one", b"one"]


def test_a_failing_renewal_is_the_error_of_the_execute_and_is_tried_again(scene: Scene) -> None:
    scene.plan(FIRST, PREPARE, swap(PREPARE, "name", "'one'"))
    scene.plan(SECOND, PREPARE, swap(PREPARE, "name", "not_there_yet"))
    scene.client.query("/* a comment */ " + PREPARE)
    scene.pins.snapshot = SECOND
    for _ in range(2):
        error = error_of(scene.client.query("EXECUTE p (1)"))
        assert (error["C"], error["P"]) == ("42703", str(len("/* a comment */ ") + PREPARE.index("name") + 1))
        replies = run(scene, "p", "1")
        assert (kinds(replies), error_of(replies)["C"]) == ("EZ", "42703")
    scene.database.connect().execute("ALTER TABLE users ADD COLUMN not_there_yet text DEFAULT 'now'")
    assert rows(scene.client.query("EXECUTE p (1)")) == [b"now"]


def test_a_renewal_in_a_failed_transaction_loses_nothing(scene: Scene) -> None:
    plan_both(scene)
    scene.client.query(PREPARE)
    scene.pins.snapshot = SECOND
    scene.client.query("BEGIN")
    scene.client.query("SELECT 1/0")
    assert error_of(scene.client.query("EXECUTE p (1)"))["C"] == "25P02"
    assert error_of(run(scene, "p", "1"))["C"] == "25P02"
    assert rows(scene.client.query("ROLLBACK; EXECUTE p (1)")) == [b"two"]


def test_a_long_text_that_may_have_prepared_something_closes_unknown_names(scene: Scene) -> None:
    scene.pins.snapshot = NOTHING
    scene.client.query(f"PREPARE hidden AS SELECT name, '{'x' * 70_000}' FROM users WHERE id = 1")
    assert rows(scene.client.query("EXECUTE hidden")) == [b"Ada King"]
    scene.pins.snapshot = FIRST
    assert error_of(scene.client.query("EXECUTE hidden"))["C"] == "0A000"


def test_a_text_that_cannot_be_read_does_not_run_what_a_migration_concerns(scene: Scene) -> None:
    plan_both(scene)
    scene.client.query(PREPARE)
    scene.client.query("PREPARE harmless (text) AS SELECT $1")
    scene.client.query("SET standard_conforming_strings = off")
    assert error_of(scene.client.query("EXECUTE p (length('\\''))"))["C"] == "0A000"
    assert rows(scene.client.query("EXECUTE harmless ('\\'')")) == [b"'"]
