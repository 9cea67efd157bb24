"""Accepts clients on one address; each gets a session with that address's shape."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

from proxy.config import Address
from proxy.errors import ListenError
from proxy.relay.gateway import Gateway
from proxy.relay.session import Session
from proxy.relay.sides import ClientSide
from proxy.relay.takeover import HANDSHAKE_SECONDS, take_no_more
from rules.phases import Shape

_BACKLOG = 1024
#: For what is told to clients at the very end.
_LAST_WORDS_SECONDS = 0.5


#: Where clients come in: an address, or the sockets that are bound to it.
Entrance = Address | Sequence[socket.socket]


async def listen(gateway: Gateway, entrance: Entrance, shape: Shape, option: str) -> list[asyncio.Server]:
    """Start accepting.

    Raises:
        ListenError: the address is in use or not ours.
    """
    loop = asyncio.get_running_loop()
    factory = partial(ClientSide, partial(Session, gateway, shape))
    if not isinstance(entrance, Address):
        return [await loop.create_server(factory, sock=sock, backlog=_BACKLOG) for sock in entrance]
    try:
        return [await loop.create_server(factory, entrance.host, entrance.port, backlog=_BACKLOG)]
    except OSError as error:
        raise _cannot_listen(entrance, option, error) from error


def bind(address: Address, option: str, *, reuse_port: bool = False) -> list[socket.socket]:
    """Sockets for several processes to accept from.

    Args:
        reuse_port: other processes that say the same may have the address as well. Then the sockets do not listen yet:
            no connection shall come to a process that may still fail to start.

    Raises:
        ListenError: the address is in use or not ours.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, where in dict.fromkeys(found):
            bound.append(socket.socket(family, socket.SOCK_STREAM))
            bound[-1].setblocking(False)
            bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound[-1].bind(where[:2])
            if not reuse_port:
                bound[-1].listen(_BACKLOG)
    except OSError as error:
        for sock in bound:
            sock.close()
        raise _cannot_listen(address, option, error) from error
    return bound


def _cannot_listen(address: Address, option: str, error: OSError) -> ListenError:
    return ListenError(f"cannot listen on {address} ({option}): {error.strerror or error}")


async def drain(
    gateway: Gateway,
    servers: list[asyncio.Server],
    timeout_s: float,
    at_once: asyncio.Event,
    taken_over: Sequence[socket.socket] = (),
) -> int:
    """Stop accepting, let transactions end, then cut what is left. Returns how many sessions had to be cut.

    Args:
        taken_over: the servers' sockets, if another process listens on the same addresses.
    """
    if taken_over:
        gateway.taken_over = True
        filtered = [take_no_more(sock) for sock in taken_over]
        if all(filtered):
            await _first(HANDSHAKE_SECONDS, at_once)
    for server in servers:
        server.close()
    gateway.draining = True
    for session in tuple(gateway.sessions):
        session.drain()
    if gateway.sessions:
        await _first(timeout_s, gateway.empty, at_once)
    if gateway.taken_over:
        gateway.taken_over = False
        for session in tuple(gateway.sessions):
            session.drain()  # those that were let in, and have never asked for anything
        if gateway.sessions:
            await _first(_LAST_WORDS_SECONDS, gateway.empty, at_once)
    left = tuple(gateway.sessions)
    for session in left:
        session.abort()
    return len(left)


async def _first(timeout_s: float, *events: asyncio.Event) -> None:
    """Wait for one of them, or for so long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
