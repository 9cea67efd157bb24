"""Logging in where both sides are encrypted: SCRAM with channel binding ends here, and is done once more.

A client that binds its login to its encrypted connection means the one to the proxy; the server knows another one. So
the proxy checks the client itself, against the secret that the server stores, and logs in with what the client's proof
gives away. Every other method is passed on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final

import structlog

from proxy.errors import SecretsUnavailable
from proxy.relay.ends import End
from proxy.relay.reading import Reading
from proxy.wire.messages import PROTOCOL_VIOLATION, error_response, message
from proxy.wire.scram import PLUS, ScramClient, ScramError, ScramServer, Secret, WrongPassword
from proxy.wire.startup import StartupMessage

_LENGTH: Final = Struct(">i")
_AUTHENTICATION, _PASSWORD, _ERROR, _NEGOTIATION = b"R", b"p", b"E", b"v"
_SASL, _SASL_CONTINUE, _SASL_FINAL = (_LENGTH.pack(n) for n in (10, 11, 12))
_INVALID_PASSWORD: Final = "28P01"

log = structlog.get_logger(__name__)

#: The stored secret of a user (or SecretsUnavailable); None if there is no such user, or it has none for SCRAM.
FindSecret = Callable[[str], Awaitable[Secret | None]]


class LoginFailed(Exception):
    """`answer` is the last thing that the client is told."""

    def __init__(self, answer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Ending:
    """What logins need that end at the proxy.

    `binding` is the hash of the certificate that clients are shown (RFC 5929, tls-server-end-point). Of `mock_key` the
    answers to users are made that there are not.
    """

    find: FindSecret
    binding: bytes
    mock_key: bytes


async def log_in(
    client: End,
    server: End,
    startup: StartupMessage,
    rest: bytes,
    ending: Ending | None,
    limit_bytes: int,
) -> tuple[bytes, bytes]:
    """Begin a session on an encrypted connection to the server, up to where everything is passed on.

    Args:
        rest: what has come from the client behind its startup message.
        limit_bytes: the length of one message of the client's.
        ending: None if nothing is known of users; every login is passed on then.

    Returns:
        What has come from client and server and is not dealt with.

    Raises:
        LoginFailed: the client is not let in.
        ConnectionError: one of the two is gone.
    """
    with Reading(client, rest, limit_bytes) as from_client, Reading(server) as from_server:
        server.write(startup.packet)
        while (found := await from_server.message())[0] == _NEGOTIATION:
            client.write(message(*found))
        kind, body = found
        mechanisms = body[4:].rstrip(b"\0").split(b"\0") if body.startswith(_SASL) else []
        if kind == _AUTHENTICATION and PLUS in mechanisms:
            if not client.is_encrypted:
                # There is nothing to bind to, and a client that is offered it all the same gives up.
                body = _offer(m for m in mechanisms if m != PLUS)
            elif ending is not None and (secret := await _secret(ending, startup.user)) is not None:
                checking = ScramServer(secret, ending.binding)
                await _log_in_twice(client, from_client, server, from_server, checking, secret, startup.user)
                return from_client.rest, from_server.rest
        return from_client.rest, message(kind, body) + from_server.rest


def _offer(mechanisms: Iterable[bytes]) -> bytes:
    return _SASL + b"".join(m + b"\0" for m in mechanisms) + b"\0"


async def _secret(ending: Ending, user: str) -> Secret | None:
    """None if nobody says: passed on, a client that does not bind its login gets in all the same."""
    try:
        return await ending.find(user) or Secret.of_nobody(user, ending.mock_key)
    except SecretsUnavailable as error:
        log.warning("secrets_unavailable", reason=str(error), user=user)
        return None


async def _log_in_twice(
    client: End,
    from_client: Reading,
    server: End,
    from_server: Reading,
    checking: ScramServer,
    secret: Secret,
    user: str,
) -> None:
    final, client_key = await _check(client, from_client, checking, user)
    logging_in = ScramClient(secret, client_key, server.binding)
    try:
        first = logging_in.first()
        server.write(message(_PASSWORD, logging_in.mechanism + b"\0" + _LENGTH.pack(len(first)) + first))
        server.write(message(_PASSWORD, logging_in.final(await _authentication(from_server, _SASL_CONTINUE))))
        logging_in.check(await _authentication(from_server, _SASL_FINAL))
    except ScramError as error:
        raise LoginFailed(error_response("FATAL", error.sqlstate, f"pgjanus: {error}"), str(error)) from error
    client.write(message(_AUTHENTICATION, _SASL_FINAL + final))


async def check_password(client: End, from_client: Reading, secret: Secret, user: str) -> None:
    """A login that ends here altogether.

    Raises:
        LoginFailed: it is not let in.
        ConnectionError: it is gone.
    """
    final, _ = await _check(client, from_client, ScramServer(secret, None), user)
    client.write(message(_AUTHENTICATION, _SASL_FINAL + final))


async def _check(client: End, from_client: Reading, checking: ScramServer, user: str) -> tuple[bytes, bytes]:
    """What a client who knows the password is told in the end, and its key."""
    try:
        client.write(message(_AUTHENTICATION, _offer(checking.mechanisms)))
        mechanism, initial = _read_initial(await _answer(from_client))
        client.write(message(_AUTHENTICATION, _SASL_CONTINUE + checking.first(mechanism, initial)))
        return checking.final(await _answer(from_client))
    except WrongPassword:
        text = f'password authentication failed for user "{user}"'
        raise LoginFailed(error_response("FATAL", _INVALID_PASSWORD, text), text) from None
    except ScramError as error:
        raise LoginFailed(error_response("FATAL", error.sqlstate, str(error)), str(error)) from error


def _read_initial(body: bytes) -> tuple[bytes, bytes]:
    mechanism, _, rest = body.partition(b"\0")
    if len(rest) < 4 or _LENGTH.unpack_from(rest)[0] != len(rest) - 4:
        raise ScramError("malformed SCRAM message")
    return mechanism, rest[4:]


async def _answer(client: Reading) -> bytes:
    """The body of the client's next message, which has to be an answer of the login."""
    kind, body = await client.message()
    if kind != _PASSWORD:
        raise ScramError(f"expected SASL response, got message type {kind[0]}")
    return body


async def _authentication(server: Reading, code: bytes) -> bytes:
    """What the server's next message says behind its code.

    Raises:
        LoginFailed: it is an error, for the client.
    """
    kind, body = await server.message()
    if kind == _ERROR:
        raise LoginFailed(message(kind, body), "the server does not let the user in")
    if kind != _AUTHENTICATION or not body.startswith(code):
        raise LoginFailed(error_response("FATAL", PROTOCOL_VIOLATION, "pgjanus: unexpected message of a login"), "")
    return body[len(code) :]
