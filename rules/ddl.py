"""The SQL that changes the table: every statement of every step of a ladder, with the lock that it takes.

    expand      ALTER TABLE t ADD COLUMN "_pgjanus_first_name" text, …, ADD COLUMN "_pgjanus_state" smallint …
    gates       ADD CONSTRAINT "_pgjanus_gate_old" CHECK ("_pgjanus_state" >= 4) NOT VALID; VALIDATE CONSTRAINT …
    attributes  the new columns' NOT NULL, CHECK, REFERENCES, UNIQUE and index; only ever while the old gate stands,
                so a plain condition on the new column is right for every row
    contract    drop the old columns, give the new ones their names
    collapse    the reverse of expand

A statement that scans the table never blocks writers, and one that blocks writers never scans: `NOT VALID` first,
`VALIDATE` after it, indexes `CONCURRENTLY`, `SET NOT NULL` only where a valid CHECK has proved it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from rules.catalog import Relation, TableName
from rules.changes import ColumnChange, ManagedColumn, parse_expression, quote_identifier, quote_table
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
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    ACCESS_SHARE = "ACCESS SHARE"
    NONE = "none"

    @property
    def is_short(self) -> bool:
        """Whether it blocks writers, so that it has to be taken with a timeout and held for a moment only."""
        return self in (Lock.ACCESS_EXCLUSIVE, Lock.SHARE_ROW_EXCLUSIVE)


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    lock: Lock


def _alter(table: TableName, *actions: str) -> str:
    return f"ALTER TABLE {quote_table(table)} " + ", ".join(actions)


def short(table: TableName, *actions: str) -> Statement:
    """One ALTER TABLE under an exclusive lock that touches no row."""
    return Statement(_alter(table, *actions), Lock.ACCESS_EXCLUSIVE)


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
    return Statement(_alter(table, f"VALIDATE CONSTRAINT {quote_identifier(constraint)}"), Lock.SHARE_UPDATE_EXCLUSIVE)


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
        f"ADD COLUMN {quote_identifier(c.physical)} {c.type}{_collation(change, c, relation)}"
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
    return (*statements, *_copied_grants(migration, grants))


def _collation(change: ColumnChange, column: ManagedColumn, relation: Relation) -> str:
    """A column that is only renamed keeps the collation of its old self."""
    parts = change.up[column.name].parts
    source = relation.column(parts[1]) if len(parts) == 3 and not (parts[0] + parts[2]).strip() else None
    if source is None or source.collation is None or source.type != column.type:
        return ""
    return f" COLLATE {source.collation}"


def _copied_grants(migration: Migration, grants: Iterable[ColumnGrant]) -> list[Statement]:
    """Whoever may use an old column may use the new ones, and see and set the row state."""
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
    return [
        Statement(
            f"GRANT {privilege} ({', '.join(quote_identifier(c) for c in columns)}) ON TABLE"
            f" {quote_table(migration.table)} TO {'PUBLIC' if role is None else quote_identifier(role)}"
            + (" WITH GRANT OPTION" if grantable else ""),
            Lock.NONE,
        )
        for (role, privilege, grantable), columns in wanted.items()
        if columns
    ]


def collapse(migration: Migration) -> tuple[Statement, ...]:
    """The table as it was before `expand`; constraints and indexes over the columns go with them."""
    names = [*(c.physical for c in new_columns(migration)), STATE_COLUMN]
    return (short(migration.table, *(f"DROP COLUMN IF EXISTS {quote_identifier(n)}" for n in names)),)


# Attributes of new columns


class Kind(Enum):
    NOT_NULL = "nn"
    CHECK = "ck"
    REFERENCES = "fk"
    UNIQUE = "uq"
    INDEX = "ix"

    @property
    def is_index(self) -> bool:
        return self in (Kind.UNIQUE, Kind.INDEX)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a new column is to have besides its type.

    `name` is what the constraint or index is called until `contracted`. `add` takes a short lock, or none at all for an
    index, which is made CONCURRENTLY and outside a transaction; `proof` is the scan that makes a constraint valid.
    """

    kind: Kind
    table: TableName
    column: ManagedColumn
    name: str
    add: Statement

    @property
    def proof(self) -> Statement | None:
        return None if self.kind.is_index else validate(self.table, self.name)

    @property
    def drop(self) -> Statement:
        if self.kind.is_index:
            name = f"{quote_identifier(self.table.schema)}.{quote_identifier(self.name)}"
            return Statement(f"DROP INDEX IF EXISTS {name}", Lock.ACCESS_EXCLUSIVE)
        return drop_constraint(self.table, self.name)

    @property
    def drop_in_background(self) -> Statement:
        """For an index that a failed build left behind: invalid, and yet a cost to every write."""
        assert self.kind.is_index
        sql = self.drop.sql.replace("DROP INDEX ", "DROP INDEX CONCURRENTLY ", 1)
        return Statement(sql, Lock.SHARE_UPDATE_EXCLUSIVE)

    def __str__(self) -> str:
        words = {
            Kind.NOT_NULL: "NOT NULL",
            Kind.CHECK: f"CHECK ({self.column.check})",
            Kind.REFERENCES: f"REFERENCES {self.column.references}",
            Kind.UNIQUE: "UNIQUE",
            Kind.INDEX: "index",
        }
        return f"{words[self.kind]} of column {self.column.name}"


