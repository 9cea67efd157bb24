"""COPY of a managed table. The payload is never looked at: what it means is settled by names in the statement.

    COPY users TO STDOUT   →  COPY (SELECT "_pgjanus_t"."id", (CASE …) AS "full_name" FROM ONLY "public"."users" …) …
    COPY users FROM STDIN  →  /*_pgjanus_copy_new*/COPY users ("id", "_pgjanus_first_name", …) FROM STDIN

The comment tells the table's triggers (`rules.ddl.copying`) that the rows come from a proxied client of that shape, and
they compute the other format and the row state. It holds for this statement alone, in either protocol, and leaves
nothing behind. Among several statements in one text a comment cannot say which of them it means. There a setting does,
around the COPY itself:

    /*_pgjanus_copies*/TRUNCATE orders; SET LOCAL _pgjanus_.copy = 'old'; COPY …; SET LOCAL _pgjanus_.copy = ''; …

What the server answers to these two statements is kept from the client (`Rewrite.wrapped`).
"""

from __future__ import annotations

from rules.analysis.names import Entry
from rules.changes import hidden_name, quote_identifier, quote_table
from rules.errors import Refusal
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX, Shape, Writes
from rules.reads import is_stored
from rules.statements.mirror import effective_writes, refuse_lossy
from rules.statements.reads import read_sql
from rules.text.fragments import Edits, Span
from rules.text.source import COMMA, OPEN, Node, SourceText, string, walk

#: How a text begins that is one COPY from a client of that shape; nothing that a client sends may begin so.
MARKS = {shape: f"/*{HIDDEN_PREFIX}copy_{shape.value}*/" for shape in Shape}
#: How a text begins in which `SETTING` says it.
SEVERAL_MARK = f"/*{HIDDEN_PREFIX}copies*/"
RESERVED_BEGINNING = f"/*{HIDDEN_PREFIX}"
SETTING = f"{HIDDEN_PREFIX}.copy"

_ALIAS = f"{HIDDEN_PREFIX}t"
_WRONG_OBJECT_TYPE = "42809"
#: Options whose argument is a list of columns; what their DefElem is called.
_COLUMN_OPTIONS = ("force_quote", "force_null", "force_not_null")


def rewrite_copy(source: SourceText, edits: Edits, entry: Entry, node: Node, shape: Shape) -> bool:
    """Rewrite COPY of the managed table `entry` (COPY (query) TO is a query, and not for here).

    Returns whether the rows it brings have to be marked as this shape's (`mark_rows`).
    """
    copy = _Copy(source, edits, entry, node, shape)
    if node.get("is_from"):
        return copy.rewrite_from()
    copy.rewrite_to()
    return False


def mark_rows(source: SourceText, edits: Edits, statement: Node, shape: Shape) -> bool:
    """Say in front of the text, or around the statement, whose rows these are.

    `statement` is the RawStmt with the COPY in it. Returns whether a statement was added before and one after it.
    """
    if len(source.statements) == 1:
        edits.insert(0, MARKS[shape])
        return False
    start = source.char(statement.get("stmt_location", 0))
    length = statement.get("stmt_len", 0)
    end = source.char(statement.get("stmt_location", 0) + length) if length else len(source.sql)
    edits.insert(0, SEVERAL_MARK)
    edits.insert(source.tokens[source.token_at(start)].start, f"SET LOCAL {SETTING} = '{shape.value}'; ")
    edits.insert(source.tokens[source.token_before(end)].end, f"; SET LOCAL {SETTING} = ''")
    return True


