"""Where a pass is, in the database: begun, claimed for one chunk at a time, moved on with what the chunk found, done.

    begin ──► walking ──the last chunk──► closing ──► done ──reopen──► closing ──► done …
                 ▲                           │ a row of it cannot be converted, or is to be repaired
                 └── walk what has changed ◄─┘

A claim is the lock of the transaction that compares a chunk: it ends with it, whatever happens to the process.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import asyncpg

from proxy.backfill.drive import Cursor
from proxy.control.registry import MigrationRow
from proxy.database import Connection
from rules.agreement import OLDEST_RUNNING, forget_changed_sql
from rules.batches import Key
from rules.errors import PgjanusError
from rules.migration import Migration
from rules.pace import BackfillSettings

#: A process that was not heard of for that long is not at it any more.
GONE_AFTER_SECONDS = 10.0


class Part(Enum):
    WALKING = "walking"
    CLOSING = "closing"
    DONE = "done"


class PassEnded(Exception):
    """The phase has moved on: this pass says nothing about the new one."""


class Superseded(PgjanusError):
    """somebody else has begun another pass over the table"""


@dataclass(frozen=True, slots=True)
class Pass:
    """The last pass of a migration, as it was when it was read.

    Attributes:
        current: it belongs to the stay in the phase that the migration is in now, and no transaction id is too old.
        found: rows that were not as they have to be, whether mended since or not.
        proved: it has been through once; then closing it again brings it up to date.
        attended: another process was at it a moment ago.
        rested_s: seconds since it was last closed.
        check_s, pass_s: how long closing it took, and all of it.
    """

    number: int
    part: Part
    repair: bool
    current: bool
    found: int
    rows: int
    rows_total: int
    repaired: int
    proved: bool
    attended: bool
    rested_s: float
    check_s: float
    pass_s: float

    @property
    def clean(self) -> bool:
        return not self.found


@dataclass(frozen=True, slots=True)
class Claim:
    """One chunk's turn: the pass row is locked. `since`, `younger_than` are xmins of snapshots, as text."""

    number: int
    part: Part
    repair: bool
    cursor: Cursor | None
    since: str
    younger_than: str | None
    rows: int

    @property
    def at_the_beginning(self) -> bool:
        return self.cursor is None and self.younger_than is None


# Of two transaction ids that are further apart than that nobody can say which is older.
_XIDS_APART = 2**30
_AGED = (
    "pg_snapshot_xmax(pg_current_snapshot())::text::numeric - coalesce(v.younger_than, v.since)::text::numeric"
    f" NOT BETWEEN 0 AND {_XIDS_APART}"
)
_CURRENT = "m.phase = v.phase AND m.changed_at = v.entered"


async def read(connection: Connection, migration: str) -> Pass | None:
    row = await connection.fetchrow(
        f"SELECT v.pass AS number, v.part, v.repair, {_CURRENT} AND NOT ({_AGED}) AS current, v.found,"
        " v.rows_done AS rows, v.rows_total, v.repaired, v.checked_at IS NOT NULL AS proved,"
        " v.seen_at > clock_timestamp() - make_interval(secs => $2::float8) AND v.part <> 'done'"
        "   AND (v.host, v.pid) IS DISTINCT FROM ($3::text, $4::int4) AS attended,"
        " coalesce(extract(epoch FROM clock_timestamp() - v.checked_at), 0)::float8 AS rested_s,"
        " coalesce(v.check_ms, 0) / 1000 AS check_s,"
        " coalesce(extract(epoch FROM v.checked_at - v.started_at), 0)::float8 AS pass_s"
        " FROM pgjanus.verifications v JOIN pgjanus.migrations m ON m.name = v.migration WHERE v.migration = $1",
        *(migration, GONE_AFTER_SECONDS, socket.gethostname(), os.getpid()),
    )
    return None if row is None else Pass(**{**row, "part": Part(row["part"])})


async def read_this(connection: Connection, migration: str, number: int) -> Pass:
    """Raises Superseded if another one has begun."""
    found = await read(connection, migration)
    if found is None or found.number != number:
        raise _superseded(migration)
    return found


