"""What is kept of the use of shapes, in schema `pgjanus`."""

from __future__ import annotations

#: In this order they can be emptied.
TABLES = ("usage", "usage_minutes")

DDL = """
-- who uses which shape of which migration, merged from all proxies
CREATE TABLE IF NOT EXISTS pgjanus.usage (
    migration text NOT NULL,
    shape text NOT NULL,
    application_name text NOT NULL,
    username text NOT NULL,
    statements bigint NOT NULL,
    -- without its constants
    sample text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, shape, application_name, username)
);
CREATE TABLE IF NOT EXISTS pgjanus.usage_minutes (
    migration text NOT NULL,
    shape text NOT NULL,
    minute timestamptz NOT NULL,
    statements bigint NOT NULL,
    PRIMARY KEY (migration, minute, shape)
);
"""
