"""What verification keeps in schema `pgjanus`: where the pass is, and which rows it found."""

from __future__ import annotations

DDL = """
-- the last pass of each migration
CREATE TABLE IF NOT EXISTS pgjanus.verifications (
    migration text PRIMARY KEY,
    pass bigint NOT NULL,
    phase text NOT NULL,
    -- when the phase was entered: a pass belongs to one stay in it
    entered timestamptz NOT NULL,
    repair boolean NOT NULL,
    -- walking, closing, done
    part text NOT NULL DEFAULT 'walking',
    cursor text[],
    -- the xmin of the snapshot from which on row versions have to be compared once more
    since xid8 NOT NULL,
    -- a walk over nothing but row versions younger than that
    younger_than xid8,
    -- where a row's place is its key: the file that it is a place in
    file oid,
    rows_done bigint NOT NULL DEFAULT 0,
    rows_total bigint NOT NULL DEFAULT 0,
    -- rows that were not as they have to be, those that have been mended since included
    found bigint NOT NULL DEFAULT 0,
    repaired bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- the moment for which the pass is a proof
    checked_at timestamptz,
    -- the closing statement, or the whole pass where that was one statement
    check_ms double precision,
    -- of any pass
    diverged_at timestamptz,
    -- who was at it last
    host text,
    pid int,
    status text NOT NULL DEFAULT 'running',
    reason text NOT NULL DEFAULT '',
    rows_per_s double precision NOT NULL DEFAULT 0,
    waited_ms jsonb NOT NULL DEFAULT '{}',
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS pgjanus.divergences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration text NOT NULL,
    pass bigint NOT NULL,
    -- divergent, unconvertible, forbidden (a row state that the phase's gate forbids)
    kind text NOT NULL,
    reason text NOT NULL,
    -- objects of texts, by visible name
    key json NOT NULL,
    old json,
    new json,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS divergences_of ON pgjanus.divergences (migration, pass);
"""

#: Both hold rows by migration; forgotten together with it.
TABLES = ("verifications", "divergences")
