"""Statements that are neither queries nor COPY: which of them may pass although they name a managed table.

What changes neither the managed columns nor freezes one shape passes as it is; the rest is refused by name.
"""

from __future__ import annotations

from rules.errors import Refusal
from rules.migration import ManagedTable
from rules.source import Node, string, walk

#: Statements that concern the table as a whole and none of its columns.
_WHOLE_TABLE = frozenset(
    "TruncateStmt LockStmt VacuumStmt ClusterStmt ReindexStmt CommentStmt AlterOwnerStmt AlterPublicationStmt".split()
)
_ALTERATIONS = frozenset(
    "AT_AddColumn AT_ChangeOwner AT_SetRelOptions AT_ResetRelOptions AT_SetStatistics AT_EnableTrig AT_DisableTrig "
    "AT_EnableTrigAll AT_DisableTrigAll AT_EnableTrigUser AT_DisableTrigUser AT_ReplicaIdentity AT_ClusterOn".split()
)
_WORDS = {
    "ViewStmt": "CREATE VIEW",
    "RuleStmt": "CREATE RULE",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreatePolicyStmt": "CREATE POLICY",
    "AlterTableStmt": "this ALTER TABLE",
    "RenameStmt": "ALTER TABLE … RENAME",
    "DropStmt": "DROP",
    "IndexStmt": "CREATE INDEX on a managed column",
    "CreateTableAsStmt": "CREATE MATERIALIZED VIEW",
    "GrantStmt": "GRANT on columns",
    "CreateStmt": "CREATE TABLE that takes its columns from this table",
}


def check_other(kind: str, node: Node, table: ManagedTable, position: int) -> None:
    """Return if the statement may be forwarded as it is; raise Refusal if not."""
    managed = {
        n for change in table.migration.changes for c in (*change.old, *change.new) for n in (c.name, c.physical)
    }
    managed |= {s for change in table.migration.changes for s in change.sources}
    names = {str(v) for v in _names(node)}
    match kind:
        case "GrantStmt":
            if not any("cols" in body for key, body in walk(node) if key == "AccessPriv"):
                return
        case "AlterTableStmt":
            commands = [c["AlterTableCmd"] for c in node.get("cmds", [])]
            if all(c.get("subtype", "AT_AddColumn") in _ALTERATIONS for c in commands) and not names & managed:
                return
        case "IndexStmt":
            if not names & managed:
                return
        case "CreateStmt":
            copies = {"TableLikeClause", "PartitionBoundSpec"} & {key for key, _ in walk(node)} or node.get(
                "inhRelations"
            )
            if not copies and not names & managed:
                return
        case "CreateStatsStmt" | "CreatePublicationStmt" | "CreateTrigStmt":
            if not names & managed and kind != "CreateTrigStmt":
                return
        case _ if kind in _WHOLE_TABLE:
            if not names & managed:
                return
    what = _WORDS.get(kind, f"{kind.removesuffix('Stmt')} statements")
    raise Refusal(
        f"{what} cannot be carried out on table {table.relation.table} while a migration is active on it",
        "Finish or abort the migration first.",
        position=position,
    )


def _names(node: Node) -> list[str]:
    """Every identifier that could be a column's name, wherever it stands."""
    found: list[str] = []
    for key, body in walk(node):
        if key == "String":
            found.append(string({"String": body}))
        for field in ("name", "colname"):
            if isinstance(body.get(field), str):
                found.append(body[field])
    return found
