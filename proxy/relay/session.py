"""One client and its server connection: sockets, flow control, and how both end. What to send is the conversation's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, assert_never

import structlog

from proxy.conversation.actions import Action, Ask, Dismiss, Hold, Refused, ToClient, ToServer
from proxy.conversation.admission import Admission, MessageTooLong
from proxy.conversation.conversation import Conversation
from proxy.conversation.opening import Begin, UnknownShape
from proxy.conversation.statements import Question
from proxy.relay import farewells
from proxy.relay.arrival import Arrival
from proxy.relay.ends import End
from proxy.relay.facts import Facts, Progress, facts_of
from proxy.relay.gateway import AnyConsole, Gateway
from proxy.relay.idle import Quiet
from proxy.relay.reach import TurnedAway, reach
from proxy.relay.sides import ClientSide, ServerSide
from proxy.relay.timer import Timer
from proxy.wire.messages import message
from proxy.wire.startup import StartupMessage
from rules.phases import Shape

#: What is read and thrown away for a client that is gone, before the server connection is cut.
_ORPHAN_BYTES: Final = 1 << 20
_TERMINATE: Final = message(b"X", b"")
_MAJOR_VERSION: Final = 3
_RELAYING: Final = Progress.RELAYING  # asked for at each piece, and a member of an enum takes long to find

log = structlog.get_logger(__name__)


class Session:
    """Made when a client connects; over when both sockets are closed.

    A client that is gone leaves its server connection open, and its transaction pinned, until the server has noticed
    and ended: only then is it sure that nothing of it still runs.
    """

    def __init__(self, gateway: Gateway, shape: Shape, client: ClientSide) -> None:
        self._gateway = gateway
        self._shape = shape
        self._client: End = client
        self._server: ServerSide | None = None
        self._progress = Progress.OPENING
        self._arrival: Arrival | None = Arrival(gateway, client, self._close_client)
        #: Until the login is over.
        self._admission: Admission | None = None
        self._conversation: Conversation | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer = Timer()
        self._client_ended = False
        self._client_gone = False
        self._server_gone = True
        #: Nothing of ours runs there any more.
        self._server_ended = False
        self._orphan_bytes = 0
        self._draining = False
        #: Counts among the clients of which there may be `max_connections`.
        self._admitted = False
        self._quiet = Quiet()
        self._who: dict[str, str] = {}
        self._since = time.monotonic()

    # ------------------------------------------------------------------ the client's socket

    def begin(self) -> None:
        gateway = self._gateway
        crowded = gateway.is_crowded
        gateway.sessions.add(self)
        gateway.empty.clear()
        gateway.opened += 1
        if crowded:
            self._turn_away()
        else:
            self._timer.set(gateway.file.limits.login_timeout_s, self._login_takes_too_long)

    def client_data(self, data: bytes) -> None:
        self._quiet.stirred = True
        self._gateway.received_of_clients += len(data)
        if self._progress is not _RELAYING:
            if self._progress is Progress.OPENING:
                self._open(data)
            return
        if self._admission is not None:
            self._admit(self._admission, data)
            return
        assert self._server is not None
        try:
            if self._conversation is None or self._conversation.passes_client(data):
                self._server.write(data)
            else:
                self._perform(self._conversation.receive_client(data))
        except Exception:
            self._fail()

    def client_eof(self) -> bool:
        """Keep our half open: replies to what was sent before are still due."""
        if self._progress is not Progress.RELAYING:
            return False
        self._client_ended = True
        self._pass_on_end()
        return True

    def client_lost(self) -> None:
        self._client_gone = True
        self._timer.clear()
        if self._dialing is not None:
            self._dialing.cancel()
        if self._server_gone:
            self._finish()
        elif self._progress is Progress.RELAYING:
            assert self._server is not None
            # Held bytes of a client that is gone are dropped: nobody waits for them, and nothing of them has begun.
            self._server.end_of_data()
            self.regulate()

    # ------------------------------------------------------------------ the server's socket

    def server_data(self, data: bytes) -> None:
        self._gateway.received_of_servers += len(data)
        if self._client_gone:
            self._orphan_bytes += len(data)
            if self._orphan_bytes > _ORPHAN_BYTES and self._server is not None:
                self._server.abort()
        admission = self._admission
        if admission is not None:
            admission.receive_server(data)
        try:
            if self._conversation is None or self._conversation.passes_server(data):
                self._client.write(data)
            else:
                self._perform(self._conversation.receive_server(data))
        except Exception:
            self._fail()
        if admission is not None and admission.over and self._progress is Progress.RELAYING:
            self._end_admission(admission.rest)
        if self._draining and self._may_go:
            self._dismiss(farewells.SHUTTING_DOWN)

    def server_eof(self) -> None:
        """It closes the connection at its very end."""
        self._server_ended = True

    def server_lost(self, server: ServerSide) -> None:
        if server is not self._server:
            return
        self._progress = Progress.OVER
        self._server_gone = True
        if self._conversation is not None:
            self._conversation.end(ended=self._server_ended)
        if self._client_gone:
            self._finish()
        else:
            self._close_client()

    # ------------------------------------------------------------------ from the first packet to the relay

    def _open(self, data: bytes) -> None:
        assert self._arrival is not None
        begin = self._arrival.receive(data)
        if begin is None:
            return
        first, self._arrival = begin.first, None
        self._client.read(False)
        if isinstance(first, StartupMessage):
            self._who = first.who
        console = self._gateway.console
        if console is not None and console.takes(first):
            self._progress = Progress.CONSOLE
            self._dialing = asyncio.get_running_loop().create_task(self._visit(console, begin))
            return
        if isinstance(first, StartupMessage):
            if self._gateway.is_full:
                self._turn_away()
                return
            self._admitted = True
            self._gateway.admitted += 1
            if first.version[0] == _MAJOR_VERSION:
                self._admission = Admission(self._gateway.file.limits.login_message_bytes)
            try:
                self._conversation = self._gateway.converse(first, self._shape)
            except UnknownShape as error:
                self._close_client(error.response)
                return
        self._progress = Progress.DIALING
        self._dialing = asyncio.get_running_loop().create_task(self._dial(begin))

    async def _visit(self, console: AnyConsole, begin: Begin) -> None:
        try:
            self._close_client(await console.serve(self._client, begin, self._timer.clear))
        finally:
            self._dialing = None
            self._client.close()

    async def _dial(self, begin: Begin) -> None:
        try:
            server, rest, said = await reach(
                self._gateway, self._client, lambda: ServerSide(self, self._gateway.foreground), begin, self._who
            )
        except TurnedAway as turned:
            self._close_client(turned.answer)
        else:
            self._relay(server, rest, said)
        finally:
            self._dialing = None

    def _relay(self, server: ServerSide, rest: bytes, said: bytes) -> None:
        self._server, self._server_gone = server, False
        if server.lost:
            self.server_lost(server)
            return
        if self._client_gone:
            server.abort()
            return
        self._progress = Progress.RELAYING
        self.regulate()
        if said:
            self.server_data(said)
        if rest:
            self.client_data(rest)

    def _admit(self, admission: Admission, data: bytes) -> None:
        assert self._server is not None
        try:
            self._server.write(admission.receive_client(data))
        except MessageTooLong as error:
            log.warning("login_failed", reason=f"a message of {error} bytes has no place in a login", **self._who)
            self._close_client(farewells.TOO_LONG)
            self._server.abort()
        self.regulate()

    def _end_admission(self, rest: bytes) -> None:
        self._timer.clear()
        self._admission = None
        if rest:
            self.client_data(rest)
        self.regulate()
        if self._client_ended:
            self._pass_on_end()

    def _turn_away(self) -> None:
        self._gateway.turned_away += 1
        log.warning("too_many_clients", max_connections=self._gateway.file.limits.max_connections, **self._who)
        self._close_client(farewells.TOO_MANY_CLIENTS)

    def _login_takes_too_long(self) -> None:
        """As PostgreSQL's authentication_timeout: without a word, unless the client has said who it is."""
        if self._progress is Progress.OPENING:
            self._client.abort()
            return
        log.warning("login_failed", reason="it took too long", **self._who)
        if self._dialing is not None:
            self._dialing.cancel()
        self._close_client(farewells.LOGIN_TOOK_TOO_LONG)
        if self._server is not None:
            self._server.abort()

    # ------------------------------------------------------------------ the relay

    def _converse(self, step: Callable[..., list[Action]], *arguments: object) -> None:
        try:
            self._perform(step(*arguments))
        except Exception:
            self._fail()

    def _go_on(self, step: Callable[..., list[Action]], *arguments: object) -> None:
        if self._progress is Progress.RELAYING and not self._client_gone:
            self._converse(step, *arguments)

    async def _ask(self, question: Question) -> None:
        assert self._gateway.ask is not None, "only then is anything not planned at once"
        assert self._conversation is not None
        self._go_on(self._conversation.learn, question, await self._gateway.ask(question))

    def _wake(self) -> None:
        assert self._conversation is not None
        # Not at once: whoever lets go is in the middle of something.
        asyncio.get_running_loop().call_soon(self._go_on, self._conversation.resume)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case ToClient(data):
                    self._client.write(data)
                case ToServer(data):
                    assert self._server is not None
                    self._server.write(data)
                case Hold(process):
                    self._gateway.pins.when_released(self._wake, process)
                case Ask(question):
                    self._asking = asyncio.get_running_loop().create_task(self._ask(question))
                case Dismiss(reason):
                    log.warning("session_refused", reason=reason, **self._who)
                    self._dismiss(farewells.unserved(reason))
                case Refused():
                    log.warning("statement_refused", **action.facts, **self._who)
                    self._gateway.refusals.note(action, self._who)
                case _:
                    assert_never(action)
        self.regulate()
        if self._client_ended:
            self._pass_on_end()

    def regulate(self) -> None:
        """Read each side only while the other one takes what it says."""
        if self._progress is not Progress.RELAYING or self._server is None:
            return
        wanted = self._wants_client_data
        self._client.read(wanted and not self._server.blocked)
        self._server.read(self._client_gone or not self._client.blocked)

    @property
    def _wants_client_data(self) -> bool:
        if self._admission is not None:
            return self._admission.wants_client_data
        return self._conversation is None or self._conversation.wants_client_data

    def _pass_on_end(self) -> None:
        if self._server is not None and self._wants_client_data and not (self._admission and self._admission.rest):
            self._client_ended = False
            self._server.end_of_data()

    # ------------------------------------------------------------------ the end

    def drain(self) -> None:
        """End as soon as no transaction runs."""
        self._draining = True
        before = self._progress in (Progress.OPENING, Progress.DIALING, Progress.CONSOLE)
        if self._may_go or (before and not self._gateway.taken_over):
            self._dismiss(farewells.SHUTTING_DOWN)

    @property
    def _may_go(self) -> bool:
        """Where another process has the address, a client that has just come in gets what it came for."""
        conversation = self._conversation
        if conversation is None or not conversation.idle or self._progress is not Progress.RELAYING:
            return False
        return conversation.has_served or not self._gateway.taken_over

    def abort(self) -> None:
        """End now."""
        self._client.abort()
        if self._server is not None:
            self._server.abort()

    @property
    def facts(self) -> Facts:
        return facts_of(self._progress, self._who, self._client, self._server, self._conversation, self._since)

    def end_if_idle(self, now: float, timeout_s: float) -> None:
        conversation = self._conversation
        relaying = self._progress is Progress.RELAYING and self._admission is None
        idle = relaying and conversation is not None and conversation.idle
        if self._quiet.seconds(now, idle) >= timeout_s:
            self._dismiss(farewells.IDLE_FOR_TOO_LONG)

    def _dismiss(self, answer: bytes) -> None:
        """While nothing runs."""
        self._close_client(answer)
        if self._server is not None:
            self._server_ended = True
            self._server.write(_TERMINATE)
            self._server.close()

    def _fail(self) -> None:
        log.exception("session_failed", **self._who)
        self._close_client(farewells.INTERNAL_ERROR)
        if self._server is not None:
            self._server.abort()

    def _close_client(self, last_words: bytes = b"") -> None:
        self._progress = Progress.OVER
        if last_words:
            self._client.write(last_words)
        self._client.close()
        if not self._client_gone:
            self._timer.set(self._gateway.file.limits.linger_timeout_s, self._client.abort)

    def _finish(self) -> None:
        self._progress = Progress.OVER
        self._timer.clear()
        gateway = self._gateway
        gateway.sessions.discard(self)
        if self._admitted:
            self._admitted = False
            gateway.admitted -= 1
        if not gateway.sessions:
            gateway.empty.set()
