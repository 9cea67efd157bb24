"""Cuts one direction of a connection into messages, and forwards in runs.

A message is `type (1 byte) | length (int32, counts itself but not the type) | body`. Only messages whose type is
looked into are ever shown; everything else passes in whole runs, as it came, however long it is. Nothing is
allocated by a declared length: bytes are kept only while somebody waits for the rest of a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

_LENGTH = Struct(">i")
HEADER_BYTES: Final = 5
#: PQ_LARGE_MESSAGE_LIMIT (src/include/libpq/pqcomm.h): the server closes the connection beyond it.
_LENGTH_LIMIT: Final = 0x3FFFFFFF


class Framer:
    """Shows the messages of certain types, one at a time, and collects what may be forwarded.

        framer.feed(data)
        while kind := framer.next():
            if not framer.has(framer.total):    # or as much of it as is needed
                break                           # next() shows it again when that much is there
            framer.accept()                     # or skip(), or replace(other bytes)
        forward(framer.take())

    Args:
        kinds: the message types to show.
    """

    __slots__ = (
        "_accepted",
        "_buffer",
        "_kinds",
        "_need",
        "_out",
        "_parts",
        "_parts_bytes",
        "_rest",
        "_skipping",
        "at",
        "total",
    )

    def __init__(self, kinds: Iterable[bytes]) -> None:
        self._kinds = bytearray(256)
        for kind in kinds:
            self._kinds[kind[0]] = 1
        self._buffer: bytes = b""
        self._accepted = 0  # start of what is not yet taken; up to `at` it may be forwarded
        self._parts: list[bytes] = []  # chunks that arrived while `_need` bytes were not there yet
        self._parts_bytes = 0
        self._need = 0
        self._out: list[bytes] = []
        self._rest = 0  # bytes of an accepted or skipped message that have not come yet
        self._skipping = False
        #: Where the shown message starts in the buffer, and its length with type and length field.
        self.at = 0
        self.total = 0

    def feed(self, data: bytes) -> None:
        if self._parts or self._accepted < len(self._buffer):
            if not self._parts:
                self._parts.append(self._buffer[self._accepted :])
                self._parts_bytes = len(self._parts[0])
                self._need -= self._accepted
                self.at -= self._accepted
                self._accepted, self._buffer = 0, b""
            self._parts.append(data)
            self._parts_bytes += len(data)
        else:
            self._buffer, self._accepted, self.at, self._need = data, 0, 0, 0

    @property
    def holds_some(self) -> bool:
        """Whether bytes have come that are not taken, or a message has begun that is not over."""
        return self._accepted < len(self._buffer) or bool(self._parts) or bool(self._rest)

    def next(self) -> int:
        """The type of the next message to look into (the same one again until it is dealt with), or 0: feed more.

        Raises:
            ValueError: a length that no server accepts; `take_all` gives the rest of the stream.
        """
        if self._parts:
            if self._parts_bytes < self._need:
                return 0
            self._buffer = b"".join(self._parts)
            self._parts.clear()
        buffer, at, size = self._buffer, self.at, len(self._buffer)
        if self._rest:
            step = min(self._rest, size - at)
            if self._skipping:
                self._emit(at)
                self._accepted = at + step
            at += step
            self._rest -= step
        kinds, unpack = self._kinds, _LENGTH.unpack_from
        while size - at >= HEADER_BYTES:
            length = unpack(buffer, at + 1)[0]
            if not 4 <= length <= _LENGTH_LIMIT:
                self.at = at
                raise ValueError(length)
            if kinds[buffer[at]]:
                self.at, self.total = at, length + 1
                return buffer[at]
            at += length + 1
            if at > size:
                self._rest, self._skipping = at - size, False
                at = size
                break
        self.at, self._need = at, at + HEADER_BYTES
        return 0

    def has(self, count: int) -> bool:
        """Whether the first `count` bytes of the shown message are there; if not, it is shown again when they are."""
        self._need = self.at + count
        return len(self._buffer) >= self._need

    @property
    def available(self) -> int:
        """How many bytes of the shown message are there."""
        return min(self.total, len(self._buffer) - self.at)

    def head(self, count: int) -> bytes:
        """At most the first `count` bytes of the shown message, with type and length."""
        return self._buffer[self.at : self.at + min(count, self.total)]

    def body(self) -> bytes:
        """What is there of the shown message, without type and length."""
        return self._buffer[self.at + HEADER_BYTES : self.at + self.total]

    def accept(self) -> None:
        """Forward the shown message as it is, also what is still to come of it."""
        self._pass(False)

    def skip(self) -> None:
        """Drop the shown message, also what is still to come of it."""
        self._emit(self.at)
        self._pass(True)
        self._accepted = self.at

    def insert(self, data: bytes) -> None:
        """Put bytes in front of the shown message."""
        self._emit(self.at)
        self._out.append(data)

    def replace(self, data: bytes) -> None:
        self.insert(data)
        self.skip()

    def take(self) -> bytes:
        """Everything that may be forwarded by now."""
        self._emit(self.at)
        if len(self._out) == 1:
            data = self._out[0]
        else:
            data = b"".join(self._out)
        self._out.clear()
        return data

    def take_all(self) -> bytes:
        """Everything that is there, looked at or not: for a stream that is not understood any more."""
        self._out.append(self._buffer[self._accepted :])
        self._out += self._parts
        data = b"".join(self._out)
        self._out.clear()
        self._parts.clear()
        self._buffer, self._accepted, self.at = b"", 0, 0
        return data

    def _emit(self, until: int) -> None:
        if self._accepted < until:
            whole = self._accepted == 0 and until == len(self._buffer)
            self._out.append(self._buffer if whole else self._buffer[self._accepted : until])
            self._accepted = until

    def _pass(self, skipping: bool) -> None:
        end = self.at + self.total
        size = len(self._buffer)
        if end > size:
            self._rest, self._skipping = end - size, skipping
            end = size
        self.at = end
