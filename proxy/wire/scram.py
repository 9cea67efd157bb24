"""SCRAM-SHA-256 (RFC 5802, 7677) from a stored secret: both ends of a login that stands between two encryptions.

The secret that PostgreSQL stores is enough to check a password, not to log in with it. A client that proves that it
knows the password gives away the missing key while it does so, and with that the same login can be made once more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final, Self

from proxy.wire.messages import PROTOCOL_VIOLATION

PLAIN: Final = b"SCRAM-SHA-256"
#: With channel binding: the proof holds for one encrypted connection only.
PLUS: Final = b"SCRAM-SHA-256-PLUS"
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_DEFAULT_ITERATIONS: Final = 4096
_NONCE_BYTES: Final = 18
_BINDING: Final = b"p=tls-server-end-point"
_UNBOUND: Final = "28000"
_SECRET: Final = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


class ScramError(Exception):
    """The other side does not keep to the protocol; text and SQLSTATE are PostgreSQL's."""

    def __init__(self, text: str, sqlstate: str = PROTOCOL_VIOLATION) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class WrongPassword(Exception):
    """The proof does not fit, or there is no such user."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What `pg_authid.rolpassword` holds. A `mock` is of a user that there is not, and fits no password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes
    mock: bool = False

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None if it is none of SCRAM's (MD5, plain text, nothing)."""
        found = _SECRET.fullmatch(text)
        if found is None:
            return None
        try:
            salt, stored, server = (b64decode(found[i], validate=True) for i in (2, 3, 4))
        except ValueError:
            return None
        if len(stored) != _KEY_BYTES or len(server) != _KEY_BYTES or not salt:
            return None
        return cls(int(found[1]), salt, stored, server)

    @classmethod
    def of_password(cls, password: str) -> Self:
        """Made anew each time, with another salt."""
        salt = secrets.token_bytes(_SALT_BYTES)
        prepared = unicodedata.normalize("NFKC", password).encode(errors="surrogateescape")
        salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, _DEFAULT_ITERATIONS)
        stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        return cls(_DEFAULT_ITERATIONS, salt, stored_key, _hmac(salted, b"Server Key"))

    @classmethod
    def of_nobody(cls, user: str, mock_key: bytes) -> Self:
        """Always the same for a user, so that nobody finds out by asking twice that there is no such user."""
        salt = _hmac(mock_key, user.encode(errors="surrogateescape"))[:_SALT_BYTES]
        return cls(_DEFAULT_ITERATIONS, salt, bytes(_KEY_BYTES), bytes(_KEY_BYTES), mock=True)


class ScramServer:
    """Checks a client.

    Args:
        binding: the hash of the certificate that the client was shown; None if the connection cannot be bound.
    """

    def __init__(self, secret: Secret, binding: bytes | None) -> None:
        self._secret, self._binding = secret, binding
        self._header = self._bare = self._first = b""
        self._nonce = b""
        self._bound = False

    @property
    def mechanisms(self) -> tuple[bytes, ...]:
        return (PLUS, PLAIN) if self._binding is not None else (PLAIN,)

    def first(self, mechanism: bytes, message: bytes) -> bytes:
        """The client-first-message, and what to answer.

        Raises:
            ScramError: it is none.
        """
        if mechanism not in self.mechanisms:
            raise ScramError("client selected an invalid SASL authentication mechanism")
        self._bound = mechanism == PLUS
        parts = message.split(b",", 2)
        if len(parts) != 3:
            raise ScramError("malformed SCRAM message")
        flag, authzid, self._bare = parts
        if authzid:
            raise ScramError("client uses authorization identity, but it is not supported")
        if self._bound and flag != _BINDING:
            raise ScramError("unsupported SCRAM channel-binding type, or channel binding was selected and is not used")
        if not self._bound and flag == b"y" and self._binding is not None:
            raise ScramError("SCRAM channel binding negotiation error", _UNBOUND)  # somebody took the offer away
        if not self._bound and flag not in (b"n", b"y"):
            raise ScramError("malformed SCRAM message")
        attributes = self._bare.split(b",")
        if len(attributes) < 2 or not attributes[0].startswith(b"n=") or not attributes[1].startswith(b"r="):
            raise ScramError("malformed SCRAM message")
        if len(attributes) > 2:
            raise ScramError("client requires an unsupported SCRAM extension")
        self._header = flag + b",,"
        self._nonce = attributes[1][2:] + _nonce()
        self._first = b"r=%b,s=%b,i=%d" % (self._nonce, b64encode(self._secret.salt), self._secret.iterations)
        return self._first

    def final(self, message: bytes) -> tuple[bytes, bytes]:
        """The client-final-message: what to answer, and the client's key.

        Raises:
            WrongPassword
            ScramError: the message is none of this login or of this connection.
        """
        without_proof, comma, proof_part = message.rpartition(b",p=")
        attributes = without_proof.split(b",")
        if not comma or len(attributes) != 2:
            raise ScramError("malformed SCRAM message")
        binding = self._binding if self._bound and self._binding is not None else b""
        if attributes[0] != b"c=" + b64encode(self._header + binding):
            raise ScramError("SCRAM channel binding check failed", _UNBOUND)
        if not hmac.compare_digest(attributes[1], b"r=" + self._nonce):
            raise ScramError("invalid SCRAM response: nonce does not match")
        try:
            proof = b64decode(proof_part, validate=True)
        except ValueError:
            proof = b""
        if len(proof) != _KEY_BYTES:
            raise ScramError("malformed SCRAM message")
        exchanged = b",".join((self._bare, self._first, without_proof))
        client_key = _xor(proof, _hmac(self._secret.stored_key, exchanged))
        fits = hmac.compare_digest(hashlib.sha256(client_key).digest(), self._secret.stored_key)
        if not fits or self._secret.mock:
            raise WrongPassword
        return b"v=" + b64encode(_hmac(self._secret.server_key, exchanged)), client_key


class ScramClient:
    """Logs in with a key instead of a password.

    Args:
        binding: the hash of the certificate that the server has shown; None if the login is not to be bound to it.
    """

    def __init__(self, secret: Secret, client_key: bytes, binding: bytes | None = None) -> None:
        self._secret, self._client_key = secret, client_key
        self.mechanism = PLAIN if binding is None else PLUS
        self._header = b"n,," if binding is None else _BINDING + b",,"
        self._bound = self._header + (binding or b"")
        self._bare = b"n=,r=" + _nonce()  # PostgreSQL takes the user from the startup message
        self._exchanged = b""

    def first(self) -> bytes:
        return self._header + self._bare

    def final(self, server_first: bytes) -> bytes:
        """What to answer to the server-first-message.

        Raises:
            ScramError: it is no answer to ours.
        """
        nonce = server_first.partition(b",")[0].removeprefix(b"r=")
        if not nonce.startswith(self._bare.removeprefix(b"n=,r=")):
            raise ScramError("the server's SCRAM message is malformed")
        without_proof = b"c=" + b64encode(self._bound) + b",r=" + nonce
        self._exchanged = b",".join((self._bare, server_first, without_proof))
        proof = _xor(self._client_key, _hmac(self._secret.stored_key, self._exchanged))
        return without_proof + b",p=" + b64encode(proof)

    def check(self, server_final: bytes) -> None:
        """
        Raises:
            ScramError: the server does not know the secret.
        """
        expected = b"v=" + b64encode(_hmac(self._secret.server_key, self._exchanged))
        if not hmac.compare_digest(server_final, expected):
            raise ScramError("the server could not prove that it knows the user's secret")


def _nonce() -> bytes:
    return b64encode(secrets.token_bytes(_NONCE_BYTES))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
