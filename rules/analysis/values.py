"""What analysis says of a statement: plain values, made by `scope`, used by `statements/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rules.analysis.labels import label_of
from rules.analysis.names import Entry, Merged, Output
from rules.catalog import Relation
from rules.errors import Refusal
from rules.plan import FieldPatch
from rules.text.source import Node, string, unwrap, walk

QUERIES = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
#: The output columns of each CTE that can be named.
Ctes = Mapping[str, Sequence[Output]]
#: Columns of which the first that is not NULL counts.
Sources = tuple[tuple[Entry, str], ...]
#: Behind a name that an entry has for another column already, with how often: it cannot be named then, but it counts
#: for a star's width.
_AGAIN = "\0"
#: MaxTupleAttributeNumber, and the SQLSTATE of what has more columns. Without that limit the columns of a short text
#: could be more than there is memory for: `SELECT *, * FROM (SELECT *, * FROM (…))`.
_MOST_COLUMNS = 1664
_TOO_MANY_COLUMNS = "54011"


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of `entry` named at [start, end).

    `field` are the characters of `.name` where it was taken out of a whole row, `(u).name`; the row is at [start, end).
    """

    start: int
    end: int
    entry: Entry
    column: str
    field: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RowReference:
    """The whole row of a managed entry as one value, at [start, end)."""

    start: int
    end: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class StarItem:
    """What one item of FROM gives to a star: a whole entry, one column of it, or one that JOIN USING merged."""

    entry: Entry | None
    column: str = ""
    merged: Merged | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The members of FROM that it comes from."""
        if self.entry is not None:
            return (self.entry,)
        return tuple(entry for entry, _ in self.merged.sources) if self.merged is not None else ()


@dataclass(frozen=True, slots=True)
class Star:
    """`from_table`: the star of `TABLE t`, which is not written; [start, end) is the word TABLE then.

    `position`: where PostgreSQL points for a mistake, which is within the parentheses of `(u).*`.
    `labelled`: its columns may be given names; not so in `ROW(u.*)`.
    """

    start: int
    end: int
    position: int
    items: tuple[StarItem, ...]
    from_table: bool = False
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class MergedReference:
    """A column that a rewritten JOIN USING merged, named at [start, end)."""

    start: int
    end: int
    merged: Merged


@dataclass(frozen=True, slots=True)
class OnClause:
    """A join that compares by name: [start, end) becomes ON with these pairs of columns; `natural` is the word."""

    start: int
    end: int
    pairs: tuple[tuple[Sources, Sources], ...]
    natural: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """An output column that is named after the reference at `reference_start`; `first` is the item's first token."""

    first_token: int
    reference_start: int
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """An item of GROUP BY that names output column `number` (from 1)."""

    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Write:
    """An INSERT, UPDATE or MERGE node (kind is its name) on a managed table, and what its target is called.

    `outputs` are the columns that an INSERT's query gives.
    """

    kind: str
    node: Node
    entry: Entry
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogRead:
    """A RangeVar `node` that means a system relation of which this client must be told something else."""

    node: Node
    relation: Relation


@dataclass(slots=True)
class Analysis:
    references: list[Reference] = field(default_factory=list)
    rows: list[RowReference] = field(default_factory=list)
    merged: list[MergedReference] = field(default_factory=list)
    joins: list[OnClause] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)
    stars: list[Star] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    touched: list[Entry] = field(default_factory=list)
    catalogs: list[CatalogRead] = field(default_factory=list)
    #: Where a row assignment's sub-selects are of which the number of columns is not known.
    unknown_rows: set[int] = field(default_factory=set)


def returns_row(outputs: Sequence[Output]) -> bool:
    """Whether a whole row of a managed table is among these output columns."""
    return any(o is not None and o[1] is not None and o[1].row for o in outputs)


def refuse_rows(outputs: Sequence[Output], where: str) -> None:
    """Refuse whole rows among columns that keep their type."""
    if returns_row(outputs):
        raise Refusal(
            f"a whole row of this table cannot be a column of {where}, because its type would show",
            "Name the columns, or use to_jsonb(…) or a cast to text.",
        )


def alias(body: Node) -> str | None:
    name: str | None = body.get("alias", {}).get("aliasname")
    return name


def alias_columns(body: Node) -> list[str]:
    return [string(n) for n in body.get("alias", {}).get("colnames", [])]


def bare_name(node: Node) -> str | None:
    kind, body = unwrap(node)
    if kind == "ColumnRef" and len(body["fields"]) == 1 and "String" in body["fields"][0]:
        return string(body["fields"][0])
    return None


