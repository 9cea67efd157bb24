"""A streaming standby of a server of the tests, on this machine."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from proxy.embedded import PostgresServer

_CATCH_UP_SECONDS = 30


class Standby(PostgresServer):
    """`name` is its application_name on the primary."""

    def __init__(self, primary: PostgresServer, name: str) -> None:
        super().__init__(primary.bin, primary.version, tempfile.mkdtemp(prefix="pgjanus-standby-"))
        self.name = name
        self._primary = primary
        self._conninfo = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"

    def _initialise(self) -> None:
        if self._runs_as is not None:
            shutil.chown(self.directory, self._runs_as)
        self._run(
            "pg_basebackup",
            *("--pgdata", str(self._data), "--dbname", self._conninfo, "--write-recovery-conf"),
            *("--checkpoint", "fast", "--no-sync"),
        )
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{self._conninfo}'\nunix_socket_directories = ''\n")
            file.write("wal_receiver_status_interval = 1s\n")

    def wait_until_it_has_everything(self) -> None:
        with psycopg.connect(self._primary.url(), autocommit=True) as primary:
            # Positions just behind a page's header do not compare; the one of a record does.
            row = primary.execute("SELECT pg_logical_emit_message(true, 'pgjanus', '')").fetchone()
            assert row is not None
            deadline = time.monotonic() + _CATCH_UP_SECONDS
            while not primary.execute(
                "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND replay_lsn >= %s",
                (self.name, row[0]),
            ).fetchone():
                assert time.monotonic() < deadline, self.log[-2000:]
                time.sleep(0.02)


@contextmanager
def standby_of(primary: PostgresServer, name: str) -> Iterator[Standby]:
    """Started and caught up; gone without a trace at the end."""
    standby = Standby(primary, name)
    try:
        with standby:
            standby.wait_until_it_has_everything()
            yield standby
    finally:
        shutil.rmtree(Path(standby.directory), ignore_errors=True)
