"""What the planner says is what happens: rewritten, refused, prepared again; on a real server, whole and byte by byte.

The planner here knows its texts by heart, so that each test shows the protocol's side of a plan and nothing else.
"""

from __future__ import annotations

from proxy.wire.messages import FieldDescription, message
from rules.plan import ResultPatch
from tests.playbook import (
    NOTHING,
    SYNC,
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

# ---------------------------------------------------------------------------- rewritten


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


def test_a_value_that_is_refused_while_it_is_evaluated_is_a_refusal(scene: Scene) -> None:
    text = "UPDATE users SET id = 7"
    raised = "concat('_pgjanus_refused:', id, ' is \"lost\"_pgjanus_hint:', 'Write less.', '_pgjanus_end')::integer"
    scene.plan(FIRST, text, swap(text, "7", raised))
    error = error_of(scene.client.query(text))
    assert (error["C"], error["M"], error["H"]) == ("0A000", '1 is "lost"', "Write less.")
    assert "P" not in error


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


def test_a_backslash_without_standard_conforming_strings_is_refused_on_a_managed_table(scene: Scene) -> None:
    text = "SELECT name FROM users"
    escaped = "SELECT 'a\\'b' FROM users"
    scene.client.query("SET standard_conforming_strings = off")
    assert kinds(scene.client.query(text)) == "TDDCZ"
    assert error_of(scene.client.query(escaped))["C"] == "0A000"
    assert kinds(scene.client.query("SELECT 'a\\'b'")).endswith("DCZ")
    scene.plan(FIRST, NAME, swap(NAME, "first", "name || '\\'"))
    assert error_of(scene.client.query(NAME))["C"] == "0A000"
    scene.client.query("RESET standard_conforming_strings")
    assert kinds(scene.client.query(text)) == "TDDCZ"


def test_a_backslash_behind_a_set_that_is_not_answered_is_refused_too(scene: Scene) -> None:
    escaped = "SELECT 'a\\' || name FROM users"
    scene.client.send(
        *(parse("", "SET standard_conforming_strings = off"), bind("", ""), execute()),
        *(parse("", escaped), bind("", ""), execute(), SYNC),
    )
    assert error_of(scene.client.until(b"Z"))["C"] == "0A000"
    scene.client.send(query("SET standard_conforming_strings = off; SELECT 'a\\' || name FROM users"))
    assert kinds(scene.client.until(b"Z")) == "CTDDCSZ"  # a text is read as a whole before any of it runs


def test_a_statement_that_would_be_read_differently_is_not_prepared_again(scene: Scene) -> None:
    text = "SELECT 'a\\' || name FROM users WHERE id = 2"
    scene.client.send(parse("s", text), SYNC)
    scene.client.until(b"Z")
    scene.plan(SECOND, text, swap(text, "name", "upper(name)"))
    scene.client.query("SET standard_conforming_strings = off")
    scene.pins.snapshot = SECOND
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "0A000"
    scene.client.query("RESET standard_conforming_strings")
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert rows(scene.client.until(b"Z")) == [b"a\\PLATO"]


def test_bytes_that_would_be_other_characters_are_not_prepared_again(scene: Scene) -> None:
    text = "SELECT 'é' || name FROM users WHERE id = 2"
    scene.client.query("SET client_encoding = 'LATIN1'")
    scene.client.send(message(b"P", b"s\0" + text.encode("latin-1") + b"\0\0\0"), SYNC)
    scene.client.until(b"Z")
    scene.client.query("SET client_encoding = 'LATIN2'")  # the same bytes, and some are other characters
    scene.pins.snapshot = SECOND
    scene.client.send(bind("", "s"), execute(), SYNC)
    assert error_of(scene.client.until(b"Z"))["C"] == "0A000"


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
