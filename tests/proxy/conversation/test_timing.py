"""Whose account the clock stands to, with a clock that the test moves."""

from __future__ import annotations

from proxy.conversation.actions import Hold, Tally, ToServer
from proxy.conversation.judge import Judge
from proxy.conversation.pins import FixedPins
from proxy.conversation.settings import Settings
from proxy.conversation.statements import UNCONCERNED, Planned
from proxy.conversation.timing import Slow, TimedConversation
from proxy.wire.messages import message
from rules.catalog import Catalog
from rules.migration import Client
from rules.phases import Shape
from rules.snapshot import Snapshot

READY = message(b"Z", b"I")
ANSWER = message(b"C", b"SELECT 1\0") + READY


def query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


class HeldPins(FixedPins):
    """No transaction may begin while `held`."""

    held = False

    def try_pin(self) -> Snapshot | None:
        return None if self.held else super().try_pin()

    def pin_beside(self) -> Snapshot | None:
        return None


def unconcerned(sql: str, snapshot: Snapshot, client: Client) -> Planned:
    return UNCONCERNED


class Scene:
    """A conversation that is logged in; `found` is what was reported."""

    def __init__(self) -> None:
        self.now = 0.0
        self.found: list[Slow] = []
        self.pins = HeldPins(Snapshot(1, Catalog(0, {})))
        judge = Judge(self.pins, unconcerned, Settings(Client(Shape.OLD), "u", "a"))
        self.talk = TimedConversation(
            *(self.pins, judge, Tally()), threshold_s=1.0, report=self.found.append, clock=lambda: self.now
        )
        self.now = 5.0
        self.server(message(b"R", bytes(4)) + READY)

    def client(self, data: bytes) -> bool:
        """Whether the server is sent something."""
        if self.talk.passes_client(data):
            return True
        return any(isinstance(action, ToServer) for action in self.talk.receive_client(data))

    def server(self, data: bytes) -> None:
        if not self.talk.passes_server(data):
            self.talk.receive_server(data)


def test_a_login_is_no_statement() -> None:
    assert Scene().found == []


def test_what_the_server_takes_is_its_own() -> None:
    scene = Scene()
    assert scene.client(query("SELECT 1"))
    scene.now += 2
    scene.server(ANSWER)
    assert scene.found == [Slow((b"SELECT 1",), 2.0, 2.0)]


def test_a_client_that_thinks_is_on_nobodys_account() -> None:
    scene = Scene()
    for _ in range(2):
        assert scene.client(query("BEGIN"))
        scene.now += 0.5
        scene.server(ANSWER)
        scene.now += 10
    assert scene.found == []


def test_a_message_that_comes_in_slowly_counts_when_it_is_there() -> None:
    scene = Scene()
    whole = query("SELECT 1")
    assert not scene.client(whole[:3])
    scene.now += 10
    assert not scene.client(whole[3:9])
    scene.now += 10
    assert scene.client(whole[9:])
    scene.now += 1
    scene.server(ANSWER[:4])
    scene.now += 1
    scene.server(ANSWER[4:])
    assert scene.found == [Slow((b"SELECT 1",), 2.0, 2.0)]


def test_a_hold_is_the_proxys() -> None:
    scene = Scene()
    scene.pins.held = True
    assert not scene.talk.passes_client(query("SELECT 1"))
    assert any(isinstance(action, Hold) for action in scene.talk.receive_client(query("SELECT 1")))
    scene.now += 3
    scene.pins.held = False
    assert any(isinstance(action, ToServer) for action in scene.talk.resume())
    scene.now += 1
    scene.server(ANSWER)
    assert scene.found == [Slow((b"SELECT 1",), 4.0, 1.0)]


def test_of_a_long_round_the_beginning_is_kept() -> None:
    scene = Scene()
    assert scene.client(query("SELECT '" + "x" * 40_000 + "'"))
    scene.now += 1
    scene.server(ANSWER)
    ((text,),) = [slow.texts for slow in scene.found]
    assert 15_000 < len(text) < 17_000 and text.startswith(b"SELECT 'x")
