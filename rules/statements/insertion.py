"""What an INSERT on a managed table is made of; `insert_values` and `insert_select` put it together."""

from __future__ import annotations

from dataclasses import dataclass

from rules.analysis.values import Write
from rules.catalog import Column
from rules.changes import ColumnChange, quote_identifier
from rules.errors import Refusal
from rules.migration import Guard, ManagedTable
from rules.phases import STATE_COLUMN, Reads, Shape, Writes
from rules.statements.judge import Judge
from rules.statements.mirror import (
    Value,
    conversion,
    default_value,
    effective_writes,
    target_column,
    value_type,
)
from rules.statements.survival import is_lost, refused_if
from rules.text.fragments import Edits, Pieces
from rules.text.source import OPEN, SEMICOLON, Node, SourceText

#: The name of the sub-select that evaluates values once.
ROW = "_pgjanus_v"
_SYNTAX_ERROR = "42601"


@dataclass(frozen=True, slots=True)
class Layout:
    """Token indices of the parts: `columns` is the parenthesised list, if there is one, `body` what follows it."""

    after_name: int
    columns: tuple[int, int] | None
    body: int
    end: int


class Insertion:
    """An INSERT on a managed table: its column list, what the other format needs, and how to edit both."""

    def __init__(
        self,
        source: SourceText,
        edits: Edits,
        write: Write,
        shape: Shape,
        judge: Judge,
        *,
        first_token: int | None = None,
    ) -> None:
        table, node = write.entry.managed, write.node
        assert table is not None
        self.source, self.edits, self.node, self.shape = source, edits, node, shape
        self.outputs = write.outputs
        self.table: ManagedTable = table
        self.judge = judge
        self.in_merge = first_token is not None
        self.position = source.location(node["relation"])
        self.layout = self._find_layout(first_token)
        self.writes = effective_writes(table, shape, insert=True)
        self.explicit = "cols" in node
        self._columns = dict(table.visible(shape))
        self.names = self._column_names()
        self.needs = self._needed_columns()
        self._unmark_what_cannot_be_computed()

    # --- where things stand ----------------------------------------------------------------------------------

    def _find_layout(self, first: int | None) -> Layout:
        """`first`: the token behind the word INSERT of a MERGE; None: find the table's name."""
        source, node = self.source, self.node
        index = source.reference_end(source.token_at(self.position)) if first is None else first
        if first is None and source.kind(index) == "AS":
            index += 2
        after_name = index
        columns = None
        if "cols" in node:
            columns = (index, source.closing(index))
            index = columns[1] + 1
        if source.kind(index) == "OVERRIDING":
            index += 3
        conflict = source.location(node["onConflictClause"]) if "onConflictClause" in node else None
        end, depth = index, 0
        while end < len(source.tokens):
            token = source.tokens[end]
            depth += (token.kind == OPEN) - (token.kind == "ASCII_41")
            ends = token.kind in (SEMICOLON, "RETURNING") or token.start == conflict
            if depth < 0 or (depth == 0 and ends):
                break
            end += 1
        return Layout(after_name, columns, index, end)

    def _column_names(self) -> list[str]:
        if self.explicit:
            names = []
            for item in self.node["cols"]:
                body = item["ResTarget"]
                target_column(self.table, self.shape, body["name"], self.source.location(body))
                names.append(body["name"])
            return names
        visible = list(self._columns)
        return visible[: self.width()]

    def width(self) -> int:
        select = self.node.get("selectStmt", {}).get("SelectStmt")
        if select is None:
            return 0
        if "valuesLists" in select:
            return len(select["valuesLists"][0]["List"]["items"])
        if any(o is None for o in self.outputs) and self.explicit:
            return len(self.node["cols"])  # a wrong number is the server's to find
        if any(o is None for o in self.outputs):
            raise Refusal(
                "the number of columns that this INSERT … SELECT * gives is not known",
                "Write the column list, and name the columns of the SELECT.",
                position=self.position,
            )
        return len(self.outputs)

    # --- what is needed --------------------------------------------------------------------------------------

    def _unmark_what_cannot_be_computed(self) -> None:
        for item in self.node.get("cols", []):
            body = item["ResTarget"]
            if "indirection" in body and body["name"] in self.needs:
                what = f'the other format of "{body["name"]}", of which a part is given, cannot be computed'
                self.unmark(what, self.source.location(body))
        replaced = self.node.get("override") == "OVERRIDING_USER_VALUE"
        for name in self.needs:
            if self.column(name).identity and (name not in self.names or replaced):
                self.unmark_generated(name)

    def unmark_generated(self, name: str) -> None:
        self.unmark(f'the other format of the value that PostgreSQL generates for "{name}" cannot be computed')

    def unmark(self, why: str, position: int | None = None) -> None:
        """Insert the client's own format alone, in the row state that says so.

        An old-shape row gets no state at all, like one that COPY brings in: it is in state `old`, or the guard computes
        the other format. Row state `new` is for phases that write nothing else: a neighbour may still read the old
        columns as they are.

        Raises:
            Refusal: with `why`, if this phase does not allow it.
        """
        heals = self.table.migration.guard is Guard.HEAL
        if self.shape is Shape.NEW or (self.table.policy.reads is Reads.NEW and not heals):
            raise Refusal(
                f"{why}, and phase {self.table.phase.name} needs it",
                "Give the column a value of your own.",
                position=self.position if position is None else position,
            )
        self.writes = Writes.OLD
        self.needs = []

    def _adds_state(self) -> bool:
        return self.table.phase.expanded and not (self.writes is Writes.OLD and self.shape is Shape.OLD)

    def _needed_columns(self) -> list[str]:
        """The client's columns whose values the other format is computed from."""
        if not self.table.phase.expanded:
            return []
        if not self.writes.includes(self.shape.other):
            return []
        needed: list[str] = []
        for change in self.table.migration.changes:
            for column in change.side(self.shape.other):
                needed += change.into(self.shape.other)[column.name].columns
        needed += [c.name for change in self._may_lose() for c in change.side(self.shape)]
        return list(dict.fromkeys(needed))

    def _may_lose(self) -> list[ColumnChange]:
        """The lossy changes of which this phase keeps the other format only."""
        if not self.table.phase.expanded or self.writes.includes(self.shape):
            return []
        return [c for c in self.table.migration.changes if c.lossy and c.old and c.new]

    def _mirror_columns(self) -> list[str]:
        if not self.writes.includes(self.shape.other) or not self.table.phase.expanded:
            return []
        return [c.physical for change in self.table.migration.changes for c in change.side(self.shape.other)]

    def mirrors(self, values: dict[str, Pieces]) -> list[Pieces]:
        """Values of the mirror columns and the row state, from the typed values of the needed columns."""
        found: list[Pieces] = []
        if self._mirror_columns():
            for change in self.table.migration.changes:
                for column in change.side(self.shape.other):
                    found.append(conversion(change, self.shape.other, column, values.__getitem__))
        if self._adds_state():
            lost = [(change, is_lost(change, self.shape, values.__getitem__)) for change in self._may_lose()]
            found.append(refused_if(lost, self.table, self.shape, (str(self.writes.leaves.lowest),)))
        return found

    def added(self) -> list[str]:
        return [*self._mirror_columns(), *([STATE_COLUMN] if self._adds_state() else [])]

    def client_columns(self) -> dict[str, Column]:
        """The client's columns in their order, by their visible names."""
        return self._columns

    def column(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            raise Refusal(f'column "{name}" is not known', "Try again: the catalog may just have changed.")
        return column

    def value_type(self, name: str) -> str:
        return value_type(self.table, self.shape, self.column(name))

    # --- column lists -----------------------------------------------------------------------------------------

    def check_width(self, select: Node) -> None:
        """PostgreSQL's own errors, because columns that we add would move their positions."""
        width = self.width()
        if "valuesLists" in select:
            lists = [item["List"]["items"] for item in select["valuesLists"]]
            uneven = next((values for values in lists if len(values) != width), None)
            if uneven is not None:
                raise Refusal(
                    "VALUES lists must all be the same length", sqlstate=_SYNTAX_ERROR, position=self.start(uneven[0])
                )
            expressions = lists[0]
        else:
            expressions = [t["ResTarget"] for t in select.get("targetList", [])]
        columns = len(self.names)
        if width > columns:
            position = self.start(expressions[columns]) if len(expressions) == width else None
            raise Refusal("INSERT has more expressions than target columns", sqlstate=_SYNTAX_ERROR, position=position)
        if width < columns:
            position = self.source.location(self.node["cols"][width]["ResTarget"])
            raise Refusal("INSERT has more target columns than expressions", sqlstate=_SYNTAX_ERROR, position=position)

    def start(self, node: Node) -> int:
        return self.judge.start(node)

    def list_sql(self, names: list[str]) -> str:
        physical = [self.physical(n) for n in names] + self.added()
        return "(" + ", ".join(quote_identifier(n) for n in physical) + ")"

    def physical(self, name: str) -> str:
        column = self._columns.get(name)
        return name if column is None else column.name

    def edit_list(self) -> None:
        """Keep the client's column list and add to it, or write one."""
        source, layout = self.source, self.layout
        if layout.columns is None:
            self.edits.insert(source.tokens[layout.after_name - 1].end, " " + self.list_sql(self.names))
            return
        for item in self.node["cols"]:
            body = item["ResTarget"]
            physical = self.physical(body["name"])
            if physical != body["name"]:
                self.edits.replace(*source.name_span(source.location(body)), quote_identifier(physical))
        if self.added():
            closing = source.tokens[layout.columns[1]].start
            self.edits.insert(closing, ", " + ", ".join(quote_identifier(n) for n in self.added()))

    def replace_list(self, names: list[str]) -> None:
        source, layout = self.source, self.layout
        if layout.columns is None:
            self.edits.insert(source.tokens[layout.after_name - 1].end, " " + self.list_sql(names))
        else:
            start, end = source.span(layout.columns[0], layout.columns[1] + 1)
            self.edits.replace(start, end, self.list_sql(names))

    def omitted(self) -> dict[str, Value]:
        return {n: default_value(self.column(n), self.position) for n in self.needs if n not in self.names}


def base_type(type_name: str) -> str:
    """A type without its modifier: `numeric(10,2)` → `numeric`, `character varying(5)[]` → `character varying[]`."""
    opening = type_name.find("(")
    if opening < 0 or '"' in type_name:
        return type_name
    # Without a modifier these two words mean a length of 1.
    name = {"character": "bpchar", "bit": 'pg_catalog."bit"'}.get(type_name[:opening], type_name[:opening])
    return name + type_name[type_name.index(")") + 1 :]