def cast_value(node: Node) -> Node:
    """What is cast, if anything."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return node


def cast_patch(patch: FieldPatch | None, node: Node) -> FieldPatch | None:
    """The patch of a column with the casts around it. One to another type than the rest is of makes a value of it."""
    while patch is not None and "TypeCast" in node:
        kind = _type_words(node["TypeCast"]["typeName"])
        patch = replace(patch, cast=kind) if patch.cast in ("", kind) else None
        node = node["TypeCast"]["arg"]
    return patch


def _type_words(name: Node) -> str:
    constants = [{k: v for k, v in unwrap(m)[1].items() if k != "location"} for m in name.get("typmods", [])]
    return f"{string(name['names'][-1])} {constants} {'arrayBounds' in name}"


def renamed(outputs: Sequence[Output], names: list[str]) -> list[Output]:
    """Output columns after an alias list.

    Raises:
        Refusal: it is not known which of them a name is for.
    """
    known = outputs.index(None) if None in outputs else len(outputs)
    if len(names) > known and None in outputs:
        if any(o is not None and o[1] is not None for o in outputs[known:]):
            raise Refusal(
                f'it is not known which column is called "{names[known]}" here: it stands behind a * of unknown width',
                "Name the columns.",
            )
        outputs = [*outputs[:known], *((name, None) for name in names[known:]), None]
    found = list(outputs)
    for i, (name, output) in enumerate(zip(names, outputs, strict=False)):
        found[i] = output and (name, output[1] and replace(output[1], name=name))
    return found


def derived(name: str | None, outputs: Sequence[Output]) -> Entry:
    """The entry of a query with these output columns."""
    columns: dict[str, FieldPatch | None] = {}
    times: Counter[str] = Counter()
    for output in outputs:
        if output is None:
            return Entry(name, None, parts=tuple(outputs))
        times[output[0]] += 1
        again = times[output[0]] - 1
        columns[f"{output[0]}{_AGAIN}{again}" if again else output[0]] = output[1]
    return Entry(name, columns)


def visible_name(column: str) -> tuple[str, bool]:
    """The name of an entry's column, and whether it can be named: only one of those that are called the same is."""
    name, again, _ = column.partition(_AGAIN)
    return name, not again


def in_order(clause: Node) -> list[Node]:
    """The CTEs of a WITH, each behind those that it names: those of WITH RECURSIVE may come in any order."""
    given: list[Node] = [item["CommonTableExpr"] for item in clause["ctes"]]
    ctes = {cte["ctename"]: cte for cte in given}
    if not clause.get("recursive") or len(ctes) < len(given):
        return given
    found: dict[str, Node] = {}
    seen: set[str] = set()
    stack = list(reversed(ctes))
    while stack:
        cte = ctes[stack[-1]]
        seen.add(stack[-1])
        missing = {body["relname"] for _, body in walk(cte) if body.get("relname") in ctes} - seen
        if missing:
            stack += sorted(missing)
        else:
            found.setdefault(stack.pop(), cte)
    return list(found.values())


def names_of_query(cte: Node) -> list[Output]:
    """What can be said of a recursive CTE's columns before it is analysed."""
    names = [string(n) for n in cte.get("aliascolnames", [])]
    if names:
        return [(name, None) for name in names]
    kind, body = unwrap(cte["ctequery"])
    while kind == "SelectStmt" and "larg" in body:
        body = body["larg"]
    targets = body.get("targetList", []) if kind == "SelectStmt" else []
    if not targets or any("A_Star" in str(t["ResTarget"].get("val", {}).get("ColumnRef", "")) for t in targets):
        return [None]
    return [(label_of(t["ResTarget"]), None) for t in targets]


def star_outputs(star: Sequence[StarItem]) -> list[Output]:
    """The output columns that a star stands for."""
    outputs: list[Output] = []
    for item in star:
        if item.entry is None:
            outputs.append((item.column, item.merged.described() if item.merged is not None else None))
        elif item.column:
            outputs.append((visible_name(item.column)[0], item.entry.patch(item.column)))
        elif item.entry.columns is None:
            outputs += item.entry.parts or (None,)
        elif item.entry.open_ended:
            outputs.append(None)
        else:
            outputs += [(visible_name(name)[0], patch) for name, patch in item.entry.columns.items()]
    return outputs


def check_width(outputs: Sequence[Output]) -> None:
    """Refuse a target list that is wider than PostgreSQL takes, in its words (free_parsestate)."""
    if len(outputs) > _MOST_COLUMNS:
        raise Refusal(f"target lists can have at most {_MOST_COLUMNS} entries", sqlstate=_TOO_MANY_COLUMNS)


def united(left: list[Output], right: list[Output]) -> list[Output]:
    """The output columns of a set operation. Whole rows on one side need whole rows of that type on the other."""
    outputs: list[Output] = []
    rows = returns_row(left) or returns_row(right)
    if rows and (len(left) != len(right) or None in left or None in right):
        raise _mixed()
    for i, output in enumerate(left):
        patch: FieldPatch | None = None
        if rows and output is not None and (other := right[i]) is not None:
            sides = [p if p is not None and p.row else None for p in (output[1], other[1])]
            if sides != [None, None]:
                if sides[0] is None or sides[1] is None or sides[0].type_oid != sides[1].type_oid:
                    raise _mixed()
                patch = replace(sides[0], table_oid=0)
        outputs.append(output and (output[0], patch))
    return outputs


def _mixed() -> Refusal:
    return Refusal(
        "a whole row of this table cannot be in one result column with something else",
        "Name the columns, or use to_jsonb(…) or a cast to text.",
    )


def without(star: list[StarItem], merged: set[str]) -> list[StarItem]:
    """The rest of a JOIN USING's star: every column but the merged ones, each on its own."""
    rest: list[StarItem] = []
    for item in star:
        if item.entry is None or item.column:
            if item.column not in merged:
                rest.append(item)
        elif item.entry.columns is None:
            parts = tuple(part for part in item.entry.parts if part is None or part[0] not in merged)
            rest.append(StarItem(replace(item.entry, parts=parts)))
        elif item.entry.open_ended:
            rest.append(item)
        else:
            rest += [StarItem(item.entry, name) for name in item.entry.columns if name not in merged]
    return rest
