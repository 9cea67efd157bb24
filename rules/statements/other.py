"""Statements that are neither queries nor COPY: which of them may pass although they name a managed table.

What changes neither the managed columns nor freezes one shape passes as it is; the rest is refused by name. A column
that this client does not have is an error in PostgreSQL's own words.
"""

from __future__ import annotations

from rules.changes import quote_identifier
from rules.errors import UNDEFINED_COLUMN, Refusal
from rules.migration import Guard, ManagedTable
from rules.phases import Shape
from rules.reads import find_column
from rules.text.fragments import Edits
from rules.text.source import DOT, Node, SourceText, string, walk

#: Statements that concern the table as a whole; they may name columns that stay.
_WHOLE_TABLE = frozenset(
    "TruncateStmt LockStmt VacuumStmt ClusterStmt ReindexStmt AlterPublicationStmt CreatePublicationStmt"
    " CreateStatsStmt IndexStmt".split()
)
#: Actions of ALTER TABLE that change nothing a migration rests on, as long as they name no managed column.
_ALTERATIONS = frozenset(
    "AT_AddColumn AT_DropColumn AT_AlterColumnType AT_ColumnDefault AT_SetNotNull AT_DropNotNull AT_AddConstraint"
    " AT_DropConstraint AT_AlterConstraint AT_ValidateConstraint AT_AddIdentity AT_SetIdentity AT_DropIdentity"
    " AT_SetStatistics AT_SetStorage AT_SetCompression AT_SetOptions AT_ResetOptions AT_ChangeOwner AT_SetRelOptions"
    " AT_ResetRelOptions AT_SetTableSpace AT_ReplicaIdentity AT_ClusterOn AT_DropCluster AT_EnableTrig AT_DisableTrig"
    " AT_EnableAlwaysTrig AT_EnableReplicaTrig".split()
)
#: They would switch the guard off, or to firing less often than always.
_ALL_TRIGGERS = frozenset("AT_EnableTrigAll AT_DisableTrigAll AT_EnableTrigUser AT_DisableTrigUser".split())
#: What becomes of the primary key's columns: the side worker walks along them.
_KEY_BREAKERS = frozenset("AT_DropColumn AT_AlterColumnType AT_DropNotNull".split())
#: What becomes of partitions. One that comes would not have the hidden columns, one that goes would keep them.
_PARTITION_CHANGES = {
    "AT_AttachPartition": ("ATTACH PARTITION", "Make it with CREATE TABLE … PARTITION OF, and fill it then."),
    "AT_DetachPartition": ("DETACH PARTITION", "DROP TABLE takes a partition away with its rows."),
    "AT_DetachPartitionFinalize": ("DETACH PARTITION", "DROP TABLE takes a partition away with its rows."),
    "AT_AddInherit": ("INHERIT", "Finish or abort the migration first."),
}
#: Parts of a table that have names of their own and may come and go.
_PARTS = frozenset("OBJECT_TABCONSTRAINT OBJECT_TRIGGER OBJECT_POLICY OBJECT_RULE".split())
_WORDS = {
    "ViewStmt": "CREATE VIEW",
    "RuleStmt": "CREATE RULE",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreatePolicyStmt": "CREATE POLICY",
    "AlterPolicyStmt": "ALTER POLICY",
    "AlterTableStmt": "this ALTER TABLE",
    "AlterObjectSchemaStmt": "ALTER TABLE … SET SCHEMA",
    "RenameStmt": "ALTER TABLE … RENAME",
    "DropStmt": "DROP",
    "IndexStmt": "CREATE INDEX on a managed column",
    "CreateStatsStmt": "CREATE STATISTICS on a managed column",
    "CreateFunctionStmt": "CREATE FUNCTION with a body of parsed SQL",
    "CreateTableAsStmt": "CREATE MATERIALIZED VIEW",
    "GrantStmt": "GRANT on columns",
    "CreateStmt": "CREATE TABLE that takes its columns from this table",
}


def rewrite_other(
    source: SourceText, edits: Edits, kind: str, node: Node, table: ManagedTable, shape: Shape, position: int
) -> None:
    """Return if the statement may be sent, maybe with edits; raise Refusal if not."""
    checked = _Definition(table, shape, position)
    match kind:
        case "CommentStmt":
            _rewrite_comment(source, edits, node, checked)
            return
        case "AlterTableStmt":
            allowed = checked.may_alter(node)
        case "RenameStmt":
            allowed = checked.may_rename(node)
        case "DropStmt":
            allowed = node["removeType"] in _PARTS or (node["removeType"] == "OBJECT_TABLE" and table.is_partition)
        case "GrantStmt":
            allowed = not any("cols" in body for key, body in walk(node) if key == "AccessPriv")
        case "CreateStmt":
            allowed = checked.may_create(node)
        case "CreateSeqStmt" | "AlterSeqStmt" | "AlterOwnerStmt":
            allowed = True
        case _:
            allowed = kind in _WHOLE_TABLE and not checked.names_managed(node)
    if not allowed:
        checked.refuse(_WORDS.get(kind, f"{kind.removesuffix('Stmt')} statements"))


