"""TLS on bytes, without I/O: encrypted bytes go in, plain ones come out, and the other way round."""

from __future__ import annotations

import ssl
from typing import Final

#: The first byte of a TLS handshake. A client that begins with it has not asked first (`sslnegotiation=direct`).
HANDSHAKE: Final = 0x16
#: What both sides say they speak, registered for PostgreSQL from 17 on. Without it a direct beginning is refused.
ALPN: Final = "postgresql"
_CHUNK_BYTES: Final = 256 << 10


class TlsStream:
    """One connection's encryption. Call `take` after every other method, and send what it gives."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname)
        self.established = False
        #: The other side has said that it sends no more.
        self.ended = False

    @property
    def alpn(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    @property
    def certificate(self) -> bytes | None:
        """The other side's, in DER."""
        return self._tls.getpeercert(binary_form=True)

    def shake_hands(self) -> None:
        """Go on with the handshake as far as what has come allows; the client's side begins with it.

        Raises:
            ssl.SSLError: the other side is no TLS, or its certificate is not to be trusted.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True

    def receive(self, data: bytes) -> bytes:
        """What the bytes that came mean; empty while the handshake goes on.

        Raises:
            ssl.SSLError: they are not what the other side sent, or the handshake failed.
        """
        self._incoming.write(data)
        if not self.established:
            self.shake_hands()
        if not self.established:
            return b""
        parts = []
        try:
            while part := self._tls.read(_CHUNK_BYTES):
                parts.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        self._tls.write(data)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the other side has not said so yet, and need not

    def take(self) -> bytes:
        """What is to be sent now."""
        return self._outgoing.read()
