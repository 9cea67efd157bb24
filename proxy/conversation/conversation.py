"""`Conversation`: one client with one server connection, from the startup message on. Pure: bytes in, actions out."""

from __future__ import annotations

from typing import Final

from proxy.conversation.actions import Action, Ask, Dismiss, Hold, Tally, ToClient, ToServer
from proxy.conversation.answers import Answers
from proxy.conversation.express import Express
from proxy.conversation.judge import Judge
from proxy.conversation.ledger import LEDGER_LIMIT
from proxy.conversation.pins import Pins
from proxy.conversation.requests import Requests
from proxy.conversation.settings import Settings
from proxy.conversation.state import State
from proxy.conversation.statements import Question, Unplanned, Verdict
from proxy.wire.framing import Framer
from proxy.wire.messages import Query
from rules.snapshot import Snapshot

_CLIENT_KINDS: Final = (b"Q", b"P", b"B", b"D", b"E", b"C", b"S", b"F", b"c", b"f")
_SERVER_KINDS: Final = (b"1", b"2", b"3", b"T", b"n", b"C", b"I", b"s", b"E", b"N", b"S", b"G", b"K", b"Z")
_ENDS_OF_COPY: Final = b"cf"
_SYNC: Final = ord("S")
_QUERY: Final = ord("Q")
#: A client that never stops sending would never let go of its snapshot: after that many rounds it waits once until the
#: server owes nothing.
_CYCLES_LIMIT: Final = 1_000


