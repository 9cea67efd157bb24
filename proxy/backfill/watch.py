"""Looking at the database between batches: one query, and the checks of the user's own."""

from __future__ import annotations

import json
from dataclasses import replace

import aiohttp
import asyncpg

from proxy.backfill.controls import read_controls
from proxy.backfill.pressure import Readings, Reason, Standby, reasons_to_wait
from proxy.database import Connection
from rules.backfill import with_changes
from rules.migration import Migration
from rules.pace import BackfillSettings

_CHECK_SECONDS = 5.0

# Sessions of pgjanus are no load that it could wait to see the end of. Who may not look at others sees no rows here.
_READINGS = """
WITH parts AS MATERIALIZED (
    SELECT relid::oid AS oid FROM pg_partition_tree(to_regclass($1)) UNION SELECT to_regclass($1)::oid),
others AS MATERIALIZED (
    SELECT * FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgjanus %'
       AND backend_type = 'client backend'),
open AS (
    SELECT xact_start AS since, format('pid %s, %s', pid, coalesce(nullif(application_name, ''), usename)) AS who
      FROM others WHERE xact_start IS NOT NULL
    UNION ALL SELECT prepared, 'prepared ' || gid FROM pg_prepared_xacts WHERE database = current_database()
     ORDER BY since LIMIT 1)
SELECT (SELECT json_agg(json_build_array(coalesce(nullif(application_name, ''), client_addr::text, pid::text),
               pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::int8, extract(epoch FROM replay_lag) * 1000))
          FROM pg_stat_replication
         WHERE state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL)::text AS standbys,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal_bytes,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       EXISTS (SELECT FROM pg_stat_progress_vacuum v JOIN parts p ON v.relid = p.oid
                WHERE v.datname = current_database()) AS vacuuming,
       (SELECT sum(pg_stat_get_dead_tuples(oid))::int8 FROM parts) AS dead_rows,
       (SELECT sum(pg_stat_get_live_tuples(oid))::int8 FROM parts) AS live_rows,
       (SELECT count(*) FROM others WHERE wait_event_type = 'Lock') AS waiting,
       (SELECT count(*) FROM others WHERE state = 'active') AS active,
       (SELECT extract(epoch FROM clock_timestamp() - since) * 1000 FROM open)::float8 AS oldest_ms,
       (SELECT who FROM open) AS oldest_who,
       (SELECT max(latency_ms) FROM pgjanus.backfill_foreground
         WHERE seen_at > clock_timestamp() - interval '5 s') AS latency_ms"""


class Watch:
    """One per worker. `settings` are those in force: the file's, with what an operator has changed."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self._before: tuple[float, float] | None = None
        self.settings: BackfillSettings = migration.backfill

    async def reasons_to_wait(self, connection: Connection) -> tuple[Reason, ...]:
        """Look, and judge."""
        controls = await read_controls(connection, self._migration.name)
        self.settings = with_changes(self._migration.backfill, controls.settings or {})
        if controls.paused:
            return reasons_to_wait(Readings(paused=True), self.settings)
        readings = await self._read(connection)
        return reasons_to_wait(replace(readings, check=await self._check(connection)), self.settings)

    async def _read(self, connection: Connection) -> Readings:
        table = self._migration.table
        name = await connection.fetchval("SELECT format('%I.%I', $1::text, $2::text)", table.schema, table.name)
        row = await connection.fetchrow(_READINGS, name)
        assert row is not None
        rate, now = None, (row["at"], row["wal_bytes"])
        if self._before is not None and now[0] > self._before[0]:
            rate = (now[1] - self._before[1]) / (now[0] - self._before[0])
        self._before = now
        return Readings(
            standbys=tuple(Standby(*fields) for fields in json.loads(row["standbys"] or "[]")),
            wal_bytes_per_s=rate,
            vacuuming=row["vacuuming"],
            dead_rows=row["dead_rows"] or 0,
            live_rows=row["live_rows"] or 0,
            waiting=row["waiting"],
            oldest_ms=row["oldest_ms"] or 0.0,
            oldest_who=row["oldest_who"] or "",
            active=row["active"],
            latency_ms=row["latency_ms"],
        )

    async def _check(self, connection: Connection) -> str | None:
        """Why a check of the user's own says no. One that does not answer says no."""
        if self.settings.check_sql is not None:
            answer = await _ask_sql(connection, self.settings.check_sql)
            if answer is not None:
                return answer
        if self.settings.check_url is not None:
            return await _ask_url(self.settings.check_url)
        return None


async def _ask_sql(connection: Connection, sql: str) -> str | None:
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = '{_CHECK_SECONDS:g}s'")
            answer = await connection.fetchval(sql)
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        return f"check_sql fails: {' '.join(str(error).split())}"
    match answer:
        case True:
            return None
        case str() if answer.strip():
            return answer.strip()
        case None:
            return "check_sql returns nothing"
        case _:
            return f"check_sql returns {str(answer).lower()}"


async def _ask_url(url: str) -> str | None:
    timeout = aiohttp.ClientTimeout(total=_CHECK_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
            if 200 <= answer.status < 300:
                return None
            first = (await answer.content.read(200)).decode(errors="replace").strip().split("\n")[0]
            return first or f"check_url answers with status {answer.status}"
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        return f"check_url fails: {' '.join(str(error).split()) or type(error).__name__}"
