"""Ending what a proxy has under way that does not answer any more, before anybody steps on without it.

A proxy whose lease has expired may only be asleep: a statement that it was about to send, or that waits for a lock,
would be one of a phase that is long gone. So its server processes are terminated, and a step waits until PostgreSQL
shows that they are gone. Which ones they are is in `pgjanus.sessions` from before the first statement (see the
roster).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from proxy.database import Connection, connect
from rules.errors import PgjanusError

# A process of the same number that began later is somebody else's.
_STALE = """
SELECT s.pid, a.application_name, a.usename, a.state, a.query,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s,
       a.backend_start IS NOT NULL AS is_certain, p.application_name AS proxy
  FROM pgjanus.sessions s
  JOIN pg_stat_activity a ON a.pid = s.pid AND a.datname = current_database()
   AND coalesce(a.backend_start <= s.backend_start, true)
  LEFT JOIN pgjanus.proxies p ON p.id = s.proxy
 WHERE p.id IS NULL OR p.lease_until <= clock_timestamp()
 ORDER BY a.xact_start NULLS LAST, s.pid"""
_FORGET = """
DELETE FROM pgjanus.sessions s
 WHERE NOT EXISTS (SELECT FROM pgjanus.proxies p WHERE p.id = s.proxy AND p.lease_until > clock_timestamp())
   AND NOT EXISTS (SELECT FROM pg_stat_activity a
                    WHERE a.pid = s.pid AND coalesce(a.backend_start <= s.backend_start, true))"""
_MAY_END = """
SELECT rolsuper OR (pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
                    AND pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'))
  FROM pg_roles WHERE rolname = current_user"""
_SHOWN = 5
_ROUND_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StaleSession:
    """A server process of a proxy that has no lease. `is_certain`: it is that one, and not another of its number.

    `proxy` is None if that one has been forgotten. `age_s`: of its transaction, in seconds.
    """

    pid: int
    application_name: str
    usename: str | None
    state: str | None
    query: str | None
    age_s: float | None
    is_certain: bool
    proxy: str | None

    def __str__(self) -> str:
        query = " ".join((self.query or "").split())[:120]
        age = f", for {self.age_s:.1f} s" if self.age_s is not None else ""
        whose = f"of {self.proxy}" if self.proxy is not None else "of a proxy that is gone"
        return f"pid {self.pid} {whose} ({self.application_name or self.usename}, {self.state}{age}): {query}"


async def stale_sessions(connection: Connection) -> tuple[StaleSession, ...]:
    """The server processes of proxies without a lease, those with the oldest transactions first."""
    return tuple(StaleSession(**dict(row)) for row in await connection.fetch(_STALE))


async def end_sessions(connection: Connection, sessions: tuple[StaleSession, ...]) -> str | None:
    """Terminate them; PostgreSQL shows some time later that they are gone. Why one was not, None if all were."""
    why = None
    for session in sessions:
        if not session.is_certain:
            why = "this role may not see which processes they are"
            continue
        try:
            await connection.execute("SELECT pg_terminate_backend($1::int4)", session.pid)
        except asyncpg.InsufficientPrivilegeError as error:
            why = " ".join(str(error).split())
    return why


async def may_end_sessions(connection: Connection) -> bool:
    """Whether this role may end sessions of roles that are not superusers, and see which ones they are."""
    return bool(await connection.fetchval(_MAY_END))


async def grant_needed(connection: Connection) -> str:
    """What a database administrator does about it."""
    role = await connection.fetchval("SELECT quote_ident(current_user)")
    return f"GRANT pg_signal_backend, pg_read_all_stats TO {role}"


def listed(sessions: tuple[StaleSession, ...]) -> str:
    """For a message: the first few, and how many more."""
    more = len(sessions) - _SHOWN
    return "; ".join(map(str, sessions[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")


async def forget_sessions(connection: Connection) -> None:
    """Strike out what is gone, of proxies that cannot do it themselves."""
    await connection.execute(_FORGET)


@asynccontextmanager
async def watching(url: str, say: Callable[[str], None]) -> AsyncIterator[None]:
    """End stale sessions beside whatever else is done meanwhile: one of them may hold the lock that it waits for."""
    task = asyncio.create_task(_watch(url, say), name="fencing")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(url: str, say: Callable[[str], None]) -> None:
    """Whatever fails here is found and said by the step's own wait for the proxies."""
    said: set[int] = set()
    while True:
        await asyncio.sleep(_ROUND_SECONDS)
        with suppress(OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await connect(url, "pgjanus, ending sessions of proxies that do not answer")
            try:
                while True:
                    stale = await stale_sessions(connection)
                    await end_sessions(connection, stale)
                    if not said.issuperset(s.pid for s in stale):
                        said.update(s.pid for s in stale)
                        say(f"ending sessions of proxies that do not answer: {listed(stale)}")
                    await asyncio.sleep(_ROUND_SECONDS)
            finally:
                connection.terminate()