class _Copy:
    """One COPY of a managed table: its columns by the client's names, and where they stand."""

    def __init__(self, source: SourceText, edits: Edits, entry: Entry, node: Node, shape: Shape) -> None:
        assert entry.managed is not None
        self._source, self._edits, self._node, self._shape = source, edits, node, shape
        self._entry = entry
        self._table: ManagedTable = entry.managed
        self._columns = dict(self._table.visible(shape))
        self._position = source.location(node["relation"])
        self._after_name = source.reference_end(source.token_at(self._position))
        self._names = self._listed()

    def _listed(self) -> list[str]:
        """The columns in the payload's order. A generated one is not copied unless it is named, which is an error."""
        if "attlist" in self._node:
            return [string(item) for item in self._node["attlist"]]
        return [name for name, column in self._columns.items() if not column.generated]

    def _physical(self, name: str) -> str:
        """What the server has to be told.

        A mistake is the server's to find: COPY is looked at when it is executed, and not before. What this client
        must not see although the table has it is called by a name that nothing has and that clients read as their own.
        """
        column = self._columns.get(name)
        if column is not None:
            return column.name
        return name if self._table.relation.column(name) is None else hidden_name(name)

    # --- FROM ------------------------------------------------------------------------------------------------

    def rewrite_from(self) -> bool:
        if "attlist" not in self._node or any(self._physical(n) != n for n in self._names):
            self._write_list()
        self._rewrite_options()
        for key, reference in walk(self._node.get("whereClause")):
            if key == "ColumnRef":
                self._rewrite_reference(reference)
        if not self._table.phase.expanded:
            return False
        writes = effective_writes(self._table, self._shape, insert=True)
        for change in self._table.migration.changes:
            if any(c.name in self._names for c in change.side(self._shape)):
                refuse_lossy(change, self._table, self._shape, writes, self._position)
        # Left unmarked, a row is in state `old`, and says only what an old client says.
        return not (writes is Writes.OLD and self._shape is Shape.OLD)

    def _write_list(self) -> None:
        source, after = self._source, self._after_name
        columns = f"({', '.join(quote_identifier(self._physical(n)) for n in self._names)})"
        if "attlist" in self._node:
            self._edits.replace(*source.span(after, source.closing(after) + 1), columns)
        else:
            self._edits.insert(source.tokens[after - 1].end, " " + columns)

    def _rewrite_options(self) -> None:
        for item in self._node.get("options", []):
            option = item["DefElem"]
            name, argument = option["defname"].lower(), option.get("arg", {})
            if name in _COLUMN_OPTIONS and "List" in argument:
                self._rename_in_option(option, [string(n) for n in argument["List"]["items"]])
            elif name == "header" and str(argument.get("String", {}).get("sval", "")).lower() == "match":
                if any(self._physical(n) != n for n in self._names):
                    raise Refusal(
                        "HEADER MATCH would compare the header with the names that the columns have in the meantime",
                        "Use HEADER, which skips the first line.",
                        position=self._source.location(option),
                    )

    def _rename_in_option(self, option: Node, names: list[str]) -> None:
        """`FORCE_NULL (a, b)`, or `FORCE NOT NULL a, b` of the older syntax."""
        if all(self._physical(n) == n for n in names):
            return
        source = self._source
        index = source.token_at(source.location(option)) + 1
        while source.kind(index) in ("NOT", "NULL_P", "QUOTE", OPEN):
            index += 1
        first = index
        for _ in names:
            index += 3 if source.kind(index + 1) == "UESCAPE" else 1
            index += source.kind(index) == COMMA
        last = index - 1 if source.kind(index - 1) != COMMA else index - 2
        self._edits.replace(
            *source.span(first, last + 1), ", ".join(quote_identifier(self._physical(n)) for n in names)
        )

    def _rewrite_reference(self, reference: Node) -> None:
        """A column in WHERE means what the client has just sent for it, whatever is read elsewhere."""
        source, fields = self._source, reference["fields"]
        position = source.location(reference)
        table = self._table.relation.table.name
        names = [string(f) for f in fields if "String" in f]
        star = len(names) < len(fields)
        name = names[-1] if names else ""
        if star or (len(names) == 1 and name == table and name not in self._columns):
            raise Refusal(
                f'the whole row "{table}" as one value is not supported in the WHERE of a COPY',
                "Name the columns.",
                position=position,
            )
        if len(names) > 1 and names[-2] != table:
            return  # the server knows no such table
        if self._physical(name) != name:
            index = source.token_at(position)
            for _ in names[1:]:
                index = source.name_end(index) + 1
            self._edits.replace(*source.span(index, source.name_end(index)), quote_identifier(self._physical(name)))

    # --- TO --------------------------------------------------------------------------------------------------

    def rewrite_to(self) -> None:
        same = all(self._physical(n) == n for n in self._names)
        if is_stored(self._table, self._shape) and same:
            if "attlist" not in self._node:
                self._write_list()
            return
        if self._has_mistakes():
            # Certain to fail, also where the table has such a column by now: what stands beside it is not for reading.
            self._names = [n if n in self._columns else hidden_name(n) for n in self._names]
            self._write_list()
            self._rewrite_options()
            return
        if self._table.relation.is_partitioned:
            what = f'cannot copy from partitioned table "{self._table.relation.table.name}"'
            raise Refusal(what, "Try the COPY (SELECT ...) TO variant.", sqlstate=_WRONG_OBJECT_TYPE)
        source, after = self._source, self._after_name
        row = Entry(_ALIAS, self._entry.columns, self._table)
        columns = ", ".join(f"{read_sql(row, n, self._shape)} AS {quote_identifier(n)}" for n in self._names)
        # COPY table reads that table alone, not its children.
        query = f"(SELECT {columns} FROM ONLY {quote_table(self._table.relation.table)} AS {quote_identifier(_ALIAS)})"
        end = source.closing(after) + 1 if source.kind(after) == OPEN else after
        self._edits.replace(self._position, source.tokens[end - 1].end, query)
        self._move_old_options()

    def _has_mistakes(self) -> bool:
        """Whether PostgreSQL would find one in the lists of columns; of a query it would say something else."""
        names = self._names
        wrong = any(n not in self._columns or self._columns[n].generated for n in names)
        return wrong or len(set(names)) < len(names) or any(n not in names for n in self._force_quoted())

    def _force_quoted(self) -> list[str]:
        options = [item["DefElem"] for item in self._node.get("options", [])]
        lists = [o["arg"]["List"]["items"] for o in options if o["defname"] in _COLUMN_OPTIONS and "List" in o["arg"]]
        return [string(n) for items in lists for n in items]

    def _move_old_options(self) -> None:
        """`COPY BINARY t` and `USING DELIMITERS` of PostgreSQL 7 have no place where a query is copied."""
        source, edits = self._source, self._edits
        for item in self._node.get("options", []):
            index = source.token_at(source.location(item["DefElem"]))
            token = source.tokens[index]
            if token.kind == "BINARY" and token.start < self._position:
                edits.replace(token.start, token.end)
                self._put_option(self._last_token() + 1, "FORMAT binary", " BINARY")
            elif token.kind == "DELIMITERS":
                first = index - 1 if source.kind(index - 1) == "USING" else index
                delimiter = source.tokens[index + 1]
                edits.replace(source.tokens[first].start, delimiter.end)
                character = Span(delimiter.start, delimiter.end)
                self._put_option(index + 2, "DELIMITER ", " DELIMITER ", character)

    def _put_option(self, index: int, listed: str, bare: str, *value: Span) -> None:
        """Put it first in the list of options that stands at `index`, whichever syntax that has."""
        source = self._source
        index += source.kind(index) == "WITH"
        if source.kind(index) == OPEN:
            self._edits.insert(source.tokens[index].end, listed, *value, ", ")
        else:
            self._edits.insert(source.tokens[index - 1].end, bare, *value)

    def _last_token(self) -> int:
        """The file's name, or STDOUT."""
        source, index = self._source, self._after_name
        if source.kind(index) == OPEN:
            index = source.closing(index) + 1
        index += 1  # TO
        return index + 1 if source.kind(index) == "PROGRAM" else index
