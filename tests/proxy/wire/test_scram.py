"""SCRAM with a client of somebody else's, and everything that a client may do wrong."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode

import pytest
import scramp
from scramp.core import ScramMechanism

from proxy.wire.scram import PLAIN, PLUS, ScramClient, ScramError, ScramServer, Secret, WrongPassword

PASSWORD = "correct horse"
BINDING = hashlib.sha256(b"a certificate").digest()


def stored(password: str = PASSWORD) -> Secret:
    auth = ScramMechanism("SCRAM-SHA-256").make_auth_info(password, iteration_count=4096, salt=b"0123456789abcdef")
    salt, stored_key, server_key, iterations = auth
    text = f"SCRAM-SHA-256${iterations}:" + "$".join(
        (b64encode(salt).decode(), ":".join(b64encode(key).decode() for key in (stored_key, server_key)))
    )
    secret = Secret.read(text)
    assert secret is not None
    return secret


def client(password: str = PASSWORD, *, bound: bool = False) -> scramp.ScramClient:
    mechanism = "SCRAM-SHA-256-PLUS" if bound else "SCRAM-SHA-256"
    binding = ("tls-server-end-point", BINDING) if bound else None
    return scramp.ScramClient([mechanism], "ada", password, channel_binding=binding)


def log_in(asking: scramp.ScramClient, server: ScramServer, mechanism: bytes) -> bytes:
    """The client's key."""
    asking.set_server_first(server.first(mechanism, asking.get_client_first().encode()).decode())
    final, client_key = server.final(asking.get_client_final().encode())
    asking.set_server_final(final.decode())  # raises if the server does not know the secret
    return client_key


@pytest.mark.parametrize("bound", [False, True])
def test_a_client_that_knows_the_password_gives_its_key(bound: bool) -> None:
    secret = stored()
    key = log_in(client(bound=bound), ScramServer(secret, BINDING if bound else None), PLUS if bound else PLAIN)
    assert hashlib.sha256(key).digest() == secret.stored_key
    # With the key one can log in elsewhere, bound to that connection or not.
    for binding in (None, hashlib.sha256(b"another certificate").digest()):
        elsewhere, again = ScramServer(secret, binding), ScramClient(secret, key, binding)
        final, _ = elsewhere.final(again.final(elsewhere.first(again.mechanism, again.first())))
        again.check(final)


def test_a_wrong_password_and_a_user_that_there_is_not_are_the_same() -> None:
    for secret in (stored("another"), Secret.of_nobody("eve", b"key")):
        with pytest.raises(WrongPassword):
            log_in(client(), ScramServer(secret, None), PLAIN)
    assert Secret.of_nobody("eve", b"key") == Secret.of_nobody("eve", b"key")
    assert Secret.of_nobody("eve", b"key") != Secret.of_nobody("eva", b"key")


def test_a_login_that_is_bound_to_another_connection_fails() -> None:
    with pytest.raises(ScramError, match="channel binding check failed"):
        log_in(client(bound=True), ScramServer(stored(), hashlib.sha256(b"another").digest()), PLUS)


def test_a_replayed_login_fails() -> None:
    """Each server adds a nonce of its own, so what was said to another one fits none."""
    asking, first = client(), ScramServer(stored(), None)
    begin = asking.get_client_first().encode()
    asking.set_server_first(first.first(PLAIN, begin).decode())
    said = asking.get_client_final().encode()
    first.final(said)
    second = ScramServer(stored(), None)
    second.first(PLAIN, begin)
    with pytest.raises(ScramError, match="nonce does not match"):
        second.final(said)


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        (b"SCRAM-SHA-1", b"n,,n=,r=abc"),
        (PLAIN, b""),
        (PLAIN, b"n,,"),
        (PLAIN, b"n,,n="),
        (PLAIN, b"x,,n=,r=abc"),
        (PLAIN, b"n,a=eve,n=,r=abc"),
        (PLAIN, b"n,,m=ext,n=,r=abc"),
        (PLAIN, b"n,,n=,r=abc,x=1"),
        (PLAIN, b"y,,n=,r=abc"),
        (PLAIN, b"p=tls-server-end-point,,n=,r=abc"),
        (PLUS, b"n,,n=,r=abc"),
        (PLUS, b"y,,n=,r=abc"),
        (PLUS, b"p=tls-unique,,n=,r=abc"),
    ],
)
def test_a_strange_beginning_is_refused(mechanism: bytes, message: bytes) -> None:
    with pytest.raises(ScramError):
        ScramServer(stored(), BINDING).first(mechanism, message)


@pytest.mark.parametrize(
    "part", ["", "p=", "c=biws", "c=biws,r=x", "c=biws,r=x,p=!", "c=,r=x,p=AAAA", "c=biws,r=x,m=1,p=AA"]
)
def test_a_strange_end_is_refused(part: str) -> None:
    server = ScramServer(stored(), None)
    server.first(PLAIN, b"n,,n=,r=abc")
    with pytest.raises(ScramError):
        server.final(part.encode())


def test_a_proof_of_another_length_is_refused() -> None:
    asking, server = client(), ScramServer(stored(), None)
    asking.set_server_first(server.first(PLAIN, asking.get_client_first().encode()).decode())
    head, _, proof = asking.get_client_final().rpartition(",p=")
    for wrong in (b64decode(proof)[:-1], b64decode(proof) + b"x"):
        with pytest.raises(ScramError, match="malformed"):
            server.final(f"{head},p={b64encode(wrong).decode()}".encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "md5" + "0" * 32,
        "SCRAM-SHA-256$4096:salt",
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$x:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$4096:A$" + b64encode(bytes(32)).decode() + ":" + b64encode(bytes(32)).decode(),
    ],
)
def test_what_is_no_secret_of_scram_is_none(text: str) -> None:
    assert Secret.read(text) is None


def test_a_server_that_does_not_know_the_secret_is_found_out() -> None:
    secret = stored()
    key = log_in(client(), ScramServer(secret, None), PLAIN)
    again = ScramClient(secret, key)
    with pytest.raises(ScramError, match="malformed"):
        again.final(b"r=somebody else's,s=AAAA,i=4096")
    elsewhere = ScramServer(secret, None)
    elsewhere.final(again.final(elsewhere.first(PLAIN, again.first())))
    with pytest.raises(ScramError, match="could not prove"):
        again.check(b"v=" + b64encode(bytes(32)))
