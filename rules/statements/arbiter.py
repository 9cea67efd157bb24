"""The arbiter of an INSERT: ON CONFLICT (columns)."""

from __future__ import annotations

from rules.changes import quote_identifier
from rules.errors import Refusal
from rules.fragments import Edits
from rules.names import Entry
from rules.phases import Shape
from rules.reads import find_column, is_stored
from rules.source import SEMICOLON, Node, SourceText
from rules.statements.mirror import target_column


def rewrite_arbiter(source: SourceText, edits: Edits, entry: Entry, conflict: Node, shape: Shape) -> None:
    """A managed column must be true in every row, or rows that are not in that format would be missed."""
    table = entry.managed
    assert table is not None
    infer = conflict.get("infer")
    if infer is None:
        return
    position = source.location(infer)
    for item in infer.get("indexElems", []):
        name = item["IndexElem"].get("name")
        if name is None:
            continue
        target_column(table, shape, name, position)
        found = find_column(table, shape, name)
        if found is None:
            continue
        if not is_stored(table, shape):
            raise Refusal(
                f'ON CONFLICT on the managed column "{name}" is not supported in phase {table.phase.name}',
                "Use a unique column that the migration does not change.",
                position=position,
            )
        if found[1].physical != name:
            _edit_arbiter(source, edits, position, name, found[1].physical)
    others = [infer.get("whereClause"), *(i["IndexElem"].get("expr") for i in infer.get("indexElems", []))]
    if any(o is not None and "ColumnRef" in str(o) for o in others):
        text = str(others)
        names = [c.name for ch in table.migration.changes for c in (*ch.old, *ch.new)]
        if any(f"'{n}'" in text for n in names):
            raise Refusal("ON CONFLICT on an expression of a managed column is not supported yet", position=position)


def _edit_arbiter(source: SourceText, edits: Edits, position: int, name: str, physical: str) -> None:
    index = source.token_at(position)
    while source.kind(index) not in (SEMICOLON, "") and source.kind(index) != "DO":
        token = source.tokens[index]
        if source.sql[token.start : token.end].strip('"').lower() == name.lower():
            edits.replace(token.start, token.end, quote_identifier(physical))
            return
        index += 1
    raise Refusal("this ON CONFLICT clause is not understood", position=position)
