"""Accepts clients on one address; each gets a session with that address's shape."""

from __future__ import annotations

import asyncio
from functools import partial

from proxy.config import Address
from proxy.errors import ListenError
from proxy.gateway import Gateway
from proxy.session import ClientSide
from rules.phases import Shape

_BACKLOG = 1024


async def listen(gateway: Gateway, address: Address, shape: Shape, option: str) -> asyncio.Server:
    """Start accepting.

    Raises:
        ListenError: the address is in use or not ours.
    """
    loop = asyncio.get_running_loop()
    factory = partial(ClientSide, gateway, shape)
    try:
        return await loop.create_server(factory, address.host, address.port, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {address} ({option}): {error.strerror or error}") from error


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
