"""One end of a session: a socket, maybe encrypted, that says when it takes no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from proxy.foreground import Foreground
from proxy.relay.encryption import OnHandshake, TlsTransport
from proxy.wire.tls import TlsStream

#: Per direction: beyond `high` the other side is not read any more, until less than `low` is left to write.
_WRITE_HIGH_BYTES: Final = 256 << 10
_WRITE_LOW_BYTES: Final = 64 << 10


class End(asyncio.Protocol):
    """Derive from it what is done with the data.

    Args:
        changed: called when `blocked` has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.transport: asyncio.Transport | None = None
        #: Its write buffer is full.
        self.blocked = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)

    def encrypt(self, stream: TlsStream, shaken: OnHandshake, received: bytes = b"") -> None:
        """Begin TLS, of which `received` has come already; everything else goes on as before."""
        assert self.transport is not None
        layer = TlsTransport(self.transport, self, stream, shaken)
        self.transport = cast(asyncio.Transport, layer)
        layer.begin(received)

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let another protocol, or this one again, have what comes from now on."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.set_protocol(protocol)

    @property
    def is_encrypted(self) -> bool:
        return isinstance(self.transport, TlsTransport)

    @property
    def binding(self) -> bytes | None:
        """What a login there may be bound to: a hash of the certificate that was shown."""
        return self.transport.binding if isinstance(self.transport, TlsTransport) else None

    def pause_writing(self) -> None:
        self.blocked = True
        self._changed()

    def resume_writing(self) -> None:
        self.blocked = False
        self._changed()

    def write(self, data: bytes) -> None:
        """Nothing happens where nothing can be written any more."""
        if self.transport is not None and not self.transport.is_closing() and not self._ended:
            self.transport.write(data)

    def end_of_data(self) -> None:
        """Nothing more will be written; what comes from there is still read."""
        if self.transport is not None and not self.transport.is_closing():
            self._ended = True
            try:
                self.transport.write_eof()
            except OSError:
                self.transport.abort()

    def close(self) -> None:
        """After what is still to be written."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def read(self, wanted: bool) -> None:
        transport = self.transport
        if transport is None or transport.is_closing() or transport.is_reading() == wanted:
            return
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()


class TimedEnd(End):
    """One that is asked and answers: the time from the first byte written to the first one that comes back is noted.

    Derive from it what is done with the data (`received`).
    """

    def __init__(self, changed: Callable[[], None], foreground: Foreground) -> None:
        super().__init__(changed)
        self._foreground = foreground
        self._asked_at = 0.0

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        self._asked_at = 0.0  # what is asked in a login is answered to somebody else, and waits for people
        super().hand_over(protocol)

    def write(self, data: bytes) -> None:
        if not self._asked_at:
            self._asked_at = time.monotonic()
        super().write(data)

    def data_received(self, data: bytes) -> None:
        if self._asked_at:
            self._foreground.note(time.monotonic() - self._asked_at)
            self._asked_at = 0.0
        self.received(data)

    def received(self, data: bytes) -> None:
        raise NotImplementedError
