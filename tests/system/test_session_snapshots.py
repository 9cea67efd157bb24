"""Transactions keep their snapshot, prepared statements follow it, holds and lost leases stop what they must."""

from __future__ import annotations

import pytest

from rules.plan import ResultPatch
from tests.playbook import (
    FLUSH,
    NOTHING,
    SYNC,
    RawClient,
    bind,
    close,
    describe,
    described,
    error_of,
    execute,
    kinds,
    parse,
    query,
    swap,
)
from tests.system.scene import FIRST, HIDDEN, NAME, SECOND, Scene, columns, rows

# ---------------------------------------------------------------------------- snapshots


def test_a_transaction_keeps_its_snapshot_and_the_next_one_gets_the_newest(scene: Scene) -> None:
    scene.plan(FIRST, NAME, swap(NAME, "first", "'one'"))
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.client.query("BEGIN")
    scene.pins.snapshot = SECOND
    assert rows(scene.client.query(NAME)) == [b"one"]
    assert scene.pins.pinned == [FIRST]
    scene.client.query("COMMIT")
    assert scene.pins.pinned == []
    assert rows(scene.client.query(NAME)) == [b"two"]


def test_extended_messages_without_a_sync_keep_the_snapshot(scene: Scene) -> None:
    scene.plan(FIRST, NAME, swap(NAME, "first", "'one'"))
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.client.send(parse("", "SELECT 1"), FLUSH)
    scene.client.until(b"1")
    scene.pins.snapshot = SECOND
    scene.client.send(parse("", NAME), bind("", ""), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"one"]


@pytest.mark.parametrize("name", ["s", ""], ids=["named", "unnamed"])
def test_a_prepared_statement_is_prepared_again_for_the_next_snapshot(scene: Scene, name: str) -> None:
    patch = ResultPatch(head=(described("first"),))
    scene.plan(FIRST, NAME, swap(NAME, "first", "'one'", patch))
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'", patch))
    scene.client.send(parse(name, NAME), describe("S", name), SYNC)
    scene.client.until(b"Z")
    for snapshot, value in ((FIRST, b"one"), (SECOND, b"two"), (SECOND, b"two"), (FIRST, b"one")):
        scene.pins.snapshot = snapshot
        scene.client.send(bind("", name), describe("P"), execute(), SYNC)
        replies = scene.client.until(b"Z")
        assert (kinds(replies), rows(replies)) == ("2TDCZ", [value])
        assert columns(replies)[0][0].name == b"first"
    assert scene.proxy.tally.prepared_again == 2
    scene.pins.snapshot = SECOND
    scene.client.send(describe("S", name), SYNC)
    assert kinds(scene.client.until(b"Z")) == "tTZ"
    assert scene.proxy.tally.prepared_again == 3


