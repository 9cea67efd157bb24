"""What pgjanus keeps in the database: schema `pgjanus`, the durable truth about phases.

Everybody reads the definition of a migration and its phase from here, so N proxies can never disagree. Each change
raises `pgjanus.epoch` by one and notifies channel `pgjanus`; the transaction that changes a phase also changes the
table, so a crash leaves either both or neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from proxy.backfill import tables as backfill_tables
from proxy.catalog import load_relation
from proxy.database import Connection
from proxy.usage import tables as usage_tables
from proxy.verify import tables as verify_tables
from rules.catalog import Catalog, Relation, TableName
from rules.errors import PgjanusError
from rules.migration import ManagedTable, Migration
from rules.phases import ANNOUNCED, CONTRACTED, LADDERS, Phase, Strategy, phase_named
from rules.spec import MigrationSpec

CHANNEL = "pgjanus"


class UnknownMigration(PgjanusError):
    """no migration of that name: the names that there are, nearest first"""


@dataclass(frozen=True, slots=True)
class RelaxedNotNull:
    """A NOT NULL of an old column, lifted while nobody writes the old format; it has a name since PostgreSQL 18."""

    column: str
    constraint: str | None = None


@dataclass(frozen=True, slots=True)
class MigrationRow:
    """One row of `pgjanus.migrations`. `is_held`: new transactions wait for the outcome of `contracted`."""

    name: str
    table: TableName
    table_oid: int
    definition: Mapping[str, Any]
    strategy: Strategy
    phase: Phase
    hold_until: object | None = None
    hold_expired: bool = False
    relaxed: tuple[RelaxedNotNull, ...] = ()
    withdrawn: bool = False

    @property
    def served(self) -> Phase:
        """The phase as proxies serve it."""
        return self.phase.withdrawn if self.withdrawn else self.phase

    @property
    def is_active(self) -> bool:
        return self.phase is not CONTRACTED

    @property
    def ladder(self) -> tuple[Phase, ...]:
        return LADDERS[self.strategy]

    def compile(self, relation: Relation) -> Migration:
        """The migration over the table as it is now."""
        return MigrationSpec.from_json(dict(self.definition)).compile(relation)


@dataclass(frozen=True, slots=True)
class State:
    """The epoch and all migrations, read in one transaction."""

    epoch: int
    migrations: tuple[MigrationRow, ...] = field(default=())


_MIGRATIONS = """
SELECT name, table_schema, table_name, table_oid::int8 AS table_oid, definition::text, strategy, phase, hold_until,
       hold_until <= clock_timestamp() AS hold_expired, saved::text, withdrawn FROM pgjanus.migrations"""


async def read_state(connection: Connection) -> State:
    """One statement per table: call it inside a REPEATABLE READ transaction if more is read with it."""
    epoch = await read_epoch(connection)
    rows = await connection.fetch(f"{_MIGRATIONS} ORDER BY created_at, name")
    return State(epoch, tuple(_migration_row(r) for r in rows))


async def read_epoch(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT epoch FROM pgjanus.epoch"))


async def read_migration(connection: Connection, name: str) -> MigrationRow:
    """Raises UnknownMigration, which names the nearest one."""
    row = await connection.fetchrow(f"{_MIGRATIONS} WHERE name = $1", name)
    if row is not None:
        return _migration_row(row)
    names = [r[0] for r in await connection.fetch("SELECT name FROM pgjanus.migrations ORDER BY created_at, name")]
    if not names:
        raise UnknownMigration(f"there is no migration {name!r}, nor any other in this database: pgjanus start FILE")
    raise UnknownMigration(f"there is no migration {name!r}{did_you_mean(name, names)} (there are: {', '.join(names)})")


def did_you_mean(word: str, words: list[str]) -> str:
    """`: did you mean 'x'?`, or nothing if none is near."""
    near = get_close_matches(word, words, n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def _migration_row(row: Mapping[str, Any]) -> MigrationRow:
    strategy = Strategy(row["strategy"])
    saved = json.loads(row["saved"])
    return MigrationRow(
        name=row["name"],
        table=TableName(row["table_schema"], row["table_name"]),
        table_oid=row["table_oid"],
        definition=json.loads(row["definition"]),
        strategy=strategy,
        phase=phase_named(strategy, row["phase"]),
        hold_until=row["hold_until"],
        hold_expired=bool(row["hold_expired"]),
        withdrawn=row["withdrawn"],
        relaxed=tuple(RelaxedNotNull(r["column"], r.get("constraint")) for r in saved.get("relaxed_not_null", ())),
    )


async def read_managed_table(connection: Connection, name: str) -> tuple[MigrationRow, ManagedTable]:
    """A migration that has not ended, compiled over its table as it is now."""
    row = await read_migration(connection, name)
    if not row.is_active:
        raise PgjanusError(f"migration {name!r} is over: {row.table} has only its new columns")
    relation = await load_relation(connection, row.table)
    if relation is None or relation.oid != row.table_oid:
        raise PgjanusError(await explain_missing(connection, row))
    return row, ManagedTable(row.compile(relation), row.phase, relation)


def managed_tables(state: State, catalog: Catalog) -> dict[TableName, ManagedTable]:
    """Every open migration over its table and each partition; raises PgjanusError if one does not fit it (any more)."""
    found: dict[TableName, ManagedTable] = {}
    for row in state.migrations:
        relation = catalog.relations.get(row.table)
        if not row.is_active:
            continue
        if relation is None or relation.oid != row.table_oid:
            raise PgjanusError(
                f"table {row.table} of migration {row.name!r} was dropped or renamed:"
                f" give it its name back, or pgjanus abort {row.name}"
            )
        relaxed = frozenset(r.column for r in row.relaxed)
        managed = ManagedTable(row.compile(relation), row.served, relation, relaxed)
        found[row.table] = managed
        if relation.is_partitioned:
            found |= {part.table: managed.partition(part) for part in catalog.partitions_of(relation.oid)}
    return found


async def present_name(connection: Connection, row: MigrationRow) -> str | None:
    """What the migration's table is called now; None if it is gone."""
    name: str | None = await connection.fetchval(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = $1::int8::oid", row.table_oid
    )
    return name


