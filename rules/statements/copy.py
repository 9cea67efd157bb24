"""COPY of a managed table.

    COPY users TO STDOUT         →  COPY (SELECT "users"."id", (CASE …) AS "full_name" FROM "public"."users") TO STDOUT
    COPY users FROM STDIN        →  COPY users ("id", "full_name") FROM STDIN

The payload is never looked at. Rows that COPY brings in have no computed columns: they are left in row state `old`,
which the backfill mends, and which is why a phase that reads the new columns refuses it.
"""

from __future__ import annotations

from rules.changes import quote_identifier, quote_table
from rules.errors import UNDEFINED_COLUMN, Refusal
from rules.fragments import Edits
from rules.names import Entry
from rules.phases import RowState, Shape
from rules.reads import find_column, is_stored
from rules.source import OPEN, Node, SourceText, string
from rules.statements.reads import read_sql


def rewrite_copy(source: SourceText, edits: Edits, entry: Entry, node: Node, shape: Shape) -> None:
    """Rewrite COPY of the managed table `entry` (COPY (query) TO is a query, and not for here)."""
    table = entry.managed
    assert table is not None
    position = source.location(node["relation"])
    visible = [name for name, _ in table.visible(shape)]
    names = [string(n) for n in node.get("attlist", [])] or visible
    for name in names:
        if name not in visible:
            raise Refusal(
                f'column "{name}" of relation "{table.relation.table.name}" does not exist',
                sqlstate=UNDEFINED_COLUMN,
                position=position,
            )
    after_name = source.reference_end(source.token_at(position))
    end = source.closing(after_name) + 1 if source.kind(after_name) == OPEN else after_name
    if node.get("is_from"):
        if table.phase.expanded and (shape is Shape.NEW or table.policy.reads.forbids is RowState.OLD):
            raise Refusal(
                f"COPY into this table is not supported yet from the {shape.value} shape in phase {table.phase.name}",
                "Use INSERT.",
                position=position,
            )
        if "attlist" not in node:
            edits.insert(source.tokens[after_name - 1].end, f" ({', '.join(map(quote_identifier, names))})")
    elif is_stored(table, shape) and all(
        found is None or found[1].physical == name for name in names for found in [find_column(table, shape, name)]
    ):
        if "attlist" not in node:
            edits.insert(source.tokens[after_name - 1].end, f" ({', '.join(map(quote_identifier, names))})")
    else:
        row = Entry("_pgjanus_t", entry.columns, table)
        columns = ", ".join(f"{read_sql(row, n, shape)} AS {quote_identifier(n)}" for n in names)
        # COPY table reads that table alone, not its children.
        query = f"(SELECT {columns} FROM ONLY {quote_table(table.relation.table)} AS {quote_identifier('_pgjanus_t')})"
        edits.replace(position, source.tokens[end - 1].end, query)