async def count(connection: Connection, migration: str, number: int) -> tuple[int, int]:
    """Rows that differ or cannot be converted, and rows in a state that the phase forbids."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE kind <> 'forbidden'), count(*) FILTER (WHERE kind = 'forbidden')"
        " FROM pgjanus.divergences WHERE migration = $1 AND pass = $2",
        *(migration, number),
    )
    assert row is not None
    return row[0], row[1]


async def begin(connection: Connection, row: MigrationRow, key: Key, before: Pass | None, *, repair: bool) -> int:
    """Another pass in the phase of now, from the beginning; its number.

    Raises:
        Superseded: it is no longer `before` that is the last one.
    """
    number = await connection.fetchval(
        "INSERT INTO pgjanus.verifications AS v"
        " (migration, pass, phase, entered, repair, since, file, rows_total, host, pid)"
        f" SELECT m.name, 1, m.phase, m.changed_at, $2, ({OLDEST_RUNNING})::xid8,"
        " CASE WHEN $3 THEN pg_relation_filenode(m.table_oid) END,"
        " (SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::int8 FROM pg_class c WHERE c.oid = m.table_oid"
        "   AND c.relkind <> 'p' OR c.oid IN (SELECT relid FROM pg_partition_tree(m.table_oid) WHERE isleaf)), $5, $6"
        " FROM pgjanus.migrations m WHERE m.name = $1"
        " ON CONFLICT (migration) DO UPDATE SET pass = v.pass + 1, phase = excluded.phase, entered = excluded.entered,"
        " repair = excluded.repair, part = excluded.part, cursor = NULL, since = excluded.since, younger_than = NULL,"
        " file = excluded.file, rows_done = 0, rows_total = excluded.rows_total, found = 0, repaired = 0,"
        " started_at = clock_timestamp(), checked_at = NULL, check_ms = NULL, host = excluded.host, pid = excluded.pid,"
        " status = 'running', reason = '', rows_per_s = 0, waited_ms = '{}', seen_at = clock_timestamp()"
        " WHERE v.pass = $4 RETURNING v.pass",
        *(row.name, repair, key.is_physical, before.number if before else 0, socket.gethostname(), os.getpid()),
    )
    if number is None:
        raise _superseded(row.name)
    return int(number)


async def reopen(connection: Connection, migration: str, number: int) -> None:
    """Close it once more: everything that has changed since it was closed is compared."""
    await connection.execute(
        "UPDATE pgjanus.verifications SET part = 'closing' WHERE migration = $1 AND pass = $2 AND part = 'done'",
        *(migration, number),
    )


async def claim(connection: Connection, migration: Migration, key: Key, number: int, limits: BackfillSettings) -> Claim:
    """Lock the pass until the transaction ends, which gets the timeouts of the settings.

    Raises:
        PassEnded: the phase has moved on.
        Superseded: there is another pass.
    """
    row = await _lock(connection, migration.name, number, limits)
    if not row["current"]:
        raise PassEnded
    if row["repair"]:
        # What the phase holds true must not change under a repair.
        held = await connection.fetchval(
            f"SELECT {_CURRENT} FROM pgjanus.migrations m, pgjanus.verifications v"
            " WHERE m.name = $1 AND v.migration = $1 FOR SHARE OF m",
            migration.name,
        )
        if not held:
            raise PassEnded
    if row["aged"] or (key.is_physical and row["moved"]):
        await _begin_again(connection, migration.name, number)
        row = await _lock(connection, migration.name, number, limits)
    return Claim(
        number,
        Part(row["part"]),
        row["repair"],
        tuple(row["cursor"]) if row["cursor"] else None,
        row["since"],
        row["younger_than"],
        row["rows_done"],
    )


async def _lock(connection: Connection, migration: str, number: int, limits: BackfillSettings) -> asyncpg.Record:
    row: asyncpg.Record | None = await connection.fetchrow(
        f"SELECT v.part, v.repair, v.cursor, v.since::text, v.younger_than::text, v.rows_done, {_CURRENT} AS current,"
        f" {_AGED} AS aged, v.file IS DISTINCT FROM pg_relation_filenode(m.table_oid) AS moved,"
        " set_config('lock_timeout', $3, true), set_config('statement_timeout', $4, true),"
        " set_config('synchronous_commit', $5, true)"
        " FROM pgjanus.verifications v JOIN pgjanus.migrations m ON m.name = v.migration"
        " WHERE v.migration = $1 AND v.pass = $2 FOR NO KEY UPDATE OF v",
        *(migration, number, str(limits.lock_timeout_ms), str(limits.statement_timeout_ms)),
        limits.synchronous_commit,
    )
    if row is None:
        raise _superseded(migration)
    return row


async def _begin_again(connection: Connection, migration: str, number: int) -> None:
    """What a cursor says is void: rows have other places now, or the pass is older than transaction ids can tell."""
    await connection.execute(
        f"UPDATE pgjanus.verifications v SET part = 'walking', cursor = NULL, since = ({OLDEST_RUNNING})::xid8,"
        " younger_than = NULL, rows_done = 0, file = pg_relation_filenode(m.table_oid)"
        " FROM pgjanus.migrations m WHERE m.name = v.migration AND v.migration = $1 AND v.pass = $2",
        *(migration, number),
    )
    await connection.execute("DELETE FROM pgjanus.divergences WHERE migration = $1 AND pass = $2", migration, number)


async def move(
    connection: Connection,
    migration: str,
    claimed: Claim,
    *,
    part: Part,
    cursor: Cursor | None,
    rows: int,
    found: int,
    repaired: int = 0,
) -> None:
    """In the transaction of the chunk."""
    await connection.execute(
        "UPDATE pgjanus.verifications SET part = $3, cursor = coalesce($4, cursor), rows_done = rows_done + $5,"
        " found = found + $6, repaired = repaired + $7,"
        " diverged_at = CASE WHEN $6 > 0 THEN clock_timestamp() ELSE diverged_at END,"
        " seen_at = clock_timestamp(), status = 'running', reason = '', host = $8, pid = $9"
        " WHERE migration = $1 AND pass = $2",
        *(migration, claimed.number, part.value, list(cursor) if cursor else None, rows, found, repaired),
        *(socket.gethostname(), os.getpid()),
    )


async def walk_what_changed(connection: Connection, migration: Migration, key: Key, claimed: Claim) -> None:
    """Chunk by chunk what one statement could not compare, or is to repair; what changes from now on is for later."""
    since = await connection.fetchval(
        f"WITH gone AS ({forget_changed_sql(migration, key)}) SELECT {OLDEST_RUNNING}",
        *(claimed.since, claimed.number),
    )
    await connection.execute(
        "UPDATE pgjanus.verifications SET part = 'walking', cursor = NULL, younger_than = since,"
        " since = $3::text::xid8, seen_at = clock_timestamp() WHERE migration = $1 AND pass = $2",
        *(migration.name, claimed.number, since),
    )


async def finish(connection: Connection, migration: str, claimed: Claim, oldest_running: str, check_ms: float) -> None:
    """Nothing has to be compared but what changes from `oldest_running` on. What earlier passes found is forgotten."""
    await connection.execute(
        "UPDATE pgjanus.verifications SET part = 'done', cursor = NULL, younger_than = NULL, since = $3::text::xid8,"
        " checked_at = clock_timestamp(), check_ms = $4, status = 'done', reason = '', rows_per_s = 0,"
        " seen_at = clock_timestamp() WHERE migration = $1 AND pass = $2",
        *(migration, claimed.number, oldest_running, check_ms),
    )
    await connection.execute(
        "DELETE FROM pgjanus.divergences WHERE migration = $1 AND pass < $2", migration, claimed.number
    )


async def say(
    connection: Connection,
    migration: str,
    number: int,
    status: str,
    reason: str,
    rows_per_s: float,
    waited_ms: Mapping[str, float],
) -> None:
    """Let `status` see what this process does."""
    await connection.execute(
        "UPDATE pgjanus.verifications SET status = $3, reason = $4, rows_per_s = $5, waited_ms = $6::text::jsonb,"
        " host = $7, pid = $8, seen_at = clock_timestamp() WHERE migration = $1 AND pass = $2",
        *(migration, number, status, reason, rows_per_s, json.dumps({k: round(v) for k, v in waited_ms.items()})),
        *(socket.gethostname(), os.getpid()),
    )


def _superseded(migration: str) -> Superseded:
    return Superseded(f"another verification of {migration} has begun in place of this one: pgjanus status {migration}")
