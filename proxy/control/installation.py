"""Schema `pgjanus`: its tables, and whether they are there."""

from __future__ import annotations

from proxy.backfill import tables as backfill_tables
from proxy.database import Connection
from proxy.usage import tables as usage_tables
from proxy.verify import tables as verify_tables
from rules.errors import PgjanusError

SCHEMA_VERSION = 7

#: First key of our advisory locks, which are all of the two-key kind; the second one says what is locked.
LOCK_CLASS = 0x706A616E  # "pjan"
INSTALL_LOCK = 0
OPERATOR_LOCK = 1

_DDL = """
CREATE SCHEMA IF NOT EXISTS pgjanus;
COMMENT ON SCHEMA pgjanus IS 'pgjanus: migrations, their phases, the proxies. Do not change by hand.';

CREATE TABLE IF NOT EXISTS pgjanus.installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version int NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS pgjanus.epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS pgjanus.migrations (
    name text PRIMARY KEY,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    table_oid oid NOT NULL,
    -- json, not jsonb: the order of the columns in the file is their order in the table
    definition json NOT NULL,
    strategy text NOT NULL,
    phase text NOT NULL,
    -- clients of the new shape are refused before `announced` is entered again
    withdrawn boolean NOT NULL DEFAULT false,
    hold_until timestamptz,
    saved jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS migrations_one_per_table
    ON pgjanus.migrations (table_schema, table_name) WHERE phase <> 'contracted';
CREATE TABLE IF NOT EXISTS pgjanus.proxies (
    id uuid PRIMARY KEY,
    application_name text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    epoch_acked bigint NOT NULL DEFAULT 0,
    epoch_seen bigint NOT NULL DEFAULT 0,
    transactions int NOT NULL DEFAULT 0,
    transactions_behind int NOT NULL DEFAULT 0,
    oldest_behind_s double precision,
    closed text
);
-- server processes that a proxy talks to; unlogged, because a crash ends them all
CREATE UNLOGGED TABLE IF NOT EXISTS pgjanus.sessions (
    proxy uuid NOT NULL,
    number bigint NOT NULL,
    pid int NOT NULL,
    backend_start timestamptz NOT NULL,
    PRIMARY KEY (proxy, number)
);
CREATE TABLE IF NOT EXISTS pgjanus.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    migration text NOT NULL,
    from_phase text,
    to_phase text,
    epoch bigint NOT NULL,
    operator text NOT NULL,
    note text NOT NULL DEFAULT ''
);
-- what was sent in the first phases, by statement and sender
CREATE TABLE IF NOT EXISTS pgjanus.observations (
    migration text NOT NULL,
    id text NOT NULL,
    shape text NOT NULL,
    fingerprint text NOT NULL,
    statement text NOT NULL,
    sample text,
    forecast jsonb NOT NULL,
    application_name text NOT NULL,
    username text NOT NULL,
    seen bigint NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, id, application_name, username)
);
INSERT INTO pgjanus.epoch (epoch) VALUES (1) ON CONFLICT DO NOTHING;
INSERT INTO pgjanus.installation (version) VALUES (%d) ON CONFLICT DO NOTHING;
"""


class NotInstalled(PgjanusError):
    """this database has no schema pgjanus yet"""


class WrongSchemaVersion(PgjanusError):
    """the schema pgjanus in the database was made by another version of pgjanus"""


async def is_installed(connection: Connection) -> bool:
    """Raises WrongSchemaVersion where another version of pgjanus made the schema."""
    if await connection.fetchval("SELECT to_regclass('pgjanus.installation')") is None:
        return False
    version = await connection.fetchval("SELECT version FROM pgjanus.installation")
    if version != SCHEMA_VERSION:
        raise WrongSchemaVersion(
            f"schema pgjanus in the database has version {version}, this pgjanus needs {SCHEMA_VERSION}:"
            " use the version of pgjanus that made it until no migration is open"
        )
    return True


async def install(connection: Connection) -> None:
    """Make schema pgjanus if it is not there; safe to call from many places at once."""
    if await is_installed(connection):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1::int4, $2::int4)", LOCK_CLASS, INSTALL_LOCK)
        await connection.execute(_DDL % SCHEMA_VERSION + backfill_tables.DDL + verify_tables.DDL + usage_tables.DDL)


async def require_installed(connection: Connection) -> None:
    if not await is_installed(connection):
        raise NotInstalled("no migration was ever started in this database: pgjanus start FILE")
