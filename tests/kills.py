"""`make kills`: kill -9 of the worker, the proxy or PostgreSQL at random moments of a backfill under foreground load.

A trigger that nothing silences counts how often each row left the state `old`. Laps over a table are made until there
were enough kills; at the end of each lap every row was converted once, its formats agree, and what a client was told is
committed is there.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.conftest import Database, RunningProxy, running_proxies
from tests.system.expanded import change_type, expand

#: What a client was told is committed survives PostgreSQL, though not the machine.
_SETTINGS = {**NOT_DURABLE, "synchronous_commit": "on", "max_connections": "50"}
_VICTIMS = ("worker", "PostgreSQL", "proxy")
_BACK_SECONDS = 60
_LONGEST_SECONDS = 1.5
_AUDIT = """
CREATE TABLE audit (id int);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NULL; END$$;
CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW
    WHEN (OLD._pgjanus_state < 4 AND NEW._pgjanus_state >= 4) EXECUTE FUNCTION audit();
ALTER TABLE t ENABLE ALWAYS TRIGGER audit;
"""


@dataclass
class Outcome:
    """`rows` that left the state `old`, over all laps; `problems` is empty if all is well."""

    kills: Counter[str] = field(default_factory=Counter)
    laps: int = 0
    rows: int = 0
    writes: int = 0
    problems: list[str] = field(default_factory=list)


class Client:
    """One application of the old shape, which connects again whenever it is cut off."""

    def __init__(self, proxy: list[RunningProxy], rows: int, seed: int) -> None:
        self._proxy, self._rows, self._chance = proxy, rows, random.Random(seed)
        self.writes = 0
        #: By row: what it may hold. Several values where nobody said whether a commit came through.
        self.possible: dict[int, set[str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._proxy[0].url(), autocommit=True) as connection:
                while not self._stop.is_set():
                    row, value = self._chance.randrange(1, self._rows + 1), str(self._chance.randrange(10**6))
                    before = self.possible.get(row, {str(row)})
                    self.possible[row] = before | {value}
                    done = connection.execute("UPDATE t SET v = %s WHERE id = %s", (value, row))
                    assert done.rowcount == 1
                    self.possible[row] = {value}
                    self.writes += 1
                    time.sleep(0.002)
            time.sleep(0.02)


class Scene:
    """A server, a proxy and a worker that can be killed, and come back."""

    def __init__(self, stack: ExitStack, rows: int, seed: int) -> None:
        self.rows, self.chance = rows, random.Random(seed)
        self.server = stack.enter_context(EmbeddedPostgres(18, settings=_SETTINGS))
        self.database = Database("postgres", self.server, stack)
        with psycopg.connect(self.server.url(), autocommit=True) as db:
            db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
            db.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, %s) i", (rows,))
            expand(
                self.database,
                change_type("public.t", "v", "integer", "v::int", "v::text", backfill={"batch_target": "2ms"}),
            )
            db.execute(_AUDIT)
        self._start_proxy = stack.enter_context(running_proxies())
        self.proxy = [self._start_proxy(self.database)]
        self.worker: subprocess.Popen[bytes] | None = None
        stack.callback(self._end_worker)

    def _end_worker(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.worker.kill()
            self.worker.wait()

    def work(self) -> bool:
        """Let a worker run; True if the last one has ended because everything is done."""
        if self.worker is not None:
            if self.worker.poll() is None:
                return False
            if self.worker.returncode == 0:
                self.worker = None
                return True
        command = [sys.executable, "-m", "proxy", "backfill", "retype_v", "--database-url", self.server.url()]
        self.worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return False

    def ask(self, sql: str) -> list[Any]:
        """Patiently: the server may be coming back."""
        deadline = time.monotonic() + _BACK_SECONDS
        while True:
            try:
                with psycopg.connect(self.server.url(), autocommit=True) as db:
                    found = db.execute(sql)
                    return found.fetchall() if found.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill(self, victim: str) -> None:
        match victim:
            case "worker":
                self._end_worker()
            case "proxy":
                self.proxy[0].process.kill()
                self.proxy[0].process.wait()
                self.proxy[0] = self._start_proxy(self.database)
            case _:
                # All of PostgreSQL goes down with one of its processes, and comes back through recovery.
                for (pid,) in self.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"):
                    os.kill(pid, signal.SIGKILL)


def run(kills: int, rows: int, seed: int) -> Outcome:
    outcome = Outcome()
    with ExitStack() as stack:
        scene = Scene(stack, rows, seed)
        client = Client(scene.proxy, rows, seed)
        stack.callback(client.stop)
        while outcome.kills.total() < kills and not outcome.problems:
            # At any moment of a worker's life, its start included.
            moment = time.monotonic() + scene.chance.random() * _LONGEST_SECONDS
            done = False
            while time.monotonic() < moment and not done:
                done = scene.work()
                time.sleep(0.005)
            if done:
                _end_lap(scene, outcome)
            else:
                victim = _VICTIMS[outcome.kills.total() % len(_VICTIMS)]
                scene.kill(victim)
                outcome.kills[victim] += 1
        deadline = time.monotonic() + _BACK_SECONDS * 2
        while not scene.work():
            assert time.monotonic() < deadline, "the backfill does not come to an end"
            time.sleep(0.01)
        client.stop()
        outcome.writes = client.writes
        _end_lap(scene, outcome)
        held = dict(scene.ask("SELECT id, v FROM t"))
        lost = [row for row, values in client.possible.items() if held[row] not in values]
        if lost:
            outcome.problems.append(f"committed, and not there: rows {lost[:10]}")
    return outcome


def _end_lap(scene: Scene, outcome: Outcome) -> None:
    """Every row once; then all of them are put back to `old` for another lap."""
    outcome.laps += 1
    outcome.rows += scene.rows
    ((times, different, left, wrong),) = scene.ask(
        "SELECT (SELECT count(*) FROM audit), (SELECT count(DISTINCT id) FROM audit),"
        " (SELECT count(*) FROM t WHERE _pgjanus_state < 4), (SELECT count(*) FROM t WHERE _pgjanus_v <> v::int)"
    )
    if (times, different, left, wrong) != (scene.rows, scene.rows, 0, 0):
        found = f"{times} conversions of {different} rows out of {scene.rows}, {left} left, {wrong} wrong"
        outcome.problems.append(f"lap {outcome.laps}: {found}")
    scene.ask("BEGIN; LOCK t; TRUNCATE audit; UPDATE t SET _pgjanus_state = 0; COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    outcome = run(arguments.kills, arguments.rows, arguments.seed)
    killed = ", ".join(f"{n} × {victim}" for victim, n in sorted(outcome.kills.items()))
    sys.stdout.write(
        f"seed {arguments.seed}: {killed}; {outcome.rows:,} rows converted in {outcome.laps} laps,"
        f" {outcome.writes:,} writes beside them\n"
    )
    sys.exit("\n".join(outcome.problems) or 0)


if __name__ == "__main__":
    main()