def attributes(migration: Migration) -> tuple[Attribute, ...]:
    """Constraints first: a CHECK finds bad rows sooner than an index does."""
    physical = {c.name: c.physical for c in new_columns(migration)}
    found: list[Attribute] = []
    for c in new_columns(migration):
        column = quote_identifier(c.physical)
        if c.not_null:
            found.append(_constraint(migration.table, Kind.NOT_NULL, c, f"CHECK ({column} IS NOT NULL)"))
        if c.check is not None:
            condition = parse_expression(c.check).render(lambda name: quote_identifier(physical.get(name, name)))
            found.append(_constraint(migration.table, Kind.CHECK, c, f"CHECK {condition}"))
        if c.references is not None:
            found.append(
                _constraint(migration.table, Kind.REFERENCES, c, f"FOREIGN KEY ({column}) REFERENCES {c.references}")
            )
        if c.unique:
            found.append(_index(migration.table, Kind.UNIQUE, c))
        elif c.index:
            found.append(_index(migration.table, Kind.INDEX, c))
    return tuple(sorted(found, key=lambda a: list(Kind).index(a.kind)))


def _constraint(table: TableName, kind: Kind, column: ManagedColumn, definition: str) -> Attribute:
    name = _object_name(table, kind, column.name)
    lock = Lock.SHARE_ROW_EXCLUSIVE if kind is Kind.REFERENCES else Lock.ACCESS_EXCLUSIVE
    add = Statement(_alter(table, f"ADD CONSTRAINT {quote_identifier(name)} {definition} NOT VALID"), lock)
    return Attribute(kind, table, column, name, add)


def _index(table: TableName, kind: Kind, column: ManagedColumn) -> Attribute:
    name = _object_name(table, kind, column.name)
    unique = "UNIQUE " if kind is Kind.UNIQUE else ""
    sql = (
        f"CREATE {unique}INDEX CONCURRENTLY {quote_identifier(name)} ON {quote_table(table)}"
        f" ({quote_identifier(column.physical)})"
    )
    return Attribute(kind, table, column, name, Statement(sql, Lock.SHARE_UPDATE_EXCLUSIVE))


def _object_name(table: TableName, kind: Kind, column: str) -> str:
    # An index shares its namespace with all relations of the schema, so the table has to be part of its name.
    digest = hashlib.sha256(f"{table}.{column}".encode()).hexdigest()[:8]
    readable = column.encode()[:36].decode(errors="ignore")
    return f"{HIDDEN_PREFIX}{kind.value}_{readable}_{digest}"


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


