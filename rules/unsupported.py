"""`on_unsupported: observe`: which refusals may become reports, and which never.

    before the migration     the table has the client's columns only
    in `expanded`            the same columns, true in every row, and hidden ones behind them

A statement of the old shape that is forwarded as it was written does what it did before the migration, if

- it cannot reach a hidden column: by `*`, a whole row, NATURAL, position, row type, name or in a catalog;
- the row state stays right: an UPDATE of a managed column has to set it, because the row may come from the next phase
  with a new format that the UPDATE makes stale. (A new row says `old` by default.)
- nothing of its text outlives it, as that of a view, a rule or a prepared statement does.

`forbidden` is the one place that says so. It looks at the tree alone and takes every name for whatever it might mean;
a kind of statement that it does not know is forbidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rules.analysis.names import SYSTEM_COLUMNS
from rules.introspection.rewriting import reads_catalogs
from rules.migration import Client, ManagedTable, OnUnsupported
from rules.phases import HIDDEN_PREFIX, Phase, Policy, Reads, Shape, Writes
from rules.snapshot import Snapshot
from rules.statements.mirror import matters
from rules.text.source import Node, string, unwrap, walk

#: Statements that are over when they have been executed. SELECT INTO is a SelectStmt.
_PASSING = frozenset(
    "SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt ExplainStmt DeclareCursorStmt"
    " CreateTableAsStmt".split()
)
_CURSOR_WITH_HOLD = 0x0020  # CURSOR_OPT_HOLD in nodes/parsenodes.h
#: What RETURNING and ON CONFLICT call the target's row.
_ROWS_OF_TARGET = ("old", "new", "excluded")
_NO_COLUMN_LIST = "without a column list it may reach hidden columns"


def writes_old_only(phase: Phase) -> bool:
    """Whether `observe` means anything in this phase: it is `expanded`, or `announced` before it."""
    return phase.policy == Policy(Writes.OLD, Reads.OLD)


def forbidden(statements: list[Node], snapshot: Snapshot, client: Client) -> str | None:
    """Why a text must not be forwarded untouched; None if that does what it did before the migration.

    Args:
        statements: the parsed text, as in `SourceText.statements`.
    """
    if client.shape is not Shape.OLD:
        return "the table does not have the columns of the new shape"
    if not _named(statements, snapshot):
        return "it names no table that is observed"
    for statement in statements:
        if reads_catalogs(statement, client.search_path):
            return "the system catalogs tell of hidden columns"
        tables = _named(statement, snapshot)
        for table in tables:
            if not writes_old_only(table.phase):
                return f"{table.relation.table} is written or read in the new format"
            if table.migration.on_unsupported is not OnUnsupported.OBSERVE:
                return f"migration {table.migration.name} says on_unsupported: refuse"
        reason = next(_reasons(statement["stmt"], tables), None) if tables else None
        if reason is not None:
            return reason
    return None


def _named(node: object, snapshot: Snapshot) -> list[ManagedTable]:
    """The managed tables whose bare names stand anywhere in a tree, whatever they mean there."""
    texts = set(_texts(node))
    return [m for t, m in snapshot.tables.items() if t.name in texts or f"_{t.name}" in texts]


def _texts(node: object) -> Iterator[str]:
    """Every text in a tree, names and constants alike."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, str):
            yield item


def _reasons(statement: Node, tables: list[ManagedTable]) -> Iterator[str]:
    targets = {table.relation.table.name: table for table in tables}
    bodies = list(walk({"": statement}))
    kinds = {key for key, _ in bodies if key.endswith("Stmt") and key[0].isupper()} | {unwrap(statement)[0]}
    if not kinds <= _PASSING:
        yield "it may outlive the phase, or change what the migration rests on"
    if any(HIDDEN_PREFIX in text.lower() for text in _texts(statement)):
        yield "it names a hidden column"
    rows = {*targets, *_ROWS_OF_TARGET, *(name for key, body in bodies for name in _row_names(key, body, targets))}
    for key, body in bodies:
        yield from _reads(key, body, tables, rows)
        target = targets.get(_name_in(body, "relation"))
        if target is not None:
            yield from _writes(key, body, target)


def _name_in(body: Node, field: str) -> Any:
    inner = body.get(field)
    return inner.get("relname") if isinstance(inner, dict) else None


def _row_names(key: str, body: Node, targets: dict[str, ManagedTable]) -> Iterator[str]:
    """The other names under which a managed table's whole row can be had."""
    if key == "ReturningOption":
        yield body["value"]
    elif body.get("relname") in targets or "jointype" in body:
        for field in ("alias", "join_using_alias"):
            if field in body:
                yield body[field]["aliasname"]


def _reads(key: str, body: Node, tables: list[ManagedTable], rows: set[str]) -> Iterator[str]:
    match key:
        case "ColumnRef":
            yield from _reference(body["fields"], tables, rows)
        case "TypeName" | "typeName":
            if body.get("names") and string(body["names"][-1]).removeprefix("_") in rows:
                yield "the table's row type has the hidden columns"
        case "DeclareCursorStmt" if body.get("options", 0) & _CURSOR_WITH_HOLD:
            yield "the cursor may outlive the phase"
        case "CreateTableAsStmt" if body.get("objtype") != "OBJECT_TABLE":
            yield "the materialized view outlives the statement"
        case "JoinExpr" if body.get("isNatural"):
            yield "NATURAL JOIN compares hidden columns too"
    if ("relname" in body or "jointype" in body) and "colnames" in body.get("alias", {}):
        yield "column aliases go by position"


def _reference(fields: list[Node], tables: list[ManagedTable], rows: set[str]) -> Iterator[str]:
    if "A_Star" in fields[-1]:
        yield "* stands for the hidden columns too"
        return
    *before, last = [string(f) for f in fields]
    if last in rows:
        yield "a whole row has the hidden columns too"
    elif before and before[-1] in rows and last not in SYSTEM_COLUMNS:
        # t.f may also be f(t), a function of the whole row.
        if not all(last in dict(table.visible(Shape.OLD)) for table in tables):
            yield "it may be a function of the whole row"


def _writes(kind: str, body: Node, table: ManagedTable) -> Iterator[str]:
    """What a statement does to `table`, its target."""
    assigned: list[Node] = []
    match kind:
        case "CopyStmt" if "attlist" not in body:
            yield _NO_COLUMN_LIST
        case "UpdateStmt":
            assigned = body.get("targetList", [])
        case "InsertStmt":
            if "cols" not in body:
                yield _NO_COLUMN_LIST
            assigned = body.get("onConflictClause", {}).get("targetList", [])
        case "MergeStmt":
            for clause in (c["MergeWhenClause"] for c in body.get("mergeWhenClauses", [])):
                if clause.get("commandType") == "CMD_UPDATE":
                    assigned += clause.get("targetList", [])
                elif clause.get("commandType") == "CMD_INSERT" and "targetList" not in clause:
                    yield _NO_COLUMN_LIST
    if any(matters(table, Shape.OLD, item["ResTarget"]["name"]) for item in assigned):
        yield "an UPDATE of a managed column has to set the row state"
