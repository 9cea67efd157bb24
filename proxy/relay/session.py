"""One client and its server connection: sockets, flow control, and how both end. What to send is the conversation's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, assert_never

import structlog

from proxy.conversation.actions import Action, Ask, Dismiss, Hold, Refused, ToClient, ToServer
from proxy.conversation.conversation import Conversation
from proxy.conversation.opening import Begin, UnknownShape
from proxy.conversation.statements import Question
from proxy.errors import ServerUnreachable
from proxy.relay.arrival import Arrival
from proxy.relay.dialer import keep_alive
from proxy.relay.ends import End, TimedEnd
from proxy.relay.gateway import Gateway
from proxy.relay.login import LoginFailed, log_in
from proxy.wire.messages import ADMIN_SHUTDOWN, CANNOT_CONNECT_NOW, CONNECTION_FAILURE, error_response, message
from proxy.wire.startup import CancelRequest, StartupMessage
from rules.phases import Shape

#: What is read and thrown away for a client that is gone, before the server connection is cut.
_ORPHAN_BYTES: Final = 1 << 20
_TERMINATE: Final = message(b"X", b"")
_INTERNAL_ERROR: Final = "XX000"

log = structlog.get_logger(__name__)


class _Progress(Enum):
    OPENING = auto()
    DIALING = auto()
    RELAYING = auto()
    OVER = auto()


class ClientSide(End):
    """The factory's product for a listener: makes its own session."""

    def __init__(self, gateway: Gateway, shape: Shape) -> None:
        self._session = Session(gateway, shape, self)
        super().__init__(self._session.regulate)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        keep_alive(transport)
        self._session.begin()

    def data_received(self, data: bytes) -> None:
        self._session.client_data(data)

    def eof_received(self) -> bool:
        return self._session.client_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.client_lost()


class _ServerSide(TimedEnd):
    def __init__(self, session: Session) -> None:
        self._session = session
        #: Maybe before it was the session's: then whoever dials says so.
        self.lost = False
        super().__init__(session.regulate, session._gateway.foreground)

    def received(self, data: bytes) -> None:
        self._session.server_data(data)

    def eof_received(self) -> None:
        self._session.server_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._session.server_lost(self)


