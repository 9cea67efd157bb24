"""Logins with SCRAM where both sides are encrypted: they end at the proxy and are done once more."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import ssl
import struct
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import scramp

from proxy.config import ClientTls, Limits, ProxyFile, ServerTls, TlsMode
from proxy.conversation.pins import FixedPins
from proxy.embedded import NOT_DURABLE, SystemPostgres
from proxy.relay.encryption import certificate_hash
from proxy.relay.ends import End
from proxy.relay.login import Ending, FindSecret
from proxy.relay.stored_secrets import SecretsInFile, SecretsOfDatabase
from proxy.wire.messages import message
from rules.planner import plan
from tests.playbook import LocalProxy, managing
from tests.system.test_session_startup import SSL_REQUEST, startup
from tests.system.test_tls import Certificates

pytestmark = pytest.mark.skipif(not SystemPostgres.versions(), reason="the embedded servers are built without OpenSSL")
AUTH_QUERY = "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[SystemPostgres]:
    """It encrypts, and wants SCRAM from everybody."""
    made = SystemPostgres(SystemPostgres.versions()[-1], settings=NOT_DURABLE, auth="scram-sha-256")
    made.start()
    try:
        key = made.directory / "server.pem"
        shutil.copy(certificates.server, key)
        key.chmod(0o600)
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(key, account.pw_uid, account.pw_gid)
        with psycopg.connect(made.url(), autocommit=True) as admin:
            for name in ("ssl_cert_file", "ssl_key_file"):
                admin.execute(f"ALTER SYSTEM SET {name} = '{key}'".encode())
            admin.execute("ALTER SYSTEM SET ssl = on")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("CREATE ROLE ada LOGIN PASSWORD 'correct horse'")
            admin.execute("CREATE ROLE nopassword LOGIN")
            admin.execute("SET password_encryption = md5")
            admin.execute("CREATE ROLE old LOGIN PASSWORD 'old'")
        yield made
    finally:
        made.close()


@pytest.fixture(params=["auth_query", "auth_file"])
def proxy(
    request: pytest.FixtureRequest, server: SystemPostgres, certificates: Certificates, tmp_path: Path
) -> Iterator[LocalProxy]:
    stored = SecretsOfDatabase(server.url())
    find: FindSecret = stored.asking(AUTH_QUERY)
    if request.param == "auth_file":
        with psycopg.connect(server.url()) as admin:
            rows = admin.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
        file = tmp_path / "userlist.txt"
        file.write_text("; a comment\n\n" + "".join(f'"{name}" "{secret or ""}"\n' for name, secret in rows))
        find = SecretsInFile(file).find
    running = start(server, certificates, find)
    yield running
    running.run(stored.close())
    running.close()


def start(server: SystemPostgres, certificates: Certificates, find: FindSecret | None) -> LocalProxy:
    tls = ClientTls(sslmode=TlsMode.PREFER, cert_file=certificates.proxy)
    file = ProxyFile(client_tls=tls, limits=Limits(login_timeout_s=20))
    far = ServerTls(TlsMode.VERIFY_FULL, certificates.ca[1])
    running = LocalProxy(server.port, FixedPins(managing("unheard_of")), plan, file, "postgres", server_tls=far)
    if find is not None:
        running.gateway.ending = Ending(find, certificate_hash(certificates.proxy), b"key")
    return running


def connect(proxy: LocalProxy, user: str, password: str, **options: Any) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host="127.0.0.1",
        port=proxy.port,
        dbname="postgres",
        user=user,
        password=password,
        connect_timeout=20,
        **options,
    )


@pytest.mark.parametrize("binding", ["require", "prefer", "disable"])
def test_a_password_lets_in(proxy: LocalProxy, binding: str) -> None:
    with connect(proxy, "ada", "correct horse", sslmode="require", channel_binding=binding) as client:
        found = client.execute("SELECT session_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert found == ("ada", True)
    with connect(proxy, "ada", "correct horse", sslmode="disable") as client:
        assert client.execute("SELECT session_user").fetchone() == ("ada",)


@pytest.mark.parametrize(
    ("user", "password"), [("ada", "wrong"), ("nobody_at_all", "x"), ("nopassword", "x"), ("ada", " ")]
)
def test_whoever_is_not_let_in_hears_the_same(proxy: LocalProxy, user: str, password: str) -> None:
    for mode in ("require", "disable"):
        with pytest.raises(psycopg.OperationalError) as failure:
            connect(proxy, user, password, sslmode=mode)
        assert f'password authentication failed for user "{user}"' in str(failure.value)
    proxy.wait_until_empty()


async def test_a_driver_that_does_not_bind_gets_in(proxy: LocalProxy) -> None:
    url = f"postgresql://ada@127.0.0.1:{proxy.port}/postgres"
    client = await asyncpg.connect(url, password="correct horse", ssl="require")
    try:
        assert await client.fetchval("SELECT session_user") == "ada"
    finally:
        await client.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="wrong", ssl="require")


def test_a_stored_password_of_another_kind_is_the_servers_matter(proxy: LocalProxy) -> None:
    """pg_hba.conf wants SCRAM, so an MD5 secret lets nobody in; at the server neither."""
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "old"'):
        connect(proxy, "old", "old", sslmode="require")


def test_without_the_secrets_only_those_get_in_that_do_not_bind(
    server: SystemPostgres, certificates: Certificates
) -> None:
    unreadable = SecretsOfDatabase(server.url())
    wrong = unreadable.asking("SELECT usename, passwd FROM pg_shadow WHERE nosuch = $1")
    for find in (None, wrong):
        proxy = start(server, certificates, find)
        try:
            with connect(proxy, "ada", "correct horse", sslmode="require", channel_binding="disable") as client:
                assert client.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError, match="channel binding check failed"):
                connect(proxy, "ada", "correct horse", sslmode="require")
        finally:
            proxy.run(unreadable.close())
            proxy.close()


def test_a_client_that_hangs_up_in_the_login_leaves_nothing(proxy: LocalProxy) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(proxy, "ada", "correct horse", sslmode="require", require_auth="none")
    proxy.wait_until_empty()


def test_the_login_at_the_server_is_bound_to_its_certificate(
    proxy: LocalProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody between proxy and server shows another certificate, and can make nothing of what the proxy says."""
    monkeypatch.setattr(End, "binding", b"x" * 32)
    with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding check failed"):
        connect(proxy, "ada", "correct horse", sslmode="require")


