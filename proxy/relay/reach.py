"""From a client's first packet to a connection to the server that has got it, and maybe the login with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog

from proxy.conversation.opening import Begin
from proxy.errors import ServerUnreachable
from proxy.relay.ends import End
from proxy.relay.farewells import TOO_LONG, unreachable
from proxy.relay.gateway import Gateway
from proxy.relay.login import LoginFailed, log_in
from proxy.relay.reading import BadMessage
from proxy.wire.startup import StartupMessage

AnyEnd = TypeVar("AnyEnd", bound=End)

log = structlog.get_logger(__name__)


class TurnedAway(Exception):
    """`answer` is the last thing that the client is told."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


async def reach(
    gateway: Gateway, client: End, server_end: Callable[[], AnyEnd], begin: Begin, who: Mapping[str, str]
) -> tuple[AnyEnd, bytes, bytes]:
    """
    Returns:
        The server's end, and what has come from the client and from the server and is not dealt with.

    Raises:
        TurnedAway: there is no way to the server, or none for this client; the log says why.
    """
    first = begin.first
    try:
        server = await gateway.dialer.dial(server_end)
    except ServerUnreachable as error:
        gateway.unreachable += 1
        log.warning("server_unreachable", reason=str(error), **who)
        raise TurnedAway(unreachable(str(error)) if isinstance(first, StartupMessage) else b"") from error
    if not (server.is_encrypted and isinstance(first, StartupMessage)):
        server.write(first.packet)
        return server, begin.rest, b""
    try:
        limit_bytes = gateway.file.limits.login_message_bytes
        rest, said = await log_in(client, server, first, begin.rest, gateway.ending, limit_bytes)
    except (LoginFailed, ConnectionError) as error:
        log.warning("login_failed", reason=str(error), **who)
        server.abort()
        answer = error.answer if isinstance(error, LoginFailed) else TOO_LONG if isinstance(error, BadMessage) else b""
        raise TurnedAway(answer) from error
    except asyncio.CancelledError:
        server.abort()
        raise
    return server, rest, said
