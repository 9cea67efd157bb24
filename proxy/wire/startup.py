"""The packets before a session: `length (int32, counts itself) | code (int32) | …`, without a type byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

_HEADER = Struct(">ii")
#: ProcessStartupPacket: a packet shorter or longer than this is answered by closing the connection.
SHORTEST_BYTES: Final = 8
LONGEST_BYTES: Final = 10_000

_CANCEL_CODE: Final = 80877102
_SSL_CODE: Final = 80877103
_GSSENC_CODE: Final = 80877104
#: Asks whether the server encrypts; it answers with one byte, `S` or `N`.
SSL_REQUEST: Final = _HEADER.pack(8, _SSL_CODE)


@dataclass(frozen=True, slots=True)
class SSLRequest:
    pass


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    pass


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """To be relayed as it is: the key has 4 bytes up to protocol 3.0 and up to 256 from 3.2 on."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """`version` is (major, minor); `parameters` has the pairs as sent, undecodable bytes as surrogates."""

    packet: bytes
    version: tuple[int, int]
    parameters: Mapping[str, str]

    @property
    def user(self) -> str:
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        return self.parameters.get("database") or self.user

    @property
    def application(self) -> str:
        return self.parameters.get("application_name", "")

    @property
    def who(self) -> dict[str, str]:
        """For the log."""
        return {"user": self.user, "database": self.database, "application_name": self.application}


StartupPacket = SSLRequest | GSSENCRequest | CancelRequest | StartupMessage


class BadStartup(ValueError):
    """A packet of a length that the server answers by closing the connection."""


def read_startup(data: bytes) -> tuple[StartupPacket, int] | None:
    """The first packet in `data` and its length in bytes; None if it is not complete.

    Raises:
        BadStartup: its length is out of bounds.
    """
    if len(data) < 4:
        return None
    length = int.from_bytes(data[:4], "big")
    if not SHORTEST_BYTES <= length <= LONGEST_BYTES:
        raise BadStartup(length)
    if len(data) < length:
        return None
    packet = data[:length]
    code = _HEADER.unpack_from(packet)[1]
    match code:
        case _ if code == _CANCEL_CODE:
            return CancelRequest(packet), length
        case _ if code == _SSL_CODE:
            return SSLRequest(), length
        case _ if code == _GSSENC_CODE:
            return GSSENCRequest(), length
    version = ((code >> 16) & 0xFFFF, code & 0xFFFF)
    return StartupMessage(packet, version, _parameters(packet[8:]) if version[0] == 3 else {}), length


def _parameters(body: bytes) -> dict[str, str]:
    """Pairs of strings up to an empty name. A malformed list is the server's to complain about."""
    words = [word.decode(errors="surrogateescape") for word in body.split(b"\0")]
    found: dict[str, str] = {}
    for name, value in zip(words[::2], words[1::2], strict=False):
        if not name:
            break
        found[name] = value
    return found


def read_options(options: str) -> dict[str, str]:
    """The settings in the startup parameter `options`: `-c name=value`, `-cname=value`, `--name=value`.

    Words are split as in pg_split_opts: at white space, unless a backslash stands before it.
    """
    words: list[str] = []
    word: list[str] = []
    characters = iter(options + " ")
    for character in characters:
        if character == "\\":
            word.append(next(characters, ""))
        elif character.isspace():
            if word:
                words.append("".join(word))
            word = []
        else:
            word.append(character)
    found: dict[str, str] = {}
    rest = iter(words)
    for item in rest:
        if item == "-c":
            item = next(rest, "")
        elif item.startswith(("-c", "--")):
            item = item[2:]
        else:
            continue
        name, equals, value = item.partition("=")
        if equals:
            found[name.replace("-", "_").lower()] = value
    return found
