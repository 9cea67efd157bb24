"""TLS on both legs. The embedded servers do not encrypt, so the second leg leads to another proxy that does."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import trustme

from proxy.config import ClientTls, Limits, ProxyFile, ServerTls, TlsMode
from proxy.conversation.pins import FixedPins
from rules.phases import Shape
from rules.planner import plan
from tests.conftest import ALL_SERVERS, Server
from tests.playbook import LocalProxy, managing
from tests.system.test_session_startup import GSSENC_REQUEST, SSL_REQUEST, answer, startup

pytestmark = pytest.mark.parametrize("server", ALL_SERVERS[:1], indirect=True)
#: More than the buffers of the kernel and of either side hold.
LARGE = 4 << 20


class Certificates:
    """An authority, a certificate of the proxy and one of a client, and an authority that nobody trusts."""

    def __init__(self, folder: Path) -> None:
        self.ca = self._authority(folder, "ca")
        self.stranger = self._authority(folder, "stranger")
        self.proxy = self._issue(self.ca[0], folder, "proxy", "localhost", "127.0.0.1")
        self.server = self._issue(self.ca[0], folder, "server", "127.0.0.1")
        self.elsewhere = self._issue(self.ca[0], folder, "elsewhere", "example.org")
        self.client = self._issue(self.ca[0], folder, "client", "ada@example.org")
        self.strange_client = self._issue(self.stranger[0], folder, "strange", "eve@example.org")

    @staticmethod
    def _authority(folder: Path, name: str) -> tuple[trustme.CA, Path]:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / f"{name}.pem"))
        return ca, folder / f"{name}.pem"

    @staticmethod
    def _issue(ca: trustme.CA, folder: Path, name: str, *identities: str) -> Path:
        """One file with the key and the certificate; libpq wants the key to be private."""
        path = folder / f"{name}.pem"
        ca.issue_cert(*identities).private_key_and_cert_chain_pem.write_to_path(str(path))
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def stack() -> Iterator[list[LocalProxy]]:
    """Proxies to be closed at the end, the one next to the client first."""
    proxies: list[LocalProxy] = []
    yield proxies
    for proxy in reversed(proxies):
        proxy.close()


def start(
    stack: list[LocalProxy], port: int, client_tls: ClientTls, tls: ServerTls | None = None, database: str | None = None
) -> LocalProxy:
    file = ProxyFile(client_tls=client_tls, limits=Limits(login_timeout_s=20))
    proxy = LocalProxy(port, FixedPins(managing("unheard_of")), plan, file, database, server_tls=tls)
    stack.append(proxy)
    return proxy


def client_tls(certificates: Certificates, mode: TlsMode = TlsMode.PREFER) -> ClientTls:
    return ClientTls(sslmode=mode, cert_file=certificates.proxy, ca_file=certificates.ca[1])


def connect(proxy: LocalProxy, **options: Any) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres", autocommit=True, connect_timeout=20, **options
    )


def is_encrypted(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return connection.pgconn.ssl_in_use


@pytest.mark.parametrize("database", ["postgres", None], ids=["conversation", "any"])
def test_a_client_that_asks_is_encrypted_and_one_that_does_not_is_not(
    server: Server, certificates: Certificates, stack: list[LocalProxy], database: str | None
) -> None:
    proxy = start(stack, server.port, client_tls(certificates), database=database)
    for mode, encrypted in (("disable", False), ("prefer", True), ("require", True)):
        with connect(proxy, sslmode=mode) as client:
            assert is_encrypted(client) is encrypted
            row = client.execute("SELECT %s, repeat('ż', %s)", ("x" * LARGE, LARGE)).fetchone()
            assert row is not None
            assert (len(str(row[0])), len(str(row[1]))) == (LARGE, LARGE)
            with client.cursor().copy(
                "COPY (SELECT repeat('y', 1000) FROM generate_series(1, 5000)) TO STDOUT"
            ) as copy:
                assert sum(len(bytes(data)) for data in copy) == 5000 * 1001


def test_the_clients_own_checks_hold(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    proxy = start(stack, server.port, client_tls(certificates))
    with connect(proxy, sslmode="verify-full", sslrootcert=str(certificates.ca[1])) as client:
        assert is_encrypted(client)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(proxy, sslmode="verify-full", sslrootcert=str(certificates.stranger[1]))
    elsewhere = ClientTls(sslmode=TlsMode.ALLOW, cert_file=certificates.elsewhere)
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        connect(start(stack, server.port, elsewhere), sslmode="verify-full", sslrootcert=str(certificates.ca[1]))


def test_encryption_can_be_required(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    proxy = start(stack, server.port, client_tls(certificates, TlsMode.REQUIRE))
    with pytest.raises(psycopg.OperationalError, match="takes encrypted connections only"):
        connect(proxy, sslmode="disable")
    with connect(proxy, sslmode="require") as client:
        assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("mode", [TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL])
def test_clients_can_be_asked_for_a_certificate(
    server: Server, certificates: Certificates, stack: list[LocalProxy], mode: TlsMode
) -> None:
    proxy = start(stack, server.port, client_tls(certificates, mode))
    own = {"sslcert": str(certificates.client), "sslkey": str(certificates.client)}
    with connect(proxy, sslmode="require", **own) as client:
        assert is_encrypted(client)
    strange = {"sslcert": str(certificates.strange_client), "sslkey": str(certificates.strange_client)}
    for wrong in (strange, {}):
        with pytest.raises(psycopg.OperationalError):
            connect(proxy, sslmode="require", **wrong)
    with connect(proxy, sslmode="require", **own) as client:
        assert is_encrypted(client)


async def test_asyncpg_is_encrypted(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    proxy = start(stack, server.port, client_tls(certificates))
    context = ssl.create_default_context(cafile=str(certificates.ca[1]))
    client = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres", ssl=context)
    try:
        assert await client.fetchval("SELECT length($1::text)", "x" * LARGE) == LARGE
    finally:
        await client.close()


def test_a_client_may_begin_without_asking(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    """`sslnegotiation=direct` of PostgreSQL 17: only with ALPN, so that no other protocol can be mistaken for it."""
    proxy = start(stack, server.port, client_tls(certificates))
    context = ssl.create_default_context(cafile=str(certificates.ca[1]))
    context.set_alpn_protocols(["postgresql"])
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            assert client.selected_alpn_protocol() == "postgresql"
            client.sendall(startup("user", "postgres", "database", "postgres"))
            assert client.recv(1) == b"R"
    context = ssl.create_default_context(cafile=str(certificates.ca[1]))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            assert client.recv(1) == b""


def test_bytes_behind_the_request_are_an_attack(
    server: Server, certificates: Certificates, stack: list[LocalProxy]
) -> None:
    """CVE-2021-23214: what comes in plain text before the handshake must not be taken for encrypted."""
    proxy = start(stack, server.port, client_tls(certificates))
    said = answer(proxy.port, SSL_REQUEST + startup("user", "postgres", "database", "postgres"))
    assert b"received unencrypted data after SSL request" in said
    assert answer(proxy.port, GSSENC_REQUEST, SSL_REQUEST)[:2] == b"NS"
    assert answer(proxy.port, SSL_REQUEST, b"\x16\x03\x01")[:1] == b"S"
    assert answer(proxy.port, SSL_REQUEST, b"GET / HTTP/1.1\r\n\r\n")[:1] == b"S"
    proxy.wait_until_empty()


def test_asking_twice_is_refused(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    proxy = start(stack, server.port, client_tls(certificates))
    context = ssl.create_default_context(cafile=str(certificates.ca[1]))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(SSL_REQUEST)
            assert b"unsupported frontend protocol 1234.5679" in client.recv(4096)


def test_a_cancel_is_encrypted_as_well(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    outer = start(stack, server.port, client_tls(certificates))
    proxy = start(stack, outer.port, client_tls(certificates), ServerTls(TlsMode.REQUIRE))
    with connect(proxy, sslmode="require") as client, connect(proxy) as watcher, ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(client.execute, "SELECT pg_sleep(20)")
        active = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        while watcher.execute(active, (client.info.backend_pid,)).fetchone() is None:
            assert not sleeping.done()
        client.cancel_safe(timeout=20)
        assert isinstance(sleeping.exception(20), psycopg.errors.QueryCanceled)


@pytest.mark.parametrize("mode", [m for m in TlsMode if m is not TlsMode.DISABLE])
def test_the_connection_to_the_server_is_encrypted(
    server: Server, certificates: Certificates, stack: list[LocalProxy], mode: TlsMode
) -> None:
    far = start(stack, server.port, client_tls(certificates, TlsMode.REQUIRE))
    near = start(stack, far.port, ClientTls(), ServerTls(mode, sslrootcert=certificates.ca[1]))
    with connect(near) as client:
        assert client.execute("SELECT length(%s)", ("x" * LARGE,)).fetchone() == (LARGE,)
    near = start(stack, far.port, ClientTls(), ServerTls(mode, sslrootcert=certificates.stranger[1]))
    if mode.verifies:
        with pytest.raises(psycopg.OperationalError, match="certificate not to be trusted"):
            connect(near)
    else:
        connect(near).close()


def test_a_server_that_does_not_encrypt(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    with connect(start(stack, server.port, ClientTls(), ServerTls(TlsMode.PREFER))) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="does not encrypt connections, and sslmode is require"):
        connect(start(stack, server.port, ClientTls(), ServerTls(TlsMode.REQUIRE)))


def test_a_certificate_for_another_host(server: Server, certificates: Certificates, stack: list[LocalProxy]) -> None:
    elsewhere = ClientTls(sslmode=TlsMode.REQUIRE, cert_file=certificates.elsewhere)
    far = start(stack, server.port, elsewhere)
    ca = certificates.ca[1]
    with connect(start(stack, far.port, ClientTls(), ServerTls(TlsMode.VERIFY_CA, ca))) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="certificate not to be trusted"):
        connect(start(stack, far.port, ClientTls(), ServerTls(TlsMode.VERIFY_FULL, ca)))


def test_the_proxy_shows_the_server_its_own_certificate(
    server: Server, certificates: Certificates, stack: list[LocalProxy]
) -> None:
    far = start(stack, server.port, client_tls(certificates, TlsMode.VERIFY_CA))
    tls = ServerTls(TlsMode.VERIFY_FULL, certificates.ca[1], certificates.client, certificates.client)
    with connect(start(stack, far.port, ClientTls(), tls)) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        connect(start(stack, far.port, ClientTls(), ServerTls(TlsMode.VERIFY_FULL, certificates.ca[1])))


def test_half_a_handshake_is_cut_when_its_time_is_over(
    server: Server, certificates: Certificates, stack: list[LocalProxy]
) -> None:
    file = ProxyFile(client_tls=client_tls(certificates), limits=Limits(login_timeout_s=0.3))
    stack.append(LocalProxy(server.port, FixedPins(managing()), plan, file, None))
    with socket.create_connection(("127.0.0.1", stack[0].port), timeout=20) as client:
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(struct.pack(">B", 0x16))
        assert client.recv(1) == b""


def test_the_shape_is_chosen_under_encryption_too(
    server: Server, certificates: Certificates, stack: list[LocalProxy]
) -> None:
    proxy = start(stack, server.port, client_tls(certificates), database="postgres")
    with pytest.raises(psycopg.OperationalError, match="Available values: old, new"):
        connect(proxy, sslmode="require", options="-c pgjanus.shape=both")
    with connect(proxy, sslmode="require", options=f"-c pgjanus.shape={Shape.NEW.value}") as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
