"""Long and deep statements: planned away from the event loop, in order, and with the same result as any other."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.planning.process import LONG_CHARS
from rules.phases import Shape, Strategy, phase_named
from rules.planner import plan
from tests.conftest import Server
from tests.playbook import SYNC, LocalProxy, OrderedPins, RawClient, bind, execute, kinds, local_proxy, parse, query
from tests.system.scene import rows
from tests.twin import Twin, open_twins


@pytest.fixture(scope="module")
def twin(server: Server) -> Iterator[Twin]:
    with open_twins(server) as make:
        yield make(phase_named(Strategy.DUAL_WRITE, "writing_both"), Shape.OLD)


@pytest.fixture
def proxy(server: Server, twin: Twin) -> Iterator[LocalProxy]:
    with local_proxy(server.port, pins=OrderedPins(twin.snapshot), planner=plan, away_from=LONG_CHARS) as running:
        yield running


@pytest.fixture
def client(proxy: LocalProxy, twin: Twin) -> Iterator[RawClient]:
    with RawClient(proxy.port, twin.managed.info.dbname) as client:
        client.query("BEGIN")
        yield client


def insert(count: int, first: int = 1000) -> str:
    return "INSERT INTO users (id, full_name, age) VALUES " + ", ".join(
        f"({first + i}, 'First{i} Last{i}', {i})" for i in range(count)
    )


def test_a_long_insert_writes_both_formats_while_others_go_on(proxy: LocalProxy, client: RawClient, twin: Twin) -> None:
    """The other client's statements are answered between the two messages of the first one."""
    done = threading.Event()
    answered: list[float] = []

    def other_traffic() -> None:
        with RawClient(proxy.port, twin.managed.info.dbname) as other:
            while not done.is_set():
                before = time.monotonic()
                assert rows(other.query("SELECT count(*) FROM orders")) == [b"5"]
                answered.append(time.monotonic() - before)

    thread = threading.Thread(target=other_traffic)
    thread.start()
    try:
        replies = client.query(insert(5_000))
    finally:
        done.set()
        thread.join()
    assert replies[0] == (b"C", b"INSERT 0 5000\0")
    written = client.query(
        "SELECT count(*) FROM users WHERE full_name = 'First' || (id - 1000) || ' Last' || (id - 1000)"
    )
    assert rows(written) == [b"5000"]
    client.query("ROLLBACK")
    assert len(answered) > 2


def test_messages_behind_a_long_one_keep_their_order(client: RawClient) -> None:
    client.send(
        query(insert(2_000)),
        query("SELECT count(*) FROM users WHERE id >= 1000"),
        *(parse("", insert(2_000, 5_000)), bind("", ""), execute()),
        *(parse("", "SELECT count(*) FROM users WHERE id >= 1000"), bind("", ""), execute(), SYNC),
        query("ROLLBACK"),
    )
    replies = client.until(b"Z", 4)
    assert kinds(replies) == "CZ" + "TDCZ" + "12C" + "12DCZ" + "CZ"
    assert rows(replies) == [b"2000", b"4000"]


def test_errors_in_a_long_statement_point_into_the_clients_text(client: RawClient) -> None:
    text = insert(2_000) + ", (1, nope, 2)"
    [body] = [body for kind, body in client.query(text) if kind == b"E"]
    assert f"P{text.index('nope') + 1}\0".encode() in body
    client.query("ROLLBACK")


def test_a_long_prepared_statement_follows_the_phase(client: RawClient, proxy: LocalProxy, twin: Twin) -> None:
    client.query("ROLLBACK")
    names = ", ".join(f"'x{i}'" for i in range(5_000))
    client.query(f"PREPARE p AS SELECT full_name FROM users WHERE full_name NOT IN ({names}) AND id = 1")
    client.send(parse("s", f"SELECT full_name FROM users WHERE full_name NOT IN ({names}) AND id = 2"), SYNC)
    client.until(b"Z")
    for _ in range(2):
        assert rows(client.query("EXECUTE p")) == [b"Ada Lovelace"]
        client.send(bind("", "s"), execute(), SYNC)
        assert rows(client.until(b"Z")) == [b"Grace Hopper"]


def test_what_is_deep_runs(client: RawClient) -> None:
    client.query("ROLLBACK")
    terms = "+".join(["0"] * 3_000)
    text = f"SELECT full_name FROM users WHERE id = 1+{terms}"
    assert rows(client.query(text)) == [b"Ada Lovelace"]
    nested = "(SELECT * FROM " * 100 + "users" + ") s" * 100
    assert rows(client.query(f"SELECT full_name FROM {nested} WHERE id = 1")) == [b"Ada Lovelace"]
    too_deep = "+".join(["0"] * 24_000)
    assert kinds(client.query(f"SELECT full_name FROM users WHERE id = {too_deep}")) == "EZ"
    assert kinds(client.query(f"SELECT {too_deep}")) == "EZ"
    assert rows(client.query("SELECT full_name FROM users WHERE id = 1")) == [b"Ada Lovelace"]


def test_a_statement_that_ends_the_process_is_refused_and_the_next_one_is_planned(
    client: RawClient, proxy: LocalProxy
) -> None:
    client.query(insert(1_000))
    process = proxy.planning._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    client.send(query(insert(1_000, 3_000)))
    os.kill(process.pid, signal.SIGKILL)
    assert kinds(client.until(b"Z")) in ("EZ", "CZ")  # it may have ended before it was asked: another one answers then
    client.query("ROLLBACK")
    client.query("BEGIN")
    assert client.query(insert(1_000, 5_000))[0][1] == b"INSERT 0 1000\0"
    client.query("ROLLBACK")


def test_a_statement_that_takes_too_long_to_plan_is_refused_and_holds_up_no_other(
    client: RawClient, proxy: LocalProxy
) -> None:
    client.query(insert(1_000))
    process, patience_s = proxy.planning._process, proxy.planning.patience_s
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    proxy.planning.patience_s = 0.1
    assert kinds(client.query(insert(1_000, 3_000))) == "EZ"
    proxy.planning.patience_s = patience_s
    client.query("ROLLBACK")
    client.query("BEGIN")
    assert client.query(insert(1_000, 5_000))[0][1] == b"INSERT 0 1000\0"
    client.query("ROLLBACK")


def test_what_a_client_sent_before_it_left_is_carried_out_as_by_the_server_itself(
    proxy: LocalProxy, twin: Twin
) -> None:
    with RawClient(proxy.port, twin.managed.info.dbname) as leaving:
        leaving.send(query(insert(3_000)))
    proxy.wait_until_empty(30)
    counted = twin.managed.execute("DELETE FROM users WHERE id >= 1000 AND _pgjanus_state >= 4")
    assert counted.rowcount == 3_000
