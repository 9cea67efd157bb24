"""`make bench`: pgbench directly and through the proxy, on this machine, for statements that concern no migration.

Numbers of two runs compare only on the same machine at the same time, so each line is a ratio too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from proxy.ports import free_ports
from tests.conftest import port_accepts

_SECONDS = 5
_CLIENTS = 8
_WORKLOADS = {
    "select, simple": ("--select-only", "--protocol=simple"),
    "select, extended": ("--select-only", "--protocol=extended"),
    "select, prepared": ("--select-only", "--protocol=prepared"),
    "tpc-b, prepared": ("--protocol=prepared",),
}


@contextmanager
def proxy_before(server: PostgresServer, database: str) -> Iterator[tuple[int, int]]:
    """A proxy of its own in front of one database: the ports for the old and for the new shape."""
    old, new, admin = free_ports(3)
    address = f"postgresql://127.0.0.1:{server.port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "proxy", "serve", "--server", address, "--database-url", server.url(database)),
                *("--listen", f"127.0.0.1:{old}", "--listen-new", f"127.0.0.1:{new}", "--admin", f"127.0.0.1:{admin}"),
            ],
            stdout=log,
            stderr=log,
        )
        try:
            while not (port_accepts(old) and port_accepts(new)):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"the proxy did not start:\n{log.read().decode()}")
            yield old, new
        finally:
            process.terminate()
            process.wait()


def transactions_per_second(server: EmbeddedPostgres, port: int, *arguments: str) -> float:
    done = subprocess.run(
        [
            *(str(server.bin / "pgbench"), "--host=127.0.0.1", f"--port={port}", "--username=postgres", "--no-vacuum"),
            *(f"--client={_CLIENTS}", f"--time={_SECONDS}", *arguments, "bench"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    match = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    assert match, done.stdout
    return float(match[1])


def main() -> None:
    with EmbeddedPostgres(18, settings=NOT_DURABLE) as server:
        pgbench = str(server.bin / "pgbench")
        subprocess.run([str(server.bin / "createdb"), f"--maintenance-db={server.url()}", "bench"], check=True)
        subprocess.run([pgbench, "--initialize", "--quiet", server.url("bench")], check=True, capture_output=True)
        with proxy_before(server, "bench") as (port, _):
            for name, arguments in _WORKLOADS.items():
                direct = transactions_per_second(server, server.port, *arguments)
                proxied = transactions_per_second(server, port, *arguments)
                ratio = proxied / direct
                click.echo(f"{name:20} direct={direct:9.0f}/s proxied={proxied:9.0f}/s ratio={ratio:.2f}")


if __name__ == "__main__":
    main()
