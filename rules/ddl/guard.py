"""SQL of the guard: triggers against writers that do not come through the proxy (functions, cascades, psql).

A proxied UPDATE always changes the stored code of the row state and a proxied INSERT always gives one, so the triggers'
`WHEN` is false for them and no function runs. What is left changed a managed column behind our back:

    guard: heal     `writes` old         the row is in state `old` from now on; nothing has to be computed, unless a
                                         lossy change of the row stays as it was
                    `writes` both, new   the other format is derived again in the same row
                    row in state `new`   refused: its old columns are stale, and so may be what the writer read
    guard: reject   refused, wherever it would leave the two formats different
    guard: off      no triggers

A write that leaves every managed column as it is, and rows in state `old` (whose old columns are the truth), pass.
The triggers sort behind all others of ASCII names, so that they see what other BEFORE triggers have made of a row.
"""

from __future__ import annotations

from rules import reads
from rules.batches import truth
from rules.changes import ColumnChange, quote_identifier, quote_literal, quote_table
from rules.ddl.statements import Lock, Statement, function_name
from rules.migration import Guard, ManagedTable, Migration
from rules.phases import (
    HIDDEN_PREFIX,
    NEW_IS_VALID_FROM,
    OLD_IS_VALID_BELOW,
    STATE_COLUMN,
    Reads,
    RowState,
    Shape,
    Writes,
)

#: Triggers of one event fire in the order of their names, byte by byte; `~` comes after every letter.
TRIGGER_PREFIX = f"~{HIDDEN_PREFIX}guard_"
UPDATE_TRIGGER = f"{TRIGGER_PREFIX}update"
INSERT_TRIGGER = f"{TRIGGER_PREFIX}insert"

#: SQLSTATE of a refused write: object_not_in_prerequisite_state.
REFUSED = "55000"

_STATE = quote_identifier(STATE_COLUMN)


def guard_ddl(managed: ManagedTable) -> tuple[Statement, ...]:
    """Statements that make the guard what the phase and the migration's `guard` want; it replaces any earlier one.

    For one transaction, together with the phase. They take ACCESS EXCLUSIVE on the table, and touch no row.
    """
    migration = managed.migration
    dropped = guard_drop(migration)
    if migration.guard is Guard.OFF or not managed.phase.expanded:
        return dropped
    triggers = []
    if _minds_updates(managed):
        triggers.append((UPDATE_TRIGGER, "UPDATE", _changed_behind_our_back(migration)))
    if _minds_inserts(managed):
        triggers.append((INSERT_TRIGGER, "INSERT", f"NEW.{_STATE} = 0"))
    if not triggers:
        return dropped
    table, function = quote_table(migration.table), function_name(migration.table, "guard")
    created = [
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = ''"
        f" AS {quote_literal(_body(managed)).strip()}"
    ]
    for name, event, condition in triggers:
        trigger = quote_identifier(name)
        created.append(
            f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION {function}()"
        )
        # Writers under session_replication_role = replica are writers too.
        created.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    return (*dropped, *(Statement(sql, Lock.ACCESS_EXCLUSIVE) for sql in created))


def guard_drop(migration: Migration) -> tuple[Statement, ...]:
    """Statements that take the guard away, also where there is none; needed before managed columns can be dropped."""
    table = quote_table(migration.table)
    names = (UPDATE_TRIGGER, INSERT_TRIGGER)
    return (
        *(Statement(f"DROP TRIGGER IF EXISTS {quote_identifier(n)} ON {table}", Lock.ACCESS_EXCLUSIVE) for n in names),
        Statement(f"DROP FUNCTION IF EXISTS {function_name(migration.table, 'guard')}()", Lock.NONE),
    )


def _two_sided(migration: Migration) -> tuple[ColumnChange, ...]:
    return tuple(c for c in migration.changes if c.old and c.new)


def _minds_updates(managed: ManagedTable) -> bool:
    # A column that only one side has cannot disagree with anything; it is only stale in a row of state `new`.
    migration = managed.migration
    return bool(_two_sided(migration)) or (
        managed.policy.writes is Writes.NEW and any(c.old for c in migration.changes)
    )


