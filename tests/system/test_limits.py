"""What one client may cost: beyond a limit it is told so in PostgreSQL's words, and the others notice nothing."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from proxy.config import Limits, ProxyFile, read_proxy_file
from proxy.conversation.admission import Admission, MessageTooLong
from proxy.wire.messages import message
from tests.conftest import Database, Server
from tests.playbook import LocalProxy, RawClient, error_of, kinds, local_proxy, query
from tests.system.test_session_startup import SSL_REQUEST, startup

AUTHENTICATION_OK = message(b"R", struct.pack(">i", 0))
PASSWORD_WANTED = message(b"R", struct.pack(">i", 3))
READY = message(b"Z", b"I")


class SlowServer:
    """Accepts, and asks each client for a password; what it makes of the answer is nobody's business."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._listener:
            while True:
                try:
                    client, _ = self._listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                client.sendall(PASSWORD_WANTED)
                while client.recv(65536):
                    pass
            except OSError:
                pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def slow_server() -> Iterator[SlowServer]:
    server = SlowServer()
    yield server
    server.close()


@contextmanager
def limited(port: int, **limits: float) -> Iterator[LocalProxy]:
    with local_proxy(port, file=ProxyFile(limits=Limits.model_validate(limits))) as proxy:
        yield proxy
        proxy.wait_until_empty()


def last_words(client: socket.socket) -> dict[str, str]:
    """The ErrorResponse with which the connection ends."""
    data = b""
    try:
        while more := client.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    found = []
    while data:
        length = struct.unpack_from(">i", data, 1)[0]
        found.append((data[:1], data[5 : length + 1]))
        data = data[length + 1 :]
    return error_of(found)


