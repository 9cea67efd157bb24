"""Who owns a column name: range-table entries, scopes, and PostgreSQL's rules for looking names up in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rules.catalog import Relation, TableName
from rules.changes import quote_identifier
from rules.errors import UNDEFINED_COLUMN, Refusal
from rules.introspection.relations import system_relation, treatment
from rules.migration import Client, ManagedTable
from rules.phases import HIDDEN_PREFIX
from rules.plan import FieldPatch
from rules.reads import find_column, is_stored
from rules.snapshot import Snapshot

AMBIGUOUS_COLUMN = "42702"
INVALID_COLUMN_REFERENCE = "42P10"
#: An output column: its name and patch; None stands for a star of unknown width.
Output = tuple[str, FieldPatch | None] | None
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(frozen=True, eq=False)
class Entry:
    """One member of a FROM list, or a DML target, as the statement can name it.

    `columns` maps what a client sees to the patch that its description needs (None: the server describes it right);
    it is None itself where the columns cannot be known. `hidden` are names that the server would find here and
    this client must not. `open_ended`: there may be fewer columns than these (overloaded functions). `catalog` is the
    system relation that this is, if what it says of a managed table is not what this client must be told. `types` has
    (OID, modifier) of the columns of a table. `real` are the visible names of a managed table's columns where the
    statement gave them others, `users AS u (a, b)`. `parts` is what is known of a sub-select's columns if not all are.
    """

    name: str | None
    columns: Mapping[str, FieldPatch | None] | None
    managed: ManagedTable | None = None
    table: TableName | None = None
    hidden: frozenset[str] = frozenset()
    qualified_only: bool = False
    open_ended: bool = False
    types: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    real: Mapping[str, str] = field(default_factory=dict)
    catalog: Relation | None = None
    has_ctid: bool = True
    parts: tuple[Output, ...] = ()

    @property
    def _patches(self) -> list[FieldPatch | None]:
        return [*(self.columns or {}).values(), *(part[1] for part in self.parts if part is not None)]

    @property
    def has_rows(self) -> bool:
        """Whether one of its columns is a whole row of a managed table."""
        return any(patch is not None and patch.row for patch in self._patches)

    @property
    def is_patched(self) -> bool:
        """Whether one of its columns has a patch."""
        return any(patch is not None for patch in self._patches)

    def has(self, name: str) -> bool:
        """Whether it is known to have a column of that name."""
        return name in (self.columns or ()) or any(part is not None and part[0] == name for part in self.parts)

    def patch(self, name: str) -> FieldPatch | None:
        """The patch of a column. Where the name may be another one's as well, the server calls it ambiguous."""
        if self.columns is not None:
            return self.columns.get(name)
        return next((part[1] for part in self.parts if part is not None and part[0] == name), None)

    @property
    def row_patch(self) -> FieldPatch:
        """The description of this managed entry's whole row."""
        assert self.managed is not None
        relation = self.managed.relation
        return FieldPatch(self.name or "", relation.oid, 0, relation.row_type, -1, row=True)

    @property
    def qualifier(self) -> str:
        return quote_identifier(self.name) + "." if self.name is not None else ""

    def renamed(self, name: str, *, qualified_only: bool = False) -> Entry:
        return Entry(name, self.columns, self.managed, None, self.hidden, qualified_only)

    def column_aliases(self, names: list[str]) -> Entry:
        """This managed table under `AS u (a, b)`. The list is taken out of the text, so the real names must not leak.

        Raises:
            Refusal: there are too many, or a name comes twice.
        """
        assert self.columns is not None
        if len(names) > len(self.columns):
            raise Refusal(
                f'table "{self.name}" has {len(self.columns)} columns available but {len(names)} columns specified',
                sqlstate=INVALID_COLUMN_REFERENCE,
            )
        visible = [*names, *list(self.columns)[len(names) :]]
        if len(set(visible)) < len(visible):
            raise Refusal(f'two columns of "{self.name}" have one name here', "Give them different aliases.")
        real = dict(zip(visible, self.columns, strict=True))
        columns = {name: (p := self.columns[old]) and replace(p, name=name) for name, old in real.items()}
        hidden = (self.hidden | set(self.columns)) - set(visible)
        types = {name: self.types[old] for name, old in real.items()}
        return replace(self, columns=columns, hidden=hidden, types=types, real=real)

    def proposed(self) -> Entry:
        """This target as ON CONFLICT's `excluded`: a row that is not stored yet."""
        return replace(self.renamed("excluded"), has_ctid=False)


