"""A table, a migration of it, and an operator: what the ladder's tests share."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from proxy.ladder.operator import Operator, operate
from rules.spec import MigrationSpec
from tests.conftest import Database

NAME = "split_full_name"
ROWS = 500

USERS = f"""
CREATE TABLE public.users (id bigserial PRIMARY KEY, full_name text NOT NULL, age int DEFAULT 7);
CREATE INDEX users_by_name ON public.users (full_name);
INSERT INTO public.users (full_name) SELECT 'First' || g || ' Last' || g FROM generate_series(1, {ROWS}) g;
"""

SPLIT: dict[str, Any] = {
    "split_column": {
        "column": "full_name",
        "into": {
            "first_name": {"type": "text", "up": "split_part(full_name, ' ', 1)"},
            "last_name": {"type": "text", "up": "split_part(full_name, ' ', 2)"},
        },
        "down": "first_name || ' ' || last_name",
    }
}


def spec(
    *operations: object, strategy: str = "dual_write", name: str = NAME, table: str = "public.users"
) -> MigrationSpec:
    return MigrationSpec.from_json(
        {"migration": name, "table": table, "strategy": strategy, "operations": list(operations) or [SPLIT]}
    )


class Lines(list[str]):
    """What an operator said; as its `say` it may do something at one of the lines."""

    def __init__(self, at: Callable[[int, str], None] = lambda number, line: None) -> None:
        super().__init__()
        self._at = at

    def __call__(self, line: str) -> None:
        self.append(line)
        self._at(len(self), line)

    @property
    def text(self) -> str:
        return "\n".join(self)


@asynccontextmanager
async def operator_of(
    database: Database, *, timeout_s: float = 20, say: Lines | None = None
) -> AsyncIterator[Operator]:
    async with operate(database.url, "test", say=Lines() if say is None else say, timeout_s=timeout_s) as operator:
        yield operator


def schema_dump(database: Database, *, table: str | None = None) -> str:
    """`pg_dump --schema-only` without our own schema, and without what differs between any two runs of it."""
    command = [str(database.server.bin / "pg_dump"), "--schema-only", "--exclude-schema=pgjanus", database.url]
    if table is not None:
        command.append(f"--table={table}")
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"(?m)^\\(un)?restrict .*\n", "", text)


def phase_of(database: Database, name: str = NAME) -> str | None:
    row = database.connect().execute("SELECT phase FROM pgjanus.migrations WHERE name = %s", [name]).fetchone()
    return None if row is None else str(row[0])


def columns_of(database: Database, table: str = "public.users") -> list[str]:
    rows = database.connect().execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        [table],
    )
    return [r[0] for r in rows]


def constraints_of(database: Database, table: str = "public.users") -> dict[str, bool]:
    """Name → valid; NOT NULL constraints, which only PostgreSQL 18 has, left out."""
    rows = database.connect().execute(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = %s::regclass AND contype <> 'n'", [table]
    )
    return {r[0]: r[1] for r in rows}


def not_null_columns(database: Database) -> set[str]:
    rows = database.connect().execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 0 AND attnotnull"
    )
    return {r[0] for r in rows}
