"""The SQL that changes the table: every statement of every step of a ladder, with the lock that it takes.

    expand      ALTER TABLE t ADD COLUMN "_pgjanus_first_name" text, …, ADD COLUMN "_pgjanus_state" smallint …
    gates       ADD CONSTRAINT "_pgjanus_gate_old" CHECK ("_pgjanus_state" >= 4) NOT VALID; VALIDATE CONSTRAINT …
    contract    drop the old columns
    collapse    the reverse of expand

What the new columns have besides a type is in `rules.ddl.attributes`, indexes are in `rules.ddl.transition`.

A statement that scans the table never blocks writers, and one that blocks writers never scans: `NOT VALID` first,
`VALIDATE` after it, indexes `CONCURRENTLY`, `SET NOT NULL` only where a valid CHECK has proved it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from rules.catalog import Relation, TableName
from rules.changes import ColumnChange, ManagedColumn, quote_identifier, quote_table
from rules.migration import Migration
from rules.phases import (
    HIDDEN_PREFIX,
    NEW_IS_VALID_FROM,
    OLD_IS_VALID_BELOW,
    STATE_COLUMN,
    Phase,
    Reads,
    RowState,
    Writes,
)


class Lock(Enum):
    """The table lock that a statement takes, in PostgreSQL's words; `NONE` blocks nobody's reads or writes."""

    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    ACCESS_SHARE = "ACCESS SHARE"
    NONE = "none"

    @property
    def is_short(self) -> bool:
        """Whether it blocks writers, so that it has to be taken with a timeout and held for a moment only."""
        return self in (Lock.ACCESS_EXCLUSIVE, Lock.SHARE_ROW_EXCLUSIVE, Lock.SHARE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One command. `also` are tables that it locks beside its own.

    `locks_itself`: no LOCK TABLE before it, because that of a view would lock the tables that it reads.
    """

    sql: str
    lock: Lock
    also: tuple[TableName, ...] = ()
    locks_itself: bool = False


def alter(table: TableName, *actions: str) -> str:
    return f"ALTER TABLE {quote_table(table)} " + ", ".join(actions)


def short(table: TableName, *actions: str) -> Statement:
    """One ALTER TABLE under an exclusive lock that touches no row."""
    return Statement(alter(table, *actions), Lock.ACCESS_EXCLUSIVE)


# Names


def object_name(table: TableName, kind: str, column: str) -> str:
    """A reserved name for a constraint or an index of that column, different for each kind."""
    # An index shares its namespace with all relations of the schema, so the table has to be part of its name.
    return reserved_name(kind, column, f"{table}.{column}", readable_bytes=36)


def reserved_name(kind: str, readable: str, definition: str, *, readable_bytes: int) -> str:
    """A reserved name in which a person finds `readable`, and which no other `definition` has."""
    shown = readable.encode()[:readable_bytes].decode(errors="ignore")
    return f"{HIDDEN_PREFIX}{kind}_{shown}_{_digest(definition, 8)}"


def function_name(table: TableName, purpose: str) -> str:
    """SQL of the trigger function in schema pgjanus that serves a purpose for that table."""
    return f"pgjanus.{quote_identifier(f'{purpose}_{_digest(str(table), 16)}')}"


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


# Gates

_STATE = quote_identifier(STATE_COLUMN)
_GATE_CONDITIONS = {
    RowState.OLD: f"{_STATE} >= {NEW_IS_VALID_FROM}",
    RowState.NEW: f"{_STATE} < {OLD_IS_VALID_BELOW}",
}


def gate_name(forbidden: RowState) -> str:
    """The CHECK that promises that no row is in that state."""
    return f"{HIDDEN_PREFIX}gate_{forbidden.value}"


def add_gate(table: TableName, forbidden: RowState) -> Statement:
    return short(table, _gate(forbidden))


def _gate(forbidden: RowState) -> str:
    name = quote_identifier(gate_name(forbidden))
    return f"ADD CONSTRAINT {name} CHECK ({_GATE_CONDITIONS[forbidden]}) NOT VALID"


def validate(table: TableName, constraint: str) -> Statement:
    """The proof: a scan that lets writers write."""
    return Statement(alter(table, f"VALIDATE CONSTRAINT {quote_identifier(constraint)}"), Lock.SHARE_UPDATE_EXCLUSIVE)


def drop_constraint(table: TableName, constraint: str) -> Statement:
    return short(table, f"DROP CONSTRAINT IF EXISTS {quote_identifier(constraint)}")


def rename_constraint(table: TableName, name: str, to: str) -> Statement:
    return short(table, f"RENAME CONSTRAINT {quote_identifier(name)} TO {quote_identifier(to)}")


# Expand and collapse


@dataclass(frozen=True, slots=True)
class ColumnGrant:
    """One privilege of one role on one column; role None is PUBLIC."""

    column: str
    role: str | None
    privilege: str
    grantable: bool = False


def new_columns(migration: Migration) -> tuple[ManagedColumn, ...]:
    return tuple(c for change in migration.changes for c in change.new)


def old_columns(migration: Migration) -> tuple[ManagedColumn, ...]:
    return tuple(c for change in migration.changes for c in change.old)


