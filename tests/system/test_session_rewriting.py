"""What the planner says is what happens: rewritten, refused, prepared again; on a real server, whole and byte by byte.

The planner here knows its texts by heart, so that each test shows the protocol's side of a plan and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proxy.config import Limits, ProxyFile
from proxy.wire.messages import FieldDescription, message, read_row_description
from rules.errors import Refusal
from rules.plan import Refuse, ResultPatch
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.playbook import (
    FLUSH,
    NOTHING,
    SYNC,
    LocalProxy,
    OrderedPins,
    RawClient,
    Scripted,
    bind,
    close,
    describe,
    described,
    error_of,
    execute,
    kinds,
    local_proxy,
    managing,
    parse,
    query,
    swap,
)

FIRST, SECOND = managing("users", epoch=1), managing("users", epoch=2)
LIMITS = ProxyFile(limits=Limits(buffer_limit_bytes=1 << 16))


@dataclass
class Scene:
    """One client of a proxy whose control side and planner the test orders about."""

    database: Database
    pins: OrderedPins
    planner: Scripted
    proxy: LocalProxy
    client: RawClient

    def plan(self, snapshot: Snapshot, sql: str, plan: object) -> None:
        self.planner.plans[snapshot.epoch, sql] = plan  # type: ignore[assignment]

    def refuse(self, sql: str, position: int | None = None, snapshot: Snapshot = FIRST) -> None:
        refusal = Refusal('pgjanus: it\'s too "hard"', "Write something else.", position=position)
        self.plan(snapshot, sql, Refuse(refusal, "change_users"))


@pytest.fixture(params=[False, True], ids=["whole", "sliced"])
def scene(request: pytest.FixtureRequest, database: Database) -> Iterator[Scene]:
    database.connect().execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text, _pgjanus_first text,"
        " _pgjanus_last text NOT NULL DEFAULT '');"
        "INSERT INTO users VALUES (1, 'Ada King', 'Ada', 'King'), (2, 'Plato', 'Plato', '')"
    )
    pins, planner = OrderedPins(FIRST), Scripted()
    with local_proxy(database.server.port, pins=pins, planner=planner, sliced=request.param, file=LIMITS) as proxy:
        with RawClient(proxy.port, database.name) as client:
            yield Scene(database, pins, planner, proxy, client)
        proxy.wait_until_empty()
        assert pins.pinned == []


def rows(messages: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The first column of each row, as text."""
    return [body[6 : 6 + int.from_bytes(body[2:6], "big")] for kind, body in messages if kind == b"D"]


def columns(messages: list[tuple[bytes, bytes]]) -> list[list[FieldDescription]]:
    return [list(read_row_description(body)) for kind, body in messages if kind == b"T"]


# ---------------------------------------------------------------------------- rewritten

NAME = "SELECT first FROM users WHERE id = 1"
HIDDEN = swap(NAME, "first", "_pgjanus_first", ResultPatch(head=(described("first", typmod=24),)))


def test_a_rewritten_query_gets_the_rows_of_the_new_text_and_the_columns_of_the_patch(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    replies = scene.client.query(NAME)
    assert kinds(replies) == "TDCZ"
    assert rows(replies) == [b"Ada"]
    assert columns(replies) == [[FieldDescription(b"first", 4711, 3, 25, -1, 24, 0)]]
    assert scene.proxy.tally.rewritten == {"change_users": 1}


def test_patches_find_their_statement_in_a_text_of_several(scene: Scene) -> None:
    text = "SELECT 1 AS a; ; UPDATE users SET id = id; SELECT first, 7 FROM users; SELECT 2 AS b"
    patch = ResultPatch(head=(described("first"),), tail=(None,))
    scene.plan(FIRST, text, swap(text, "first", "_pgjanus_first", None, None, patch, None))
    names = [[column.name for column in result] for result in columns(scene.client.query(text))]
    assert names == [[b"a"], [b"first", b"?column?"], [b"b"]]


def test_describe_of_statement_and_portal_are_patched(scene: Scene) -> None:
    scene.plan(FIRST, NAME, HIDDEN)
    scene.client.send(
        parse("s", NAME), describe("S", "s"), bind("p", "s"), describe("P", "p"), execute("p"), close("P", "p"), SYNC
    )
    replies = scene.client.until(b"Z")
    assert kinds(replies) == "1tT2TDC3Z"
    assert [[column.name for column in result] for result in columns(replies)] == [[b"first"], [b"first"]]


def test_error_positions_and_hidden_names_are_the_clients(scene: Scene) -> None:
    text = "SELECT 'żółć', first, nope FROM users"
    scene.plan(FIRST, text, swap(text, "first", "_pgjanus_first"))
    error = error_of(scene.client.query(text))
    assert (error["C"], error["P"]) == ("42703", str(text.index("nope") + 1))
    text = "UPDATE users SET last = NULL"
    scene.plan(FIRST, text, swap(text, "last", "_pgjanus_last"))
    error = error_of(scene.client.query(text))
    assert error["C"] == "23502"
    assert (error["c"], "_pgjanus_" in error["M"]) == ("last", False)
    scene.client.send(parse("", text + " + nope"), SYNC)
    scene.client.until(b"Z")
    text = "SELECT _missing.first FROM users"
    scene.plan(FIRST, text, swap(text, "_missing.first", "_missing._pgjanus_first"))
    scene.client.send(parse("", text), SYNC)
    error = error_of(scene.client.until(b"Z"))
    assert (error["C"], error["P"]) == ("42P01", str(text.index("_missing") + 1))


def test_parameter_types_are_kept(scene: Scene) -> None:
    text = "SELECT first FROM users WHERE id = $1"
    scene.plan(FIRST, text, swap(text, "first", "_pgjanus_first"))
    scene.client.send(parse("", text, 20), describe("S"), bind("", "", "1"), execute(), SYNC)
    replies = scene.client.until(b"Z")
    assert [body for kind, body in replies if kind == b"t"] == [b"\0\1" + (20).to_bytes(4, "big")]
    assert rows(replies) == [b"Ada"]


# ---------------------------------------------------------------------------- refused


def test_a_refused_query_gets_the_refusal_as_its_error(scene: Scene) -> None:
    scene.refuse("DELETE FROM users", position=12)
    replies = scene.client.query("DELETE FROM users")
    assert kinds(replies) == "EZ"
    assert error_of(replies) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "0A000",
        "M": 'pgjanus: it\'s too "hard"',
        "H": "Write something else.",
        "P": "13",
    }
    assert rows(scene.client.query("SELECT count(*) FROM users")) == [b"2"]
    assert scene.proxy.tally.refused == {"change_users": 1}


