"""Before a session: encryption declined, cancels passed on, limits kept, every startup packet relayed as it came."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import psycopg
import pytest

from proxy.config import ClientMatch, Limits, ProxyFile
from proxy.ports import free_ports
from proxy.wire.messages import ErrorFields
from rules.phases import Shape
from tests.conftest import ALL_SERVERS, Database, Server
from tests.playbook import (
    NOTHING,
    LocalProxy,
    OrderedPins,
    RawClient,
    RecordingRelay,
    Scripted,
    error_of,
    kinds,
    local_proxy,
    managing,
    query,
)

SSL_REQUEST = struct.pack(">ii", 8, 80877103)
GSSENC_REQUEST = struct.pack(">ii", 8, 80877104)


def startup(*words: str, version: int = 0x30000) -> bytes:
    body = b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return struct.pack(">ii", len(body) + 8, version) + body


def answer(port: int, *parts: bytes) -> bytes:
    """What comes back until the other side closes; parts go out one by one, each after an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        received = b""
        try:
            for i, part in enumerate(parts):
                client.sendall(part)
                if i + 1 < len(parts):
                    received += client.recv(1)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except ConnectionResetError:
            pass
        return received


PACKETS: dict[str, tuple[bytes, ...]] = {
    "shorter than a header": (struct.pack(">i", 7),),
    "a header alone": (struct.pack(">i", 8),),
    "longer than allowed": (struct.pack(">ii", 10_001, 0x30000) + b"x" * 100,),
    "negative length": (struct.pack(">i", -1),),
    "http": (b"GET / HTTP/1.1\r\n\r\n",),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
    "nothing": (b"",),
    "protocol 2.0": (struct.pack(">ii", 296, 0x20000) + b"\0" * 288,),
    "protocol 4.0": (startup("user", "postgres", version=0x40000),),
    "protocol 1234.0": (startup("user", "postgres", version=1234 << 16),),
    "no user": (startup("database", "postgres"),),
    "no such database": (startup("user", "postgres", "database", "nowhere"),),
    "no such parameter": (startup("user", "postgres", "database", "postgres", "nonsense", "1"),),
    "a malformed list": (struct.pack(">ii", 14, 0x30000) + b"user\0x",),
    "ssl": (SSL_REQUEST,),
    "ssl, then no such database": (SSL_REQUEST, startup("user", "postgres", "database", "nowhere")),
    "cancel of nothing": (struct.pack(">iiii", 16, 80877102, 99999, 1),),
}


@pytest.mark.parametrize("packets", PACKETS.values(), ids=PACKETS)
def test_a_strange_beginning_gets_the_servers_own_answer(server: Server, packets: tuple[bytes, ...]) -> None:
    with local_proxy(server.port) as proxy:
        assert answer(proxy.port, *packets) == answer(server.port, *packets)
        proxy.wait_until_empty()


def test_data_behind_a_request_for_encryption_is_not_believed(server: Server) -> None:
    """CVE-2021-23214's class: somebody in between may have put it there."""
    packet = SSL_REQUEST + startup("user", "postgres")
    with local_proxy(server.port) as proxy:
        ours, theirs = answer(proxy.port, packet), answer(server.port, packet)
    assert ours[:1] == theirs[:1] == b"N"
    words = dict(ErrorFields.read(ours[6:]).fields)
    expected = dict(ErrorFields.read(theirs[6:]).fields)
    assert words == {code: value for code, value in expected.items() if chr(code) not in "FLR"}


def test_a_second_request_for_encryption_is_an_error(server: Server) -> None:
    with local_proxy(server.port) as proxy:
        reply = answer(proxy.port, SSL_REQUEST, GSSENC_REQUEST, SSL_REQUEST)
        assert reply.startswith(b"NNE")
        assert b"C0A000\0" in reply


def test_data_behind_a_request_for_gss_encryption_is_not_believed(server: Server) -> None:
    with local_proxy(server.port) as proxy:
        reply = answer(proxy.port, GSSENC_REQUEST + startup("user", "postgres"))
        assert reply.startswith(b"NE")
        assert b"C08P01\0" in reply


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
@pytest.mark.parametrize("version", [0x30000, 0x30002, 0x3270F], ids=["3.0", "3.2", "3.9999"])
def test_startup_packets_of_every_version_are_relayed_as_they_came(
    server: Server, database: Database, version: int
) -> None:
    parameters = {"application_name": "żółw", "options": r"-c work_mem=5MB -cgeqo=off", "_pq_.future": "1"}
    with RecordingRelay(server.port) as relay, local_proxy(relay.port) as proxy:
        with RawClient(server.port, database.name, parameters, version) as direct:
            with RawClient(proxy.port, database.name, parameters, version) as through:
                # Keys and process ids differ, their lengths do not.
                shape = [(kind, len(body)) for kind, body in direct.greeting]
                assert [(kind, len(body)) for kind, body in through.greeting] == shape
                assert through.query("SHOW work_mem") == direct.query("SHOW work_mem")
        proxy.wait_until_empty()
        packet = bytes(relay.towards_server[0])
        assert packet[4:8] == version.to_bytes(4, "big")
        assert b"_pq_.future\x001\0" in packet


