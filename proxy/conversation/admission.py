"""A login that is passed on: how far it is, and what a client may send before it is over."""

from __future__ import annotations

from struct import Struct
from typing import Final

from proxy.wire.framing import HEADER_BYTES, Framer

_INT32: Final = Struct(">i")
_ANSWERS: Final = b"pX"
_AUTHENTICATION_BYTES: Final = HEADER_BYTES + 4
#: Codes of the server's R that ask for nothing: AuthenticationOk and AuthenticationSASLFinal.
_NOTHING_ASKED: Final = (0, 12)


class MessageTooLong(ValueError):
    """A client that has not logged in sends more than a login takes."""


class Admission:
    """Lets answers to the server's questions through, and keeps whatever comes too early, up to a limit.

    Args:
        limit_bytes: the length of one message, and of what is kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._server = Framer((b"R", b"Z"))
        self._kept = b""
        self._asked = False
        self._broken = False
        #: The server is ready for a query.
        self.over = False

    @property
    def wants_client_data(self) -> bool:
        return len(self._kept) <= self._limit_bytes

    @property
    def rest(self) -> bytes:
        """What has come and was not let through."""
        return self._kept

    def receive_server(self, data: bytes) -> None:
        """Only looks."""
        framer = self._server
        framer.feed(data)
        try:
            while not self.over and (kind := framer.next()):
                if kind == ord("Z"):
                    self.over = True
                elif not framer.has(_AUTHENTICATION_BYTES):
                    break
                else:
                    code = _INT32.unpack_from(framer.head(_AUTHENTICATION_BYTES).ljust(_AUTHENTICATION_BYTES, b"\0"), 5)
                    self._asked = code[0] not in _NOTHING_ASKED
                framer.accept()
            framer.take()
        except ValueError:
            framer.take_all()
            self.over = True  # whatever it is, it is no PostgreSQL that asks for a password

    def receive_client(self, data: bytes) -> bytes:
        """What of it the server gets now.

        Raises:
            MessageTooLong
        """
        self._kept += data
        at = 0
        while not self._broken and len(self._kept) - at >= HEADER_BYTES:
            if self._kept[at] not in _ANSWERS:
                self._broken = self._asked  # the server ends a login over this
                break
            length = _INT32.unpack_from(self._kept, at + 1)[0]
            if not 4 <= length <= self._limit_bytes:
                raise MessageTooLong(length)
            if len(self._kept) - at <= length:
                break
            self._asked = False
            at += length + 1
        if self._broken:
            at = len(self._kept)
        passed, self._kept = self._kept[:at], self._kept[at:]
        return passed