def test_a_refusal_fails_the_transaction(scene: Scene) -> None:
    scene.refuse("DELETE FROM users")
    scene.client.query("BEGIN")
    assert scene.client.query("DELETE FROM users")[-1] == (b"Z", b"E")
    assert error_of(scene.client.query("SELECT 1"))["C"] == "25P02"
    assert scene.client.query("COMMIT")[-2:] == [(b"C", b"ROLLBACK\0"), (b"Z", b"I")]


def test_nothing_of_a_text_of_several_statements_runs_if_one_is_refused(scene: Scene) -> None:
    text = "INSERT INTO users VALUES (3); DELETE FROM users"
    scene.refuse(text)
    assert kinds(scene.client.query(text)) == "EZ"
    assert rows(scene.client.query("SELECT count(*) FROM users")) == [b"2"]


def test_a_refusal_in_a_pipeline_skips_to_sync_and_no_further(scene: Scene) -> None:
    scene.refuse("DELETE FROM users")
    scene.client.send(
        *(parse("", "SELECT 1"), bind("", ""), execute()),
        *(parse("d", "DELETE FROM users"), bind("", "d"), execute(), query("SELECT 2"), SYNC),
        *(parse("", "SELECT 3"), bind("", ""), execute(), SYNC),
        *(bind("", "d"), SYNC),
    )
    replies = scene.client.until(b"Z", 3)
    assert kinds(replies) == "12DCEZ" + "12DCZ" + "EZ"
    assert [body for kind, body in replies if kind == b"E"][1].find(b"C26000") > 0


def test_a_refused_unnamed_parse_leaves_no_older_unnamed_statement(scene: Scene) -> None:
    scene.refuse("DELETE FROM users")
    scene.client.send(parse("", "SELECT 1"), SYNC, parse("", "DELETE FROM users"), SYNC, bind("", ""), SYNC)
    replies = scene.client.until(b"Z", 3)
    assert kinds(replies) == "1Z" + "EZ" + "EZ"


def test_an_error_that_is_not_the_refusal_is_the_servers(scene: Scene) -> None:
    """A cancel or a shutdown may come first."""
    scene.refuse("DELETE FROM users")
    pid = rows(scene.client.query("SELECT pg_backend_pid()"))[0].decode()
    scene.client.query("BEGIN")
    scene.database.connect().execute(f"SELECT pg_terminate_backend({pid}, 5000)".encode())
    error = error_of(scene.client.until(b"E"))
    assert error["C"] == "57P01"