@dataclass(frozen=True, eq=False)
class Merged:
    """A column that JOIN USING made of one column of each side, in `joins` joins.

    Its value is the first of `sources` (an entry and its column) that is not NULL; () if they are not known. `type` is
    (OID, modifier), None if it is not known or not that of every source. `rewritten`: the join has ON in place of
    USING now, so that the bare name means nothing any more. `patch` is the description of the one column that it is;
    `unclear`: it may also be another one's.
    """

    name: str
    joins: int
    sources: tuple[tuple[Entry, str], ...] = ()
    type: tuple[int, int] | None = None
    rewritten: bool = False
    patch: FieldPatch | None = None
    unclear: bool = False

    def described(self) -> FieldPatch | None:
        """The patch of an output column that is this one.

        Raises:
            Refusal: it is not known.
        """
        if self.unclear:
            raise Refusal(
                f'the type of the column "{self.name}" that JOIN … USING makes is not known',
                "Use JOIN … ON, and name the column of one side.",
            )
        return self.patch


@dataclass(eq=False)
class Level:
    """One query's scope. `merged` are the names that JOIN USING made one column of.

    `grouped_by` are the columns that GROUP BY names, while what is evaluated behind it is looked at; else None.
    """

    parent: Level | None
    entries: list[Entry] = field(default_factory=list)
    merged: dict[str, Merged] = field(default_factory=dict)
    grouped_by: frozenset[str] | None = None

    @property
    def is_known(self) -> bool:
        """Whether the columns of everything that can be named from here are known."""
        scope: Level | None = self
        while scope is not None:
            if any(e.columns is None for e in scope.entries):
                return False
            scope = scope.parent
        return True

    def merges(self, name: str) -> bool:
        """Whether a JOIN USING made this name a column, here or further out."""
        scope: Level | None = self
        while scope is not None:
            if name in scope.merged:
                return True
            scope = scope.parent
        return False


@dataclass(frozen=True, slots=True)
class Found:
    """`captured` says that a hidden column would take the name or share it, so it has to be qualified.

    `merged` is the column of a JOIN USING that has to be written out; `entry` is the first that it comes from then.
    """

    entry: Entry
    captured: bool = False
    merged: Merged | None = None


