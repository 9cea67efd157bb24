from __future__ import annotations

import struct

import pytest

from proxy.wire.encodings import Undecodable, codec_of, decode, encode
from proxy.wire.messages import (
    ErrorFields,
    FieldDescription,
    Parse,
    Query,
    error_response,
    patch_row_description,
    read_names,
    read_row_description,
    read_target,
)
from rules.plan import FieldPatch, ResultPatch

PATCH = FieldPatch("név", 9, 8, 25, 6)


def row_description(*names: str) -> bytes:
    fields = [name.encode() + b"\0" + struct.pack(">IhIhih", 1, 2, 25, -1, -1, 1) for name in names]
    return struct.pack(">h", len(fields)) + b"".join(fields)


def patched(patch: ResultPatch, *names: str) -> list[FieldDescription]:
    return list(read_row_description(patch_row_description(row_description(*names), patch, "utf-8")[5:]))


def test_head_and_tail_of_a_row_description_are_patched_and_the_rest_is_left() -> None:
    ours = FieldDescription("név".encode(), 9, 8, 25, -1, 6, 1)
    a, b, c = (FieldDescription(name, 1, 2, 25, -1, -1, 1) for name in (b"a", b"b", b"c"))
    assert patched(ResultPatch(), "a") == [a]
    assert patched(ResultPatch(head=(None, PATCH)), "a", "b", "c") == [a, ours, c]
    assert patched(ResultPatch(tail=(PATCH, None)), "a", "b", "c") == [a, ours, c]
    assert patched(ResultPatch(head=(PATCH,), tail=(PATCH,)), "a", "b", "c") == [ours, b, ours]


def test_a_patch_for_more_columns_than_there_are_changes_nothing() -> None:
    assert patched(ResultPatch(head=(PATCH, PATCH)), "a") == [FieldDescription(b"a", 1, 2, 25, -1, -1, 1)]


@pytest.mark.parametrize("body", [b"", b"SELECT 1", b"SELECT\0 1\0"])
def test_a_malformed_query_is_left_to_the_server(body: bytes) -> None:
    assert Query.read(body) is None


def test_parse_keeps_what_it_does_not_look_into() -> None:
    body = b"s\0SELECT $1\0\0\1\0\0\0\x17"
    parse = Parse.read(body)
    assert parse == Parse(b"s", b"SELECT $1", b"\0\1\0\0\0\x17")
    assert parse is not None
    assert parse.write()[5:] == body
    assert Parse.read(b"s\0SELECT") is None
    assert Parse.read(b"s") is None


def test_names_and_targets() -> None:
    assert read_names(b"p\0s\0rest\0", 2) == (b"p", b"s")
    assert read_names(b"p\0s", 2) is None
    assert read_target(b"Sname\0") == (b"S", b"name")
    assert read_target(b"S") is None
    assert read_target(b"Sname") is None


def test_an_error_of_ours_is_read_as_it_was_meant() -> None:
    fields = ErrorFields.read(error_response("FATAL", "08006", "no", detail="d", hint="h", position=3)[5:]).fields
    assert {chr(code): value for code, value in fields} == {
        "S": b"FATAL",
        "V": b"FATAL",
        "C": b"08006",
        "M": b"no",
        "D": b"d",
        "H": b"h",
        "P": b"3",
    }


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "WIN1250", "SJIS", "EUC_JP", "GBK", "GB18030", "UHC", "BIG5"])
def test_text_survives_every_encoding(encoding: str) -> None:
    codec = codec_of(encoding)
    texts = {"LATIN1": "é", "WIN1250": "ż", "SJIS": "表ソ", "EUC_JP": "表", "UHC": "한", "BIG5": "功"}
    text = f"SELECT '{texts.get(encoding, '表')}'"
    assert decode(encode(text, codec), codec) == text


def test_what_no_codec_reads_is_undecodable_unless_it_is_ascii() -> None:
    assert codec_of("SQL_ASCII") is None
    assert decode(b"SELECT 1", None) == "SELECT 1"
    for data, codec in ((b"\xe9", None), (b"\xff", "utf-8"), (b"\x81", "cp1252")):
        with pytest.raises(Undecodable):
            decode(data, codec)
    with pytest.raises(Undecodable):
        encode("ż", "iso8859_1")
