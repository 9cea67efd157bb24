"""Reads registry and catalog as of one moment; the catalog only if it has changed."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.catalog import CatalogLoader, Fingerprint, catalog_fingerprint
from proxy.control import leases, registry
from proxy.control.registry import State
from proxy.database import Connection
from rules.catalog import Catalog, TableName
from rules.errors import PgjanusError
from rules.migration import ManagedTable

_ATTEMPTS = 5
#: Where no table is managed, nothing is asked of the catalog. Reading it after every DDL would hold back VACUUM.
_NOTHING = Catalog(server_version=0, relations={})


class CatalogUnsettled(PgjanusError):
    """the catalog changes faster than it can be read"""


def phases(tables: Mapping[TableName, ManagedTable]) -> dict[str, str]:
    """By migration, the name of the phase: at one epoch it is always the same."""
    return {table.migration.name: table.phase.name for table in tables.values()}


class Reader:
    """Remembers the catalog that it has read last. `read_at`: when that was begun, on the clock of `leases.now`."""

    def __init__(self) -> None:
        self.read_at = float("-inf")
        self._fingerprint: Fingerprint | None = None
        self._loader = CatalogLoader()
        self._catalog: Catalog | None = None

    async def read(self, connection: Connection) -> tuple[State, Catalog]:
        """The same object as last time if the catalog is the same; an empty one while no migration is active.

        Functions such as format_type look at the catalog as it is now rather than at the transaction's snapshot, so a
        load during which something changed is done again.

        Raises:
            CatalogUnsettled: it changed each time.
            asyncpg.LockNotAvailableError: somebody's DDL has a table locked.
        """
        for _ in range(_ATTEMPTS):
            read_at = leases.now()
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # pg_get_expr locks the table: somebody's ALTER must not cost us the lease.
                await connection.execute("SET LOCAL lock_timeout = '1s'")
                state = await registry.read_state(connection)
                if not any(row.is_active for row in state.migrations):
                    self.read_at = read_at
                    return state, _NOTHING
                fingerprint = await catalog_fingerprint(connection)
                if self._catalog is not None and fingerprint == self._fingerprint:
                    self.read_at = read_at
                    return state, self._catalog
                catalog = await self._loader.load(connection, fingerprint)
            if await catalog_fingerprint(connection) == fingerprint:
                self.read_at, self._fingerprint = read_at, fingerprint
                if self._catalog != catalog:
                    self._catalog = catalog
                return state, self._catalog
        raise CatalogUnsettled("the catalog changes faster than it can be read")
