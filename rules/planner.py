"""`plan`: a client's text in, one of `Untouched`, `Rewrite`, `Refuse` out.

    parse → concerns_us → resolve (scope) → rewrite (statements/) → check

Nothing here guesses: whatever is not understood and names a managed table ends as `Refuse`.
"""

from __future__ import annotations

from dataclasses import replace

from pglast.parser import ParseError, parse_sql_json

from rules.analysis.names import Entry, Lookup
from rules.analysis.scope import Analyser
from rules.analysis.values import QUERIES, Analysis, refuse_rows
from rules.catalog import TableName
from rules.errors import FEATURE_NOT_SUPPORTED, SYNTAX_ERROR, UNDEFINED_COLUMN, Refusal
from rules.introspection.rewriting import inner_query, reads_catalogs, rewrite_catalogs
from rules.migration import Client, ManagedTable
from rules.phases import HIDDEN_PREFIX, Shape
from rules.plan import Plan, Refuse, ResultPatch, Rewrite, Untouched
from rules.row_types import refuse_row_types
from rules.snapshot import Snapshot
from rules.statements import (
    Judge,
    check_objects,
    mark_rows,
    result_patch,
    rewrite_copy,
    rewrite_insert,
    rewrite_merge,
    rewrite_other,
    rewrite_reads,
    rewrite_set,
)
from rules.statements.copy import RESERVED_BEGINNING
from rules.text.depth import with_room
from rules.text.fragments import Edits
from rules.text.source import Node, SourceText, unwrap, walk
from rules.unsupported import forbidden

_RESERVED_NAME = "42939"
_TOO_DEEP = "this statement is nested too deeply to be rewritten"
_WRITE_ANOTHER_WAY = "Write it another way; pgjanus explain shows what becomes of a statement."
#: They return nothing, but make something that will.
_RELATIONS = ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE")
_MAKERS = ("PrepareStmt", "DeclareCursorStmt")
#: They contain a query or EXECUTE, or one another.
_WRAPPERS = ("ExplainStmt", "CreateTableAsStmt")


def plan(sql: str, snapshot: Snapshot, client: Client) -> Plan:
    """Decide what happens to one text (one or several statements) of a client.

    Never raises on any text: one that may concern a managed table and cannot be parsed, or is too deep to be read, is
    refused.
    """
    if not snapshot.may_concern(sql, client.search_path) or "\0" in sql:
        return Untouched()
    try:
        return _plan(sql, snapshot, client)
    except RecursionError:
        pass
    try:
        return with_room(lambda: _plan(sql, snapshot, client))
    except RecursionError:
        return _too_deep(snapshot) if snapshot.may_name_managed(sql) else Untouched()


def _plan(sql: str, snapshot: Snapshot, client: Client) -> Plan:
    """Raises RecursionError if the statement is nested more deeply than there is room for."""
    try:
        source = SourceText(sql)
    except (ParseError, UnicodeEncodeError) as error:
        if not snapshot.may_name_managed(sql):
            return Untouched()  # reads a catalog at most, and the server's own parser may know better
        return _unreadable(error, sql, snapshot)
    planner = _Planner(source, Lookup(snapshot, client))
    names = _all_names(snapshot)
    try:
        return planner.plan()
    except Refusal as refusal:
        return _observed(_refuse(refusal, planner.migrations() or names), source, snapshot, client)
    except RecursionError:
        raise
    except Exception as error:  # the last net: a mistake of ours must not let a statement through
        what = f"the statement could not be rewritten because of a defect in pgjanus ({type(error).__name__}: {error})"
        return _observed(
            _refuse(Refusal(what, "Please report this statement as a bug."), names), source, snapshot, client
        )


def _all_names(snapshot: Snapshot) -> str:
    return ", ".join(sorted({t.migration.name for t in snapshot.tables.values()}))


def _too_deep(snapshot: Snapshot) -> Refuse:
    return _refuse(Refusal(_TOO_DEEP, "Split it into smaller ones."), _all_names(snapshot))


def _observed(refuse: Refuse, source: SourceText, snapshot: Snapshot, client: Client) -> Plan:
    """A refusal of ours becomes a report where the migration says so and nothing can come of it."""
    if refuse.refusal.sqlstate != FEATURE_NOT_SUPPORTED:
        return refuse
    try:
        return refuse if forbidden(source.statements, snapshot, client) else Untouched(refuse.refusal, refuse.migration)
    except Exception:  # what cannot be judged is not forwarded
        return refuse


def _refuse(refusal: Refusal, names: str) -> Refuse:
    """The client has to learn which migration is in the way; where PostgreSQL has a better word, it keeps that one."""
    if refusal.sqlstate == FEATURE_NOT_SUPPORTED:
        message = f"migration {names}: {refusal.message}"
        refusal = Refusal(message, refusal.hint or _WRITE_ANOTHER_WAY, position=refusal.position)
    return Refuse(refusal, names)