@pytest.mark.parametrize(("version", "key_bytes"), [(0x30000, 8), (0x30002, 36), (0x3270F, 36)])
def test_a_cancel_reaches_the_server(database: Database, version: int, key_bytes: int) -> None:
    with local_proxy(database.server.port) as proxy:
        with RawClient(proxy.port, database.name, version=version) as client:
            [key] = [body for kind, body in client.greeting if kind == b"K"]
            assert len(key) == key_bytes
            client.send(query("SELECT pg_sleep(60)"))
            watch = database.connect()
            while not watch.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'").fetchone():
                pass  # a cancel that comes before the statement does nothing
            assert answer(proxy.port, struct.pack(">ii", 8 + len(key), 80877102) + key) == b""
            assert error_of(client.until(b"Z"))["C"] == "57014"


def test_a_server_that_is_not_there_is_named_in_the_error(database: Database) -> None:
    [port] = free_ports(1)
    with local_proxy(port) as proxy:
        with pytest.raises(psycopg.OperationalError, match=rf"could not connect to .* at 127.0.0.1:{port}: .*refused"):
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database.name}")
        reply = answer(proxy.port, startup("user", "postgres"))
        assert b"SFATAL\0" in reply
        assert b"C08006\0" in reply
        assert proxy.gateway.unreachable == 2


def test_a_client_that_says_nothing_is_dropped_in_time(server: Server) -> None:
    with local_proxy(server.port, file=ProxyFile(limits=Limits(login_timeout_s=0.2))) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"\0\0")
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
        proxy.wait_until_empty()


# ---------------------------------------------------------------------------- which shape, and whether at all

USERS = managing("users")
FILE = ProxyFile(
    clients=(
        ClientMatch(user="postgres", application_name="web-*", shape=Shape.NEW),
        ClientMatch(application_name="*", database="elsewhere", shape=Shape.NEW),
    )
)


@pytest.fixture
def planner() -> Scripted:
    return Scripted()


@pytest.fixture
def shaped(database: Database, planner: Scripted) -> Iterator[LocalProxy]:
    database.connect().execute("CREATE TABLE users (id int)")
    pins = OrderedPins(USERS)
    with local_proxy(database.server.port, pins=pins, planner=planner, file=FILE, database=database.name) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ({}, Shape.OLD),
        ({"pgjanus.shape": "new"}, Shape.NEW),
        ({"options": "-c pgjanus.shape=new"}, Shape.NEW),
        ({"options": "-cgeqo=off --pgjanus.shape=new"}, Shape.NEW),
        ({"application_name": "web-1"}, Shape.NEW),
        ({"application_name": "web-1", "pgjanus.shape": "old"}, Shape.OLD),
        ({"application_name": "batch"}, Shape.OLD),
    ],
)
def test_the_shape_comes_from_startup_parameter_settings_or_listener(
    shaped: LocalProxy, database: Database, planner: Scripted, parameters: dict[str, str], shape: Shape
) -> None:
    with RawClient(shaped.port, database.name, parameters) as client:
        assert kinds(client.query("SELECT * FROM users")) == "TCZ"
    assert [client.shape for client in planner.clients] == [shape]


def test_an_unknown_shape_is_refused_at_startup(shaped: LocalProxy, database: Database) -> None:
    with RawClient(shaped.port, database.name, {"pgjanus.shape": "blue"}) as client:
        error = error_of(client.greeting)
        assert (error["C"], error["S"]) == ("22023", "FATAL")
        assert "blue" in error["M"]


@pytest.mark.parametrize("parameters", [{"replication": "database"}, {}], ids=["replication", "another database"])
def test_sessions_that_are_not_ours_are_relayed_untouched(
    shaped: LocalProxy, database: Database, planner: Scripted, parameters: dict[str, str]
) -> None:
    name = database.name if parameters else "postgres"
    with RawClient(shaped.port, name, parameters) as client:
        kind = kinds(client.query("IDENTIFY_SYSTEM" if parameters else "SELECT 'users'"))
        assert kind == "TDCZ"
        client.send(query("SELECT '" + "users" * 50_000 + "'"))
        assert kinds(client.until(b"Z")) == "TDCZ"
    assert planner.clients == []
    shaped.wait_until_empty()


def test_without_a_managed_database_every_session_is_followed(server: Server, database: Database) -> None:
    pins = OrderedPins(NOTHING)
    with local_proxy(server.port, pins=pins) as proxy:
        with RawClient(proxy.port, database.name) as client:
            client.query("BEGIN")
            assert pins.pinned == [NOTHING]
        proxy.wait_until_empty()
        assert pins.pinned == []
