"""Which views and policies are not what their owners wrote: kept with the migration, until they are that again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from proxy.database import Connection
from rules.changes import quote_literal
from rules.ddl.statements import Lock, Statement
from rules.dependants import Form


class Kind(Enum):
    VIEW = "view"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`texts` are what it was: a view's query, or a policy's USING and WITH CHECK. `columns` are the old columns that
    it reads.

    `fingerprint` is of what PostgreSQL has stored for it since we wrote it: another one, and somebody else has, too.
    """

    kind: Kind
    oid: int
    description: str
    texts: tuple[str | None, ...]
    columns: tuple[str, ...]
    form: Form
    fingerprint: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind.value} {self.oid}"


#: SQL of the stored definition's fingerprint, `{oid}` of the view or policy.
FINGERPRINTS = {
    Kind.VIEW: "(SELECT md5(ev_action::text) FROM pg_rewrite WHERE ev_class = {oid}::oid AND rulename = '_RETURN')",
    Kind.POLICY: "(SELECT md5(concat(polqual::text, '/', polwithcheck::text)) FROM pg_policy WHERE oid = {oid}::oid)",
}


async def read_rebuilt(connection: Connection, migration: str) -> dict[str, Rebuilt]:
    """By key."""
    saved = await connection.fetchval(
        "SELECT coalesce(saved->'rebuilt', '{}')::text FROM pgjanus.migrations WHERE name = $1", migration
    )
    return {key: _rebuilt(entry) for key, entry in json.loads(saved or "{}").items()}


def _rebuilt(entry: Mapping[str, Any]) -> Rebuilt:
    return Rebuilt(
        Kind(entry["kind"]),
        entry["oid"],
        entry["description"],
        tuple(entry["texts"]),
        tuple(entry["columns"]),
        Form(entry["form"]),
        entry["fingerprint"],
    )


def remember(migration: str, rebuilt: Rebuilt) -> Statement:
    """For the message that writes the definition, behind it: the fingerprint is of what is stored by then."""
    value = asdict(rebuilt) | {"kind": rebuilt.kind.value, "form": rebuilt.form.value}
    fingerprint = FINGERPRINTS[rebuilt.kind].format(oid=rebuilt.oid)
    entry = f"{quote_literal(json.dumps(value))}::jsonb || jsonb_build_object('fingerprint', {fingerprint})"
    return _update(migration, f"{_SAVED} || jsonb_build_object({quote_literal(rebuilt.key)}, {entry})")


def forget_rebuilt(migration: str, rebuilt: Rebuilt) -> Statement:
    return _update(migration, f"{_SAVED} - {quote_literal(rebuilt.key)}::text")


async def forget_all_rebuilt(connection: Connection, migration: str) -> None:
    await connection.execute("UPDATE pgjanus.migrations SET saved = saved - 'rebuilt' WHERE name = $1", migration)


_SAVED = "coalesce(saved->'rebuilt', '{}')"


def _update(migration: str, rebuilt: str) -> Statement:
    saved = f"jsonb_set(saved, '{{rebuilt}}', {rebuilt})"
    sql = f"UPDATE pgjanus.migrations SET saved = {saved} WHERE name = {quote_literal(migration)}"
    return Statement(sql, Lock.NONE)
