"""Control connections.

Every query runs under an empty search_path, so that the types and expressions that PostgreSQL prints are qualified
and safe to splice anywhere, and so that no object in a user's schema can take the place of a built-in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from rules.errors import PgjanusError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    # Generic in the type stubs only.
    Connection = asyncpg.Connection

CONNECT_TIMEOUT_SECONDS = 10.0
OLDEST_SERVER_VERSION = 140000


class DatabaseUnreachable(PgjanusError):
    """cannot connect to the database: why, and where it was looked for"""


async def connect(
    url: str, application_name: str = "pgjanus", *, timeout: float = CONNECT_TIMEOUT_SECONDS
) -> Connection:
    """Open a control connection with an empty search_path; `timeout` is in seconds.

    Raises:
        DatabaseUnreachable: with the reason and the address in one line (never the password).
    """
    settings = {
        "application_name": application_name[:63],
        "search_path": "",
        # A control connection must never sit in a transaction because its process has been stopped.
        "idle_in_transaction_session_timeout": "60s",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "client_encoding": "UTF8",
        "timezone": "UTC",
        "jit": "off",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
    try:
        connection: Connection = await asyncpg.connect(
            url, timeout=timeout, server_settings=settings, statement_cache_size=0
        )
    except TimeoutError as error:
        raise DatabaseUnreachable(f"the database did not answer within {timeout:g} s: {_where(url)}") from error
    except (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.ClientConfigurationError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatabaseUnreachable(f"cannot connect to the database ({_where(url)}): {reason}") from error
    if server_version(connection) < OLDEST_SERVER_VERSION:
        await connection.close()
        raise DatabaseUnreachable(f"pgjanus needs PostgreSQL 14 or later ({_where(url)} is older)")
    return connection


def _where(url: str) -> str:
    """The address without the password: whatever comes before the last @ is left out."""
    return url.rpartition("@")[2].removeprefix("postgresql://").removeprefix("postgres://") or "default address"


def server_version(connection: Connection) -> int:
    """As `server_version_num`: 180004."""
    version = connection.get_server_version()
    return version.major * 10000 + version.minor
