"""Which errors of a batch are worth another try, and which belong to one row."""

from __future__ import annotations

import asyncpg

from proxy.database import DatabaseUnreachable

#: Data exceptions, constraint violations, RAISE and errors of called routines: one row's values are to blame.
_ROW_CLASSES = frozenset({"22", "23", "38", "39", "44", "P0"})
#: Serialization failure, statement of unknown completion, deadlock, lock or statement timeout, read-only server (one
#: that is about to be promoted), server shutting down or starting, idle too long, too many connections.
_RETRY_STATES = frozenset(
    {"40001", "40003", "40P01", "55P03", "57014", "25006", "57P01", "57P02", "57P03", "57P05", "25P03", "53300"}
)


def belongs_to_a_row(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "")[:2] in _ROW_CLASSES


def is_lock_wait(error: BaseException) -> bool:
    """`lock_timeout` ran out."""
    return isinstance(error, asyncpg.LockNotAvailableError)


def is_disconnect(error: BaseException) -> bool:
    """The server is gone, or is not (yet) the one that can be written to."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(("08", "57P")) or state in ("25006", "25P03", "53300")
    # The last: what the driver makes of a connection that is cut in the middle of an answer.
    return isinstance(
        error, OSError | asyncpg.InterfaceError | EOFError | DatabaseUnreachable | asyncpg.InternalClientError
    )


def is_worth_a_retry(error: BaseException) -> bool:
    """Nothing was committed (or only what the stored cursor says), and the same batch may pass the next time."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _RETRY_STATES or state.startswith("08")
    return is_disconnect(error)