class Session:
    """Made by `ClientSide` when a client connects; over when both sockets are closed.

    A client that is gone leaves its server connection open, and its transaction pinned, until the server has noticed
    and ended: only then is it sure that nothing of it still runs.
    """

    def __init__(self, gateway: Gateway, shape: Shape, client: ClientSide) -> None:
        self._gateway = gateway
        self._shape = shape
        self._client: End = client
        self._server: _ServerSide | None = None
        self._progress = _Progress.OPENING
        self._arrival: Arrival | None = Arrival(gateway, client, self._close_client)
        self._conversation: Conversation | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._client_ended = False
        self._client_gone = False
        self._server_gone = True
        #: Nothing of ours runs there any more.
        self._server_ended = False
        self._orphan_bytes = 0
        self._draining = False
        self._who: dict[str, str] = {}

    # ------------------------------------------------------------------ the client's socket

    def begin(self) -> None:
        gateway = self._gateway
        gateway.sessions.add(self)
        gateway.empty.clear()
        gateway.opened += 1
        self._set_timer(gateway.file.limits.startup_timeout_s)

    def client_data(self, data: bytes) -> None:
        match self._progress:
            case _Progress.OPENING:
                self._open(data)
            case _Progress.RELAYING if self._server is not None:
                if self._conversation is None or self._passes(self._conversation.passes_client, data):
                    self._server.write(data)
                else:
                    self._converse(self._conversation.receive_client, data)
            case _:
                pass

    def client_eof(self) -> bool:
        """Keep our half open: replies to what was sent before are still due."""
        if self._progress is not _Progress.RELAYING:
            return False
        self._client_ended = True
        self._pass_on_end()
        return True

    def client_lost(self) -> None:
        self._client_gone = True
        self._clear_timer()
        if self._dialing is not None:
            self._dialing.cancel()
        if self._server_gone:
            self._finish()
        elif self._progress is _Progress.RELAYING:
            assert self._server is not None
            # Held bytes of a client that is gone are dropped: nobody waits for them, and nothing of them has begun.
            self._server.end_of_data()
            self.regulate()

    # ------------------------------------------------------------------ the server's socket

    def server_data(self, data: bytes) -> None:
        if self._client_gone:
            self._orphan_bytes += len(data)
            if self._orphan_bytes > _ORPHAN_BYTES and self._server is not None:
                self._server.abort()
        if self._conversation is None:
            self._client.write(data)
            return
        if self._passes(self._conversation.passes_server, data):
            self._client.write(data)
        else:
            self._converse(self._conversation.receive_server, data)
        if self._draining and self._may_go:
            self._say_goodbye()

    def server_eof(self) -> None:
        """It closes the connection at its very end."""
        self._server_ended = True

    def server_lost(self, server: _ServerSide) -> None:
        if server is not self._server:
            return
        self._progress = _Progress.OVER
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
        self._clear_timer()
        self._progress = _Progress.DIALING
        self._client.read(False)
        try:
            if isinstance(first, StartupMessage):
                self._who = first.who
                self._conversation = self._gateway.converse(first, self._shape)
        except UnknownShape as error:
            self._close_client(error.response)
            return
        self._dialing = asyncio.get_running_loop().create_task(self._dial(begin))

    async def _dial(self, begin: Begin) -> None:
        try:
            server = await self._gateway.dialer.dial(lambda: _ServerSide(self))
        except ServerUnreachable as error:
            self._gateway.unreachable += 1
            log.warning("server_unreachable", reason=str(error), **self._who)
            hint = "Check that PostgreSQL runs there, and the proxy's option --server."
            answer = error_response("FATAL", CONNECTION_FAILURE, f"pgjanus: {error}", hint=hint)
            self._close_client(answer if isinstance(begin.first, StartupMessage) else b"")
            return
        else:
            await self._begin(server, begin.first, begin.rest)
        finally:
            self._dialing = None

    async def _begin(self, server: _ServerSide, first: StartupMessage | CancelRequest, rest: bytes) -> None:
        said = b""
        if server.is_encrypted and isinstance(first, StartupMessage):
            try:
                async with asyncio.timeout(self._gateway.file.limits.startup_timeout_s):
                    rest, said = await log_in(self._client, server, first, rest, self._gateway.ending)
            except (LoginFailed, ConnectionError, TimeoutError) as error:
                log.warning("login_failed", reason=str(error) or "it took too long", **self._who)
                self._close_client(error.answer if isinstance(error, LoginFailed) else b"")
                server.abort()
                return
            except asyncio.CancelledError:
                server.abort()
                raise
        else:
            server.write(first.packet)
        self._server, self._server_gone = server, False
        if server.lost:
            self.server_lost(server)
            return
        if self._client_gone:
            server.abort()
            return
        self._progress = _Progress.RELAYING
        self.regulate()
        if said:
            self.server_data(said)
        if rest:
            self.client_data(rest)

    # ------------------------------------------------------------------ the relay

    def _passes(self, passes: Callable[[bytes], bool], data: bytes) -> bool:
        try:
            return passes(data)
        except Exception:
            self._fail()
            return False

    def _converse(self, receive: Callable[[bytes], list[Action]], data: bytes) -> None:
        try:
            self._perform(receive(data))
        except Exception:
            self._fail()

    def _wake(self) -> None:
        # Not at once: whoever lets go is in the middle of something.
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if self._progress is not _Progress.RELAYING or self._conversation is None or self._client_gone:
            return
        try:
            self._perform(self._conversation.resume())
        except Exception:
            self._fail()

    async def _ask(self, question: Question) -> None:
        assert self._gateway.ask is not None, "only then is anything not planned at once"
        answer = await self._gateway.ask(question)
        if self._progress is not _Progress.RELAYING or self._conversation is None or self._client_gone:
            return
        try:
            self._perform(self._conversation.learn(question, answer))
        except Exception:
            self._fail()

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
                    self._dismiss(error_response("FATAL", CANNOT_CONNECT_NOW, f"pgjanus: {reason}"))
                case Refused(refusal, migration, text):
                    log.warning(
                        "statement_refused",
                        migration=migration,
                        sqlstate=refusal.sqlstate,
                        reason=refusal.message,
                        statement_bytes=len(text),
                        **self._who,
                    )
                case _:
                    assert_never(action)
        self.regulate()
        if self._client_ended:
            self._pass_on_end()

    def regulate(self) -> None:
        """Read each side only while the other one takes what it says."""
        if self._progress is not _Progress.RELAYING or self._server is None:
            return
        wanted = self._conversation is None or self._conversation.wants_client_data
        self._client.read(wanted and not self._server.blocked)
        self._server.read(self._client_gone or not self._client.blocked)

    def _pass_on_end(self) -> None:
        if self._server is not None and (self._conversation is None or self._conversation.wants_client_data):
            self._client_ended = False
            self._server.end_of_data()

    # ------------------------------------------------------------------ the end

    def drain(self) -> None:
        """End as soon as no transaction runs."""
        self._draining = True
        before = self._progress in (_Progress.OPENING, _Progress.DIALING)
        if self._may_go or (before and not self._gateway.taken_over):
            self._say_goodbye()

    @property
    def _may_go(self) -> bool:
        """Where another process has the address, a client that has just come in gets what it came for."""
        conversation = self._conversation
        if conversation is None or not conversation.idle or self._progress is not _Progress.RELAYING:
            return False
        return conversation.has_served or not self._gateway.taken_over

    def abort(self) -> None:
        """End now."""
        self._client.abort()
        if self._server is not None:
            self._server.abort()

    def _say_goodbye(self) -> None:
        self._dismiss(error_response("FATAL", ADMIN_SHUTDOWN, "terminating connection: pgjanus is shutting down"))

    def _dismiss(self, answer: bytes) -> None:
        """While nothing runs."""
        self._close_client(answer)
        if self._server is not None:
            self._server_ended = True
            self._server.write(_TERMINATE)
            self._server.close()

    def _fail(self) -> None:
        log.exception("session_failed", **self._who)
        self._close_client(error_response("FATAL", _INTERNAL_ERROR, "pgjanus: internal error; the proxy's log has it"))
        if self._server is not None:
            self._server.abort()

    def _close_client(self, last_words: bytes = b"") -> None:
        self._progress = _Progress.OVER
        if last_words:
            self._client.write(last_words)
        self._client.close()
        if not self._client_gone:
            self._set_timer(self._gateway.file.limits.linger_timeout_s)

    def _finish(self) -> None:
        self._progress = _Progress.OVER
        self._clear_timer()
        gateway = self._gateway
        gateway.sessions.discard(self)
        if not gateway.sessions:
            gateway.empty.set()

    def _set_timer(self, seconds: float) -> None:
        self._clear_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._client.abort)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
