"""What the worker keeps in schema `pgjanus`, so that several of them can share a table and anybody can go on.

    backfills ── one row per row state that is emptied: round, total, how it ended
        ├── backfill_ranges ── where each part of the table is; claimed by a lock on its row, for one batch at a time
        ├── backfill_bad_rows ── rows that cannot be converted
        └── backfill_workers ── who is at work, how fast, and what it waits for
    backfill_controls ── what an operator wants of all workers of a migration

A claim is nothing but the lock of the transaction that converts rows: it ends with it, whatever happens to the worker.
Nothing that all workers write is in the transaction of a batch, or they would wait for each other.
"""

from __future__ import annotations

DDL = """
CREATE TABLE IF NOT EXISTS pgjanus.backfills (
    migration text NOT NULL,
    state text NOT NULL,
    round int NOT NULL DEFAULT 0,
    rows_total bigint,
    done boolean NOT NULL DEFAULT false,
    error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (migration, state)
);
-- the keys in (low, high], as text; NULL is open
CREATE TABLE IF NOT EXISTS pgjanus.backfill_ranges (
    migration text NOT NULL,
    state text NOT NULL,
    number int NOT NULL,
    low text[],
    high text[],
    cursor text[],
    rows_done bigint NOT NULL DEFAULT 0,
    bad_rows bigint NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT false,
    worker uuid,
    updated_at timestamptz,
    PRIMARY KEY (migration, state, number)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS pgjanus.backfill_bad_rows (
    migration text NOT NULL,
    state text NOT NULL,
    key text[] NOT NULL,
    description text NOT NULL,
    value json,
    sqlstate text,
    error text NOT NULL,
    -- what became of the row: NULL (it is as it was) or 'default'
    outcome text,
    round int NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, state, key)
);
CREATE TABLE IF NOT EXISTS pgjanus.backfill_workers (
    id uuid PRIMARY KEY,
    migration text NOT NULL,
    state text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    status text NOT NULL,
    reason text NOT NULL DEFAULT '',
    rows_done bigint NOT NULL DEFAULT 0,
    rows_per_s double precision NOT NULL DEFAULT 0,
    batch_rows int NOT NULL DEFAULT 0,
    -- milliseconds by cause
    waited_ms jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS backfill_workers_of ON pgjanus.backfill_workers (migration, state);
-- how long applications wait for answers through each proxy
CREATE UNLOGGED TABLE IF NOT EXISTS pgjanus.backfill_foreground (
    proxy uuid PRIMARY KEY,
    latency_ms double precision,
    seen_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS pgjanus.backfill_controls (
    migration text PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    settings jsonb NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL DEFAULT session_user
);
"""

#: All of them hold rows by migration; forgotten together with it.
TABLES = ("backfills", "backfill_ranges", "backfill_bad_rows", "backfill_workers", "backfill_controls")