async def explain_missing(connection: Connection, row: MigrationRow) -> str:
    """Why the migration's table is not there under its name, and what to do."""
    name = await present_name(connection, row)
    if name is None:
        return f"table {row.table} of migration {row.name!r} was dropped: pgjanus abort {row.name}"
    return f"table {row.table} of migration {row.name!r} is called {name} now: give it its name back"


# Changes. Each is called inside the caller's transaction.


async def raise_epoch(connection: Connection) -> int:
    """The next epoch; everybody who listens learns of it when the transaction commits."""
    epoch = await connection.fetchval("UPDATE pgjanus.epoch SET epoch = epoch + 1 RETURNING epoch")
    await connection.execute("SELECT pg_notify($1::text, $2::text)", CHANNEL, str(epoch))
    return int(epoch)


async def leap_epoch(connection: Connection) -> int:
    """To one that no proxy has seen yet, whatever happened to the database."""
    epoch = await connection.fetchval(
        "UPDATE pgjanus.epoch SET epoch = greatest(epoch, (SELECT max(epoch_seen) FROM pgjanus.proxies))"
        " RETURNING epoch"
    )
    assert epoch is not None
    return await raise_epoch(connection)


async def insert_migration(
    connection: Connection, name: str, relation: Relation, strategy: Strategy, definition: Mapping[str, Any]
) -> None:
    """Register it in phase `announced`."""
    await connection.execute(
        "INSERT INTO pgjanus.migrations (name, table_schema, table_name, table_oid, definition, strategy, phase)"
        " VALUES ($1, $2, $3, $4::int8::oid, $5::text::json, $6, $7)",
        *(name, relation.table.schema, relation.table.name, relation.oid),
        *(json.dumps(definition), strategy.value, ANNOUNCED.name),
    )


async def delete_migration(connection: Connection, name: str) -> None:
    """Forget the migration with what the worker kept of it; the history stays."""
    await connection.execute("DELETE FROM pgjanus.migrations WHERE name = $1", name)
    for table in (*backfill_tables.TABLES, *verify_tables.TABLES, *usage_tables.TABLES, "observations"):
        await connection.execute(f"DELETE FROM pgjanus.{table} WHERE migration = $1", name)


async def set_phase(connection: Connection, row: MigrationRow, after: Phase) -> None:
    """Compare and set: raises if the phase is no longer what `row` says."""
    done = await connection.fetchval(
        "UPDATE pgjanus.migrations"
        " SET phase = $3, withdrawn = false, hold_until = NULL, changed_at = clock_timestamp()"
        " WHERE name = $1 AND phase = $2 RETURNING true",
        *(row.name, row.phase.name, after.name),
    )
    if not done:
        raise PgjanusError(f"migration {row.name!r} is no longer in phase {row.phase.name}: look at pgjanus status")


async def withdraw(connection: Connection, name: str, withdrawn: bool) -> None:
    """Refuse clients of the new shape, or do not any more."""
    await connection.execute("UPDATE pgjanus.migrations SET withdrawn = $2 WHERE name = $1", name, withdrawn)


async def save_relaxed(connection: Connection, name: str, relaxed: tuple[RelaxedNotNull, ...]) -> None:
    saved = [{"column": r.column, "constraint": r.constraint} for r in relaxed]
    await connection.execute(
        "UPDATE pgjanus.migrations SET saved = jsonb_set(saved, '{relaxed_not_null}', $2::text::jsonb) WHERE name = $1",
        *(name, json.dumps(saved)),
    )


async def set_hold(connection: Connection, name: str, seconds: float) -> None:
    """New transactions wait from now on, for at most that long by the database's clock."""
    await connection.execute(
        "UPDATE pgjanus.migrations SET hold_until = clock_timestamp() + make_interval(secs => $2::float8)"
        " WHERE name = $1",
        *(name, seconds),
    )


async def clear_hold(connection: Connection, name: str) -> bool:
    """Whether there was one."""
    return bool(
        await connection.fetchval(
            "UPDATE pgjanus.migrations SET hold_until = NULL WHERE name = $1 AND hold_until IS NOT NULL RETURNING true",
            name,
        )
    )


async def clear_expired_holds(connection: Connection) -> bool:
    """Lift holds whose operator is gone. Never waits: an operator who is just contracting has the row locked."""
    cleared = await connection.fetch(
        "UPDATE pgjanus.migrations SET hold_until = NULL WHERE name IN (SELECT name FROM pgjanus.migrations"
        " WHERE hold_until <= clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING name"
    )
    return bool(cleared)


async def lock_held_migration(connection: Connection, name: str) -> bool:
    """Lock the migration's row; whether its hold is still in force."""
    return bool(
        await connection.fetchval(
            "SELECT hold_until > clock_timestamp() FROM pgjanus.migrations WHERE name = $1 FOR UPDATE", name
        )
    )


async def record(
    connection: Connection, migration: str, before: Phase | None, after: Phase | None, epoch: int, note: str = ""
) -> None:
    """One line of history; the operator is the connection's user and application name."""
    await connection.execute(
        "INSERT INTO pgjanus.history (migration, from_phase, to_phase, epoch, operator, note)"
        " VALUES ($1, $2, $3, $4, session_user || ' ' || current_setting('application_name'), $5)",
        *(migration, before.name if before else None, after.name if after else None, epoch, note),
    )