def test_a_statement_prepared_before_its_table_was_managed_is_prepared_again(scene: Scene) -> None:
    scene.pins.snapshot = NOTHING
    text = "SELECT name FROM users WHERE id = $1"
    scene.client.send(parse("s", text, 23), bind("", "s", "2"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"Plato"]
    scene.pins.snapshot = FIRST
    scene.plan(FIRST, text, swap(text, "name", "upper(name)"))
    scene.client.send(bind("", "s", "2"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"PLATO"]
    scene.pins.snapshot = NOTHING
    scene.client.send(bind("", "s", "2"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"Plato"]
    assert scene.proxy.tally.prepared_again == 2


def test_a_statement_whose_text_stays_is_not_prepared_again(scene: Scene) -> None:
    scene.client.send(parse("s", "SELECT 1"), SYNC)
    scene.client.until(b"Z")
    scene.pins.snapshot = SECOND
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"1"]
    assert scene.proxy.tally.prepared_again == 0


def test_a_failing_re_parse_is_the_error_of_the_bind_and_is_tried_again(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.plan(SECOND, NAME, swap(NAME, "first", "not_there_yet"))
    scene.client.send(parse("s", NAME), SYNC)
    scene.client.until(b"Z")
    scene.pins.snapshot = SECOND
    for _ in range(2):
        scene.client.send(bind("", "s"), execute(), SYNC)
        replies = scene.client.until(b"Z")
        assert (kinds(replies), error_of(replies)["C"]) == ("EZ", "42703")
        assert error_of(replies)["P"] == str(NAME.index("first") + 1)
    scene.database.connect().execute("ALTER TABLE users ADD COLUMN not_there_yet text DEFAULT 'now'")
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"now"]


def test_a_re_parse_in_a_failed_transaction_loses_nothing(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.client.send(parse("s", NAME), SYNC)
    scene.client.until(b"Z")
    scene.pins.snapshot = SECOND
    scene.client.query("BEGIN")
    scene.client.query("SELECT 1/0")
    scene.client.send(bind("", "s"), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "25P02"
    scene.client.query("ROLLBACK")
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"two"]


def test_a_statement_refused_in_the_new_snapshot_comes_back_with_the_old_one(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.refuse(NAME, snapshot=SECOND)
    scene.client.send(parse("s", NAME), SYNC)
    scene.client.until(b"Z")
    scene.pins.snapshot = SECOND
    for step in (bind("", "s") + execute(), describe("S", "s")):
        scene.client.send(step, SYNC)
        replies = scene.client.until(b"Z")
        assert (kinds(replies), error_of(replies)["C"]) == ("EZ", "0A000")
    scene.pins.snapshot = FIRST
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"Ada"]


@pytest.mark.parametrize("how", ["DEALLOCATE s", 'deallocate prepare "s"', "DEALLOCATE ALL", "DISCARD ALL", "close"])
def test_a_statement_that_the_client_dropped_is_not_brought_back(scene: Scene, how: str) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.client.send(parse("s", NAME), SYNC)
    scene.client.until(b"Z")
    if how == "close":
        scene.client.send(close("S", "s"), SYNC)
        scene.client.until(b"Z")
    else:
        scene.client.query(how)
    scene.pins.snapshot = SECOND
    scene.client.send(bind("", "s"), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "26000"


def test_a_statement_dropped_out_of_our_sight_is_reported_by_the_server_once_and_then_forgotten(scene: Scene) -> None:
    scene.client.send(parse("s", NAME.replace("first", "name")), SYNC)
    scene.client.until(b"Z")
    scene.client.query("DO $$ BEGIN EXECUTE 'DEALLOCATE s'; END $$")
    for snapshot in (FIRST, SECOND):
        scene.pins.snapshot = snapshot
        scene.client.send(bind("", "s"), SYNC)
        assert error_of(scene.client.until(b"Z"))["C"] == "26000"


def test_what_a_failed_pipeline_would_have_prepared_is_not_believed(scene: Scene) -> None:
    """The client learns of the error only after it has sent more."""
    scene.plan(FIRST, NAME, HIDDEN)
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.client.send(
        *(parse("s", NAME), SYNC),
        *(parse("", "SELECT 1/0"), bind("", ""), execute(), close("S", "s"), parse("s", "SELECT 'wrong'"), SYNC),
        *(bind("", "s"), execute(), SYNC),
    )
    replies = scene.client.until(b"Z", 3)
    assert (kinds(replies), rows(replies)) == ("1Z" + "1EZ" + "2DCZ", [b"Ada"])
    scene.pins.snapshot = SECOND
    scene.client.send(
        *(parse("", "SELECT 1/0"), bind("", ""), execute(), close("S", "s"), parse("s", "SELECT 'wrong'"), SYNC),
        *(bind("", "s"), describe("P"), execute(), SYNC),
    )
    replies = scene.client.until(b"Z", 2)
    assert (kinds(replies), rows(replies)) == ("1EZ" + "2TDCZ", [b"two"])


# ---------------------------------------------------------------------------- the control side


def test_a_held_transaction_waits_and_then_goes_on_in_order(scene: Scene) -> None:
    scene.plan(SECOND, NAME, swap(NAME, "first", "'two'"))
    scene.pins.holding = True
    scene.client.send(query(NAME), query("SELECT 2"), parse("", "SELECT 3"), bind("", ""), execute(), SYNC)
    scene.proxy.wait_for(lambda: bool(scene.pins.waiting))
    assert scene.proxy.tally.held == 1
    scene.pins.snapshot = SECOND
    scene.proxy.call(scene.pins.release)
    assert rows(scene.client.until(b"Z", 3)) == [b"two", b"2", b"3"]


def test_a_running_transaction_is_not_held(scene: Scene) -> None:
    scene.client.query("BEGIN")
    scene.pins.holding = True
    assert rows(scene.client.query("SELECT 1")) == [b"1"]
    scene.pins.holding = False
    scene.client.query("COMMIT")


def test_a_query_of_other_tables_passes_by_those_that_are_held(scene: Scene) -> None:
    """One at a time; what opens a transaction, keeps a name or concerns a managed table waits."""
    scene.pins.holding = scene.pins.beside = True
    assert rows(scene.client.query("SELECT 1")) == [b"1"]
    scene.client.send(query("SELECT 2"), query("SELECT 3"), query("SELECT count(*) FROM users"), query("SELECT 4"))
    assert rows(scene.client.until(b"Z", 2)) == [b"2", b"3"]
    scene.proxy.wait_for(lambda: len(scene.pins.waiting) == 1)
    assert scene.pins.pinned == []
    for text in ("BEGIN", "SELECT 1; START TRANSACTION", "PREPARE p AS SELECT 1", "COPY other FROM STDIN"):
        with RawClient(scene.proxy.port, scene.database.name) as other:
            waiting = len(scene.pins.waiting)
            other.send(query(text))
            scene.proxy.wait_for(lambda before=waiting: len(scene.pins.waiting) == before + 1)  # type: ignore[misc]
    scene.proxy.call(scene.pins.release)
    assert rows(scene.client.until(b"Z", 2)) == [b"2", b"4"]


def test_a_client_that_leaves_while_it_is_held_is_over(scene: Scene) -> None:
    scene.pins.holding = True
    with RawClient(scene.proxy.port, scene.database.name) as other:
        other.send(query("INSERT INTO users VALUES (9)"))
        scene.proxy.wait_for(lambda: bool(scene.pins.waiting))
    scene.proxy.call(scene.pins.release)
    scene.proxy.wait_for(lambda: scene.proxy.sessions() == 1)


def test_a_client_that_never_stops_sending_still_lets_go_of_its_snapshot(scene: Scene) -> None:
    """While the last query of a batch still runs the next batch comes, so the server owes something the whole time."""
    fast, rounds = 200, 0
    batch = query("SELECT 1") * fast + query("SELECT pg_sleep(0.1)")
    scene.client.send(batch)
    scene.client.until(b"Z", fast)
    scene.pins.snapshot = SECOND
    while scene.pins.pinned != [SECOND]:
        scene.client.send(batch)
        scene.client.until(b"Z", fast + 1)
        rounds += 1
        assert rounds < 10
    scene.client.until(b"Z")


def test_without_a_lease_managed_tables_are_closed_and_others_are_not(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.client.send(parse("s", NAME), bind("p", "s"), FLUSH)
    scene.client.until(b"2")
    scene.pins.serving = False
    scene.client.send(execute("p"), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "57P03"
    for step in (parse("", NAME), bind("", "s"), describe("S", "s")):
        scene.client.send(step, SYNC)
        assert error_of(scene.client.until(b"Z"))["C"] == "57P03"
    assert error_of(scene.client.query(NAME))["C"] == "57P03"
    assert rows(scene.client.query("SELECT 1")) == [b"1"]
    scene.pins.serving = True
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"Ada"]


def test_ddl_is_reported_when_it_is_committed(scene: Scene) -> None:
    scene.client.query("BEGIN")
    scene.client.query("CREATE TABLE other (id int)")
    assert scene.pins.catalog_changes == 0
    scene.client.query("COMMIT")
    assert scene.pins.catalog_changes == 1
    scene.client.query("SELECT 1")
    assert scene.pins.catalog_changes == 1
