from __future__ import annotations

import pytest

from proxy.conversation.replies import refusal_text, translated
from proxy.conversation.settings import Settings, read_search_path
from proxy.conversation.statements import (
    may_move_lexing,
    may_move_path,
    temporary_names,
)
from proxy.wire.messages import ErrorFields
from rules.errors import Refusal
from rules.migration import Client
from rules.plan import PositionMap


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("", ()),
        ('"$user", public', ("me", "public")),
        ('Odd, "Odd" , "a""b,c"', ("odd", "Odd", 'a"b,c')),
        ('""', ("",)),
        ('"unfinished', None),
    ],
)
def test_a_search_path_is_read_as_show_prints_it(value: str, path: tuple[str, ...] | None) -> None:
    assert read_search_path(value, "me") == path


def test_settings_follow_what_the_server_reports() -> None:
    settings = Settings(Client(), "me")
    assert (settings.codec, settings.standard_strings, settings.client.search_path) == (None, True, None)
    for name, value in (
        ("client_encoding", "LATIN2"),
        ("standard_conforming_strings", "off"),
        ("search_path", '"$user"'),
        ("session_authorization", "you"),
        ("TimeZone", "UTC"),
    ):
        settings.update(name, value)
    assert (settings.codec, settings.standard_strings) == ("iso8859_2", False)
    assert settings.client.search_path == ("you",)
    assert settings.client_on_the_move.search_path is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"CREATE TEMP TABLE users (id int)", {"users"}),
        (b'create /* a */ temporary -- b\n table if not exists "Us""ers" as select 1', {'Us"ers'}),
        (b"SELECT 1 INTO TEMP users", {"users"}),
        (b"CREATE TABLE pg_temp . users (id int)", {"users"}),
        (b"CREATE TEMP RECURSIVE VIEW v (n) AS SELECT 1", {"v"}),
        (b"SELECT * FROM users", set()),
    ],
)
def test_the_names_of_temporary_tables(text: bytes, names: set[str]) -> None:
    assert temporary_names(text, "utf-8") == names


def test_what_may_change_how_the_next_statement_is_read() -> None:
    for text in (b"SET search_path = a", b"select set_config('x', 'y', false)", b"SET SCHEMA 'a'", b"RESET ALL"):
        assert may_move_path(text)
    for text in (b"SET NAMES 'latin1'", b"SET standard_conforming_strings = off", b"set client_encoding to x"):
        assert may_move_lexing(text)
    for text in (b"UPDATE users SET name = 'x'", b"SELECT preset FROM rolls"):
        assert not may_move_path(text)
        assert not may_move_lexing(text)


def test_a_refusal_is_one_harmless_line_of_ascii() -> None:
    text = refusal_text(Refusal("it's\nno\0 good: żółw $$ /* --"))
    assert text.startswith(b"pgjanus refused this statement: ")
    assert text.isascii()
    assert b"\n" not in text
    assert b"\0" not in text


def test_positions_and_hidden_names_are_translated_and_nothing_else() -> None:
    error = ErrorFields(
        (
            (ord("M"), b'column "_pgjanus_first" of _pgjanus_state, _pgjanus_gate_new'),
            (ord("c"), b"_pgjanus_first"),
            (ord("q"), b"SELECT _pgjanus_first"),
            (ord("P"), b"11"),
            (ord("p"), b"11"),
        )
    )
    seen = {chr(code): value for code, value in translated(error, PositionMap(((0, 0, True), (5, 5, False)))).fields}
    assert seen == {
        "M": b'column "first" of _pgjanus_state, _pgjanus_gate_new',
        "c": b"first",
        "q": b"SELECT _pgjanus_first",
        "P": b"6",
        "p": b"11",
    }
    assert translated(error, None).get(b"P") == b"11"
