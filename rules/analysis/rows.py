"""Whole rows as values (`SELECT u`, `to_jsonb(u)`, `u = v`): where one may stand, and what its type is then.

Rewritten, such a value is a `record` with the client's columns, where the client's own table has a row type. As text,
in JSON, in binary and in comparisons the two are the same. So a row may go wherever nothing looks at its type, or be
returned as it is (the description is patched). Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from rules.catalog import Catalog
from rules.errors import Refusal
from rules.text.source import Node, string, unwrap


class Frame(NamedTuple):
    """A step of the way from an expression's root to a node: a node's kind or a field's name, and what it holds."""

    key: str
    value: Any
    parent: Frame | None


class Holds(Enum):
    """What a value is made of: a row itself, or an array or record with a row in it, whose type cannot be patched."""

    ROW = "row"
    NESTED = "array or record of rows"


class Fate(Enum):
    """What becomes of a row: something else, the expression's value through some operation, or the value itself."""

    CONSUMED = "consumed"
    PASSED = "passed"
    RETURNED = "returned"


#: Functions that take anything and in whose result the type of it does not show.
_TAKES_ANYTHING = frozenset(
    "to_json to_jsonb row_to_json json_agg jsonb_agg json_agg_strict jsonb_agg_strict json_build_object"
    " jsonb_build_object json_build_array jsonb_build_array json_object_agg jsonb_object_agg json_object_agg_strict"
    " jsonb_object_agg_strict json_object_agg_unique jsonb_object_agg_unique json_object_agg_unique_strict"
    " jsonb_object_agg_unique_strict count num_nulls num_nonnulls concat concat_ws format".split()
)
_TAKES_ROWS = _TAKES_ANYTHING | {"min", "max"}
_TAKES_ARRAYS = _TAKES_ANYTHING | {"array_to_json", "array_length", "array_ndims", "cardinality"}
_GIVES_ITS_ARGUMENT = frozenset("lag lead first_value last_value nth_value".split())
_COMPARISONS = frozenset(("=", "<>", "<", "<=", ">", ">="))
_COMPARING_KINDS = frozenset("AEXPR_OP AEXPR_DISTINCT AEXPR_NOT_DISTINCT AEXPR_IN".split())
_BETWEEN = frozenset("AEXPR_BETWEEN AEXPR_NOT_BETWEEN AEXPR_BETWEEN_SYM AEXPR_NOT_BETWEEN_SYM".split())
#: What a client calls a node.
_WORDS = {
    "A_Indirection": "a selection of one field",
    "CoalesceExpr": "COALESCE",
    "List": "VALUES",
    "MinMaxExpr": "GREATEST or LEAST",
    "ResTarget": "an assignment",
}
_STRINGS = frozenset(("text", "varchar", "bpchar"))
#: Nodes that look at a value and not at its type, by the field in which it stands.
_LOOKS_AT_VALUE = frozenset(
    [
        ("NullTest", "arg"),
        ("SortBy", "node"),
        ("BoolExpr", "args"),
        ("BooleanTest", "arg"),
        ("GroupingSet", "content"),
        ("GroupingFunc", "args"),
        ("WindowDef", "partitionClause"),
        ("WindowDef", "orderClause"),
        ("FuncCall", "agg_order"),
        ("FuncCall", "agg_filter"),
        ("FuncCall", "over"),
        ("SubLink", "testexpr"),
        ("CaseExpr", "arg"),
        ("CaseWhen", "expr"),
        ("MergeWhenClause", "condition"),
        ("JsonKeyValue", "value"),
        ("JsonArrayConstructor", "exprs"),
        ("JsonArrayAgg", "arg"),
    ]
)