def _minds_inserts(managed: ManagedTable) -> bool:
    """Where a row in state `old` is not what this phase's writers leave behind.

    `reject` leaves such a row to the backfill while reads allow it: a proxy that is still one phase behind may be the
    one that inserts it, rightly.
    """
    if managed.migration.guard is Guard.REJECT:
        return managed.policy.reads is Reads.NEW
    return managed.policy.writes is not Writes.OLD


def _changed_behind_our_back(migration: Migration) -> str:
    columns = [c.physical for change in migration.changes for c in (*change.old, *change.new)]
    return f"OLD.{_STATE} = NEW.{_STATE} AND OLD.{_STATE} >= {NEW_IS_VALID_FROM} AND {_differs(columns)}"


def _differs(columns: list[str]) -> str:
    # `*<>` compares the stored images: it knows every type, also those without equality, and calls no function.
    old, new = (", ".join(f"{row}.{quote_identifier(c)}" for c in columns) for row in ("OLD", "NEW"))
    return f"ROW({old})::record OPERATOR(pg_catalog.*<>) ROW({new})::record"


def _body(managed: ManagedTable) -> str:
    heal = managed.migration.guard is Guard.HEAL
    insert = _derive_all(managed.migration) if heal else _refuse(managed, "a row was inserted")
    update = _heal_update(managed) if heal else _refuse(managed, "managed columns were changed")
    return f"BEGIN\nIF TG_OP = 'INSERT' THEN\n{insert}\nELSE\n{update}\nEND IF;\nRETURN NEW;\nEND"


def _derive(change: ColumnChange, into: Shape) -> str:
    return "\n".join(
        f"NEW.{quote_identifier(c.physical)} := {reads.converted(change, c, into, 'NEW.')};" for c in change.side(into)
    )


def _derive_all(migration: Migration) -> str:
    values = [_derive(change, Shape.NEW) for change in migration.changes if change.new]
    return "\n".join([*values, f"NEW.{_STATE} := {RowState.BOTH.lowest};"])


def _heal_update(managed: ManagedTable) -> str:
    migration, policy = managed.migration, managed.policy
    old = [c.physical for change in migration.changes for c in change.old]
    parts = []
    if old:
        stale = _refuse(managed, "an old column was changed in a row where it is out of date")
        parts.append(
            f"IF OLD.{_STATE} >= {OLD_IS_VALID_BELOW} THEN\nIF {_differs(old)} THEN\n{stale}\nEND IF;\n"
            "RETURN NEW;\nEND IF;"
        )
    # An added column lives in the new format alone, whatever this phase writes: that format must stay valid.
    if policy.writes is Writes.OLD and all(change.old for change in migration.changes):
        compared = [c.physical for change in _two_sided(migration) for c in change.old]
        lossy = [change for change in _two_sided(migration) if change.lossy]
        # A lossy change that stays as it is must not be rounded for the sake of another one: that is converted then.
        changed = [_differs([c.physical for c in change.old]) for change in lossy] or [_differs(compared)]
        parts.append(f"IF {' AND '.join(changed)} THEN\nNEW.{_STATE} := {RowState.OLD.lowest};\nRETURN NEW;\nEND IF;")
    believed = truth(policy.reads)
    for change in _two_sided(migration):
        one, other = (_differs([c.physical for c in change.side(shape)]) for shape in (believed, believed.other))
        parts.append(
            f"IF {one} THEN\n{_derive(change, believed.other)}\n"
            f"ELSIF {other} THEN\n{_derive(change, believed)}\nEND IF;"
        )
    return "\n".join(parts) or "NULL;"


def _refuse(managed: ManagedTable, what: str) -> str:
    migration = managed.migration
    message = (
        f"pgjanus: {what}, and not through the proxy"
        f" (table {migration.table}, migration {migration.name}, phase {managed.phase.name})"
    )
    hint = "Send the statement through pgjanus."
    if migration.guard is Guard.REJECT:
        hint += " With guard: heal in the migration most such writes would be mended instead."
    return (
        f"RAISE EXCEPTION USING ERRCODE = '{REFUSED}', MESSAGE = {quote_literal(message).strip()},"
        f" HINT = {quote_literal(hint).strip()}, SCHEMA = {quote_literal(migration.table.schema).strip()},"
        f" TABLE = {quote_literal(migration.table.name).strip()};"
    )
