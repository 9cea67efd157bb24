"""What strangers may send: no byte of it, wherever it is cut, does more than end their own connection.

`make fuzz-wire` runs the same with many more examples.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.conversation.actions import Tally
from proxy.conversation.admission import Admission, MessageTooLong
from proxy.conversation.conversation import Conversation
from proxy.conversation.judge import Judge
from proxy.conversation.opening import Encryption, Opening, Reject
from proxy.conversation.settings import Settings
from proxy.planning.plans import PlanCache
from proxy.wire.messages import message
from proxy.wire.scram import PLAIN, PLUS, ScramError, ScramServer, Secret, WrongPassword
from proxy.wire.startup import LONGEST_BYTES
from rules.migration import Client
from rules.phases import Shape
from tests.playbook import NOTHING, OrderedPins, Scripted, bind, execute, managing, parse, query, sent

FUZZ = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "80")), derandomize=True, deadline=None, database=None)
LIMIT = 64

CODES = st.sampled_from([80877102, 80877103, 80877104, 0x30000, 0x30002, 0x20000, 0x40000]) | st.integers(0, 2**32 - 1)
LENGTHS = st.sampled_from([0, 4, 7, 8, 9, 16, 10_000, 10_001, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 64)
PACKETS = st.builds(lambda n, code, body: struct.pack(">II", n, code) + body, LENGTHS, CODES, st.binary(max_size=60))
WHOLE_PACKETS = st.builds(
    lambda code, body: struct.pack(">II", len(body) + 8, code) + body, CODES, st.binary(max_size=60)
)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=20)

NAMES = st.sampled_from(["", "s", "p"])
TEXTS = st.sampled_from(["SELECT 1", "BEGIN", "PREPARE s AS SELECT 1", "DISCARD ALL", "SELECT '\\", ""])
KINDS = st.sampled_from([bytes([kind]) for kind in b"QPBDECSHFXdcfp!\0"])
MESSAGES = st.one_of(
    st.builds(message, KINDS, st.binary(max_size=40)),
    st.builds(query, TEXTS),
    st.builds(parse, NAMES, TEXTS),
    st.builds(bind, NAMES, NAMES),
    st.builds(execute, NAMES),
    st.builds(lambda kind, n, body: kind + struct.pack(">I", n) + body, KINDS, LENGTHS, st.binary(max_size=10)),
)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterable[bytes]:
    """All of it, cut at these lengths again and again."""
    lengths = list(cuts)
    at = turn = 0
    while at < len(data):
        step = lengths[turn % len(lengths)]
        yield data[at : at + step]
        at, turn = at + step, turn + 1


@FUZZ
@given(st.lists(PACKETS | WHOLE_PACKETS | st.binary(max_size=30), max_size=5), CUTS, st.sampled_from(Encryption))
def test_packets_before_a_session(packets: list[bytes], cuts: list[int], encryption: Encryption) -> None:
    opening = Opening(encryption)
    for piece in pieces(b"".join(packets), cuts):
        events = opening.receive(piece)
        assert len(opening._data) <= LONGEST_BYTES
        if any(not hasattr(event, "data") or isinstance(event, Reject) for event in events):
            return


@FUZZ
@given(st.lists(st.tuples(st.booleans(), MESSAGES), max_size=12), CUTS)
def test_a_login_passes_what_comes_in_its_order_and_keeps_little(
    steps: list[tuple[bool, bytes]], cuts: list[int]
) -> None:
    admission, came, passed = Admission(LIMIT), b"", b""
    for from_client, data in steps:
        for piece in pieces(data, cuts):
            if not from_client:
                admission.receive_server(piece)
            elif admission.wants_client_data:
                came += piece
                try:
                    passed += admission.receive_client(piece)
                except MessageTooLong:
                    return
                assert len(admission.rest) <= LIMIT + len(piece) + 5
            assert passed + admission.rest == came


def conversation(managed: bool) -> Conversation:
    pins = OrderedPins(managing("users") if managed else NOTHING)
    judge = Judge(pins, PlanCache(Scripted(), 1 << 20), Settings(Client(Shape.OLD), "postgres", ""))
    return Conversation(pins, judge, Tally(), buffer_limit=1 << 16)


@FUZZ
@given(st.lists(MESSAGES, max_size=10), CUTS, st.booleans())
def test_where_a_clients_messages_are_cut_makes_no_difference(
    messages: list[bytes], cuts: list[int], managed: bool
) -> None:
    data = b"".join(messages)
    at_once, in_pieces = conversation(managed), conversation(managed)
    whole = sent(at_once.receive_client(data))
    parts = [sent(in_pieces.receive_client(piece)) for piece in pieces(data, cuts)]
    # What is cut off in the middle may wait for its rest, or pass as far as it has come.
    cut = (b"".join(part[0] for part in parts), b"".join(part[1] for part in parts))
    assert cut == whole
    if not managed and "'" not in repr(data):
        assert data.startswith(whole[0])


@FUZZ
@given(st.lists(st.binary(min_size=1, max_size=60) | MESSAGES, max_size=10), CUTS)
def test_what_a_server_says_is_cut_anywhere(messages: list[bytes], cuts: list[int]) -> None:
    data = b"".join(messages)
    at_once, in_pieces = conversation(False), conversation(False)
    whole = sent(at_once.receive_server(data))
    parts = [sent(in_pieces.receive_server(piece)) for piece in pieces(data, cuts)]
    assert b"".join(part[1] for part in parts) == whole[1]


WORDS = st.sampled_from(
    [b"n", b"y", b"p=tls-server-end-point", b"p=x", b"", b"n=", b"r=abc", b"r=", b"a=x", b"m=x", b"c=biws", b"p=", b"="]
) | st.binary(max_size=12)
SCRAM = st.lists(WORDS, max_size=6).map(b",".join)


@FUZZ
@given(st.sampled_from([PLAIN, PLUS, b"", b"SCRAM-SHA-1"]), SCRAM, SCRAM, st.binary(max_size=40), st.booleans())
def test_nobody_gets_in_by_accident(
    mechanism: bytes, first: bytes, final: bytes, proof: bytes, well_formed: bool
) -> None:
    checking = ScramServer(Secret(4096, b"salt" * 4, bytes(range(32)), bytes(32)), b"binding")
    if well_formed:
        mechanism, first = PLAIN, b"n,,n=,r=" + first.replace(b",", b"")
    try:
        answer = checking.first(mechanism, first)
        if well_formed:
            nonce = answer.partition(b",")[0]
            final = b"c=biws," + nonce
        checking.final(final + b",p=" + base64.b64encode(proof))
    except (ScramError, WrongPassword):
        return
    raise AssertionError("let in")