class Lookup:
    """Name resolution for one client against one snapshot."""

    def __init__(self, snapshot: Snapshot, client: Client) -> None:
        self.snapshot = snapshot
        self.client = client
        managed = snapshot.tables.values()
        self._bare_names = {t.name for t in snapshot.tables}
        self.interesting: frozenset[str] = frozenset(
            name
            for table in managed
            for change in table.migration.changes
            for side in (change.old, change.new)
            for column in side
            for name in (column.name, column.physical)
        )

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """The catalog's relation of that name as this session sees it; None if it is not known."""
        catalog = self.snapshot.catalog
        if schema is not None:
            return catalog.relations.get(TableName(schema, name))
        schemas = catalog.schemas_of(name)
        if name in self._bare_names:
            if name in self.client.shadowed:
                raise Refusal(
                    f'"{name}" may mean a temporary table of this session or a managed table',
                    "Write the schema in front of the table's name.",
                )
            if len(schemas) > 1 and self.client.search_path is None:
                raise Refusal(
                    f'"{name}" exists in several schemas ({", ".join(schemas)}), '
                    "and this server does not report search_path",
                    "Write the schema in front of the table's name.",
                )
        if self.client.search_path is not None:
            schemas = tuple(s for s in self.client.search_path if s in schemas)
        return catalog.relations.get(TableName(schemas[0], name)) if schemas else None

    def table_entry(self, schema: str | None, name: str, alias: str | None) -> Entry:
        label = alias or name
        system = system_relation(self.snapshot.catalog, schema, name, self.client.search_path)
        if system is not None:
            return self._catalog_entry(system, label)
        relation = self.relation(schema, name)
        if relation is None:
            return Entry(label, None)
        table = None if alias else relation.table
        managed = self.snapshot.tables.get(relation.table)
        if managed is None:
            types = {c.name: (c.type_oid, c.typmod) for c in relation.columns}
            return Entry(label, dict.fromkeys(types), table=table, types=types)
        shape = self.client.shape
        columns: dict[str, FieldPatch | None] = {}
        for visible, column in managed.visible(shape):
            changed = find_column(managed, shape, visible) is not None and not is_stored(managed, shape)
            patch = (
                FieldPatch(visible, relation.oid, column.attnum, column.type_oid, column.typmod) if changed else None
            )
            columns[visible] = patch
        hidden = frozenset(
            c.name for c in relation.columns if c.name not in columns and not c.name.startswith(HIDDEN_PREFIX)
        )
        types = {visible: (column.type_oid, column.typmod) for visible, column in managed.visible(shape)}
        return Entry(label, columns, managed, table, hidden, types=types)

    def _catalog_entry(self, relation: Relation, label: str) -> Entry:
        found = treatment(relation, self.snapshot.tables.values(), self.client.shape)
        columns: dict[str, FieldPatch | None] = dict.fromkeys(c.name for c in relation.columns)
        for column in relation.columns:
            if found is not None and column.name in found.shows:
                columns[column.name] = FieldPatch(
                    column.name, relation.oid, column.attnum, column.type_oid, column.typmod
                )
        return Entry(label, columns, table=relation.table, catalog=relation if found is not None else None)

    def column(self, level: Level, name: str, position: int) -> Found | None:
        """Who owns a bare name; None if nobody known does (a system column, an unknown relation's, a mistake)."""
        uncertain = captured = False
        scope: Level | None = level
        while scope is not None:
            if name in scope.merged:
                return self._merged(level, scope, name, position, captured, uncertain)
            entries = [e for e in scope.entries if not e.qualified_only]
            owners = [e for e in entries if e.has(name)]
            unknown = any(e.columns is None and e not in owners for e in entries)
            captured = captured or any(name in e.hidden for e in entries)
            if len(owners) > 1:
                if any(e.managed for e in owners):
                    raise Refusal(
                        f'column reference "{name}" is ambiguous',
                        sqlstate=AMBIGUOUS_COLUMN,
                        position=position,
                    )
                if captured:
                    raise _unclear(name, position)
                return None
            if owners:
                changed = owners[0].managed is not None and (name in self.interesting or bool(owners[0].real))
                patched = uncertain and owners[0].patch(name) is not None
                if patched or ((unknown or uncertain) and (changed or captured)):
                    raise Refusal(
                        f'it is not known whose column "{name}" is: the columns of another item in FROM are not known',
                        "Write the table's name or alias in front of the column.",
                        position=position,
                    )
                if changed or captured:
                    self._check_alias(level, owners[0], name, position)
                return Found(owners[0], captured)
            uncertain = uncertain or unknown
            scope = scope.parent
        if captured and not uncertain and self.entry(level, name) is None:
            raise _undefined(name, position)
        if captured:
            raise _unclear(name, position)
        return None

    def _check_alias(self, level: Level, owner: Entry, name: str, position: int) -> None:
        """The rewriting puts the owner's name in front of the column, so that name must reach the owner from here."""
        if owner.name is not None and self.entry(level, owner.name) is not owner:
            raise Refusal(
                f'"{name}" belongs to an outer "{owner.name}", which an inner item of FROM hides',
                "Give one of the two another alias.",
                position=position,
            )

    def _merged(
        self, level: Level, scope: Level, name: str, position: int, captured: bool, uncertain: bool
    ) -> Found | None:
        """A merged column has no name but the bare one, which another entry may have as well."""
        merged = scope.merged[name]
        entries = [e for e in scope.entries if not e.qualified_only]
        owners = [e for e in entries if e.has(name)]
        if len(owners) > merged.joins + 1 and (merged.rewritten or any(e.managed for e in owners)):
            raise Refusal(f'column reference "{name}" is ambiguous', sqlstate=AMBIGUOUS_COLUMN, position=position)
        if not (merged.rewritten or captured or any(name in e.hidden for e in entries)):
            return None
        if merged.type is None or uncertain or any(e.columns is None for e in entries):
            raise _unclear(name, position)
        for entry, column in merged.sources:
            self._check_alias(level, entry, column, position)
        return Found(merged.sources[0][0], merged=merged)

    def merged(self, level: Level, name: str) -> Merged | None:
        """The column of a JOIN USING that a bare name means, as far as `column` finds no owner of it."""
        scope: Level | None = level
        while scope is not None:
            if name in scope.merged or any(e.has(name) for e in scope.entries):
                return scope.merged.get(name)
            scope = scope.parent
        return None

    def entry(self, level: Level, name: str, schema: str | None = None) -> Entry | None:
        """The range-table entry called `name`, from the innermost scope outwards."""
        scope: Level | None = level
        while scope is not None:
            for entry in scope.entries:
                if entry.name == name and (
                    schema is None or (entry.table is not None and entry.table.schema == schema)
                ):
                    return entry
            scope = scope.parent
        return None

    def qualified(self, entry: Entry, name: str, position: int) -> bool:
        """Whether `entry.name` is a visible column; refuses what the server would find and this client must not see."""
        if entry.columns is None or name in entry.columns:
            return entry.has(name)
        if entry.managed is not None and name not in SYSTEM_COLUMNS:
            if name in entry.hidden or not is_stored(entry.managed, self.client.shape):
                raise _undefined(f"{entry.name}.{name}", position, quoted=False)
        return False


def _unclear(name: str, position: int) -> Refusal:
    return Refusal(
        f'it is not known whose column "{name}" is',
        "Write the table's name or alias in front of it.",
        position=position,
    )


def _undefined(name: str, position: int, *, quoted: bool = True) -> Refusal:
    shown = f'"{name}"' if quoted else name
    return Refusal(f"column {shown} does not exist", sqlstate=UNDEFINED_COLUMN, position=position)
