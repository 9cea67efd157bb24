"""The express lane leaves a conversation as the ledger would have: both run side by side, whatever a client sends."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import pytest

import proxy.relay.gateway
from proxy.conversation.actions import Action, Tally, ToClient, ToServer
from proxy.conversation.conversation import Conversation
from proxy.conversation.express import Express
from proxy.conversation.judge import Judge
from proxy.conversation.pins import FixedPins
from proxy.conversation.settings import Settings
from proxy.conversation.state import State
from proxy.planning.plans import PlanCache
from proxy.wire.messages import message
from rules.migration import Client
from rules.phases import Shape
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.playbook import (
    FLUSH,
    NOTHING,
    SYNC,
    OrderedPins,
    RawClient,
    bind,
    close,
    describe,
    execute,
    local_proxy,
    managing,
    parse,
    query,
    sent,
)

TEXTS = (
    *(
        "SELECT 1",
        "SELECT x FROM plain",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SELECT 1/0",
        "SELECT nope",
        "",
        "SELECT 1; SELECT 2",
    ),
    *(
        "INSERT INTO plain VALUES (1)",
        "UPDATE plain SET x = x + 1",
        "DELETE FROM plain",
        "SAVEPOINT a",
        "ROLLBACK TO a",
    ),
    *(
        "SET application_name = 'a'",
        "SET search_path = public",
        "CREATE TEMP TABLE t (a int)",
        "DROP TABLE IF EXISTS t",
    ),
    *("PREPARE sql AS SELECT 3", "EXECUTE sql", "DEALLOCATE ALL", "DISCARD ALL", "DECLARE c CURSOR FOR SELECT 1"),
    *("FETCH c", "SELECT repeat('x', 20000)", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$", "SELECT name FROM managed"),
    *("LISTEN a", "NOTIFY a", "SELECT 'żółć'", "COMMENT ON TABLE plain IS 'x'", "SELECT set_config('a.b', 'c', true)"),
)
EXTENDED = ("SELECT 1", "BEGIN", "COMMIT", "SELECT 1/0", "SELECT x FROM plain", "ROLLBACK", "EXECUTE sql", "nonsense")


class Compared(Conversation):
    """Is told everything, and so is another conversation, without an express lane."""

    problems: ClassVar[list[str]] = []
    passed: ClassVar[int] = 0
    tallies: ClassVar[list[tuple[Tally, Tally]]] = []
    snapshot: ClassVar[Snapshot] = NOTHING

    def __init__(self, pins: Any, judge: Judge, tally: Tally, **options: Any) -> None:
        super().__init__(pins, judge, tally, **options)
        settings = Settings(judge.settings.client, "postgres")
        fixed = FixedPins(self.snapshot)
        reference_tally = Tally()
        self._reference = Conversation(fixed, Judge(fixed, judge._planner, settings), reference_tally, **options)
        self.tallies.append((tally, reference_tally))

    def passes_client(self, data: bytes) -> bool:
        if not super().passes_client(data):
            return False
        type(self).passed += 1
        self._expect([ToServer(data)], self._reference.receive_client(data))
        return True

    def passes_server(self, data: bytes) -> bool:
        if not super().passes_server(data):
            return False
        self._expect([ToClient(data)], self._reference.receive_server(data))
        self._compare()
        return True

    def receive_client(self, data: bytes) -> list[Action]:
        actions = super().receive_client(data)
        self._expect(actions, self._reference.receive_client(data))
        return actions

    def receive_server(self, data: bytes) -> list[Action]:
        actions = super().receive_server(data)
        self._expect(actions, self._reference.receive_server(data))
        if self.idle:
            self._compare()
        return actions

    def _expect(self, actions: list[Action], reference: list[Action]) -> None:
        if sent(actions) != sent(reference):
            self.problems.append(f"{actions} instead of {reference}")

    def _compare(self) -> None:
        found, wanted = _seen(self._state), _seen(self._reference._state)
        if found != wanted:
            self.problems.append(f"{found} instead of {wanted}")


def _seen(state: Any) -> dict[str, object]:
    """What a conversation knows. Portals of a transaction that runs are its own affair: none of them is managed."""
    statements = {
        name: (s.text, s.types, s.server_text, s.planned.rewrite, s.command and s.command.act)
        for name, s in state.statements.items()
    }
    return {
        "statements": statements,
        "portals": set(state.portals) if state.snapshot is None else None,
        "in a transaction": state.snapshot is not None,
        "owed": (len(state.ledger), state.times_ready),
        "kept": (len(state.lasting), len(state.savepoints), state.follows, state.unread, state.failed),
        "read by": (
            state.judge.lexing,
            state.judge.settings.client,
            state.judge._path_moving,
            state.judge._lexing_moving,
        ),
        "moved": state.catalog_moved,
    }


@pytest.fixture(params=["nothing is managed", "a table is managed"])
def compared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    snapshot = NOTHING if request.param == "nothing is managed" else managing("managed")
    for name, value in (("problems", []), ("passed", 0), ("tallies", []), ("snapshot", snapshot)):
        monkeypatch.setattr(Compared, name, value)
    monkeypatch.setattr(proxy.relay.gateway, "Conversation", Compared)
    return snapshot


def round_of(chance: random.Random) -> tuple[bytes, int]:
    """What a client sends before it waits, and how often the server will be ready for a query then."""
    name, text = chance.choice(["", "a", "b"]), chance.choice(EXTENDED)
    match chance.randrange(9):
        case 0 | 1 | 2:
            return query(chance.choice(TEXTS)), 1
        case 3:
            return parse("", text) + bind("", "") + describe("P") + execute() + SYNC, 1
        case 4:
            return parse(name, text) + SYNC, 1
        case 5:
            return bind("", name) + describe("P") + execute() + SYNC, 1
        case 6:
            return chance.choice(
                [describe("S", name), close("S", name), bind("p", name) + close("P", "p"), b""]
            ) + SYNC, 1
        case 7:
            return parse(name, text) + FLUSH + bind("", name) + execute() + SYNC + query("SELECT 2") + SYNC, 3
        case _:
            return query(chance.choice(TEXTS)) + bind("", name) + execute() + SYNC, 2


def test_random_rounds_leave_the_same(database: Database, compared: Snapshot) -> None:
    database.connect().execute("CREATE TABLE plain (x int); CREATE TABLE managed (name text)")
    chance = random.Random(20261123)
    with local_proxy(database.server.port, pins=OrderedPins(compared)) as proxy_:
        for _ in range(25):
            with RawClient(proxy_.port, database.name) as client:
                piece, times = b"", 0
                for _ in range(40):
                    if not times or chance.random() < 0.7:  # else the same again
                        piece, times = round_of(chance)
                    cut = chance.randrange(len(piece)) if chance.random() < 0.15 else 0
                    if cut:
                        client.send(piece[:cut])
                    client.send(piece[cut:])
                    answer = client.until(b"Z", times)
                    assert answer[-1][0] == b"Z", (piece, answer)
                client.send(message(b"X", b""))
        proxy_.wait_until_empty()
    assert Compared.problems == []
    assert Compared.passed > 200
    # Every conversation adds to the proxy's one tally.
    assert Compared.tallies[0][0].untouched == sum(reference.untouched for _, reference in Compared.tallies)


def test_a_round_may_end_in_the_middle_of_anything(database: Database, compared: Snapshot) -> None:
    """Clients that leave, at any moment, leave no transaction pinned."""
    pins = OrderedPins(compared)
    with local_proxy(database.server.port, pins=pins) as proxy_:
        for piece in (query("SELECT 1"), query("BEGIN"), query("SELECT pg_sleep(0.05)"), parse("", "SELECT 1") + SYNC):
            with RawClient(proxy_.port, database.name) as client:
                client.send(piece)
        proxy_.wait_until_empty()
        assert pins.pinned == []
    assert Compared.problems == []


class Forgetful(Express):
    """Looks into every round as if it were the first of its form."""

    __slots__ = ()

    def begin(self, piece: bytes) -> bool:
        self._form = None
        return super().begin(piece)


@pytest.mark.parametrize("parsed", [b"", parse("", "SELECT $1")], ids=["prepared before", "in the round"])
@pytest.mark.parametrize("snapshot", [NOTHING, managing("managed")], ids=["nothing is managed", "a table is managed"])
def test_a_round_is_like_the_last_in_all_but_the_parameters(parsed: bytes, snapshot: Snapshot) -> None:
    """Whatever byte is another, was cut off or came on top: what is found is what a first look would have found."""
    first = parsed + message(b"B", b"\0\0\0\0\0\1\0\0\0\1x\0\0") + describe("P") + execute() + SYNC
    mutants = [
        first[:at] + bytes([first[at] ^ flip]) + first[at + 1 :] for at in range(len(first)) for flip in (1, 2, 32)
    ]
    mutants += [first[:at] for at in range(1, len(first))] + [
        first + SYNC,
        first + first,
        parse("", "SELECT 1") + first,
    ]
    mutants += [parsed + message(b"B", b"\0\0\0\0\0\1\0\0\0\3xyz\0\0") + describe("P") + execute() + SYNC]
    found = []
    for piece in mutants:
        both = []
        for kind in (Express, Forgetful):
            express = kind(_at_rest(snapshot))
            assert express.begin(first)
            assert express.finish(message(b"C", b"SELECT 1\0") + message(b"Z", b"I"))
            plain, leaves = express.begin(piece), express._parsed
            both.append((plain, express.piece, plain and leaves and (leaves.name, leaves.text, leaves.types)))
        assert both[0] == both[1], piece
        found.append(both[0][0])
    assert True in found and False in found


def test_a_form_is_of_one_statement() -> None:
    express = Express(state := _at_rest(NOTHING))
    piece, answer = bind("", "") + execute() + SYNC, message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
    assert express.begin(piece) and express.finish(answer)
    assert express.begin(piece) and express.finish(answer)
    state.statements.clear()
    assert not express.begin(piece), "the server has none of that name any more"


def _at_rest(snapshot: Snapshot) -> State:
    pins = FixedPins(snapshot)
    settings = Settings(Client(Shape.OLD), "postgres")
    state = State(pins, Judge(pins, PlanCache(plan, 1 << 20), settings), Tally(), 1 << 20)
    express = Express(state)
    assert express.begin(parse("", "SELECT $1") + SYNC)
    assert express.finish(message(b"1", b"") + message(b"Z", b"I"))
    return state
