"""What names no managed table and still cannot be forwarded: definitions that a migration rests on, snapshots."""

from __future__ import annotations

from collections.abc import Mapping

from rules.catalog import TableName
from rules.dependencies import used_objects
from rules.errors import Refusal
from rules.migration import ManagedTable
from rules.text.source import Node, string, walk

_OURS = "pgjanus"
_FINISH = "Finish or abort the migration first."


def check_objects(kind: str, node: Node, tables: Mapping[TableName, ManagedTable]) -> None:
    """Return if a statement may be forwarded as far as these are concerned; raise Refusal if not."""
    match kind:
        case "DropStmt" if node["removeType"] == "OBJECT_SCHEMA" and node.get("behavior") == "DROP_CASCADE":
            _check_schemas([string(o) for o in node["objects"]], "DROP SCHEMA … CASCADE", tables)
        case "RenameStmt" if node["renameType"] == "OBJECT_SCHEMA":
            _check_schemas([node["subname"]], "ALTER SCHEMA … RENAME", tables)
        case "DropOwnedStmt":
            raise Refusal(
                "DROP OWNED may drop the table of a migration, or take privileges on it away", f"{_FINISH} {_DIRECTLY}"
            )
        case "LockStmt" | "CopyStmt":
            _check_own_schema(node)
        case "DropStmt" | "RenameStmt" | "AlterObjectSchemaStmt":
            for _, body in walk({"": {k: v for k, v in node.items() if k in ("object", "objects")}}):
                names = body.get("objname") or body.get("names") or body.get("items")
                _check_used(names, tables)
        case "CreateFunctionStmt" if node.get("replace"):
            _check_used(node["funcname"], tables)
        case "AlterFunctionStmt":
            _check_used(node["func"].get("objname"), tables)
        case "AlterEnumStmt" if "oldVal" in node:
            _check_used(node["typeName"], tables)
        case "AlterDomainStmt" | "AlterTypeStmt":
            _check_used(node.get("typeName"), tables)
        case "VariableSetStmt" if node.get("name") == "TRANSACTION SNAPSHOT":
            raise Refusal(
                "SET TRANSACTION SNAPSHOT may show rows as they were in a phase that this transaction is not in",
                "Read everything in one transaction, such as pg_dump without --jobs.",
            )
        case _:
            pass


_DIRECTLY = "Or connect to the database directly, if you know that it does not."


def _check_schemas(names: list[str], what: str, tables: Mapping[TableName, ManagedTable]) -> None:
    for table in tables:
        if table.schema in names:
            raise Refusal(
                f"{what} cannot be carried out on the schema of table {table} while a migration is active on it",
                _FINISH,
            )


def _check_used(names: list[Node] | None, tables: Mapping[TableName, ManagedTable]) -> None:
    """`names` is a dotted name; without a schema it may mean any."""
    if not names or any("String" not in n for n in names):
        return
    parts = [string(n) for n in names]
    for table, managed in tables.items():
        for used in used_objects(managed) if not managed.is_partition else ():
            if parts[-1] == used.name and parts[:-1] in ([], [used.schema]):
                raise Refusal(
                    f"{used} cannot be changed: migration {managed.migration.name} of table {table} computes with it",
                    _FINISH,
                )


def _check_own_schema(node: Node) -> None:
    """pg_dump locks every table that it will dump; a copy of our own tables would begin a migration where it lands."""
    if any(body.get("schemaname") == _OURS for _, body in walk({"": node})):
        raise Refusal(
            "schema pgjanus says how far the migrations of this database are, and cannot be dumped through the proxy",
            "Leave it out: pg_dump --exclude-schema=pgjanus.",
        )
