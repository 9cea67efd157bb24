"""`make bench`, second half: COPY of a million rows, directly into a table with the same columns and through the proxy.

Both in turn, and which is first changes too: other work on the machine then slows both. What counts is the median of
the rounds' ratios, printed with the worst and the best of them. The proxy's memory is sampled while the rows pass.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from proxy.ports import free_ports
from rules.phases import Shape
from tests.conftest import port_accepts
from tests.twin import CASES

ROWS = 1_000_000
_PHASES = ("expanded", "writing_both", "reading_new", "new_only")
_CHUNK_ROWS = 500
_HEADS = {Shape.OLD: "id, full_name, age, nick", Shape.NEW: "id, first_name, last_name, age, nick"}


def payload(shape: Shape) -> list[bytes]:
    names = {Shape.OLD: "First{0} Last{0}", Shape.NEW: "First{0}\tLast{0}"}[shape]
    rows = (f"{i}\t{names.format(i)}\t{i % 90}\tn{i:07}\n".encode() for i in range(1000, 1000 + ROWS))
    return [b"".join(chunk) for chunk in iter(lambda: list(itertools.islice(rows, _CHUNK_ROWS)), [])]


def copy_seconds(url: str, table: str, shape: Shape, chunks: list[bytes]) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({_HEADS[shape]}) FROM STDIN".encode()) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            assert cursor.rowcount == ROWS
        return time.perf_counter() - began


class Memory:
    """The resident bytes of a process, sampled while it is in use."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self.samples: list[int] = [self.now()]
        self._thread = threading.Thread(target=self._sample)

    def now(self) -> int:
        line = next(x for x in self._file.read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            self.samples.append(self.now())

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@contextmanager
def proxy_before(server: EmbeddedPostgres) -> Iterator[tuple[int, dict[Shape, int]]]:
    old, new, admin = free_ports(3)
    address = f"postgresql://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "proxy", "serve", "--server", address, "--database-url", server.url("bench")]
    listeners = ["--listen", f"127.0.0.1:{old}", "--listen-new", f"127.0.0.1:{new}", "--admin", f"127.0.0.1:{admin}"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, *listeners], stdout=log, stderr=log)
        try:
            while not (port_accepts(old) and port_accepts(new)):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"the proxy did not start:\n{log.read().decode()}")
            yield process.pid, {Shape.OLD: old, Shape.NEW: new}
        finally:
            process.terminate()
            process.wait()


def pgjanus(server: EmbeddedPostgres, *arguments: str) -> None:
    command = [sys.executable, "-m", "proxy", *arguments, "--database-url", server.url("bench")]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_copy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--phase", choices=_PHASES, help="measure this one alone")
    arguments = parser.parse_args()
    chunks = {shape: payload(shape) for shape in Shape}
    with EmbeddedPostgres(18, settings={**NOT_DURABLE, "max_wal_size": "8GB", "shared_buffers": "512MB"}) as server:
        subprocess.run([str(server.bin / "createdb"), f"--maintenance-db={server.url()}", "bench"], check=True)
        control = psycopg.connect(server.url("bench"), autocommit=True)
        control.execute((CASES / "schema_old.sql").read_bytes())
        control.execute("DELETE FROM users")
        with proxy_before(server) as (pid, ports):
            pgjanus(server, "start", str(CASES / "users.yaml"))
            control.execute("CREATE SCHEMA plain")
            for shape in Shape:
                control.execute(f"CREATE TABLE plain.{shape.value} (LIKE users INCLUDING ALL)".encode())
            control.execute("ALTER TABLE plain.new RENAME _pgjanus_first_name TO first_name")
            control.execute("ALTER TABLE plain.new RENAME _pgjanus_last_name TO last_name")
            for phase in _PHASES:
                if phase != "expanded":
                    pgjanus(server, "advance", "users_name", "--to", phase)
                for shape in Shape if arguments.phase in (None, phase) else ():
                    measure(server, control, pid, ports[shape], phase, shape, chunks[shape], arguments.rounds)
        control.close()


def measure(
    server: EmbeddedPostgres,
    control: psycopg.Connection[tuple[object, ...]],
    pid: int,
    port: int,
    phase: str,
    shape: Shape,
    chunks: list[bytes],
    rounds: int,
) -> None:
    tables = {False: f"plain.{shape.value}", True: "users"}
    urls = {False: server.url("bench"), True: f"postgresql://postgres@127.0.0.1:{port}/bench"}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    memory = Memory(pid)
    with memory:
        for number in range(rounds):
            for proxied in (False, True) if number % 2 == 0 else (True, False):
                control.execute(f"TRUNCATE {tables[proxied]}".encode())
                control.execute("CHECKPOINT")
                seconds[proxied].append(copy_seconds(urls[proxied], tables[proxied], shape, chunks))
                control.execute(f"TRUNCATE {tables[proxied]}".encode())
    ratios = [one / other for one, other in zip(seconds[False], seconds[True], strict=True)]
    one, other = (statistics.median(seconds[proxied]) for proxied in (False, True))
    low, high = min(memory.samples) >> 20, max(memory.samples) >> 20
    click.echo(
        f"{phase:13} {shape.value}  direct={one:5.2f} s  proxied={other:5.2f} s"
        f"  speed={statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        f"  proxy's memory {low} to {high} MB"
    )


if __name__ == "__main__":
    main()