def expand(migration: Migration, relation: Relation, grants: Iterable[ColumnGrant] = ()) -> tuple[Statement, ...]:
    """All in one transaction. Defaults are set after the columns are there, so that no row is rewritten or filled."""
    table = migration.table
    adds = [
        f"ADD COLUMN {quote_identifier(c.physical)} {c.type}{_collation(change, c)}"
        for change in migration.changes
        for c in change.new
    ]
    adds.append(f"ADD COLUMN {_STATE} smallint NOT NULL DEFAULT 0")
    adds.append(_gate(RowState.NEW))
    defaults = [
        f"ALTER COLUMN {quote_identifier(c.physical)} SET DEFAULT {c.default}"
        for c in new_columns(migration)
        if c.default is not None
    ]
    statements = [short(table, *adds)]
    if defaults:
        statements.append(short(table, *defaults))
    return (*statements, *copied_grants(migration, grants))


def _collation(change: ColumnChange, column: ManagedColumn) -> str:
    collation = change.collations.get(column.physical)
    return f" COLLATE {collation}" if collation else ""


def copied_grants(
    migration: Migration, grants: Iterable[ColumnGrant], present: Collection[ColumnGrant] = ()
) -> tuple[Statement, ...]:
    """Whoever may use an old column may use the new ones, and see and set the row state; nobody else may.

    `grants` are on old columns, `present` on the hidden ones.
    """
    wanted = _wanted_grants(migration, grants)
    missing = [g for g in wanted if g not in present]
    extra = [g for g in present if g not in wanted]
    return (*_each("REVOKE", migration.table, extra), *_each("GRANT", migration.table, missing))


def _each(verb: str, table: TableName, grants: Iterable[ColumnGrant]) -> Iterator[Statement]:
    """One statement for all columns of which a role gets, or loses, the same."""
    together: dict[tuple[str | None, str, bool], list[str]] = {}
    for grant in grants:
        together.setdefault((grant.role, grant.privilege, grant.grantable), []).append(grant.column)
    for (role, privilege, grantable), columns in together.items():
        who = "PUBLIC" if role is None else quote_identifier(role)
        what = f"{privilege} ({', '.join(map(quote_identifier, columns))}) ON TABLE {quote_table(table)}"
        sql = f"GRANT {what} TO {who}" if verb == "GRANT" else f"REVOKE {what} FROM {who} CASCADE"
        yield Statement(sql + (" WITH GRANT OPTION" if grantable and verb == "GRANT" else ""), Lock.NONE)


def _wanted_grants(migration: Migration, grants: Iterable[ColumnGrant]) -> tuple[ColumnGrant, ...]:
    wanted: dict[tuple[str | None, str, bool], dict[str, None]] = {}
    found = list(grants)
    for change in migration.changes:
        sources = {c.physical for c in change.old} | set(change.sources)
        for grant in found:
            if grant.column in sources:
                columns = wanted.setdefault((grant.role, grant.privilege, grant.grantable), {})
                columns.update(dict.fromkeys(c.physical for c in change.new))
                if grant.privilege != "REFERENCES":
                    wanted.setdefault((grant.role, grant.privilege, False), {})[STATE_COLUMN] = None
                    wanted.setdefault((grant.role, "SELECT", False), {})[STATE_COLUMN] = None
    for grant in found:
        if grant.column == STATE_COLUMN:
            wanted.setdefault((grant.role, grant.privilege, False), {})[STATE_COLUMN] = None
    return tuple(
        ColumnGrant(column, role, privilege, grantable)
        for (role, privilege, grantable), columns in wanted.items()
        for column in columns
    )


def collapse(migration: Migration) -> tuple[Statement, ...]:
    """The table as it was before `expand`; constraints and indexes over the columns go with them."""
    names = [*(c.physical for c in new_columns(migration)), STATE_COLUMN]
    return (short(migration.table, *(f"DROP COLUMN IF EXISTS {quote_identifier(n)}" for n in names)),)


# NOT NULL of old columns


def relax_not_null(table: TableName, columns: Iterable[str]) -> Statement:
    return short(table, *(f"ALTER COLUMN {quote_identifier(c)} DROP NOT NULL" for c in columns))


@dataclass(frozen=True, slots=True)
class RestoreNotNull:
    """NOT NULL again without a scan under an exclusive lock: `name` is the CHECK that proves it meanwhile."""

    name: str
    add: Statement
    proof: Statement
    finish: tuple[Statement, ...]


def restore_not_null(table: TableName, column: str, constraint: str | None = None) -> RestoreNotNull:
    """`constraint` is what its NOT NULL was called, since PostgreSQL 18 they have names."""
    name = object_name(table, "nn", f"old.{column}")
    quoted = quote_identifier(column)
    again = f"ALTER COLUMN {quoted} SET NOT NULL"
    if constraint is not None:
        again = f"ADD CONSTRAINT {quote_identifier(constraint)} NOT NULL {quoted}"
    return RestoreNotNull(
        name,
        short(table, f"ADD CONSTRAINT {quote_identifier(name)} CHECK ({quoted} IS NOT NULL) NOT VALID"),
        validate(table, name),
        (short(table, again), drop_constraint(table, name)),
    )


# Contract


def drop_old(migration: Migration) -> tuple[Statement, ...]:
    """First half: gates, old columns and the row state go."""
    drops = [f"DROP CONSTRAINT IF EXISTS {quote_identifier(gate_name(s))}" for s in _GATE_CONDITIONS]
    drops += [f"DROP COLUMN {quote_identifier(c.physical)}" for c in old_columns(migration)]
    drops.append(f"DROP COLUMN {_STATE}")
    return (short(migration.table, *drops),)


# Phases, by what their statements depend on


def leaves_old_format(phase: Phase) -> bool:
    """Whether writers of that phase no longer keep the old columns."""
    return phase.policy is not None and phase.policy.writes is Writes.NEW


def reads_new_format(phase: Phase) -> bool:
    return phase.policy is not None and phase.policy.reads is Reads.NEW
