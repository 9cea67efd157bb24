"""The edits of a statement that reads system catalogs.

    SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = 16389
    SELECT a.attname FROM (SELECT attrelid, CASE WHEN attrelid = 16389 AND attnum = 7 THEN … END AS attname, …
      FROM pg_catalog.pg_attribute WHERE (attrelid = 16389 AND attnum IN (2, 9)) IS NOT TRUE) a WHERE a.attrelid = 16389

Every column is there under its name and number, so `*` and positional aliases mean what they meant; the planner pulls
such a sub-select up. System columns (`tableoid`) are there where the statement names one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.analysis.values import CatalogRead
from rules.catalog import Relation
from rules.changes import quote_identifier, quote_table
from rules.errors import Refusal
from rules.introspection.relations import PRINTERS, SearchPath, is_introspected, treatment
from rules.introspection.tables import PG_CATALOG, in_clients_words
from rules.migration import ManagedTable
from rules.phases import Shape
from rules.text.fragments import Edits, Span
from rules.text.source import CLOSE, DOT, OPEN, STAR, Node, SourceText, string, unwrap, walk

_SYSTEM_COLUMNS = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax")
_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_HOLDERS = ("ExplainStmt", "CopyStmt", "DeclareCursorStmt", "CreateTableAsStmt", "PrepareStmt")


def reads_catalogs(node: Node, path: SearchPath) -> bool:
    """Whether a statement names a relation or function that this package has to do with."""
    for kind, body in walk({"": node}):
        if "relname" in body and is_introspected(body.get("schemaname"), body["relname"], path):
            return True
        if kind == "FuncCall" and _printer(body) is not None:
            return True
    return False


def inner_query(kind: str, node: Node) -> tuple[str, Node] | None:
    """The query of a statement that runs one; None if there is none, or if it makes something that lasts (a view)."""
    while kind in _HOLDERS and "query" in node:
        if node.get("objtype", "OBJECT_TABLE") != "OBJECT_TABLE":
            return None
        kind, node = unwrap(node["query"])
    return (kind, node) if kind in _QUERIES else None


def rewrite_catalogs(
    source: SourceText,
    edits: Edits,
    query: Node,
    reads: Sequence[CatalogRead],
    tables: Sequence[ManagedTable],
    shape: Shape,
) -> None:
    """Add the edits for one query: its reads of catalogs as analysis found them, and definitions that are printed."""
    if reads:
        _check(source, query, reads)
        system = _system_columns(source, query)
        for read in reads:
            _replace(source, edits, read, tables, shape, system)
        _unqualify(source, edits, query, reads)
    if in_clients_words("", tables, shape):
        _translate_printed(source, edits, query, tables, shape)


def _check(source: SourceText, query: Node, reads: Sequence[CatalogRead]) -> None:
    sampled = {id(body["relation"].get("RangeVar")) for kind, body in walk({"": query}) if kind == "RangeTableSample"}
    for read in reads:
        if id(read.node) in sampled:
            raise Refusal(
                f"TABLESAMPLE of {read.relation.table} would show columns that are not this client's",
                "Read the whole catalog.",
                position=source.location(read.node),
            )


def _system_columns(source: SourceText, query: Node) -> tuple[str, ...]:
    """The system columns that the query names, of whatever relation."""
    named: set[str] = set()
    has_star = False
    for kind, body in walk({"": query}):
        if kind == "ColumnRef":
            last = body["fields"][-1]
            has_star = has_star or "A_Star" in last
            if "String" in last and string(last) in _SYSTEM_COLUMNS:
                named.add(string(last))
        has_star = has_star or bool(body.get("isNatural"))
    if named and has_star:
        raise Refusal(
            f"this statement names a system column ({min(named)}) next to a * or NATURAL JOIN, and reads a catalog",
            "Name the columns.",
        )
    return tuple(c for c in _SYSTEM_COLUMNS if c in named)


def _replace(
    source: SourceText,
    edits: Edits,
    read: CatalogRead,
    tables: Sequence[ManagedTable],
    shape: Shape,
    system: tuple[str, ...],
) -> None:
    first = source.token_at(source.location(read.node))
    after = source.reference_end(first)
    if not read.node.get("inh", False):
        first, after = _with_only(source, first, after)
    elif source.kind(after) == STAR:
        after += 1
    start, end = source.span(first, after)
    if read.relation.kind == "v":
        system = ()
    sql = _sub_select(read.relation, tables, shape, system)
    if "alias" not in read.node:
        sql += f" AS {quote_identifier(read.node['relname'])}"
    if source.kind(first - 1) == "TABLE":
        word = source.tokens[first - 1]
        edits.replace(word.start, word.end, "SELECT * FROM")
    edits.replace(start, end, sql)


def _with_only(source: SourceText, first: int, after: int) -> tuple[int, int]:
    """`ONLY name` and `ONLY (name)` means nothing for a catalog."""
    if source.kind(first - 1) == OPEN and source.kind(after) == CLOSE and source.kind(first - 2) == "ONLY":
        return first - 2, after + 1
    return (first - 1, after) if source.kind(first - 1) == "ONLY" else (first, after)


def _sub_select(relation: Relation, tables: Sequence[ManagedTable], shape: Shape, system: tuple[str, ...]) -> str:
    found = treatment(relation, tables, shape)
    assert found is not None
    columns = [
        f"{found.shows[c.name]} AS {quote_identifier(c.name)}" if c.name in found.shows else quote_identifier(c.name)
        for c in relation.columns
    ]
    where = " AND ".join(f"({condition}) IS NOT TRUE" for condition in found.hides) or "true"
    return f"(SELECT {', '.join([*columns, *system])} FROM {quote_table(relation.table)} WHERE {where})"


def _unqualify(source: SourceText, edits: Edits, query: Node, reads: Sequence[CatalogRead]) -> None:
    """`pg_catalog.pg_class.relname` → `pg_class.relname`: a sub-select has no schema."""
    named = {(r.relation.table.schema, r.relation.table.name) for r in reads if "alias" not in r.node}
    for kind, body in walk({"": query}):
        if kind != "ColumnRef" or len(body["fields"]) < 3:
            continue
        names = [string(f) for f in body["fields"][:-1] if "String" in f]
        if tuple(names[-2:]) in named:
            first = source.token_at(source.location(body))
            schema = first + 2 * (len(names) - 2)
            if source.kind(schema + 1) == DOT:
                edits.replace(source.tokens[first].start, source.tokens[schema + 2].start, "")


def _printer(call: Node) -> str | None:
    names = [string(n) for n in call["funcname"]]
    known = names[-1] in PRINTERS and names[:-1] in ([], [PG_CATALOG])
    return names[-1] if known else None


def _translate_printed(
    source: SourceText, edits: Edits, query: Node, tables: Sequence[ManagedTable], shape: Shape
) -> None:
    """Around each call of a printing function; a sub-select, because it keeps the name of the output column."""
    in_from = {
        id(call): body
        for kind, body in walk({"": query})
        if kind == "RangeFunction"
        for function in body["functions"]
        for inner, call in [unwrap(function["List"]["items"][0])]
        if inner == "FuncCall"
    }
    for kind, body in walk({"": query}):
        name = _printer(body) if kind == "FuncCall" else None
        if name is None:
            continue
        first = source.token_at(source.location(body))
        opening = source.reference_end(first)
        start, end = source.span(first, source.closing(opening) + 1)
        before, _, behind = in_clients_words("\0", tables, shape).partition("\0")
        opened, closed = "(", ")"
        if id(body) in in_from:
            name, opened, closed = _in_from(source, in_from[id(body)], first, name)
        edits.replace(start, end, f"{opened}SELECT {before}", Span(start, end), f"{behind} AS {name}{closed}")


def _in_from(source: SourceText, item: Node, first: int, function: str) -> tuple[str, str, str]:
    """The output column's name, and what to put around a sub-select that stands for a function in FROM.

    Raises:
        Refusal: a sub-select cannot stand there.
    """
    if item.get("ordinality") or item.get("is_rowsfrom") or item.get("coldeflist"):
        raise Refusal(
            f"{function} in FROM with ORDINALITY, ROWS FROM or column definitions would show reserved names",
            "Call it among the output columns.",
            position=source.tokens[first].start,
        )
    alias = item.get("alias", {}).get("aliasname")
    opened = "(" if item.get("lateral") else "LATERAL ("
    return quote_identifier(alias or function), opened, ")" if alias else f") AS {function}"
