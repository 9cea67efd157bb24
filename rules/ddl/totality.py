"""Whether an expression can fail, told from its tree; "it may" is the answer wherever that is not plain.

An index evaluates its expressions for every row that is written. Over an expression that may fail it would refuse
values that the column itself takes.
"""

from __future__ import annotations

import json
from typing import Any

from pglast.parser import ParseError, parse_sql_json

from rules.catalog import Relation
from rules.changes import ColumnChange, ManagedColumn
from rules.phases import Shape

#: They take any text and have a value for it.
_FUNCTIONS = frozenset(
    "lower upper initcap btrim ltrim rtrim replace reverse translate md5 length char_length strpos left right".split()
)
_SUBSTRING = frozenset({"substr", "substring"})
_OPERATORS = frozenset({"||", "=", "<>", "<", ">", "<=", ">="})
_TEXT = frozenset({"text", "character varying", "varchar"})
_CONTAINERS = frozenset(
    {"BoolExpr", "NullTest", "CoalesceExpr", "CaseExpr", "CaseWhen", "MinMaxExpr", "List", "BooleanTest"}
)


def may_fail(change: ColumnChange, column: ManagedColumn, shape: Shape, relation: Relation) -> bool:
    """Whether computing that column of `shape` may raise an error for some values of the columns that it names."""
    expression = change.into(shape)[column.name]
    types = [c.type for c in change.side(shape.other)]
    if shape is Shape.NEW:
        read = [relation.column(name) for name in change.sources]
        types += [c.type if c is not None else "" for c in read]
    if _only(_tree(str(expression)))[0] == "ColumnRef":
        return types != [column.type]
    return not all(_is_text(t) for t in (column.type, *types)) or not _is_total(str(expression))


def _is_text(type_: str) -> bool:
    return type_.partition("(")[0] in _TEXT


def is_value_kept(change: ColumnChange) -> bool:
    """Whether a change of one column into one keeps the value, perhaps in another type: `email`, `id::bigint`."""
    if len(change.old) != 1 or len(change.new) != 1:
        return False
    kind, body = _only(_tree(str(change.up[change.new[0].name])))
    if kind == "TypeCast":
        kind, _ = _only(body["arg"])
    return kind == "ColumnRef"


def _tree(expression: str) -> dict[str, Any]:
    try:
        statement = json.loads(parse_sql_json(f"SELECT {expression}"))["stmts"][0]["stmt"]["SelectStmt"]
    except (ParseError, RecursionError):
        return {}
    value: dict[str, Any] = statement["targetList"][0]["ResTarget"].get("val", {})
    return value


def _only(node: dict[str, Any]) -> tuple[str, Any]:
    return next(iter(node.items()), ("", {}))


def _is_total(expression: str) -> bool:
    stack: list[Any] = [_tree(expression)]
    if not stack[0]:
        return False
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
            continue
        kind, body = _only(node)
        match kind:
            case "ColumnRef" | "A_Const":
                continue
            case "FuncCall":
                if not _is_total_call(body):
                    return False
                stack.append(body.get("args", []))
            case "A_Expr":
                name = body["name"][-1]["String"]["sval"]
                if name not in _OPERATORS and not (name in ("+", "-") and _is_small(body)):
                    return False
                stack += [body[side] for side in ("lexpr", "rexpr") if side in body]
            case "TypeCast":
                if body["typeName"]["names"][-1]["String"]["sval"] not in _TEXT:
                    return False
                stack.append(body["arg"])
            case _ if kind in _CONTAINERS:
                stack += [child for child in _children(body) if isinstance(child, dict | list)]
            case _:
                return False
    return True


def _children(body: dict[str, Any]) -> list[Any]:
    return [body[key] for key in ("args", "arg", "expr", "result", "defresult", "items") if key in body]


def _is_total_call(body: dict[str, Any]) -> bool:
    name = body["funcname"][-1]["String"]["sval"]
    arguments = body.get("args", [])
    if len(body["funcname"]) > 1 and body["funcname"][0]["String"]["sval"] != "pg_catalog":
        return False  # a user's own function of that name
    if name == "split_part":
        return len(arguments) == 3 and _positive_constant(arguments[2])
    if name in _SUBSTRING:  # a negative length fails, and so does a pattern
        return (name == "substr" and len(arguments) == 2) or (len(arguments) == 3 and _positive_constant(arguments[2]))
    return name in _FUNCTIONS


def _positive_constant(node: dict[str, Any]) -> bool:
    kind, body = _only(node)
    return kind == "A_Const" and isinstance(body.get("ival", {}).get("ival"), int) and body["ival"]["ival"] > 0


def _is_small(body: dict[str, Any]) -> bool:
    """A sum of positions and lengths cannot overflow; one of columns may."""
    sides = [_only(body[side])[0] for side in ("lexpr", "rexpr") if side in body]
    return all(side in ("FuncCall", "A_Const") for side in sides)
