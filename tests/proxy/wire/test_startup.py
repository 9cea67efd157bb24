from __future__ import annotations

import struct

import pytest

from proxy.wire.startup import (
    BadStartup,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    read_options,
    read_startup,
)


def packet(code: int, body: bytes = b"") -> bytes:
    return struct.pack(">ii", 8 + len(body), code) + body


def test_each_packet_is_recognised_and_what_follows_is_left() -> None:
    assert read_startup(packet(80877103) + b"more") == (SSLRequest(), 8)
    assert read_startup(packet(80877104)) == (GSSENCRequest(), 8)
    cancel = packet(80877102, b"\0\0\0\1" + b"k" * 32)
    assert read_startup(cancel) == (CancelRequest(cancel), 44)
    start = packet(0x30002, b"user\0me\0database\0d\xff\0\0")
    found = read_startup(start + b"Q")
    assert found is not None
    message, length = found
    assert length == len(start)
    assert isinstance(message, StartupMessage)
    assert (message.packet, message.version) == (start, (3, 2))
    assert message.parameters == {"user": "me", "database": "d\udcff"}


def test_an_incomplete_packet_is_waited_for() -> None:
    start = packet(0x30000, b"user\0me\0\0")
    assert [read_startup(start[:end]) for end in range(len(start))] == [None] * len(start)


@pytest.mark.parametrize("length", [-1, 0, 7, 10_001, 0x16030100])
def test_lengths_out_of_bounds_are_known_from_four_bytes(length: int) -> None:
    with pytest.raises(BadStartup):
        read_startup(struct.pack(">i", length))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", {}),
        ("-c a=b", {"a": "b"}),
        ("-ca=b --c-d=e", {"a": "b", "c_d": "e"}),
        (r"-c pgjanus.shape=ne\w -c x=one\ two", {"pgjanus.shape": "new", "x": "one two"}),
        ("-c Search_Path=a,b", {"search_path": "a,b"}),
        ("-c nothing -c", {}),
        ("nonsense -d 5", {}),
    ],
)
def test_options_are_split_as_the_server_splits_them(options: str, settings: dict[str, str]) -> None:
    assert read_options(options) == settings
