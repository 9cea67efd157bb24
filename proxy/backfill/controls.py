"""What an operator wants of the workers of a migration, wherever they run: pause, go on, other limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.database import Connection


@dataclass(frozen=True, slots=True)
class Controls:
    """`settings`: by name in the migration file, in place of what the file says."""

    paused: bool = False
    settings: Mapping[str, object] | None = None


async def read_controls(connection: Connection, migration: str) -> Controls:
    row = await connection.fetchrow(
        "SELECT paused, settings::text FROM pgjanus.backfill_controls WHERE migration = $1", migration
    )
    return Controls() if row is None else Controls(row[0], json.loads(row[1]))


async def change_controls(
    connection: Connection, migration: str, *, paused: bool | None, settings: Mapping[str, object], reset: bool
) -> Controls:
    """Every worker acts on it within a second.

    Args:
        paused: None leaves it as it is.
        settings: in addition to those that were given before, unless `reset`.
    """
    await connection.execute(
        "INSERT INTO pgjanus.backfill_controls AS c (migration, paused, settings)"
        " VALUES ($1, coalesce($2, false), $3::text::jsonb)"
        " ON CONFLICT (migration) DO UPDATE SET paused = coalesce($2, c.paused),"
        " settings = CASE WHEN $4 THEN '{}' ELSE c.settings END || excluded.settings,"
        " changed_at = clock_timestamp(), changed_by = session_user",
        *(migration, paused, json.dumps(dict(settings)), reset),
    )
    return await read_controls(connection, migration)
