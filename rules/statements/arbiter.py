"""The arbiter of an INSERT: ON CONFLICT (columns), or ON CONSTRAINT.

Where a client's own format is not valid in every row, a unique index on the bare columns would miss rows. A unique
transition index (see the ladder) is on exactly the expression by which the client reads the column, so that is named:

    ON CONFLICT (tenant, email)  →  ON CONFLICT (tenant, (CASE WHEN "_pgjanus_state" < 6 THEN "email" WHEN … END))
    ON CONFLICT ON CONSTRAINT accounts_email_key  →  ON CONFLICT ((CASE WHEN … END))

Expressions among the arbiter's elements and its WHERE are references like any other. Where there is no such index,
PostgreSQL says so (42P10), as it does wherever the columns are not unique.
"""

from __future__ import annotations

from rules.analysis.names import Entry
from rules.changes import quote_identifier
from rules.errors import Refusal
from rules.migration import ManagedTable
from rules.phases import Shape
from rules.reads import find_column, is_stored, read_column
from rules.statements.mirror import target_column
from rules.text.fragments import Edits
from rules.text.source import Node, SourceText

_UNDEFINED_OBJECT = "42704"


def rewrite_arbiter(source: SourceText, edits: Edits, entry: Entry, conflict: Node, shape: Shape) -> None:
    """Rewrite what an ON CONFLICT clause names to find its index; nothing to do where it names none."""
    table = entry.managed
    assert table is not None
    infer = conflict.get("infer")
    if infer is None or not table.phase.expanded:
        return
    position = source.location(infer)
    first = source.token_at(position)
    if "conname" in infer:
        names = _constraint_columns(table, shape, infer["conname"], position)
        if names:
            keys = ", ".join(_key(table, shape, name) for name in names)
            edits.replace(position, source.tokens[first + 2].end, f"({keys})")
        return
    for item, (start, _) in zip(infer["indexElems"], source.items(first + 1), strict=True):
        name = item["IndexElem"].get("name")
        if name is not None and target_column(table, shape, name, position) is not None:
            key = _key(table, shape, name)
            if key != quote_identifier(name):
                edits.replace(*source.span(start, source.name_end(start)), key)


def _key(table: ManagedTable, shape: Shape, name: str) -> str:
    found = find_column(table, shape, name)
    return quote_identifier(name) if found is None else read_column(table, *found, shape, "")


def _constraint_columns(table: ManagedTable, shape: Shape, name: str, position: int) -> list[str]:
    """The client's names of a constraint's columns, if they have to be named in its place; else none."""
    constraint = next((c for c in table.relation.constraints if c.name == name), None)
    if constraint is None:
        return []
    own = {column.name: visible for visible, column in table.visible(shape)}
    if any(c not in own for c in constraint.columns):
        raise Refusal(
            f'constraint "{name}" for table "{table.relation.table.name}" does not exist', sqlstate=_UNDEFINED_OBJECT
        )
    names = [own[c] for c in constraint.columns]
    if is_stored(table, shape) or not any(find_column(table, shape, n) for n in names) or constraint.deferrable:
        return []
    if constraint.is_exclusion:
        raise Refusal(
            f'ON CONFLICT on the exclusion constraint "{name}" of managed columns is not possible'
            f" in phase {table.phase.name}",
            "Write ON CONFLICT DO NOTHING without a target.",
            position=position,
        )
    return names