class Stranger:
    """Speaks SCRAM over TLS, message by message."""

    def __init__(self, proxy: LocalProxy, user: str) -> None:
        line = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
        line.sendall(SSL_REQUEST)
        assert line.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.line = context.wrap_socket(line)
        self.line.sendall(startup("user", user, "database", "postgres"))
        self.offered = self.receive()

    def receive(self) -> bytes:
        """The body of the next message, with its type in front."""
        head = self._exactly(5)
        return head[:1] + self._exactly(struct.unpack(">i", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.line.recv(count - len(data))
            assert more
            data += more
        return data

    def begins(self, mechanism: str, first: str) -> str:
        """The challenge."""
        body = first.encode()
        self.line.sendall(message(b"p", mechanism.encode() + struct.pack(">xi", len(body)) + body))
        return self.receive()[5:].decode()

    def ends(self, final: str) -> bytes:
        self.line.sendall(message(b"p", final.encode()))
        return self.receive()

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()


def test_nobody_finds_out_who_there_is(proxy: LocalProxy) -> None:
    """Offer and challenge are those of a user with a password, and the same whenever one asks."""
    seen: dict[str, list[str]] = {}
    for user in ("ada", "nobody_at_all", "nopassword", "old") * 2:
        with Stranger(proxy, user) as stranger:
            assert stranger.offered == b"R\0\0\0\nSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
            nonce, salt, iterations = stranger.begins("SCRAM-SHA-256", "n,,n=,r=abc").split(",")
            assert nonce.startswith("r=abc") and iterations == "i=4096"
            seen.setdefault(user, []).append(salt)
    assert all(first == second and len(b64decode(first[2:])) == 16 for first, second in seen.values())
    assert len({salts[0] for salts in seen.values()}) == len(seen)


@pytest.mark.parametrize(
    ("attack", "sqlstate"), [("replay", "08P01"), ("binding", "28000"), ("downgrade", "28000"), ("password", "28P01")]
)
def test_who_attacks_a_login_is_not_let_in(
    proxy: LocalProxy, certificates: Certificates, attack: str, sqlstate: str
) -> None:
    hash_ = b"x" * 32 if attack == "binding" else certificate_hash(certificates.proxy)
    binding = ("tls-server-end-point", hash_)
    asking = scramp.ScramClient(
        ["SCRAM-SHA-256-PLUS"], "ada", "wrong" if attack == "password" else "correct horse", channel_binding=binding
    )
    first = asking.get_client_first()
    with Stranger(proxy, "ada") as stranger, Stranger(proxy, "ada") as again:
        if attack == "downgrade":
            # The offer of PLUS was taken away on its way, and the client says that it could have bound its login.
            answer = stranger.begins("SCRAM-SHA-256", "y,," + first.partition(",,")[2]).encode()
            assert f"C{sqlstate}\0".encode() in answer
            return
        asking.set_server_first(stranger.begins("SCRAM-SHA-256-PLUS", first))
        final = asking.get_client_final()
        answer = stranger.ends(final)
        if attack == "replay":
            assert answer.startswith(b"R\0\0\0\x0cv=")
            again.begins("SCRAM-SHA-256-PLUS", first)
            answer = again.ends(final)
    assert answer[:1] == b"E" and f"C{sqlstate}\0".encode() in answer
    proxy.wait_until_empty()
