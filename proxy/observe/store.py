"""`pgjanus.observations`: written by every proxy, read by the operator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from proxy.database import Connection
from proxy.observe.observation import Observation
from rules.forecast import Outlook
from rules.phases import Shape

#: Rows of one migration; what comes when it is full is not kept.
ROWS_LIMIT: Final = 5_000

_ADD: Final = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS g (migration text, id text, shape text, fingerprint text,
        statement text, sample text, forecast jsonb, application_name text, username text, seen bigint)
), known AS (
    UPDATE pgjanus.observations o SET seen = o.seen + g.seen, last_seen = clock_timestamp() FROM given g
    WHERE (o.migration, o.id, o.application_name, o.username) = (g.migration, g.id, g.application_name, g.username)
    RETURNING o.migration, o.id, o.application_name, o.username
)
INSERT INTO pgjanus.observations AS o
    (migration, id, shape, fingerprint, statement, sample, forecast, application_name, username, seen)
SELECT g.* FROM given g
WHERE NOT EXISTS (SELECT FROM known k
    WHERE (k.migration, k.id, k.application_name, k.username) = (g.migration, g.id, g.application_name, g.username))
AND EXISTS (SELECT FROM pgjanus.migrations m WHERE m.name = g.migration)
AND (SELECT count(*) FROM pgjanus.observations x WHERE x.migration = g.migration) < $2
ON CONFLICT (migration, id, application_name, username)
    DO UPDATE SET seen = o.seen + excluded.seen, last_seen = excluded.last_seen
"""

_READ: Final = """
SELECT id, shape, fingerprint, min(statement) AS statement, min(sample) AS sample, min(forecast::text) AS forecast,
       sum(seen)::int8 AS seen, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       json_agg(json_build_object('application_name', application_name, 'user', username, 'seen', seen)
                ORDER BY seen DESC)::text AS senders
FROM pgjanus.observations WHERE migration = $1 GROUP BY id, shape, fingerprint
"""


@dataclass(frozen=True, slots=True)
class Sender:
    application_name: str
    user: str
    seen: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of an observation: how often, by whom, first and last (by the database's clock, to some seconds).

    `sample` is a client's own text, None unless a proxy was told to keep it.
    """

    what: Observation
    seen: int
    first_seen: datetime
    last_seen: datetime
    senders: tuple[Sender, ...]
    sample: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.what.id,
            "shape": self.what.shape.value,
            "fingerprint": self.what.fingerprint,
            "statement": self.what.statement,
            "sample": self.sample,
            "seen": self.seen,
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "senders": [asdict(sender) for sender in self.senders],
            "forecast": [outlook.to_json() for outlook in self.what.forecast],
        }


#: An observation, application_name and user.
Key = tuple[Observation, str, str]


async def add(connection: Connection, counts: Iterable[tuple[Key, int]], samples: Mapping[Observation, str]) -> None:
    """Add to what is there. Nothing is kept of a migration that is gone."""
    rows = [
        {
            "migration": what.migration,
            "id": what.id,
            "shape": what.shape.value,
            "fingerprint": what.fingerprint,
            "statement": what.statement,
            "sample": samples.get(what),
            "forecast": [outlook.to_json() for outlook in what.forecast],
            "application_name": application_name,
            "username": user,
            "seen": seen,
        }
        for (what, application_name, user), seen in counts
    ]
    await connection.execute(_ADD, json.dumps(rows), ROWS_LIMIT)


async def read(connection: Connection, migration: str) -> list[Observed]:
    """Everything observed for a migration, the most frequent first."""
    rows = await connection.fetch(_READ + " ORDER BY sum(seen) DESC, id", migration)
    return [
        Observed(
            Observation(
                migration,
                Shape(row["shape"]),
                row["fingerprint"],
                row["statement"],
                tuple(Outlook.from_json(outlook) for outlook in json.loads(row["forecast"])),
            ),
            row["seen"],
            row["first_seen"],
            row["last_seen"],
            tuple(Sender(**sender) for sender in json.loads(row["senders"])),
            row["sample"],
        )
        for row in rows
    ]


async def forget(connection: Connection, migration: str) -> int:
    """Delete what was observed; how many rows that were."""
    return int(
        (await connection.execute("DELETE FROM pgjanus.observations WHERE migration = $1", migration)).split()[1]
    )