class Conversation:
    """Give it what arrives from either side, and do what it says.

    Args:
        pins: which snapshot a transaction gets; asked at its first message.
        judge: decides what happens to each text.
        tally: counts; may be shared by all conversations.
        buffer_limit: how many bytes of one Query or Parse are kept to be looked into.
        elsewhere: it is of another database than the managed one, and so of no shape.
    """

    def __init__(
        self, pins: Pins, judge: Judge, tally: Tally, *, buffer_limit: int = 64 << 20, elsewhere: bool = False
    ) -> None:
        self.elsewhere = elsewhere
        self._state = State(pins, judge, tally, buffer_limit)
        self._client = Framer(_CLIENT_KINDS)
        self._server = Framer(_SERVER_KINDS)
        self._requests = Requests(self._state, self._client)
        self._answers = Answers(self._state, self._server)
        self._express = Express(self._state)
        self._broken = False
        self._lost_track = False
        self._held = False
        self._congested = False
        self._asking = False
        #: Nothing is under way, half there, or to be watched, but perhaps a transaction. False: look.
        self._rests = False

    @property
    def wants_client_data(self) -> bool:
        """Whether the client should be read: not while it is held, or too far ahead of the server."""
        return not (self._held or self._asking or self._congested or self._state.stalled)

    @property
    def idle(self) -> bool:
        """No transaction, and nothing under way."""
        return self._state.snapshot is None and not self._state.ledger and not self._held

    @property
    def has_served(self) -> bool:
        """Whether the client has asked for anything since it logged in, and got its answer."""
        return self._state.times_ready > 1

    @property
    def snapshot(self) -> Snapshot | None:
        """What the running transaction is pinned to."""
        return self._state.snapshot

    @property
    def settings(self) -> Settings:
        """Who the client is, and how its SQL is read."""
        return self._state.judge.settings

    @property
    def server_pid(self) -> int | None:
        """PostgreSQL's process, once it has told."""
        return self._state.process.pid if self._state.process is not None else None

    def end(self, *, ended: bool) -> None:
        """The connection to the server is gone. `ended`: so is what ran there; else the transaction stays pinned until
        the database says so."""
        state = self._state
        if state.process is None:
            state.release()
        else:
            state.pins.leave(state.process, state.release, ended=ended)

    def passes_client(self, data: bytes) -> bool:
        """Whether the server may have this just as it is, and there is nothing more to do (no `receive_client`)."""
        if not self._rests:
            if self._express.piece or not self._is_at_rest():
                return False
            self._rests = True
        if self._express.begin(data):
            self._rests = False
            return True
        return False

    def passes_server(self, data: bytes) -> bool:
        """The same for what the server sends."""
        if self._express.piece and self._express.finish(data):
            self._rests = True
            return True
        return False

    def _is_at_rest(self) -> bool:
        """What `_rests` says, found out."""
        state, ledger = self._state, self._state.ledger
        return not (
            len(ledger)
            or state.portals
            or state.follows
            or state.savepoints
            or state.lasting
            or state.unread
            or ledger.skipping
            or ledger.copying
            or not self.wants_client_data
            or self._broken
            or self._lost_track
            or self._client.holds_some
            or self._server.holds_some
        )

    def _leave_express(self) -> None:
        """The round that has passed turns out to be none of the plain ones: as if it came only now."""
        piece, self._express.piece = self._express.piece, b""
        self._client.feed(piece)
        passed = self._pump_client()
        if passed != [ToServer(piece)]:
            raise AssertionError(f"a plain round was not plain: {passed!r}")

    def receive_client(self, data: bytes) -> list[Action]:
        self._rests = False
        if self._express.piece:
            self._leave_express()
        self._client.feed(data)
        return self._pump_client()

    def resume(self) -> list[Action]:
        """The control side says that it is worth trying again."""
        self._held = self._rests = False
        return self._pump_client()

    def learn(self, question: Question, answer: Verdict) -> list[Action]:
        """The answer to the question of an `Ask`."""
        self._asking = self._rests = False
        self._state.judge.learn(question, answer)
        return self._pump_client()

    def receive_server(self, data: bytes) -> list[Action]:
        self._rests = False
        if self._express.piece:
            self._leave_express()
        framer, answers = self._server, self._answers
        framer.feed(data)
        try:
            while not self._lost_track and (kind := framer.next()) and answers.receive(kind):
                pass
        except ValueError:
            self._lost_track = True  # it is no PostgreSQL's; all that follows passes
        data = framer.take_all() if self._lost_track else framer.take()
        actions: list[Action] = []
        if self._state.stalled or (self._congested and len(self._state.ledger) < LEDGER_LIMIT // 2):
            self._state.stalled = self._congested = False
            actions = self._pump_client()
        if data:
            actions.append(ToClient(data))
        return actions

    def _pump_client(self) -> list[Action]:
        framer, state, ledger = self._client, self._state, self._state.ledger
        while not self._broken and self.wants_client_data and (kind := self._next_kind()):
            if len(ledger) >= LEDGER_LIMIT:
                self._congested = True
            elif state.cycles >= _CYCLES_LIMIT and ledger.ends_with_cycle:
                state.stalled = True
            elif kind in _ENDS_OF_COPY:
                ledger.end_copy()
                framer.accept()
            elif ledger.skipping and kind != _SYNC:
                framer.accept()  # the server ignores it as well
            elif state.beside and len(ledger):
                state.stalled = True  # until that one is over
            else:
                snapshot = state.snapshot or self._pin(kind)
                if snapshot is None or not self._receive(kind, snapshot):
                    break
        data = framer.take_all() if self._broken else framer.take()
        actions, state.actions = state.actions, []
        if data:
            actions.append(ToServer(data))
        return actions

    def _next_kind(self) -> int:
        try:
            return self._client.next()
        except ValueError:
            self._broken = True  # the server closes the connection over this; nothing behind it counts
            return 0

    def _receive(self, kind: int, snapshot: Snapshot) -> bool:
        """Whether the message that is shown has been dealt with."""
        try:
            received = self._requests.receive(kind, snapshot)
        except Unplanned as unplanned:
            self._asking = True
            self._state.actions.append(Ask(unplanned.question))
            return False
        if received:
            self._state.judge.forget_answers()
        return received

    def _pin(self, kind: int) -> Snapshot | None:
        state = self._state
        if state.process is not None and state.process.refused is not None:
            state.actions.append(Dismiss(state.process.refused))
            return None
        if state.change and state.pins.has_read(state.change):
            state.change = 0
        if not state.pins.may_begin(state.process):
            self._hold()
        elif state.change or (snapshot := state.pins.try_pin()) is None:
            if kind == _QUERY and self._client.total <= state.buffer_limit and not self._client.has(self._client.total):
                return None  # the rest of it decides
            if state.change or not self._pin_beside(kind):
                state.tally.held += 1
                self._hold()
        else:
            state.snapshot = snapshot
        return state.snapshot

    def _pin_beside(self, kind: int) -> bool:
        """Let a Query through that concerns no managed table, while others are held."""
        state, framer = self._state, self._client
        if kind != _QUERY or framer.total > state.buffer_limit:
            return False
        query = Query.read(framer.body())
        snapshot = state.pins.pin_beside() if query is not None else None
        if query is None or snapshot is None:
            return False
        if not state.judge.stands_alone(query.text, snapshot):
            state.pins.unpin(snapshot)
            return False
        state.snapshot, state.beside = snapshot, True
        return True

    def _hold(self) -> None:
        self._held = True
        self._state.actions.append(Hold(self._state.process))
