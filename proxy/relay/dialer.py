"""Opens connections to PostgreSQL, encrypted where the settings say so."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from proxy.config import Address, ServerTls
from proxy.errors import ServerUnreachable
from proxy.relay.encryption import reason, server_context
from proxy.relay.ends import End
from proxy.relay.reading import Reading
from proxy.wire.startup import SSL_REQUEST
from proxy.wire.tls import TlsStream

AnyEnd = TypeVar("AnyEnd", bound=End)
_YES: Final = b"S"
_NO: Final = b"N"


class Dialer:
    """
    Raises:
        SettingsError: a file of `tls` cannot be used.
    """

    def __init__(self, address: Address, timeout_s: float, tls: ServerTls | None = None) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._tls = tls or ServerTls()
        # PostgreSQL does not encrypt what goes through a unix socket, and libpq does not ask it to.
        self._context = server_context(self._tls) if address.port else None

    async def dial(self, end: Callable[[], AnyEnd]) -> AnyEnd:
        """A connected end, to which nothing has been written yet.

        Raises:
            ServerUnreachable: nothing accepts connections there, or not in time, or not encrypted as it should be.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                made = await self._connect(end)
                if self._context is not None:
                    try:
                        await self._encrypt(made, self._context)
                    except BaseException:
                        made.abort()
                        raise
                return made
        except TimeoutError:
            why = f"no answer within {self._timeout_s:g} s"
        except OSError as error:
            why = reason(error)
        raise ServerUnreachable(f"could not connect to the PostgreSQL server at {self.address}: {why}")

    async def _connect(self, end: Callable[[], AnyEnd]) -> AnyEnd:
        loop = asyncio.get_running_loop()
        if self.address.port:
            transport, made = await loop.create_connection(end, self.address.host, self.address.port)
        else:
            transport, made = await loop.create_unix_connection(end, self.address.host)
        keep_alive(transport)
        return made

    async def _encrypt(self, end: End, context: ssl.SSLContext) -> None:
        """Ask the server, and encrypt if it says yes.

        Raises:
            OSError, ssl.SSLError: it says no where it must not, or something else, or the handshake fails.
        """
        with Reading(end) as answers:
            end.write(SSL_REQUEST)
            # More than a byte has been injected by somebody in between: what TLS says must come after its handshake.
            answer = await answers.some()
        end.read(True)
        if answer == _NO and not self._tls.sslmode.requires:
            return
        if answer == _NO:
            raise OSError(f"it does not encrypt connections, and sslmode is {self._tls.sslmode.value}")
        if answer != _YES:
            raise OSError("it does not answer a request for encryption as PostgreSQL does")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def shaken(_: TlsStream, error: OSError | None) -> None:
            if not done.done():
                done.set_exception(error) if error is not None else done.set_result(None)

        end.encrypt(TlsStream(context, server_side=False, hostname=self.address.host), shaken)
        await done


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out about a peer that vanished without a word."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
