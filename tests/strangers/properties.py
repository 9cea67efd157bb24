"""What has to hold of every input; each property makes its own, and raises where it does not hold."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from pglast.parser import parse_sql_json

from proxy.conversation.actions import Ask, Hold, Tally
from proxy.conversation.admission import Admission, MessageTooLong
from proxy.conversation.conversation import Conversation
from proxy.conversation.judge import Judge
from proxy.conversation.opening import Encryption, Opening, Reject
from proxy.conversation.settings import Settings
from proxy.planning.plans import PlanCache
from proxy.wire.scram import PLAIN, PLUS, ScramClient, ScramError, ScramServer, Secret, WrongPassword
from proxy.wire.startup import LONGEST_BYTES
from rules.migration import Client
from rules.phases import LADDERS, Phase, Shape, Strategy
from rules.plan import Refuse, Rewrite
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.playbook import NOTHING, OrderedPins, sent
from tests.rules.managed import snapshot
from tests.strangers import inputs

_LOGIN_BYTES: Final = 64
_BUFFER_BYTES: Final = 1 << 16
_SECRET: Final = Secret(4096, b"salt" * 4, bytes(range(32)), bytes(32))
_ENCRYPTIONS: Final = tuple(Encryption)
#: What begins or ends a round; the proxy neither adds nor moves one.
_ROUNDS: Final = frozenset(b"QSF")


def packets_before_a_session(rng: random.Random) -> None:
    opening = Opening(rng.choice(_ENCRYPTIONS))
    for piece in inputs.pieces(b"".join(inputs.several(rng, inputs.packet, 5)), inputs.cuts(rng)):
        events = opening.receive(piece)
        assert len(opening._data) <= LONGEST_BYTES
        if any(not hasattr(event, "data") or isinstance(event, Reject) for event in events):
            return


def a_login_passes_what_comes_in_its_order_and_keeps_little(rng: random.Random) -> None:
    admission, came, passed = Admission(_LOGIN_BYTES), b"", b""
    lengths = inputs.cuts(rng)
    for _ in range(rng.randrange(12)):
        if rng.random() < 0.5:
            for piece in inputs.pieces(inputs.server_message(rng), lengths):
                admission.receive_server(piece)
            continue
        for piece in inputs.pieces(inputs.client_message(rng), lengths):
            if admission.wants_client_data:
                came += piece
                try:
                    passed += admission.receive_client(piece)
                except MessageTooLong:
                    return
                assert len(admission.rest) <= _LOGIN_BYTES + len(piece) + 5
            assert passed + admission.rest == came


def a_clients_messages_are_cut_anywhere(rng: random.Random) -> None:
    """Where makes no difference to the server; where nothing is managed it gets what the client sent."""
    data, lengths = b"".join(inputs.several(rng, inputs.client_message, 8)), inputs.cuts(rng)
    of = rng.choice(_snapshots())
    whole = sent(_conversation(of).receive_client(data))
    in_pieces = _conversation(of)
    parts = [sent(in_pieces.receive_client(piece)) for piece in inputs.pieces(data, lengths)]
    # What is cut off in the middle may wait for its rest, or pass as far as it has come.
    assert (b"".join(part[0] for part in parts), b"".join(part[1] for part in parts)) == whole
    assert of.tables or data.startswith(whole[0])


def a_servers_messages_are_cut_anywhere(rng: random.Random) -> None:
    data, lengths = b"".join(inputs.several(rng, inputs.server_message, 8)), inputs.cuts(rng)
    whole = sent(_conversation(NOTHING).receive_server(data))
    in_pieces = _conversation(NOTHING)
    parts = [sent(in_pieces.receive_server(piece)) for piece in inputs.pieces(data, lengths)]
    assert b"".join(part[1] for part in parts) == whole[1]


def a_session_keeps_its_rounds(rng: random.Random) -> None:
    """Whatever both sides say, no Query, Sync or FunctionCall is added, moved or lost, and no answer made up."""
    of = rng.choice(_snapshots())
    pins = OrderedPins(of)
    conversation = _conversation(of, pins)
    from_client = towards_server = b""
    for _ in range(rng.randrange(16)):
        if rng.random() < 0.6:
            data = inputs.whole_message(rng)
            if not conversation.wants_client_data:
                continue
            from_client += data
            if conversation.passes_client(data):
                towards_server += data
                continue
            actions = conversation.receive_client(data)
        else:
            data = inputs.whole_answer(rng)
            if conversation.passes_server(data):
                continue
            actions = conversation.receive_server(data)
        towards_server += sent(actions)[0]
        while woken := [a for a in actions if isinstance(a, Hold | Ask)]:
            assert all(isinstance(a, Hold) for a in woken), "nothing is planned elsewhere"
            actions = conversation.resume()
            towards_server += sent(actions)[0]
    came, went = _rounds(from_client), _rounds(towards_server)
    assert came[: len(went)] == went
    if not of.tables:
        assert from_client.startswith(towards_server)


def nobody_gets_in_by_accident(rng: random.Random) -> None:
    checking = ScramServer(_SECRET, rng.choice((b"binding", None)))
    mechanism = rng.choice((PLAIN, PLUS, b"", b"SCRAM-SHA-1"))
    first, final = inputs.scram_message(rng), inputs.scram_message(rng)
    well_formed = rng.random() < 0.5
    if well_formed:
        mechanism, first = PLAIN, b"n,,n=,r=" + first.replace(b",", b"")
    try:
        answer = checking.first(mechanism, first)
        if well_formed:
            final = b"c=biws," + answer.partition(b",")[0]
        checking.final(final + b",p=" + base64.b64encode(inputs.some_bytes(rng, 40)))
    except (ScramError, WrongPassword):
        return
    raise AssertionError("let in")


def no_server_passes_for_one_that_knows_the_secret(rng: random.Random) -> None:
    asking = ScramClient(_SECRET, bytes(32))
    first, final = inputs.scram_message(rng), inputs.scram_message(rng)
    if rng.random() < 0.7:
        first = asking.first().partition(b"r=")[2] + first
        first = b"r=" + first
    try:
        asking.final(first)
        asking.check(final)
    except ScramError:
        return
    raise AssertionError("believed")


def a_statement_is_rewritten_or_refused(rng: random.Random) -> None:
    """Never with an exception, and never into something that is no SQL."""
    sql, of = inputs.statement(rng), rng.choice(_snapshots()[1:])
    found = plan(sql, of, Client(rng.choice((Shape.OLD, Shape.NEW)), search_path=("public",)))
    if isinstance(found, Refuse):
        assert "defect" not in found.refusal.message, found.refusal.message
        assert found.refusal.position is None or 0 <= found.refusal.position <= len(sql)
    elif isinstance(found, Rewrite):
        parse_sql_json(found.sql)
        assert all(0 <= found.positions.to_client(rng.randrange(len(found.sql))) <= len(sql) for _ in range(5))


Property = Callable[[random.Random], None]

PROPERTIES: Final[Mapping[str, Property]] = {
    made.__name__: made
    for made in (
        packets_before_a_session,
        a_login_passes_what_comes_in_its_order_and_keeps_little,
        nobody_gets_in_by_accident,
        no_server_passes_for_one_that_knows_the_secret,
        a_clients_messages_are_cut_anywhere,
        a_servers_messages_are_cut_anywhere,
        a_session_keeps_its_rounds,
        a_statement_is_rewritten_or_refused,
    )
}


@cache
def _snapshots() -> tuple[Snapshot, ...]:
    """Nothing managed, and then each policy of a ladder."""
    policies: dict[object, tuple[Phase, Strategy]] = {}
    for strategy, ladder in LADDERS.items():
        for phase in ladder:
            if phase.policy is not None:
                policies.setdefault(phase.policy, (phase, strategy))
    return (NOTHING, *(snapshot(phase.name, strategy, wide=True) for phase, strategy in policies.values()))


def _conversation(of: Snapshot, pins: OrderedPins | None = None) -> Conversation:
    pins = pins or OrderedPins(of)
    judge = Judge(pins, PlanCache(plan, 1 << 20), Settings(Client(Shape.OLD), "postgres", ""))
    return Conversation(pins, judge, Tally(), buffer_limit=_BUFFER_BYTES)


def _rounds(data: bytes) -> bytes:
    """The types of the messages that begin or end a round."""
    found, at = bytearray(), 0
    while at + 5 <= len(data):
        if data[at] in _ROUNDS:
            found.append(data[at])
        at += 1 + struct.unpack_from(">i", data, at + 1)[0]
    return bytes(found)