def fate_of_row(
    frame: Frame | None, child: Node, catalog: Catalog, is_same_row: Callable[[Node], bool], holds: Holds = Holds.ROW
) -> Fate:
    """Follow a value upwards to whatever uses it.

    Args:
        frame: where the value stands; None if it is the whole expression.
        child: the value's node, without its kind.
        is_same_row: whether another node is a whole row of the same type.

    Raises:
        Refusal: something on the way looks at the type, or is not known not to (without a position).
    """
    fate = Fate.RETURNED
    while True:
        field = ""
        while frame is not None and not frame.key[:1].isupper():
            field, frame = frame.key, frame.parent
        if frame is None:
            if field == "values":
                raise _refused("VALUES", holds)
            break
        kind, body, frame = frame
        match kind:
            case _ if (kind, field) in _LOOKS_AT_VALUE:
                if holds is Holds.NESTED and not kind.startswith("Json"):
                    raise _refused(_WORDS.get(kind, kind), holds)
                return Fate.CONSUMED
            case "List" if frame is not None and frame.parent is not None and frame.parent.key == "A_Expr":
                continue
            case "FuncCall" if field == "args":
                after = _function(body, catalog, holds)
                if after is None:
                    return Fate.CONSUMED
                holds = after
            case "A_Expr" if body.get("kind") == "AEXPR_NULLIF":
                if field == "rexpr":
                    return Fate.CONSUMED
            case "A_Expr":
                _check_operator(body, catalog, holds)
                return Fate.CONSUMED
            case "TypeCast" if field == "arg":
                name = body["typeName"]
                if string(name["names"][-1]) in _STRINGS and "arrayBounds" not in name:
                    return Fate.CONSUMED
                raise _refused("this cast", holds)
            case "CaseWhen":
                continue  # the CASE above sees all of its values
            case "CoalesceExpr" | "MinMaxExpr":
                _check_values(kind, body["args"], child, is_same_row)
            case "CaseExpr":
                results = [w["CaseWhen"]["result"] for w in body["args"]]
                _check_values("CASE", [*results, body.get("defresult", {})], child, is_same_row)
            case "RowExpr" | "A_ArrayExpr" | "SubLink" if kind != "SubLink" or _is_array(body):
                holds = Holds.NESTED
            case "SubLink":
                if body.get("subLinkType") != "EXPR_SUBLINK":
                    return Fate.CONSUMED  # EXISTS looks at nothing, ANY and ALL compare
            case "JsonValueExpr":
                pass
            case _:
                raise _refused(_WORDS.get(kind, kind), holds)
        fate, child = Fate.PASSED, body
    if holds is Holds.NESTED:
        raise _refused("the result", holds)
    return fate


def _is_array(sublink: Node) -> bool:
    return sublink.get("subLinkType") == "ARRAY_SUBLINK"


def _function(body: Node, catalog: Catalog, holds: Holds) -> Holds | None:
    """What a call makes of a row among its arguments; None if nothing in which its type shows."""
    path = [string(n) for n in body["funcname"]]
    name = path[-1]
    builtin = len(path) == 1 or path[0] == "pg_catalog"
    if builtin and name not in catalog.own_row_takers and "func_variadic" not in body:
        if name in (_TAKES_ROWS if holds is Holds.ROW else _TAKES_ARRAYS):
            return None
        if name == "array_agg" and holds is Holds.ROW:
            return Holds.NESTED
        if name in _GIVES_ITS_ARGUMENT and len(body["args"]) < 3:
            return holds
    raise _refused(f"the function {'.'.join(path)}", holds)


def _check_operator(body: Node, catalog: Catalog, holds: Holds) -> None:
    path, kind = [string(n) for n in body["name"]], body.get("kind", "AEXPR_OP")
    builtin = (len(path) == 1 or path[0] == "pg_catalog") and path[-1] not in catalog.own_row_takers
    compares = kind in _BETWEEN or (kind in _COMPARING_KINDS and path[-1] in _COMPARISONS)
    sides = [unwrap(side)[0] for side in (body.get("lexpr", {}), body.get("rexpr", {}))]
    if not (builtin and compares) or (holds is Holds.NESTED and sides != ["RowExpr", "RowExpr"]):
        raise _refused(f"the operator {path[-1]}", holds)


def _check_values(what: str, values: list[Node], child: Node, is_same_row: Callable[[Node], bool]) -> None:
    """All values that a CASE, COALESCE or GREATEST may give must have the same row type."""
    for value in values:
        kind, body = unwrap(value)
        if body is child or not kind or (kind == "A_Const" and body.get("isnull")):
            continue
        if not is_same_row(value):
            raise _refused(f"{_WORDS.get(what, what)} beside other values")


def _refused(where: str, holds: Holds = Holds.ROW) -> Refusal:
    what = "a whole row" if holds is Holds.ROW else f"an {holds.value}"
    return Refusal(
        f"{what} of this table cannot be used in {where}, because its type would show",
        "Name the columns, or use to_jsonb(…), row_to_json(…) or a cast to text.",
    )