def _unreadable(error: ParseError | UnicodeEncodeError, sql: str, snapshot: Snapshot) -> Refuse:
    """PostgreSQL's own words. The text is not forwarded: an older server's grammar may accept what ours does not."""
    if isinstance(error, UnicodeEncodeError):
        return _refuse(
            Refusal("this text has characters that there are not", "Send valid UTF-8."), _all_names(snapshot)
        )
    message, index = error.args[0], error.args[1] if len(error.args) > 1 else None
    if any(word in message for word in ("nested too deeply", "stack depth", "memory exhausted", "too large")):
        return _too_deep(snapshot)
    position = len(sql) if index is None else index
    return _refuse(Refusal(message, sqlstate=SYNTAX_ERROR, position=position), _all_names(snapshot))


class _Planner:
    """One text."""

    def __init__(self, source: SourceText, lookup: Lookup) -> None:
        self._source = source
        self._lookup = lookup
        self._edits = Edits(source.sql)
        self._touched: list[Entry] = []
        self._has_rows_to_mark = False

    def migrations(self) -> str:
        """Names of the migrations that the text concerns, as far as it was read."""
        return ", ".join(dict.fromkeys(e.managed.migration.name for e in self._touched if e.managed))

    def plan(self) -> Plan:
        if self._source.sql.startswith(RESERVED_BEGINNING):
            what = f"what begins with {RESERVED_BEGINNING} is said by pgjanus alone"
            raise Refusal(what, "Leave the comment out.", sqlstate=_RESERVED_NAME)
        results: list[ResultPatch | None] = []
        makes: list[ResultPatch | None] = []
        wrapped: set[int] = set()
        for statement in self._source.statements:
            kind, node = unwrap(statement["stmt"])
            check_objects(kind, node, self._lookup.snapshot.tables)
            refuse_row_types(self._source, self._lookup, kind, node)
            if self._concerns(node, kind):
                self._check_names(statement)
                patch = self._statement(kind, node)
            else:
                patch = self._introspection(kind, node)
            if self._marks_rows(statement):
                wrapped.add(len(results))
            results.append(None if kind in _MAKERS else patch)
            makes.append(patch if kind in _MAKERS else None)
            self._shadow(kind, node)
        if not self._edits and not any(results) and not any(makes):
            return Untouched()
        sql, positions = self._edits.apply()
        self._check(sql)
        return Rewrite(sql, positions, tuple(results), tuple(makes), frozenset(wrapped))

    def _shadow(self, kind: str, node: Node) -> None:
        """What this statement makes may be what the text's next ones mean."""
        made = {
            body["relname"]
            for _, body in walk({kind: node})
            if "relname" in body and (body.get("relpersistence") == "t" or body.get("schemaname") == "pg_temp")
        }
        client, managed = self._lookup.client, {t.name for t in self._lookup.snapshot.tables}
        if kind == "RenameStmt" and node.get("renameType") in _RELATIONS and node["newname"] in managed:
            raise Refusal(f'another relation cannot be called "{node["newname"]}" while a migration is active on that')
        shadowed = made & managed - client.shadowed
        if shadowed:
            self._lookup = Lookup(self._lookup.snapshot, replace(client, shadowed=client.shadowed | shadowed))

    # --- steps -----------------------------------------------------------------------------------------------

    def _concerns(self, node: Node, kind: str) -> bool:
        """Whether a statement names a managed table as a table anywhere, CTE names of the same spelling included."""
        names = {t.name for t in self._lookup.snapshot.tables}
        if kind in ("DropStmt", "CommentStmt"):
            return any(n in names for n in _object_names(node)) and self._named_tables(node) != []
        return any(body.get("relname") in names for key, body in walk({kind: node}) if "relname" in body)

    def _check_names(self, statement: Node) -> None:
        """Reserved names do not exist for clients."""
        start = self._source.char(statement.get("stmt_location", 0))
        length = statement.get("stmt_len", 0)
        end = self._source.char(statement.get("stmt_location", 0) + length) if length else len(self._source.sql)
        text = self._source.sql
        for token in self._source.tokens[self._source.token_at(start) :]:
            if token.start >= end:
                return
            word = text[token.start : token.end]
            if token.kind in ("IDENT", "UIDENT") and HIDDEN_PREFIX in word.lower():
                raise Refusal(f"column {word} does not exist", sqlstate=UNDEFINED_COLUMN, position=token.start)

    def _statement(self, kind: str, node: Node) -> ResultPatch | None:
        match kind:
            case _ if kind in QUERIES:
                return result_patch(self._query(kind, node).outputs)
            case "CopyStmt" if "query" in node:
                self._query(*unwrap(node["query"]))
                return None
            case "CopyStmt":
                self._copy(node)
                return None
            case "CreateTableAsStmt" if node.get("objtype", "OBJECT_TABLE") != "OBJECT_TABLE":
                self._other(kind, node)
                return None
            case _ if kind in _MAKERS:
                return self._statement(*unwrap(node["query"]))
            case _ if kind in _WRAPPERS:
                inner_kind, inner = unwrap(node["query"])
                if inner_kind in QUERIES:
                    outputs = self._query(inner_kind, inner).outputs
                    if kind == "CreateTableAsStmt":
                        refuse_rows(outputs, "CREATE TABLE AS")
                else:
                    self._statement(inner_kind, inner)
                return None
            case "ExecuteStmt":  # parameters cannot hold a query, and what it runs was planned when it was prepared
                return None
            case _:
                self._other(kind, node)
                return None

    def _introspection(self, kind: str, node: Node) -> ResultPatch | None:
        """A statement that names no managed table, but maybe a catalog that tells of one."""
        query = inner_query(kind, node) if reads_catalogs(node, self._lookup.client.search_path) else None
        if query is None:
            return None
        patch = result_patch(self._query(*query).outputs)
        return patch if kind in (*QUERIES, *_MAKERS) else None

    def _query(self, kind: str, node: Node) -> Analysis:
        analyser = Analyser(self._source, self._lookup)
        try:
            analysis = analyser.analyse(kind, node)
        finally:
            self._touched += analyser.result.touched
        shape = self._lookup.client.shape
        self._check_shape()
        rewrite_reads(self._source, self._edits, analysis, shape)
        tables = tuple(self._lookup.snapshot.tables.values())
        rewrite_catalogs(self._source, self._edits, {kind: node}, analysis.catalogs, tables, shape)
        judge = Judge(self._source, self._lookup.snapshot.catalog, analysis.unknown_rows)
        for write in analysis.writes:
            match write.kind:
                case "UpdateStmt":
                    rewrite_set(self._source, self._edits, write.entry, write.node["targetList"], shape, judge)
                case "MergeStmt":
                    rewrite_merge(self._source, self._edits, write, shape, judge)
                case _:
                    rewrite_insert(self._source, self._edits, write, shape, judge)
        return analysis

    def _copy(self, node: Node) -> None:
        relation = node["relation"]
        entry = self._lookup.table_entry(relation.get("schemaname"), relation["relname"], None)
        if entry.managed is None:
            return
        self._touched.append(entry)
        self._check_shape()
        self._has_rows_to_mark = rewrite_copy(self._source, self._edits, entry, node, self._lookup.client.shape)

    def _marks_rows(self, statement: Node) -> bool:
        """Mark what the last COPY brings in, if that is needed. Whether there are statements around it now."""
        needed, self._has_rows_to_mark = self._has_rows_to_mark, False
        return needed and mark_rows(self._source, self._edits, statement, self._lookup.client.shape)

    def _other(self, kind: str, node: Node) -> None:
        tables = self._named_tables(node)
        # The object of a comment is one; its other names are a schema's and a column's.
        for table in tables[:1] if kind == "CommentStmt" else tables:
            self._touched.append(Entry(None, None, table))
            rewrite_other(self._source, self._edits, kind, node, table, self._lookup.client.shape, self._position(node))

    def _named_tables(self, node: Node) -> list[ManagedTable]:
        """The managed tables that a statement names (in a RangeVar, or in the object list of DROP and COMMENT)."""
        found: list[tuple[str | None, str]] = [
            (body.get("schemaname"), body["relname"]) for _, body in walk({"": node}) if "relname" in body
        ]
        names = _object_names(node)
        found += [(names[i - 1] if i else None, n) for i, n in enumerate(names)] + [(None, n) for n in names]
        tables: dict[TableName, ManagedTable] = {}
        for schema, name in found:
            relation = self._lookup.relation(schema, name)
            if relation is not None and relation.table in self._lookup.snapshot.tables:
                tables.setdefault(relation.table, self._lookup.snapshot.tables[relation.table])
        return list(tables.values())

    def _position(self, node: Node) -> int:
        places = [self._source.location(body) for _, body in walk({"": node}) if "relname" in body]
        return min(places, default=0)

    def _check_shape(self) -> None:
        for entry in self._touched:
            if entry.managed is None or entry.managed.phase.serves_new or self._lookup.client.shape is Shape.OLD:
                continue
            table, phase = entry.managed.relation.table, entry.managed.phase
            if phase.expanded:
                raise Refusal(
                    f"the new shape of table {table} is not available any more: its migration is being aborted",
                    "Connect as a client of the old shape.",
                )
            raise Refusal(
                f"the new shape of table {table} is not available yet in phase {phase.name}",
                "Connect again when the migration has reached phase expanded.",
            )

    def _check(self, sql: str) -> None:
        """What we made must at least be as many statements as the client sent: a last net under our own mistakes."""
        try:
            parse_sql_json(sql)
        except ParseError as error:
            raise Refusal(
                f"the rewritten statement is not valid SQL ({error.args[0]}), so nothing was sent",
                "Please report this statement as a bug.",
            ) from error


def _object_names(node: Node) -> list[str]:
    """Names in the object list of DROP, COMMENT and their like, flattened."""
    found: list[str] = []
    for key, body in walk({"": {k: node[k] for k in ("objects", "object") if k in node}}):
        if key == "String":
            found.append(str(body.get("sval", "")))
    return found
