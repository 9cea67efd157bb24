"""What `check` finds out and `start` insists on, before anything is touched: file against database.

    preflight ─► table        a plain table that we may alter; what hangs on it
              ─► expressions  PostgreSQL takes them, and they are IMMUTABLE
              ─► worker       what the backfill would fire and rewrite
              ─► rows         each one converts, comes back as it was, and fits the new constraints

It changes nothing: the only DDL is on a temporary copy without rows, and is rolled back.
"""

from __future__ import annotations

import asyncpg

from proxy.backfill.session import find_key
from proxy.catalog import load_relation
from proxy.database import Connection
from proxy.ladder.indexes import find_transition
from proxy.preflight.expressions import check_expressions
from proxy.preflight.extent import ALL_ROWS, USUAL, Extent
from proxy.preflight.findings import Finding, Notes, Report, Severity
from proxy.preflight.rows import check_rows
from proxy.preflight.table import check_kind, check_other_migrations, check_surroundings
from proxy.preflight.worker import check_worker
from rules.errors import MigrationError
from rules.spec import MigrationSpec

__all__ = ["ALL_ROWS", "USUAL", "Extent", "Finding", "Report", "Severity", "preflight"]


async def preflight(connection: Connection, spec: MigrationSpec, extent: Extent = USUAL) -> Report:
    """Check a migration that is not started yet against the database.

    Reads the table once, in chunks, or a sample of a large one.

    Args:
        connection: one of `proxy.database.connect`, outside a transaction.
        extent: how many rows are asked.

    Raises:
        asyncpg.PostgresError: the connection is not fit for it (a read-only replica, no TEMP privilege).
    """
    notes = Notes(spec)
    relation = await load_relation(connection, spec.table)
    if relation is None:
        notes.refuse(f"there is no table {spec.table} in this database", "mind the schema, and upper and lower case")
        return notes.report(0)
    try:
        migration = spec.compile(relation)
    except MigrationError as error:
        notes.refuse_error(error)
        return notes.report(0)
    await check_other_migrations(connection, migration, notes)
    if not await check_kind(connection, relation, migration, notes):
        return notes.report(0)
    key = await find_key(connection, migration)
    rows, of_rows = 0, None
    if await check_expressions(connection, relation, migration, notes):
        try:
            rows, of_rows = await check_rows(connection, migration, key, extent, notes)
        except asyncpg.InsufficientPrivilegeError as error:
            notes.refuse(f"the rows cannot be read: {error}", "connect as the table's owner or as a superuser")
        for gap in (await find_transition(connection, migration, relation)).gaps:
            notes.warn(str(gap), gap.hint)
    await check_surroundings(connection, relation, migration, notes, has_key=not key.is_physical)
    await check_worker(connection, relation, migration, notes)
    return notes.report(rows, of_rows)
