"""The proxies that there are, in `pgjanus.proxies`: who holds a lease, and which epoch each has acknowledged.

A lease is renewed by the database's clock. As long as it stands nobody steps on without its proxy; a proxy that cannot
renew it stops serving managed tables by itself before it ends.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from proxy.database import Connection


@dataclass(frozen=True, slots=True)
class ProxyRow:
    """One proxy as it reported itself; ages in seconds of the database's clock."""

    id: str
    application_name: str
    host: str
    pid: int
    epoch_acked: int
    epoch_seen: int
    heartbeat_age_s: float
    is_live: bool
    transactions: int
    transactions_behind: int
    oldest_behind_s: float | None
    closed: str | None

    def __str__(self) -> str:
        behind = ""
        if self.transactions_behind:
            age = f", the oldest for {self.oldest_behind_s:.0f} s" if self.oldest_behind_s is not None else ""
            count = self.transactions_behind
            plural = "s" if count != 1 else ""
            behind = f", {count} transaction{plural} of an earlier epoch still open{age}"
        if self.closed:
            behind += f", serves no managed table ({self.closed})"
        return (
            f"proxy {self.application_name} (host {self.host}, pid {self.pid}) is at epoch {self.epoch_acked}"
            f"{behind}, heartbeat {self.heartbeat_age_s:.1f} s ago"
        )


async def register_proxy(connection: Connection, identity: str, application_name: str, lease_s: float) -> None:
    """Make this process known, with nothing acknowledged. Do this before the first snapshot is read: whoever steps on
    after that sees a proxy that has to acknowledge, and whoever stepped on before is seen in the snapshot."""
    await connection.execute(
        "INSERT INTO pgjanus.proxies (id, application_name, host, pid, version, lease_until)"
        " VALUES ($1::text::uuid, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6::float8))"
        " ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, heartbeat_at = clock_timestamp(),"
        " epoch_acked = 0",
        *(identity, application_name, socket.gethostname(), os.getpid(), package_version(), lease_s),
    )


async def forget_proxy(connection: Connection, identity: str) -> None:
    """For a proxy that stops in order: nobody has to wait for its lease."""
    await connection.execute("DELETE FROM pgjanus.proxies WHERE id = $1::text::uuid", identity)


async def heartbeat(
    connection: Connection,
    identity: str,
    lease_s: float,
    epoch_acked: int,
    *,
    epoch_seen: int,
    transactions: int,
    transactions_behind: int,
    oldest_behind_s: float | None,
    closed: str | None,
) -> int | None:
    """Renew the lease, acknowledge, and read the epoch: one statement. None: the lease ran out, or the row is gone.

    Nothing is acknowledged by a proxy that has seen a later epoch (`epoch_seen`) than there is.
    """
    epoch = await connection.fetchval(
        "UPDATE pgjanus.proxies SET heartbeat_at = clock_timestamp(), transactions = $4, epoch_seen = $8,"
        " epoch_acked = CASE WHEN $8 > (SELECT epoch FROM pgjanus.epoch) THEN 0 ELSE $3 END,"
        " lease_until = clock_timestamp() + make_interval(secs => $2::float8),"
        " transactions_behind = $5, oldest_behind_s = $6, closed = $7"
        " WHERE id = $1::text::uuid AND lease_until > clock_timestamp() RETURNING (SELECT epoch FROM pgjanus.epoch)",
        *(identity, lease_s, epoch_acked, transactions, transactions_behind, oldest_behind_s, closed, epoch_seen),
    )
    return None if epoch is None else int(epoch)


async def read_proxies(connection: Connection) -> tuple[ProxyRow, ...]:
    """All that are registered, the longest running first; not live: the lease has run out."""
    rows = await connection.fetch(
        "SELECT id::text, application_name, host, pid, epoch_acked, epoch_seen,"
        " lease_until > clock_timestamp() AS is_live,"
        " extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS heartbeat_age_s, transactions,"
        " transactions_behind, oldest_behind_s, closed FROM pgjanus.proxies ORDER BY started_at, id"
    )
    return tuple(ProxyRow(**dict(r)) for r in rows)


_UNDER_WAY = """
SELECT s.proxy::text, a.pid FROM pgjanus.sessions s
  JOIN pg_stat_activity a ON a.pid = s.pid AND a.xact_start IS NOT NULL AND a.datname = current_database()
   AND coalesce(a.backend_start <= s.backend_start, true)
 WHERE s.proxy = ANY ($1::text[]::uuid[])
 ORDER BY a.xact_start"""


async def transactions_of(connection: Connection, proxies: tuple[ProxyRow, ...]) -> dict[str, list[int]]:
    """By the proxy's `id`, the process ids of the transactions that it has under way, the oldest first.

    Those of an earlier epoch are among the oldest.
    """
    found: dict[str, list[int]] = {}
    for proxy, pid in await connection.fetch(_UNDER_WAY, [p.id for p in proxies]):
        found.setdefault(proxy, []).append(pid)
    return found


async def forget_dead_proxies(connection: Connection, after_s: float) -> None:
    """Drop rows of proxies whose lease ran out that long ago, and of whose sessions none is on the roster."""
    await connection.execute(
        "DELETE FROM pgjanus.proxies p WHERE lease_until < clock_timestamp() - make_interval(secs => $1::float8)"
        " AND NOT EXISTS (SELECT FROM pgjanus.sessions s WHERE s.proxy = p.id)",
        after_s,
    )


def now() -> float:
    """Seconds on a clock that only runs forward, and also while the machine sleeps, where the system has such a one."""
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def package_version() -> str:
    try:
        return version("pgjanus")
    except PackageNotFoundError:
        return "unknown"