class _Definition:
    """What a definition may do to one managed table for a client of one shape."""

    def __init__(self, table: ManagedTable, shape: Shape, position: int) -> None:
        self.table = table
        self.shape = shape
        self._position = position
        changes = table.migration.changes
        self._managed = {n for change in changes for c in (*change.old, *change.new) for n in (c.name, c.physical)}
        self._managed |= {s for change in changes for s in change.sources}
        self._relation = table.relation

    def refuse(self, what: str, hint: str = "Finish or abort the migration first.") -> None:
        raise Refusal(
            f"{what} cannot be carried out on table {self._relation.table} while a migration is active on it",
            hint,
            position=self._position,
        )

    def check_exists(self, column: str) -> None:
        """PostgreSQL's error for a column of the other shape only."""
        theirs = {c.name for change in self.table.migration.changes for c in change.side(self.shape.other)}
        if column in theirs and column not in {name for name, _ in self.table.visible(self.shape)}:
            name = self._relation.table.name
            raise Refusal(f'column "{column}" of relation "{name}" does not exist', sqlstate=UNDEFINED_COLUMN)

    def names_managed(self, node: object) -> bool:
        """Whether any identifier in there could be a managed column."""
        return not self._managed.isdisjoint(_names(node))

    def _is_managed_constraint(self, name: str) -> bool:
        """A key over managed columns, or the primary key: the side worker walks along that one."""
        for key in self._relation.constraints:
            if key.name == name:
                return key.columns == self._relation.primary_key or not self._managed.isdisjoint(key.columns)
        return False

    def may_alter(self, node: Node) -> bool:
        for command in node.get("cmds", []):
            change = _PARTITION_CHANGES.get(command["AlterTableCmd"].get("subtype", ""))
            if change is not None:
                self.refuse(*change)
        if node["relation"]["relname"] != self._relation.table.name:
            return not self._refers_to_managed(node)  # another table, with a foreign key to this one
        return all(self._may_alter_so(c["AlterTableCmd"]) for c in node.get("cmds", []))

    def _may_alter_so(self, command: Node) -> bool:
        action = command.get("subtype", "AT_AddColumn")
        name = command.get("name")
        if action in _ALL_TRIGGERS:
            return self.table.migration.guard is Guard.OFF
        if action not in _ALTERATIONS or command.get("behavior") == "DROP_CASCADE":
            return False
        if name is not None and not command.get("missing_ok"):
            self.check_exists(name)
        if action in ("AT_DropConstraint", "AT_AlterConstraint", "AT_ValidateConstraint"):
            names = [name] if name else [body["conname"] for _, body in walk(command) if "conname" in body]
            return not any(self._is_managed_constraint(n) for n in names)
        if action in _KEY_BREAKERS and name in self._relation.primary_key:
            return False
        return not self.names_managed(command)

    def may_rename(self, node: Node) -> bool:
        kind = node["renameType"]
        if kind == "OBJECT_COLUMN":
            self.check_exists(node["subname"])
            return node["subname"] not in self._relation.primary_key and self._managed.isdisjoint(
                (node["subname"], node["newname"])
            )
        if kind == "OBJECT_TABCONSTRAINT":
            return not self._is_managed_constraint(node["subname"])
        return kind in _PARTS

    def may_create(self, node: Node) -> bool:
        """A table that copies this one's columns, or inherits from it, would have the hidden ones; one that happens to
        be called like it is the server's to judge (IF NOT EXISTS, another schema). A new partition is to have them."""
        if "partbound" in node and self._relation.is_partitioned:
            rest = {k: v for k, v in node.items() if k not in ("relation", "inhRelations", "partbound")}
            return not self.names_managed(rest) and not any("pktable" in body for _, body in walk({"": rest}))
        sources = [body["relation"] for key, body in walk(node) if key == "TableLikeClause"]
        sources += [r["RangeVar"] for r in node.get("inhRelations", [])]
        taken = any(r["relname"] == self._relation.table.name for r in sources)
        return not taken and not self._refers_to_managed(node)

    def _refers_to_managed(self, node: Node) -> bool:
        """Whether a foreign key of another table points at managed columns of this one."""
        return any(
            body["pktable"]["relname"] == self._relation.table.name and self.names_managed(body.get("pk_attrs", []))
            for key, body in walk({"": node})
            if key == "Constraint" and "pktable" in body
        )


def _rewrite_comment(source: SourceText, edits: Edits, node: Node, checked: _Definition) -> None:
    """COMMENT ON COLUMN users.first_name: a comment stays with its column when that gets its visible name."""
    if node["objtype"] != "OBJECT_COLUMN":
        return
    name = string(node["object"]["List"]["items"][-1])
    found = find_column(checked.table, checked.shape, name)
    if found is None:
        checked.check_exists(name)
        return
    if found[1].physical != name:
        tokens = [t for t in range(len(source.tokens)) if source.kind(t) == "COLUMN"]
        if len(source.statements) > 1 or not tokens:
            checked.refuse("COMMENT among other statements in one text")
        last = source.reference_end(tokens[0] + 1) - 1
        assert source.kind(last - 1) == DOT
        edits.replace(source.tokens[last].start, source.tokens[last].end, quote_identifier(found[1].physical))


def _names(node: object) -> set[str]:
    """Every identifier that could be a column's name, wherever it stands."""
    found: set[str] = set()
    for key, body in walk({"": node}):
        if key == "String":
            found.add(string({"String": body}))
        found.update(body[f] for f in ("name", "colname") if isinstance(body.get(f), str))
    return found
