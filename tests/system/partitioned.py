"""A partitioned table with everything that partitions may differ in, and a migration of it."""

from __future__ import annotations

import re

#: Ranges, one of them attached with its columns in another order, one of hashes, one for the rest.
EVENTS = """
CREATE TABLE public.events (
    tenant int NOT NULL, id bigint NOT NULL, full_name text NOT NULL DEFAULT 'nobody', age int DEFAULT 7, email text,
    PRIMARY KEY (tenant, id), UNIQUE (tenant, id, email)) PARTITION BY RANGE (tenant);
CREATE TABLE public.events_low PARTITION OF public.events FOR VALUES FROM (0) TO (10);
CREATE TABLE public.events_mid (
    email text, gone int, full_name text NOT NULL, id bigint NOT NULL, age int DEFAULT 8, tenant int NOT NULL);
ALTER TABLE public.events_mid DROP COLUMN gone;
ALTER TABLE public.events ATTACH PARTITION public.events_mid FOR VALUES FROM (10) TO (20);
CREATE TABLE public.events_high PARTITION OF public.events FOR VALUES FROM (20) TO (30) PARTITION BY HASH (id);
CREATE TABLE public."events high 0" PARTITION OF public.events_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.evens PARTITION OF public.events_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT;
CREATE INDEX events_by_name ON public.events (full_name);
CREATE INDEX events_by_email ON public.events (lower(email)) WHERE email IS NOT NULL;
INSERT INTO public.events (tenant, id, full_name, email)
    SELECT g % 40, g, 'First' || g || ' Last' || g, 'e' || g || '@x' FROM generate_series(1, 200) g;
"""

PARTITIONS = ("events_low", "events_mid", "events_high", "events high 0", "evens", "events_rest")

MIGRATION = """
migration: events
table: public.events
operations:
  - split_column:
      column: full_name
      into:
        first_name: {type: text, up: "split_part(full_name, ' ', 1)", not_null: true, index: true}
        last_name: {type: text, up: "nullif(substr(full_name, length(split_part(full_name, ' ', 1)) + 2), '')",
                    check: "last_name <> '-'"}
      down: "first_name || coalesce(' ' || last_name, '')"
  - rename_column: {column: email, to: mail}
"""


def partitioned(schema: str) -> str:
    """The schema of the twins with its two managed tables partitioned: by ranges, hashes, and ranges of hashes."""
    schema = schema.replace("varchar(20) UNIQUE", "varchar(20)")  # the key of a partition has to be in it
    users = """) PARTITION BY RANGE (id);
        CREATE TABLE users_low PARTITION OF users FOR VALUES FROM (MINVALUE) TO (4);
        CREATE TABLE users_mid (gone int, LIKE users INCLUDING DEFAULTS);
        ALTER TABLE users_mid DROP COLUMN gone;
        ALTER TABLE users ATTACH PARTITION users_mid FOR VALUES FROM (4) TO (8);
        CREATE TABLE users_rest PARTITION OF users DEFAULT PARTITION BY HASH (id);
        CREATE TABLE users_rest_0 PARTITION OF users_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE the_rest PARTITION OF users_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);"""
    items = """) PARTITION BY HASH (id);
        CREATE TABLE items_0 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE items_1 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 1);"""
    for table, partitions in (("users", users), ("items", items)):
        schema = re.sub(rf"(CREATE TABLE {table} \(.*?)\n\);", rf"\1{partitions}", schema, flags=re.DOTALL)
    return schema
