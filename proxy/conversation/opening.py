"""The packets before a session: encryption is agreed on, a cancel passed on, a startup message begins the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.wire.messages import PROTOCOL_VIOLATION, error_response
from proxy.wire.startup import (
    BadStartup,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    read_options,
    read_startup,
)
from proxy.wire.tls import HANDSHAKE
from rules.phases import Shape

SHAPE_PARAMETER: Final = "pgjanus.shape"
_UNSUPPORTED: Final = "0A000"
_INVALID_VALUE: Final = "22023"
_INVALID_AUTHORIZATION: Final = "28000"


class Encryption(Enum):
    """What the listener says to a client that asks for TLS, or does not."""

    NONE = auto()
    OFFERED = auto()
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this, and read on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """Send this (it may be empty), and close."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Send `answer`, then begin TLS, of which `received` has come already; what it holds is for `receive` again.

    `direct`: the client did not ask first, so it has to say in the handshake what it speaks.
    """

    answer: bytes
    received: bytes

    @property
    def direct(self) -> bool:
        return not self.answer


@dataclass(frozen=True, slots=True)
class Begin:
    """Connect to the server and send `first`, the client's packet as it came; `rest` came after it."""

    first: CancelRequest | StartupMessage
    rest: bytes


Event = Answer | Reject | Encrypt | Begin


class Opening:
    """Reads until it knows what the client wants. Never holds more than one packet."""

    def __init__(self, encryption: Encryption = Encryption.NONE) -> None:
        self._encryption = encryption
        self._is_encrypted = False
        self._data = b""
        self._ssl_asked = False
        self._gss_asked = False

    def receive(self, data: bytes) -> list[Event]:
        """What to do, in order. After a `Reject` or `Begin` it must not be called again."""
        self._data += data
        if self._data[:1] == bytes([HANDSHAKE]) and self._may_encrypt and not self._ssl_asked:
            return [self._encrypt(b"")]
        try:
            found = read_startup(self._data)
        except BadStartup:
            return [Reject(b"")]
        if found is None:
            return []
        packet, length = found
        rest, self._data = self._data[length:], b""
        match packet:
            case SSLRequest():
                if self._ssl_asked or self._is_encrypted:
                    return [self._refuse_repeated("SSL", 5679)]
                self._ssl_asked = True
                if rest or not self._may_encrypt:
                    return self._decline(rest, "SSL")
                return [self._encrypt(b"S")]
            case GSSENCRequest():
                refused = self._refuse_repeated("GSSAPI", 5680) if self._gss_asked else None
                self._gss_asked = True
                return [refused] if refused else self._decline(rest, "GSSAPI encryption")
            case StartupMessage() if self._encryption is Encryption.REQUIRED and not self._is_encrypted:
                error = "pgjanus: this listener takes encrypted connections only"
                return [
                    Reject(error_response("FATAL", _INVALID_AUTHORIZATION, error, hint="Connect with sslmode=require."))
                ]
            case CancelRequest() | StartupMessage():
                return [Begin(packet, rest)]

    @property
    def _may_encrypt(self) -> bool:
        return self._encryption is not Encryption.NONE and not self._is_encrypted

    def _encrypt(self, answer: bytes) -> Encrypt:
        received, self._data = self._data, b""
        self._is_encrypted = True
        return Encrypt(answer, b"" if answer else received)

    def _decline(self, rest: bytes, what: str) -> list[Event]:
        # As in ProcessStartupPacket: what is already here may have been injected by somebody in between.
        if not rest:
            return [Answer(b"N")]
        error = error_response(
            "FATAL",
            PROTOCOL_VIOLATION,
            f"received unencrypted data after {what} request",
            detail="This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
        )
        return [Answer(b"N"), Reject(error)]

    def _refuse_repeated(self, what: str, minor: int) -> Reject:
        text = f"unsupported frontend protocol 1234.{minor}: {what} may be asked for once"
        return Reject(error_response("FATAL", _UNSUPPORTED, text))


class UnknownShape(ValueError):
    """The client asked for a shape that there is not; `response` tells it so."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.response = error_response(
            "FATAL",
            _INVALID_VALUE,
            f'invalid value for parameter "{SHAPE_PARAMETER}": "{value}"',
            hint="Available values: old, new.",
        )


def requested_shape(parameters: Mapping[str, str]) -> Shape | None:
    """What the startup parameters say, either as a parameter of its own or within `options`; None if nothing.

    Raises:
        UnknownShape: it is neither `old` nor `new`.
    """
    value = parameters.get(SHAPE_PARAMETER)
    if value is None:
        value = read_options(parameters.get("options", "")).get(SHAPE_PARAMETER)
    if value is None:
        return None
    try:
        return Shape(value)
    except ValueError:
        raise UnknownShape(value) from None