def restore_not_null(table: TableName, column: str) -> RestoreNotNull:
    name = _object_name(table, Kind.NOT_NULL, f"old.{column}")
    quoted = quote_identifier(column)
    return RestoreNotNull(
        name,
        short(table, f"ADD CONSTRAINT {quote_identifier(name)} CHECK ({quoted} IS NOT NULL) NOT VALID"),
        validate(table, name),
        (short(table, f"ALTER COLUMN {quoted} SET NOT NULL"), drop_constraint(table, name)),
    )


# Contract


def drop_old(migration: Migration) -> tuple[Statement, ...]:
    """First half: gates, old columns and the row state go."""
    drops = [f"DROP CONSTRAINT IF EXISTS {quote_identifier(gate_name(s))}" for s in _GATE_CONDITIONS]
    drops += [f"DROP COLUMN {quote_identifier(c.physical)}" for c in old_columns(migration)]
    drops.append(f"DROP COLUMN {_STATE}")
    return (short(migration.table, *drops),)


def name_new(migration: Migration, taken: Iterable[str]) -> tuple[Statement, ...]:
    """Second half, in the same transaction: what is left gets the names it would have in CREATE TABLE.

    `taken` are the names of the schema's relations and of the table's constraints by then. SET NOT NULL comes after the
    rename, because since PostgreSQL 18 it names a constraint after the column, and before its CHECK is dropped,
    because that is what saves the scan.
    """
    table = migration.table
    found = attributes(migration)
    statements = [
        short(table, f"RENAME COLUMN {quote_identifier(c.physical)} TO {quote_identifier(c.name)}")
        for c in new_columns(migration)
    ]
    proved = [a for a in found if a.kind is Kind.NOT_NULL]
    if proved:
        set_not_null = (f"ALTER COLUMN {quote_identifier(a.column.name)} SET NOT NULL" for a in proved)
        statements.append(short(table, *set_not_null))
        statements.append(short(table, *(f"DROP CONSTRAINT {quote_identifier(a.name)}" for a in proved)))
    used = set(taken)
    for a in found:
        if a.kind is not Kind.NOT_NULL:
            final = _final_name(a, used)
            used.add(final)
            statements.append(_finished(a, final))
    return tuple(statements)


def _finished(attribute: Attribute, final: str) -> Statement:
    table, name = attribute.table, quote_identifier(attribute.name)
    match attribute.kind:
        case Kind.UNIQUE:
            return short(table, f"ADD CONSTRAINT {quote_identifier(final)} UNIQUE USING INDEX {name}")
        case Kind.INDEX:
            schema = quote_identifier(table.schema)
            return Statement(f"ALTER INDEX {schema}.{name} RENAME TO {quote_identifier(final)}", Lock.ACCESS_EXCLUSIVE)
        case _:
            return rename_constraint(table, attribute.name, final)


def _final_name(attribute: Attribute, taken: set[str]) -> str:
    """As PostgreSQL would have called it (`users_email_key`), with a number behind it where that is taken."""
    suffix = {Kind.CHECK: "check", Kind.REFERENCES: "fkey", Kind.UNIQUE: "key", Kind.INDEX: "idx"}[attribute.kind]
    number = ""
    while True:
        tail = f"_{suffix}{number}"
        stem = f"{attribute.table.name}_{attribute.column.name}".encode()[: 63 - len(tail)].decode(errors="ignore")
        if stem + tail not in taken:
            return stem + tail
        number = str(int(number or 0) + 1)


# Phases, by what their statements depend on


def leaves_old_format(phase: Phase) -> bool:
    """Whether writers of that phase no longer keep the old columns."""
    return phase.policy is not None and phase.policy.writes is Writes.NEW


def reads_new_format(phase: Phase) -> bool:
    return phase.policy is not None and phase.policy.reads is Reads.NEW
