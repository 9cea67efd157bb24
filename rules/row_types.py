"""The row type of a managed table, named as a type: `NULL::users`, `users[]`, `RETURNS SETOF users`.

It has the hidden columns, and no type has only the client's. So a statement that names it is refused, whatever it
does with it; only DROP looks at a type's name alone.
"""

from __future__ import annotations

from rules.analysis.names import Lookup
from rules.errors import Refusal
from rules.text.source import Node, SourceText, string, walk


def refuse_row_types(source: SourceText, lookup: Lookup, kind: str, node: Node) -> None:
    """Refuse a statement in which the row type of a managed table, or an array of it, stands where a type does."""
    if kind == "DropStmt":
        return
    tables = {table.name for table in lookup.snapshot.tables}
    for _, body in walk({kind: node}):
        if "typemod" not in body or "names" not in body:
            continue
        names = [string(n) for n in body["names"]]
        if body.get("pct_type"):  # table.column%TYPE
            names = names[:-1]
        for name in (names[-1], names[-1].removeprefix("_")) if names else ():
            relation = lookup.relation(names[-2] if len(names) > 1 else None, name) if name in tables else None
            if relation is not None and relation.table in lookup.snapshot.tables:
                raise Refusal(
                    f"the row type of table {relation.table} cannot be named while a migration is active on it,"
                    " because it has hidden columns",
                    "Name the columns, for example with json_to_recordset(…) AS x (id bigint, …).",
                    position=source.location(body),
                )
