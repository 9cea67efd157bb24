"""UPDATE, and the SET list of ON CONFLICT DO UPDATE.

A value that may be written twice is simply written twice, behind what the client wrote:

    UPDATE users SET full_name = $1 WHERE id = 7
    UPDATE users SET full_name = $1, "_pgjanus_first_name" = (split_part((($1)::text), ' ', 1)), …,
           "_pgjanus_state" = 5 - ("users"."_pgjanus_state" & 1) WHERE id = 7

Any other is evaluated once per row, in a row assignment from a sub-select that is correlated with the row (a CTE or a
self-join would lose updates under READ COMMITTED, an uncorrelated sub-select would be evaluated once for all rows):

    UPDATE users SET tok = gen_random_uuid()
    UPDATE users SET ("tok", "_pgjanus_tok2") = (SELECT v.c0, (upper(((v.c0)::text)))
           FROM (SELECT gen_random_uuid() AS c0 WHERE "users".ctid IS NOT NULL) AS v), "_pgjanus_state" = …
"""

from __future__ import annotations

from functools import partial

from rules.analysis.names import Entry
from rules.changes import ColumnChange, ManagedColumn, quote_identifier
from rules.errors import Refusal
from rules.phases import STATE_COLUMN, RowState, Shape
from rules.reads import collation_of, is_stored, physical, read_column
from rules.statements.judge import Judge
from rules.statements.mirror import (
    Value,
    conversion,
    effective_writes,
    looks_at_sequence,
    matters,
    target_column,
    value_type,
    why_not_own_format_only,
)
from rules.statements.rounding import Rounding
from rules.statements.set_items import Item, ItemReader
from rules.statements.survival import refused_if
from rules.text.fragments import At, Edits, Pieces, Span, joined
from rules.text.source import Node, SourceText

_ROW = "_pgjanus_v"


def rewrite_set(
    source: SourceText, edits: Edits, entry: Entry, targets: list[Node], shape: Shape, judge: Judge
) -> None:
    """Rewrite the SET list made of these ResTargets, on the managed table `entry`."""
    assignments = read_set(source, edits, entry, targets, shape, judge)
    if assignments.concern_us:
        assignments.rewrite()


def read_set(
    source: SourceText,
    edits: Edits,
    entry: Entry,
    targets: list[Node],
    shape: Shape,
    judge: Judge,
) -> SetList:
    """The SET list made of these ResTargets; only names are edited yet."""
    assert entry.managed is not None
    items = ItemReader(source, edits, entry.managed, shape, judge).read([t["ResTarget"] for t in targets])
    return SetList(edits, entry, shape, items, judge)


