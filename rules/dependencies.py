"""Functions and types of users that a migration's expressions and columns rest on: nobody may change them meanwhile."""

from __future__ import annotations

import json

from pglast.parser import ParseError, parse_sql_json

from rules.catalog import TableName
from rules.migration import ManagedTable
from rules.text.source import string, walk

_BUILT_IN = "pg_catalog"


def used_objects(table: ManagedTable) -> frozenset[TableName]:
    """Schema and name of each. Migration files write what is not built in with its schema, and so does the catalog."""
    items: list[str] = []
    for change in table.migration.changes:
        items += [str(e) for e in (*change.up.values(), *change.down.values())]
        items += [f"NULL::{c.type}" for c in (*change.old, *change.new)]
    found: set[TableName] = set()
    for item in items:
        try:
            tree = json.loads(parse_sql_json(f"SELECT {item}"))
        except (ParseError, RecursionError):
            continue
        for kind, body in walk(tree):
            names = [string(n) for n in body.get("funcname" if kind == "FuncCall" else "names", ()) if "String" in n]
            if len(names) == 2 and kind in ("FuncCall", "TypeName", "typeName") and names[0] != _BUILT_IN:
                found.add(TableName(*names))
    return frozenset(found)