def test_a_statement_that_is_too_long_to_be_kept_is_refused_while_tables_are_managed(scene: Scene) -> None:
    long = f"SELECT '{'x' * 100_000}'"
    assert error_of(scene.client.query(long))["C"] == "54000"
    scene.client.send(parse("l", long), bind("", "l"), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "54000"
    scene.pins.snapshot = NOTHING
    assert kinds(scene.client.query(long)) == "TDCZ"
    scene.client.send(parse("l", long), bind("", "l"), execute(), SYNC)
    assert kinds(scene.client.until(b"Z")) == "12DCZ"
    scene.pins.snapshot = FIRST
    scene.client.send(bind("", "l"), execute(), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "54000"
    assert kinds(scene.client.query("SELECT 1")) == "TDCZ"


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


def test_what_sql_prepared_before_its_table_was_managed_is_refused_until_it_is_prepared_again(scene: Scene) -> None:
    """Nobody can prepare it again in its place: an EXECUTE is a simple query, and may stand among others."""
    prepare = "PREPARE p (int) AS SELECT name FROM users WHERE id = $1"
    scene.pins.snapshot = NOTHING
    scene.client.query(prepare)
    scene.client.query("PREPARE harmless AS SELECT 7")
    scene.plan(FIRST, prepare, Refuse(Refusal("pgjanus: not yet"), "change_users"))
    assert rows(scene.client.query("EXECUTE p (1)")) == [b"Ada King"]
    scene.pins.snapshot = FIRST
    for text in ("EXECUTE p (1)", "SELECT 1; EXPLAIN EXECUTE P (1)"):
        assert error_of(scene.client.query(text))["C"] == "0A000"
    scene.client.send(parse("", "EXECUTE p (1)"), SYNC, bind("", "p", "1"), SYNC)
    assert [kinds(scene.client.until(b"Z")) for _ in range(2)] == ["EZ", "EZ"]
    assert rows(scene.client.query("EXECUTE harmless")) == [b"7"]
    scene.client.query("DEALLOCATE p")
    assert error_of(scene.client.query("EXECUTE p (1)"))["C"] == "26000"


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


# ---------------------------------------------------------------------------- how a text is read


def test_a_text_is_read_in_the_sessions_encoding_and_written_in_it(scene: Scene) -> None:
    text = "SELECT first || 'é' FROM users"
    scene.plan(FIRST, text, swap(text, "first", "'ü' || _pgjanus_first"))
    scene.client.query("SET client_encoding = 'LATIN1'")
    scene.client.send(message(b"Q", text.encode("latin-1") + b"\0"))
    replies = scene.client.until(b"Z")
    assert rows(replies) == ["üAdaé".encode("latin-1"), "üPlatoé".encode("latin-1")]


def test_a_backslash_within_a_character_is_no_backslash(scene: Scene) -> None:
    text = "SELECT '表' || first FROM users WHERE id = 1"
    assert b"\\" in text.encode("cp932")
    scene.plan(FIRST, text, swap(text, "first", "_pgjanus_first"))
    scene.client.query("SET client_encoding = 'SJIS'")
    scene.client.send(message(b"Q", text.encode("cp932") + b"\0"))
    assert rows(scene.client.until(b"Z")) == ["表Ada".encode("cp932")]


def test_what_cannot_be_read_is_refused_if_it_may_name_a_managed_table(scene: Scene) -> None:
    assert error_of(_bytes(scene, b"SELECT '\xff' FROM users"))["C"] == "0A000"
    assert error_of(_bytes(scene, b"SELECT '\xff'"))["C"] == "22021"
    scene.client.query("SET client_encoding = 'EUC_TW'")
    assert error_of(_bytes(scene, b"SELECT '\xa4\xa2' FROM users"))["C"] == "0A000"
    assert kinds(_bytes(scene, b"SELECT 1 FROM users")) == "TDDCZ"


def _bytes(scene: Scene, text: bytes) -> list[tuple[bytes, bytes]]:
    scene.client.send(message(b"Q", text + b"\0"))
    return scene.client.until(b"Z")


def test_nothing_managed_without_standard_conforming_strings(scene: Scene) -> None:
    scene.client.query("SET standard_conforming_strings = off")
    assert error_of(scene.client.query("SELECT name FROM users"))["C"] == "0A000"
    assert kinds(scene.client.query("SELECT 'a\\'b'")).endswith("DCZ")
    scene.client.query("RESET standard_conforming_strings")
    assert kinds(scene.client.query("SELECT name FROM users")) == "TDDCZ"


def search_path(scene: Scene) -> tuple[str, ...] | None:
    return scene.planner.clients[-1].search_path


def test_the_planner_learns_the_search_path_and_that_it_may_be_changing(scene: Scene) -> None:
    text = "SELECT count(*) FROM users"
    scene.client.query(text)
    assert search_path(scene) == ("postgres", "public")
    scene.client.query('SET search_path = pg_catalog, "Odd ""one""", public')
    scene.client.query(text)
    assert search_path(scene) == ("pg_catalog", 'Odd "one"', "public")
    scene.client.send(query("SET search_path = public"), query(text))
    scene.client.until(b"Z", 2)
    assert search_path(scene) in (None, ("public",))  # the SET may have been answered in between
    scene.client.send(parse("", "SET search_path = public"), bind("", ""), execute(), parse("", text), SYNC)
    scene.client.until(b"Z")
    assert search_path(scene) is None
    scene.client.query(text)
    assert search_path(scene) == ("public",)


def test_a_temporary_table_may_shadow_a_managed_one(scene: Scene) -> None:
    scene.client.query('CREATE TEMP TABLE IF NOT EXISTS "users" (id int)')
    scene.client.query("SELECT count(*) FROM users")
    assert scene.planner.clients[-1].shadowed == {"users"}
    scene.client.query("DISCARD ALL")
    scene.client.query("SELECT count(*) FROM users")
    assert scene.planner.clients[-1].shadowed == frozenset()
