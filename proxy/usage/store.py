"""`pgjanus.usage`: added to by every proxy, read by the operator. All times are the database's clock's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proxy.database import Connection
from proxy.usage.counting import OTHERS, Sender, Use
from rules.phases import Shape

#: Rows of one migration; senders beyond are counted in one row, as those of `OTHERS`.
ROWS_LIMIT: Final = 1_000
#: How long the statements of each minute are kept.
MINUTES_KEPT: Final = 24 * 60

# A sender who is new when the table is full becomes one of the others; so do two of them in one round.
_ADD: Final = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS g (migration text, shape text, application_name text,
        username text, statements bigint, sample text)
    WHERE EXISTS (SELECT FROM pgjanus.migrations m WHERE m.name = g.migration)
), ranked AS (
    SELECT g.*, u.migration IS NOT NULL AS known,
           (SELECT count(*) FROM pgjanus.usage x WHERE x.migration = g.migration)
           + count(*) FILTER (WHERE u.migration IS NULL)
             OVER (PARTITION BY g.migration ORDER BY g.shape, g.application_name, g.username) AS rank
    FROM given g LEFT JOIN pgjanus.usage u USING (migration, shape, application_name, username)
), fitted AS (
    SELECT migration, shape,
           CASE WHEN known OR rank <= $2 THEN application_name ELSE $3::text END AS application_name,
           CASE WHEN known OR rank <= $2 THEN username ELSE $4::text END AS username,
           sum(statements)::int8 AS statements, min(sample) AS sample
    FROM ranked GROUP BY 1, 2, 3, 4
), minutes AS (
    INSERT INTO pgjanus.usage_minutes AS u (migration, shape, minute, statements)
    SELECT migration, shape, date_trunc('minute', clock_timestamp()), sum(statements)::int8
    FROM given GROUP BY 1, 2, 3 ORDER BY 1, 2
    ON CONFLICT (migration, minute, shape) DO UPDATE SET statements = u.statements + excluded.statements
)
INSERT INTO pgjanus.usage AS u (migration, shape, application_name, username, statements, sample)
SELECT * FROM fitted ORDER BY 1, 2, 3, 4
ON CONFLICT (migration, shape, application_name, username) DO UPDATE
    SET statements = u.statements + excluded.statements, sample = excluded.sample, last_seen = clock_timestamp()
"""

_READ: Final = """
SELECT migration, shape, application_name, username, statements, sample, first_seen, last_seen,
       extract(epoch FROM clock_timestamp() - last_seen)::float8 AS age_s
FROM pgjanus.usage WHERE $1::text IS NULL OR migration = $1 ORDER BY migration, shape, last_seen DESC
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What is known of one sender; `age_s` is since it was last seen, `sample` has no constants."""

    sender: Sender
    statements: int
    sample: str
    first_seen: datetime
    last_seen: datetime
    age_s: float

    def to_json(self) -> dict[str, Any]:
        return {
            "migration": self.sender.migration,
            "shape": self.sender.shape.value,
            "application_name": self.sender.application_name,
            "user": self.sender.user,
            "statements": self.statements,
            "sample": self.sample,
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "age_s": round(self.age_s, 1),
        }


async def add(connection: Connection, uses: Mapping[Sender, Use]) -> None:
    """Add to what is there; nothing is kept of a migration that is gone. The texts are those to be shown."""
    rows = [
        {
            "migration": sender.migration,
            "shape": sender.shape.value,
            "application_name": sender.application_name,
            "username": sender.user,
            "statements": use.statements,
            "sample": use.sql,
        }
        for sender, use in uses.items()
    ]
    await connection.execute(_ADD, json.dumps(rows), ROWS_LIMIT, *OTHERS)


async def read(connection: Connection, migration: str | None = None) -> list[Used]:
    """Everybody who used a shape of the migration, or of any; the latest first."""
    return [
        Used(
            Sender(row["migration"], Shape(row["shape"]), row["application_name"], row["username"]),
            row["statements"],
            row["sample"],
            row["first_seen"],
            row["last_seen"],
            row["age_s"],
        )
        for row in await connection.fetch(_READ, migration)
    ]


async def read_minutes(connection: Connection, migration: str) -> list[tuple[datetime, Shape, int]]:
    """Statements of each shape by minute, oldest first; minutes without any are left out."""
    rows = await connection.fetch(
        "SELECT minute, shape, statements FROM pgjanus.usage_minutes WHERE migration = $1 ORDER BY minute, shape",
        migration,
    )
    return [(row["minute"], Shape(row["shape"]), row["statements"]) for row in rows]


async def forget_minutes(connection: Connection) -> None:
    """Delete what is older than is kept."""
    await connection.execute(
        "DELETE FROM pgjanus.usage_minutes WHERE minute < clock_timestamp() - make_interval(mins => $1)", MINUTES_KEPT
    )