def dial(proxy: LocalProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def test_one_client_too_many_is_told_so_and_gets_in_when_another_one_has_left(
    server: Server, database: Database
) -> None:
    url = "postgresql://postgres@127.0.0.1:{}/" + database.name
    with limited(server.port, max_connections=2) as proxy:
        with RawClient(proxy.port, database.name) as first, RawClient(proxy.port, database.name) as second:
            with pytest.raises(psycopg.OperationalError, match="sorry, too many clients already"):
                psycopg.connect(url.format(proxy.port))
            with dial(proxy) as third:
                third.sendall(startup("user", "postgres"))
                assert last_words(third)["C"] == "53300"
            # A cancel is not counted: it is what one needs when everything is full.
            first.send(query("SELECT pg_sleep(60)"))
            key = next(body for kind, body in second.greeting if kind == b"K")
            assert len(key) == 8
            mine = next(body for kind, body in first.greeting if kind == b"K")
            assert_cancelled(proxy, mine, first)
        proxy.wait_until_empty()
        with psycopg.connect(url.format(proxy.port)) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
        assert proxy.gateway.turned_away == 2


def assert_cancelled(proxy: LocalProxy, key: bytes, client: RawClient) -> None:
    """The query may not have begun when the first request comes."""
    client.socket.settimeout(0.2)
    for _ in range(100):
        with dial(proxy) as cancelling:
            cancelling.sendall(struct.pack(">ii", 16, 80877102) + key)
            assert cancelling.recv(1) == b""
        try:
            reply = client.until(b"Z")
        except TimeoutError:
            continue
        assert error_of(reply)["C"] == "57014"
        return
    pytest.fail("it goes on")


def test_a_crowd_that_says_nothing_is_turned_away_too(server: Server) -> None:
    with limited(server.port, max_connections=2) as proxy, ExitStack() as stack:
        silent = [stack.enter_context(dial(proxy)) for _ in range(8)]
        proxy.wait_for(lambda: proxy.gateway.turned_away == 3)
        for client in silent[5:]:
            assert last_words(client)["C"] == "53300"
        stack.close()


def test_a_login_takes_no_longer_than_it_may(slow_server: SlowServer) -> None:
    with limited(slow_server.port, login_timeout_s=0.5) as proxy:
        with dial(proxy) as silent, dial(proxy) as half, dial(proxy) as asked:
            half.sendall(startup("user", "postgres")[:9])
            asked.sendall(startup("user", "postgres"))
            assert asked.recv(len(PASSWORD_WANTED)) == PASSWORD_WANTED
            words = last_words(asked)
            assert (words["C"], words["M"]) == ("57014", "canceling authentication due to timeout")
            assert silent.recv(1) == half.recv(1) == b"", "as PostgreSQL, not a word to who has not said his name"


@pytest.mark.parametrize("packet", [startup("user", "postgres"), SSL_REQUEST + b"x"], ids=["startup", "request"])
def test_a_byte_at_a_time_does_not_make_it_longer(slow_server: SlowServer, packet: bytes) -> None:
    slowly = itertools.chain(packet[:8], itertools.repeat(ord("x")))
    with limited(slow_server.port, login_timeout_s=0.5) as proxy, dial(proxy) as client:
        client.settimeout(0.1)
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                client.sendall(bytes([next(slowly)]))
                try:
                    if client.recv(100) == b"":
                        break
                except TimeoutError:
                    continue
        except (ConnectionResetError, BrokenPipeError):
            pass
        proxy.wait_until_empty()
        assert time.monotonic() < deadline


def test_a_message_of_a_login_has_its_bound_and_nothing_else_is_kept(slow_server: SlowServer) -> None:
    with limited(slow_server.port, login_message_bytes=2000) as proxy:
        with dial(proxy) as client:
            client.sendall(startup("user", "postgres") + message(b"p", b"x" * 1900) + struct.pack(">ci", b"p", 2001))
            words = last_words(client)
            assert (words["C"], words["M"]) == ("08P01", "invalid message length")


def test_a_session_that_is_not_used_ends_unless_a_transaction_runs(server: Server, database: Database) -> None:
    with limited(server.port, idle_timeout_s=0.4) as proxy:
        with RawClient(proxy.port, database.name) as quiet, RawClient(proxy.port, database.name) as busy:
            busy.query("BEGIN")
            goodbye = quiet.until(b"")
            assert (kinds(goodbye), error_of(goodbye)["C"]) == ("E.", "57P05")
            busy.query("SELECT pg_sleep(1)")
            assert kinds(busy.query("COMMIT")) == "CZ"
            assert error_of(busy.until(b""))["C"] == "57P05"


def test_a_session_of_another_database_ends_when_it_is_idle_too(server: Server, database: Database) -> None:
    file = ProxyFile(limits=Limits(idle_timeout_s=0.4))
    with local_proxy(server.port, file=file, database="elsewhere") as proxy:
        with RawClient(proxy.port, database.name) as quiet, RawClient(proxy.port, database.name) as busy:
            busy.query("BEGIN")
            assert error_of(quiet.until(b""))["C"] == "57P05"
            assert kinds(busy.query("COMMIT")) == "CZ"


def test_a_drain_ends_an_idle_session_of_another_database_and_lets_a_transaction_end(
    server: Server, database: Database
) -> None:
    with local_proxy(server.port, database="elsewhere") as proxy:
        with RawClient(proxy.port, database.name) as idle, RawClient(proxy.port, database.name) as busy:
            idle.query("SELECT 1")
            busy.query("BEGIN")
            for session in tuple(proxy.gateway.sessions):
                proxy.call(session.drain)
            assert error_of(idle.until(b""))["C"] == "57P01"
            assert kinds(busy.query("SELECT 1")) == "TDCZ"
            busy.send(query("COMMIT"))
            assert kinds(busy.until(b"")) == "CZE."
        proxy.wait_until_empty()


# ---------------------------------------------------------------------------- what comes before the login is over


def admitted(*steps: tuple[str, bytes], limit: int = 100) -> tuple[Admission, bytes]:
    """After data from c(lient) and s(erver), byte by byte; and what the server has got."""
    admission, passed = Admission(limit), b""
    for side, data in steps:
        for byte in data:
            if side == "c":
                passed += admission.receive_client(bytes([byte]))
            else:
                admission.receive_server(bytes([byte]))
    return admission, passed


def test_what_is_sent_before_the_login_is_over_waits_for_it() -> None:
    admission, passed = admitted(("c", query("SELECT 1")), ("s", AUTHENTICATION_OK))
    assert (passed, admission.rest, admission.over) == (b"", query("SELECT 1"), False)
    admission.receive_server(READY)
    assert admission.over


def test_answers_pass_and_what_comes_behind_them_waits() -> None:
    password = message(b"p", b"secret\0")
    admission, passed = admitted(("s", PASSWORD_WANTED), ("c", password + query("SELECT 1")))
    assert (passed, admission.rest) == (password, query("SELECT 1"))


def test_what_is_no_answer_to_a_question_is_the_servers_to_complain_about() -> None:
    _, passed = admitted(("s", PASSWORD_WANTED), ("c", query("SELECT 1")))
    assert passed == query("SELECT 1")


def test_no_more_is_read_than_a_login_needs() -> None:
    admission, passed = admitted(("c", query("x" * 200)))
    assert (passed, admission.wants_client_data) == (b"", False)
    for bad in (3, -1, 101, 0x7FFFFFFF):
        with pytest.raises(MessageTooLong):
            admitted(("c", struct.pack(">ci", b"p", bad)))


def test_the_example_of_a_settings_file_has_every_setting_with_its_default() -> None:
    example = Path(__file__).parents[2] / "deploy/pgjanus.yaml"
    file = read_proxy_file(example)
    assert file == ProxyFile()
    text = example.read_text()
    documented = (Path(__file__).parents[2] / "docs/limits.md").read_text()
    for name in Limits.model_fields:
        assert f"\n  {name}:" in text, name
        assert f"| `{name}` |" in documented, name