class SetList:
    """`rewrite` adds what the other format needs; `unmark` writes the client's own format only, and says so."""

    def __init__(self, edits: Edits, entry: Entry, shape: Shape, items: list[Item], judge: Judge) -> None:
        assert entry.managed is not None
        self._edits, self._judge = edits, judge
        self._table = entry.managed
        self._qualifier = entry.qualifier
        self._shape = shape
        self._items = items
        self.position = items[0].start
        self._writes = effective_writes(self._table, shape, insert=False)
        self._row_columns: dict[str, Value] = {}  # what the row assignment's sub-select evaluates, by column set
        self._numbers = {n: i for i, n in enumerate(n for item in items for n in item.names)}
        self._values: dict[str, Pieces] = {}  # typed value of each column that matters
        self._rounding = Rounding(self._table, shape, self._writes, self._qualifier, self._values)
        self._laterals: list[Pieces] = []
        self._lateral_names: dict[tuple[str, ...], str] = {}
        for item in items:
            self._collect(item)
        if self.needs_row:
            self._take_along(items)

    def _take_along(self, items: list[Item]) -> None:
        """What is volatile in other columns goes into the row as well, so that it is evaluated in its order."""
        given = [pair for item in items for pair in zip(item.names, item.values, strict=True)]
        for name, value in given:
            if value is not None and name not in self._values:
                if value.node is not None and not self._judge.is_repeatable(value.node):
                    self._row_columns[name] = value
        self._row_columns = {n: self._row_columns[n] for n, _ in given if n in self._row_columns}

    @property
    def concern_us(self) -> bool:
        """Whether a managed column is written, in a table that has its hidden columns."""
        return self._table.phase.expanded and any(
            matters(self._table, self._shape, n) for item in self._items for n in item.names
        )

    @property
    def has_subselect(self) -> bool:
        """Whether the client assigns a row from a sub-select."""
        return any(i.subselect is not None for i in self._items)

    @property
    def assigns_row(self) -> bool:
        """Whether the rewritten list assigns a row from a sub-select."""
        return self.has_subselect or (self.concern_us and self.needs_row)

    def rewrite(self) -> None:
        """Add the edits.

        Raises:
            Refusal: a part of a managed column is assigned, and the row cannot be left in the client's format alone.
        """
        part = next((i for i in self._items if self._sets_part(i)), None)
        if part is not None:
            self.unmark("the other format of a column of which a part is assigned cannot be computed", part)
        elif self.needs_row and (self._mirrored() or self._rounding.keeps() is not None):
            self._edits.replace(self.position, self._items[-1].end, *self._whole_list())
        else:
            self._edits.insert(self._items[-1].end, ", ", *joined(", ", self._mirrors()))

    def unmark(self, why: str, item: Item | None = None) -> None:
        """Leave the client's assignments as they are, and the row in the client's own format.

        Raises:
            Refusal: with `why`, if this phase does not allow it.
        """
        parts = frozenset(n for i in self._items for n, p in zip(i.names, i.is_part, strict=True) if p)
        forgets = self._rounding.forgets(parts)
        obstacle = why_not_own_format_only(self._table, self._shape, self._writes, forgets=forgets)
        if obstacle:
            position = (item or self._items[0]).start
            raise Refusal(f"{why}, and {obstacle}", "Assign whole values, as constants.", position=position)
        state = self._code(RowState(self._shape.value))
        self._edits.insert(self._items[-1].end, f", {quote_identifier(STATE_COLUMN)} = {state}")

    def _sets_part(self, item: Item) -> bool:
        return any(p and matters(self._table, self._shape, n) for n, p in zip(item.names, item.is_part, strict=True))

    @property
    def needs_row(self) -> bool:
        return bool(self._row_columns or self._laterals)

    def _collect(self, item: Item) -> None:
        if self._sets_part(item):
            return  # its value is not to be had: see `rewrite`
        managed = [n for n in item.names if matters(self._table, self._shape, n)]
        if item.subselect is not None and managed:
            alias = self._lateral_names[item.names] = f"_pgjanus_s{len(self._laterals)}"
            names = ", ".join(f"c{i}" for i in range(len(item.names)))
            # LEFT JOIN, because no row from the sub-select means NULLs, and then NULL has to be converted too.
            self._laterals.append((" LEFT JOIN LATERAL ", item.subselect, f" AS {alias}({names}) ON true"))
            for i, name in enumerate(item.names):
                if name in managed:
                    self._values[name] = (f"(({alias}.c{i})::{self._type(name)})",)
            return
        for name, value in zip(item.names, item.values, strict=True):
            if name not in managed:
                continue
            assert value is not None
            if value.simple:
                self._values[name] = value.typed(self._type(name))
            else:
                self._row_columns[name] = value
                self._values[name] = (f"(({self._in_row(name)})::{self._type(name)})",)

    def _type(self, name: str) -> str:
        column = target_column(self._table, self._shape, name, self.position)
        assert column is not None
        return value_type(self._table, self._shape, column)

    def _value(self, change: ColumnChange, name: str) -> Pieces:
        """What a column of the client's own side will hold after the statement."""
        if name in self._values:
            return self._values[name]
        for column in change.side(self._shape):
            if column.name == name:
                return (self._stored(change, column, self._shape),)
        return (physical(self._qualifier, name),)

    def _stored(self, change: ColumnChange, column: ManagedColumn, shape: Shape) -> str:
        return read_column(self._table, change, column, shape, self._qualifier)

    def _mirrored(self) -> list[tuple[str, Pieces]]:
        """(physical column, value) of everything beside the client's own assignments, but the row state."""
        found: list[tuple[str, Pieces]] = []
        shape, other = self._shape, self._shape.other
        for change in self._table.migration.changes:
            inputs = [c.name for c in change.side(shape)] or (list(change.sources) if shape is Shape.OLD else [])
            touched = [n for n in inputs if n in self._values]
            for column in change.side(other):
                if self._writes.includes(other):
                    if touched:
                        found.append((column.physical, self._converted(change, column)))
                    elif not is_stored(self._table, other):
                        found.append((column.physical, (self._stored(change, column, other),)))
                elif touched and (condition := self._rounding.converts(change)) is not None:
                    kept = physical(self._qualifier, column.physical)
                    found.append((column.physical, self._converted_where(condition, change, column, kept)))
            if self._writes.includes(shape) and not is_stored(self._table, shape):
                for column in change.side(shape):
                    if column.name not in self._values:
                        found.append((column.physical, (self._stored(change, column, shape),)))
        return found

    def _converted(self, change: ColumnChange, column: ManagedColumn) -> Pieces:
        if not change.side(self._shape) or not change.lossy:
            return self._conversion(change, column)
        # An ORM that saves every column must not round the other format of a value that it did not change.
        kept = self._stored(change, column, self._shape.other)
        return self._converted_where(self._rounding.changed(change), change, column, kept)

    def _converted_where(self, condition: Pieces, change: ColumnChange, column: ManagedColumn, kept: str) -> Pieces:
        collation = collation_of(change, column, self._shape.other)
        value = self._conversion(change, column)
        return ("CASE WHEN ", *condition, " THEN ", *value, f"{collation} ELSE ", kept, " END")

    def _conversion(self, change: ColumnChange, column: ManagedColumn) -> Pieces:
        return conversion(change, self._shape.other, column, partial(self._value, change))

    def _code(self, state: RowState) -> str:
        stored = physical(self._qualifier, STATE_COLUMN)
        return state.next_code(stored)

    def _state(self) -> tuple[str, Pieces]:
        """The state column and the code that the row gets."""
        keeps, leaves = self._rounding.keeps(), self._code(self._writes.leaves)
        code: Pieces = (leaves,)
        if keeps is not None:
            code = ("CASE WHEN ", *keeps, f" THEN {self._code(RowState.BOTH)} ELSE {leaves} END")
        lost = [
            (change, condition)
            for change in self._table.migration.changes
            if (condition := self._rounding.loses(change, partial(self._value, change))) is not None
        ]
        return STATE_COLUMN, refused_if(lost, self._table, self._shape, code)

    def _mirrors(self) -> list[Pieces]:
        """Assignments to add behind the client's own ones."""
        return [_assignment(*pair) for pair in (*self._mirrored(), self._state())]

    def _whole_list(self) -> Pieces:
        """The whole SET list, with everything that must be evaluated once in one row assignment.

        That stands where the first of those items stood: the first use of a parameter decides its type.
        """
        plain: list[Pieces] = []
        row_at: int | None = None
        names: list[str] = []
        selected: list[Pieces] = []
        for item in self._items:
            if item.names not in self._lateral_names and not any(n in self._row_columns for n in item.names):
                plain.append((Span(item.start, item.end),))
                continue
            row_at = len(plain) if row_at is None else row_at
            for i, (name, value) in enumerate(zip(item.names, item.values, strict=True)):
                if value is not None and name not in self._row_columns:
                    plain.append((f"{quote_identifier(self._physical(name))} = ", *value.pieces))
                    continue
                names.append(self._physical(name))
                if value is None:
                    selected.append((At(f"{self._lateral_names[item.names]}.c{i}", item.places[i]),))
                else:
                    selected.append((At(self._in_row(name), self._start(value, item)),))
        depends = self._rounding.keeps() is not None
        for column, pieces in (*self._mirrored(), *([self._state()] if depends else [])):
            names.append(column)
            selected.append(pieces)
        plain.insert(row_at or 0, self._row(names, selected))
        return joined(", ", [*plain, *([] if depends else [_assignment(*self._state())])])

    def _row(self, names: list[str], selected: list[Pieces]) -> Pieces:
        """`(names) = (SELECT selected FROM (SELECT what is evaluated once, per row) …)`."""
        for value in self._row_columns.values():
            self._judge.check(value.node, "UPDATE")
        columns = list(self._row_columns)
        if any(looks_at_sequence(self._edits.text(v.pieces)) for v in self._row_columns.values()):
            columns.sort(key=[name for name, _ in self._table.visible(self._shape)].index)  # as PostgreSQL does it
        values = [(*self._row_columns[n].pieces, f" AS c{self._numbers[n]}") for n in columns] or [("1 AS one",)]
        laterals = [piece for lateral in self._laterals for piece in lateral]
        return (
            f"({', '.join(quote_identifier(n) for n in names)}) = (SELECT ",
            *joined(", ", selected),
            " FROM (SELECT ",
            *joined(", ", values),
            f" WHERE {self._qualifier}ctid IS NOT NULL) AS {_ROW}",
            *laterals,
            ")",
        )

    def _in_row(self, name: str) -> str:
        return f"{_ROW}.c{self._numbers[name]}"

    def _start(self, value: Value, item: Item) -> int:
        return item.start if value.node is None else self._judge.start(value.node)

    def _physical(self, name: str) -> str:
        column = target_column(self._table, self._shape, name, self.position)
        return column.name if column is not None else name


def _assignment(column: str, value: Pieces) -> Pieces:
    return (f"{quote_identifier(column)} = ", *value)
