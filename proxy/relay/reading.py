"""Asking one end of a session for what it says, piece by piece, before the session passes everything on."""

from __future__ import annotations

import asyncio
from struct import Struct
from types import TracebackType
from typing import Final

from proxy.relay.ends import End

_LENGTH: Final = Struct(">i")
_LIMIT_BYTES: Final = 64 << 10


class BadMessage(ConnectionError):
    """A message of a length that has no place in a login."""


class Reading(asyncio.Protocol):
    """Takes the place of an end within the `with` block. Nothing of what comes is lost: `rest` has what is left.

    Args:
        limit_bytes: the length of one message.
    """

    def __init__(self, end: End, received: bytes = b"", limit_bytes: int = _LIMIT_BYTES) -> None:
        self._end = end
        self._limit_bytes = limit_bytes
        self._lost: Exception | None = None
        self._wake: asyncio.Future[None] | None = None
        #: What has come and is not dealt with.
        self.rest = received

    def __enter__(self) -> Reading:
        self._end.hand_over(self)
        self._end.read(True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end.read(False)
        self._end.hand_over(self._end)

    async def some(self) -> bytes:
        """All that has come, at least one byte.

        Raises:
            ConnectionError: the connection is lost.
        """
        while not self.rest:
            await self._more()
        found, self.rest = self.rest, b""
        return found

    async def message(self) -> tuple[bytes, bytes]:
        """Type and body of the next message.

        Raises:
            BadMessage
            ConnectionError: the connection is lost.
        """
        while True:
            if len(self.rest) >= 5:
                length = _LENGTH.unpack_from(self.rest, 1)[0]
                if not 4 <= length <= self._limit_bytes:
                    raise BadMessage(f"a message of {length} bytes has no place in a login")
                if len(self.rest) > length:
                    found = self.rest[:1], self.rest[5 : length + 1]
                    self.rest = self.rest[length + 1 :]
                    return found
            await self._more()

    async def _more(self) -> None:
        if self._lost is not None:
            raise self._lost
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if len(self.rest) > self._limit_bytes:
            self._end.read(False)
        self._wake_up()

    def eof_received(self) -> bool:
        self._lost = ConnectionResetError("it closed the connection")
        self._wake_up()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionResetError("it closed the connection")
        self._wake_up()
        self._end.connection_lost(exc)

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
