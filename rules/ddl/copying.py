"""SQL of the triggers that convert what a proxied COPY brings (see `rules.statements.copy` for how it says so).

    WHEN (NEW."_pgjanus_state" = 0                             nobody gave a row state: not an INSERT of ours
          AND current_query() ~<~ '/*_pgjanus_copy_new*0'      but a COPY from a client of the new shape: its text
          AND current_query() ~>=~ '/*_pgjanus_copy_new*/'     begins with its mark
          AND pg_trigger_depth() = 0)                          and this is not another trigger's statement
    NEW."full_name" := (NEW."_pgjanus_first_name" || …);                 as the proxy's INSERT does it in this phase
    NEW."_pgjanus_state" := 4;

They are part of every phase that has the columns, whatever the migration's `guard` says. The function is replaced in
the transaction that enters a phase, so a client that is still one phase behind gets what the clients of this one write,
which it can read, because adjacent phases can.

The new shape's rows are converted before all other BEFORE triggers, which know the old columns only and find them as an
INSERT through the proxy gives them. The old shape's come after them, so that the new format follows what they have made
of the row; only the guard sorts behind.
"""

from __future__ import annotations

from functools import partial

from rules.changes import ManagedColumn, quote_identifier, quote_literal, quote_table
from rules.ddl.statements import Lock, Statement, function_name
from rules.migration import ManagedTable, Migration
from rules.phases import HIDDEN_PREFIX, STATE_COLUMN, Shape, Writes
from rules.statements.copy import MARKS, SETTING, SEVERAL_MARK
from rules.statements.mirror import effective_writes

#: Triggers of one event fire in the order of their names, byte by byte.
TRIGGERS = {Shape.NEW: f"!{HIDDEN_PREFIX}copy_new", Shape.OLD: f"~{HIDDEN_PREFIX}copy_old"}

_STATE = quote_identifier(STATE_COLUMN)
_QUERY = "pg_catalog.current_query()"


def copying_ddl(managed: ManagedTable) -> tuple[Statement, ...]:
    """Statements that make the triggers what the phase wants; they replace any earlier ones.

    For one transaction, together with the phase. They take ACCESS EXCLUSIVE on the table, and touch no row.
    """
    created = []
    for shape in Shape if managed.phase.expanded else ():
        writes = _writes(managed, shape)
        if writes is not Writes.OLD or shape is Shape.NEW:
            created += _trigger(managed, shape, writes)
    return (*copying_drop(managed.migration), *(Statement(sql, Lock.ACCESS_EXCLUSIVE) for sql in created))


def copying_drop(migration: Migration) -> tuple[Statement, ...]:
    """Statements that take the triggers away, also where there are none; needed before the columns can be dropped."""
    table = quote_table(migration.table)
    return (
        *(
            Statement(f"DROP TRIGGER IF EXISTS {quote_identifier(name)} ON {table}", Lock.ACCESS_EXCLUSIVE)
            for name in TRIGGERS.values()
        ),
        *(
            Statement(f"DROP FUNCTION IF EXISTS {function_name(migration.table, f'copy_{shape.value}')}()", Lock.NONE)
            for shape in Shape
        ),
    )


def _writes(managed: ManagedTable, shape: Shape) -> Writes:
    """What a client of that shape leaves behind in this phase.

    A lossy change is refused to it where its own format is not written. What comes all the same is from a client that
    is still in the phase before, and finds its value as it wrote it.
    """
    writes = effective_writes(managed, shape, insert=True)
    if not writes.includes(shape) and any(change.lossy for change in managed.migration.changes):
        return Writes.BOTH
    return writes


def _trigger(managed: ManagedTable, shape: Shape, writes: Writes) -> list[str]:
    table, name = quote_table(managed.migration.table), quote_identifier(TRIGGERS[shape])
    function = function_name(managed.migration.table, f"copy_{shape.value}")
    # Without a search_path of its own: like the proxy's INSERT, and a fifth faster.
    return [
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
        f" AS {quote_literal(_body(managed, shape, writes)).strip()}",
        f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW WHEN ({_condition(shape)})"
        f" EXECUTE FUNCTION {function}()",
        # Who loads data under session_replication_role = replica is a client like any other.
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    ]


def _condition(shape: Shape) -> str:
    """Whether a row comes from a COPY of that shape. Evaluated for each row, so the first comparison decides most.

    A text begins with a mark if it sorts between the mark and what follows all that begin so, byte by byte (`~<~`).
    `starts_with` says the same and takes four times as long, for it counts characters.
    """
    mark = MARKS[shape]
    # 'COPY …' and 'INSERT …' sort behind it, and so does the old shape's mark for the new one's trigger; the mark of
    # several statements, which says nothing of the shape, sorts before both.
    several = f"{_QUERY} ~>=~ '{SEVERAL_MARK}' AND {_QUERY} ~<~ '{_behind(SEVERAL_MARK)}'"
    setting = f"pg_catalog.current_setting('{SETTING}', true) = '{shape.value}'"
    return (
        f"NEW.{_STATE} = 0 AND {_QUERY} ~<~ '{_behind(mark)}' AND ({_QUERY} ~>=~ '{mark}' OR ({several} AND {setting}))"
        " AND pg_catalog.pg_trigger_depth() = 0"
    )


def _behind(mark: str) -> str:
    """The least text that sorts behind all those that begin with `mark` (in ASCII)."""
    return mark[:-1] + chr(ord(mark[-1]) + 1)


def _body(managed: ManagedTable, shape: Shape, writes: Writes) -> str:
    lines = []
    for change in managed.migration.changes if writes.includes(shape.other) else ():
        for column in change.side(shape.other):
            # Without a cast: an assignment refuses what does not fit, as the proxy's INSERT does.
            value = change.into(shape.other)[column.name].render(partial(_new_value, change.side(shape)))
            lines.append(f"NEW.{quote_identifier(column.physical)} := {value};")
    lines.append(f"NEW.{_STATE} := {writes.leaves.lowest};")
    return "\n".join(["BEGIN", *lines, "RETURN NEW;", "END"])


def _new_value(columns: tuple[ManagedColumn, ...], name: str) -> str:
    return f"NEW.{quote_identifier(next((c.physical for c in columns if c.name == name), name))}"
