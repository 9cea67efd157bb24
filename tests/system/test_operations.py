"""Running the proxy: settings and certificates read again, systemd told, one process taken over by another."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml

from proxy.config import Limits, ProxyFile
from proxy.serving.options import keep_what_is_fixed
from tests.conftest import Database, RunningProxy, StartProxy
from tests.system.test_rollout import until
from tests.system.test_tls import Certificates

BOTH = pytest.mark.parametrize("workers", [1, 2])


class Listening:
    """The socket of somebody like systemd, and what it was told."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def hear(self) -> str:
        """The next thing that is not that the process is alive."""
        while (words := self._socket.recv(4096).decode()) == "WATCHDOG=1\n":
            pass
        return words

    def hear_life(self) -> None:
        while self._socket.recv(4096) != b"WATCHDOG=1\n":
            pass

    def hear_nothing_more(self) -> None:
        """But for what was under way."""
        self._socket.settimeout(1)
        try:
            for _ in range(20):
                self.hear_life()
            pytest.fail("it goes on")
        except TimeoutError:
            self._socket.settimeout(20)

    def close(self) -> None:
        self._socket.close()


def children_of(proxy: RunningProxy) -> list[int]:
    pid = proxy.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    listening = Listening(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listening
    listening.close()


def connect(proxy: RunningProxy, ca: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(proxy.url(), autocommit=True, sslmode="verify-ca", sslrootcert=str(ca))


@BOTH
async def test_settings_and_certificates_are_read_again_and_no_connection_is_lost(
    database: Database, start_proxy: StartProxy, tmp_path: Path, systemd: Listening, workers: int
) -> None:
    certificates = Certificates(tmp_path)
    ours, config = tmp_path / "ours.pem", tmp_path / "pgjanus.yaml"

    def settle_on(file: Path, **more: object) -> None:
        shutil.copy(file, ours)
        config.write_text(yaml.safe_dump({"client_tls": {"sslmode": "require", "cert_file": str(ours)}, **more}))

    settle_on(certificates.proxy)
    proxy = start_proxy(database, "--config", str(config), "--workers", str(workers))
    assert systemd.hear() == "READY=1\n"
    first = connect(proxy, certificates.ca[1])

    settle_on(certificates.strange_client, lease={"seconds": 20}, limits={"plan_cache_bytes": 1})
    proxy.process.send_signal(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+\n", systemd.hear())
    assert systemd.hear() == "READY=1\n"
    assert proxy.log.count('"needs_restart": ["lease", "limits.plan_cache_bytes"]') == workers
    assert proxy.log.count('"reloaded"') == workers
    for _ in range(2 * workers):
        connect(proxy, certificates.stranger[1]).close()
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            connect(proxy, certificates.ca[1])
    assert first.execute("SELECT 1").fetchone() == (1,)

    for wrong, reason in (
        (lambda: config.write_text("limits: {login: 3}"), "limits.login: Extra inputs are not permitted"),
        (lambda: config.write_text("limits: ["), "not valid YAML"),
        (config.unlink, "No such file"),
        (lambda: settle_on(certificates.ca[1]), f"client_tls: cannot use {ours}"),
    ):
        wrong()
        proxy.process.send_signal(signal.SIGHUP)
        assert systemd.hear().startswith("RELOADING=1\n")
        assert systemd.hear() == "READY=1\n"
        last = [line for line in proxy.log.splitlines() if "reload" in line][-1]
        assert '"reload_failed"' in last and reason in last
    assert proxy.log.count('"reload_failed"') == 4, "one event for all workers"
    connect(proxy, certificates.stranger[1]).close()

    proxy.process.send_signal(signal.SIGTERM)
    assert systemd.hear() == "STOPPING=1\n"
    assert proxy.process.wait(20) == 0
    first.close()


@BOTH
def test_systemd_hears_that_all_are_alive_until_one_is_not(
    database: Database,
    start_proxy: StartProxy,
    systemd: Listening,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    proxy = start_proxy(database, "--workers", str(workers))
    for _ in range(3):
        systemd.hear_life()
    frozen = proxy.process.pid if workers == 1 else children_of(proxy)[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        systemd.hear_nothing_more()
    finally:
        os.kill(frozen, signal.SIGCONT)
    systemd.hear_life()


def test_what_a_reload_cannot_change_stays_as_it_is_and_is_named() -> None:
    read = ProxyFile.model_validate(
        {
            "limits": {"plan_cache_bytes": 5, "drain_timeout_s": 3},
            "observe": {"every_s": 9},
            "clients": [{"shape": "new"}],
        }
    )
    file, waiting = keep_what_is_fixed(ProxyFile(), read)
    assert waiting == ["observe", "limits.plan_cache_bytes"]
    assert file.observe == ProxyFile().observe
    assert file.limits == Limits(drain_timeout_s=3)
    assert file.clients == read.clients
    assert keep_what_is_fixed(file, file) == (file, [])


@contextmanager
def clients_in_a_loop(proxy: RunningProxy, count: int) -> Iterator[Callable[[], int]]:
    """Connect, ask, leave, again and again; at the end none of it may have failed. Gives how often it was done."""
    over = threading.Event()
    done: list[int] = []
    errors: list[str] = []

    def run() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(proxy.url(), autocommit=True, connect_timeout=20) as client:
                    assert client.execute("SELECT 1").fetchone() == (1,)
                done.append(1)
            except psycopg.Error as error:
                errors.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(done)
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert errors == []


@BOTH
async def test_another_process_takes_over_and_nobody_is_turned_away(
    database: Database, start_proxy: StartProxy, workers: int
) -> None:
    arguments = ("--reuse-port", "--workers", str(workers))
    first = start_proxy(database, *arguments)
    with clients_in_a_loop(first, 2) as times:
        await until(lambda: times() > 10)
        second = start_proxy(database, *arguments, beside=first)
        with psycopg.connect(first.url()) as busy:
            busy.execute("SELECT 1")
            first.process.send_signal(signal.SIGTERM)
            await until(lambda: "stopping" in first.log)
        assert first.process.wait(20) == 0, first.log
        so_far = times()
        await until(lambda: times() > so_far + 10)
    assert second.stop() == 0
    assert [proxy.log.count('"sessions_cut": 0') for proxy in (first, second)] == [workers] * 2


def test_without_the_option_an_address_belongs_to_one_process(database: Database, start_proxy: StartProxy) -> None:
    first = start_proxy(database)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        start_proxy(database, "--reuse-port", beside=first)
