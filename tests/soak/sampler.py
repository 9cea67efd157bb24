"""Who has a table locked in a way that stalls others, from pg_locks, every few milliseconds.

The sampling runs inside PostgreSQL, so that nothing that happens here makes it pause, and in another database than the
table: a long transaction in the same one would be in the way of CREATE INDEX CONCURRENTLY.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import psycopg

from proxy.embedded import PostgresServer

_EVERY_SECONDS = 0.002
_HOME = "postgres"

_SETUP = """
DROP TABLE IF EXISTS soak_samples, soak_locks;
CREATE UNLOGGED TABLE soak_samples (at timestamptz);
CREATE UNLOGGED TABLE soak_locks (at timestamptz, pid int, transaction text, mode text, granted boolean, who text);
CREATE OR REPLACE PROCEDURE soak_sample(seconds float8) LANGUAGE plpgsql AS $$
DECLARE sampled timestamptz;
BEGIN
    LOOP
        PERFORM pg_sleep(seconds);
        sampled := clock_timestamp();
        INSERT INTO soak_samples VALUES (sampled);
        INSERT INTO soak_locks
        SELECT sampled, l.pid, l.virtualtransaction, l.mode, l.granted,
               (SELECT a.application_name FROM pg_stat_activity a WHERE a.pid = l.pid)
          FROM pg_locks l WHERE l.locktype = 'relation' AND l.database = {database} AND l.relation = {table}
           AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
        COMMIT;
    END LOOP;
END $$;
"""

# Seen at least from its first to its last sample; at most from the sample before to the one after.
_RESULT = """
SELECT mode, granted, who, first, extract(epoch FROM last - first)::float8 * 1000,
       extract(epoch FROM coalesce((SELECT min(at) FROM soak_samples WHERE at > last), last)
                        - (SELECT max(at) FROM soak_samples WHERE at < first))::float8 * 1000
  FROM (SELECT pid, transaction, mode, granted, max(who) AS who, min(at) AS first, max(at) AS last
          FROM soak_locks GROUP BY 1, 2, 3, 4) AS l
 ORDER BY first"""

_GAPS = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY gap), max(gap)
  FROM (SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at))::float8 * 1000 AS gap FROM soak_samples) AS g"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One lock of one transaction, waited for (`granted` False) or held. `at` in seconds since 1970."""

    mode: str
    granted: bool
    who: str
    at: float
    at_least_ms: float
    at_most_ms: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """`gap_ms`: between two samples, the median and the longest."""

    sightings: tuple[Sighting, ...]
    samples: int
    gap_ms: tuple[float, float]


class Sampler:
    """Samples from `start` to `stop`."""

    def __init__(self, server: PostgresServer, database: str, table: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            server.url(_HOME), autocommit=True, application_name="soak sampler"
        )
        self._admin: psycopg.Connection[Any] = psycopg.connect(server.url(_HOME), autocommit=True)
        with psycopg.connect(server.url(database)) as there:
            found = there.execute(
                "SELECT d.oid, %s::regclass::oid FROM pg_database d WHERE datname = current_database()", [table]
            ).fetchone()
        assert found is not None
        self._admin.execute(_SETUP.format(database=found[0], table=found[1]).encode())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._connection.execute(f"CALL soak_sample({_EVERY_SECONDS})".encode())
        except psycopg.errors.AdminShutdown:
            pass

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Sampling:
        self._admin.execute("SELECT pg_terminate_backend(%s)", [self._connection.info.backend_pid])
        self._thread.join()
        self._connection.close()
        rows = self._admin.execute(_RESULT).fetchall()
        gaps = self._admin.execute(_GAPS).fetchone()
        self._admin.close()
        assert gaps is not None
        sightings = tuple(Sighting(r[0], r[1], r[2] or "", r[3].timestamp(), r[4], r[5]) for r in rows)
        return Sampling(sightings, gaps[0], (gaps[1], gaps[2]))
