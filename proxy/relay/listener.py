"""Accepts clients on one address; each gets a session with that address's shape."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

from proxy.config import Address
from proxy.errors import ListenError
from proxy.relay.gateway import Gateway
from proxy.relay.session import ClientSide
from rules.phases import Shape

_BACKLOG = 1024


#: Where clients come in: an address, or the sockets that are bound to it.
Entrance = Address | Sequence[socket.socket]


async def listen(gateway: Gateway, entrance: Entrance, shape: Shape, option: str) -> list[asyncio.Server]:
    """Start accepting.

    Raises:
        ListenError: the address is in use or not ours.
    """
    loop = asyncio.get_running_loop()
    factory = partial(ClientSide, gateway, shape)
    if not isinstance(entrance, Address):
        return [await loop.create_server(factory, sock=sock, backlog=_BACKLOG) for sock in entrance]
    try:
        return [await loop.create_server(factory, entrance.host, entrance.port, backlog=_BACKLOG)]
    except OSError as error:
        raise _cannot_listen(entrance, option, error) from error


def bind(address: Address, option: str) -> list[socket.socket]:
    """Listening sockets for several processes to accept from.

    Raises:
        ListenError: the address is in use or not ours.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, where in dict.fromkeys(found):
            bound.append(socket.create_server(where[:2], family=family, backlog=_BACKLOG))
            bound[-1].setblocking(False)
    except OSError as error:
        for sock in bound:
            sock.close()
        raise _cannot_listen(address, option, error) from error
    return bound


def _cannot_listen(address: Address, option: str, error: OSError) -> ListenError:
    return ListenError(f"cannot listen on {address} ({option}): {error.strerror or error}")


async def drain(gateway: Gateway, servers: list[asyncio.Server], timeout_s: float, at_once: asyncio.Event) -> int:
    """Stop accepting, let transactions end, then cut what is left. Returns how many sessions had to be cut."""
    for server in servers:
        server.close()
    gateway.draining = True
    for session in tuple(gateway.sessions):
        session.drain()
    if gateway.sessions:
        waits = [asyncio.ensure_future(event.wait()) for event in (gateway.empty, at_once)]
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    left = tuple(gateway.sessions)
    for session in left:
        session.abort()
    return len(left)
