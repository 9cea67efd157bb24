"""Just enough of PostgreSQL to run, on one row of text columns, the SQL that pgjanus makes of small statements.

What is not known here is an error, never a guess: the model must not be cleaner than the product.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pglast.parser import parse_plpgsql_json, parse_sql_json

#: Text, a number, a truth value or NULL.
Value = str | int | bool | None
#: Values by column, `new.column` and `old.column` in a trigger.
Names = Mapping[str, Value]


class Raised(Exception):
    """A trigger function has refused the row."""


class Refused(Exception):
    """A value is not taken (`rules.statements.survival`)."""


def _string(node: dict[str, Any]) -> str:
    return str(node["String"]["sval"])


@cache
def statement(sql: str) -> dict[str, Any]:
    """The only statement of a text: `{"UpdateStmt": …}`."""
    (only,) = json.loads(parse_sql_json(sql))["stmts"]
    found: dict[str, Any] = only["stmt"]
    return found


@cache
def expression(sql: str) -> dict[str, Any]:
    """The tree of an expression."""
    (target,) = statement(f"SELECT {sql}")["SelectStmt"]["targetList"]
    found: dict[str, Any] = target["ResTarget"]["val"]
    return found


def evaluate(node: dict[str, Any], names: Names) -> Any:
    """The value of an expression; a row is a tuple."""
    ((kind, body),) = node.items()
    match kind:
        case "A_Const":
            return _constant(body)
        case "ColumnRef":
            return _column([_string(f) for f in body["fields"]], names)
        case "TypeCast":
            return evaluate(body["arg"], names)
        case "RowExpr":
            return tuple(evaluate(a, names) for a in body["args"])
        case "CaseExpr":
            assert "arg" not in body
            for when in body["args"]:
                if evaluate(when["CaseWhen"]["expr"], names) is True:
                    return evaluate(when["CaseWhen"]["result"], names)
            return evaluate(body["defresult"], names) if "defresult" in body else None
        case "BoolExpr":
            values = [evaluate(a, names) for a in body["args"]]
            return _logic(body["boolop"], values)
        case "A_Expr":
            return _operator(body["kind"], _string(body["name"][-1]), *(evaluate(body[s], names) for s in _SIDES))
        case "FuncCall":
            return _function(_string(body["funcname"][-1]), [evaluate(a, names) for a in body["args"]])
        case _:
            raise NotImplementedError(kind)


_SIDES = ("lexpr", "rexpr")


def _constant(body: dict[str, Any]) -> Value:
    if body.get("isnull"):
        return None
    for key, missing in (("sval", ""), ("ival", 0), ("boolval", False)):
        if key in body:
            found: Value = body[key].get(key, missing)
            return found
    raise NotImplementedError(str(body))


def _column(path: list[str], names: Names) -> Value:
    # In a trigger `new.x` and `old.x` are there; elsewhere the qualifier is the only table.
    qualified = ".".join(path[-2:])
    return names[qualified] if qualified in names else names[path[-1]]


def _logic(operator: str, values: list[bool | None]) -> bool | None:
    if operator == "NOT_EXPR":
        return None if values[0] is None else not values[0]
    decisive = operator == "OR_EXPR"
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def _operator(kind: str, name: str, left: Any, right: Any) -> Any:
    if kind == "AEXPR_DISTINCT":
        return left != right
    if kind == "AEXPR_NOT_DISTINCT":
        return left == right
    assert kind == "AEXPR_OP"
    if name == "*<>":
        return left != right
    if name == "*=":
        return left == right
    if left is None or right is None:
        return None
    match name:
        case "=":
            return left == right
        case "<":
            return left < right
        case ">=":
            return left >= right
        case "-":
            return left - right
        case "&":
            return left & right
        case "||":
            return left + right
        case _:
            raise NotImplementedError(name)


def _function(name: str, values: list[Any]) -> Value:
    if None in values:
        return None
    match name:
        case "concat":
            raise Refused
        case "upper":
            return str(values[0]).upper()
        case "lower":
            return str(values[0]).lower()
        case "substr":
            text, first, length = values
            return str(text)[first - 1 : first - 1 + length]
        case _:
            raise NotImplementedError(name)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A BEFORE row trigger as the DDL makes it: its event, its WHEN, and the body of its function."""

    event: str
    condition: str
    body: tuple[dict[str, Any], ...]

    def fire(self, old: Names, new: Names) -> dict[str, Value]:
        """The row that goes on, which is `new` if the condition does not hold.

        Raises:
            Raised: the function refuses it.
        """
        names: dict[str, Value] = {f"old.{k}": v for k, v in old.items()}
        names |= {f"new.{k}": v for k, v in new.items()} | {"tg_op": self.event}
        if self.fires(old, new):
            _run(self.body, names)
        return {k: names[f"new.{k}"] for k in new}

    def fires(self, old: Names, new: Names) -> bool:
        names = {f"old.{k}": v for k, v in old.items()} | {f"new.{k}": v for k, v in new.items()}
        return evaluate(expression(self.condition), names) is True


def function_body(sql: str) -> tuple[dict[str, Any], ...]:
    """The statements of a CREATE FUNCTION in PL/pgSQL."""
    (found,) = json.loads(parse_plpgsql_json(sql))
    return tuple(found["PLpgSQL_function"]["action"]["PLpgSQL_stmt_block"]["body"])


def _sql_of(holder: dict[str, Any]) -> str:
    return str(holder["PLpgSQL_expr"]["query"])


def _run(body: tuple[dict[str, Any], ...] | list[dict[str, Any]], names: dict[str, Value]) -> bool:
    """Run the statements on `names`; True: the function has returned."""
    for node in body:
        ((kind, found),) = node.items()
        match kind:
            case "PLpgSQL_stmt_assign":
                target, value = _sql_of(found["expr"]).split(":=", 1)
                row, column = target.strip().split(".", 1)
                assert row == "NEW"
                names["new." + column.strip('"')] = evaluate(expression(value), names)
            case "PLpgSQL_stmt_if":
                if _run(_branch(found, names), names):
                    return True
            case "PLpgSQL_stmt_raise":
                raise Raised
            case "PLpgSQL_stmt_return":
                return True
            case _:
                raise NotImplementedError(kind)
    return False


def _branch(found: dict[str, Any], names: Names) -> list[dict[str, Any]]:
    branches = [(found["cond"], found.get("then_body", []))]
    branches += [(e["PLpgSQL_if_elsif"]["cond"], e["PLpgSQL_if_elsif"]["stmts"]) for e in found.get("elsif_list", [])]
    for condition, body in branches:
        if evaluate(expression(_sql_of(condition)), names) is True:
            taken: list[dict[str, Any]] = body
            return taken
    otherwise: list[dict[str, Any]] = found.get("else_body", [])
    return otherwise
