from __future__ import annotations

import struct

import pytest

from proxy.conversation.opening import Answer, Begin, Event, Opening, Reject, UnknownShape, requested_shape
from proxy.wire.startup import CancelRequest, StartupMessage
from rules.phases import Shape

SSL, GSS = struct.pack(">ii", 8, 80877103), struct.pack(">ii", 8, 80877104)
BODY = b"user\0me\0\0"
START = struct.pack(">ii", 8 + len(BODY), 0x30000) + BODY
CANCEL = struct.pack(">iiii", 16, 80877102, 1, 2)


def slowly(*packets: bytes) -> list[Event]:
    """Every byte on its own: then nothing is ever behind a request."""
    opening = Opening()
    return [event for packet in packets for i in range(len(packet)) for event in opening.receive(packet[i : i + 1])]


def test_encryption_is_declined_once_each_and_the_session_begins() -> None:
    startup = StartupMessage(START, (3, 0), {"user": "me"})
    for first, second in ((SSL, GSS), (GSS, SSL)):
        assert slowly(first, second, START) == [Answer(b"N"), Answer(b"N"), Begin(startup, b"")]


@pytest.mark.parametrize("packet", [SSL, GSS])
def test_a_second_request_of_a_kind_is_rejected(packet: bytes) -> None:
    *_, last = slowly(packet, packet)
    assert isinstance(last, Reject)
    assert b"C0A000\0" in last.data


@pytest.mark.parametrize("packet", [SSL, GSS])
def test_bytes_behind_a_request_are_a_violation(packet: bytes) -> None:
    answer, reject = Opening().receive(packet + START)
    assert answer == Answer(b"N")
    assert isinstance(reject, Reject)
    assert b"C08P01\0" in reject.data


def test_what_follows_a_startup_message_or_a_cancel_is_kept() -> None:
    [begin] = Opening().receive(START + b"early")
    assert isinstance(begin, Begin)
    assert begin.rest == b"early"
    assert slowly(CANCEL) == [Begin(CancelRequest(CANCEL), b"")]


def test_a_length_out_of_bounds_closes_without_a_word() -> None:
    assert slowly(b"\0\0\x27\x11") == [Reject(b"")]


def test_the_shape_is_a_parameter_of_its_own_or_among_the_options() -> None:
    assert requested_shape({"user": "me"}) is None
    assert requested_shape({"pgjanus.shape": "new"}) is Shape.NEW
    assert requested_shape({"options": "-c pgjanus.shape=old"}) is Shape.OLD
    with pytest.raises(UnknownShape):
        requested_shape({"options": "-c pgjanus.shape=both"})
