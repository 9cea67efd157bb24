"""Opens connections to PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from proxy.config import Address
from proxy.errors import ServerUnreachable

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.Protocol)


class Dialer:
    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self._timeout_s = timeout_s

    async def dial(self, protocol: Callable[[], AnyProtocol]) -> AnyProtocol:
        """A connected protocol.

        Raises:
            ServerUnreachable: nothing accepts connections there, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                if self.address.port:
                    transport, made = await loop.create_connection(protocol, self.address.host, self.address.port)
                else:
                    transport, made = await loop.create_unix_connection(protocol, self.address.host)
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} s"
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            keep_alive(transport)
            return made
        raise ServerUnreachable(f"could not connect to the PostgreSQL server at {self.address}: {reason}")


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out about a peer that vanished without a word."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
