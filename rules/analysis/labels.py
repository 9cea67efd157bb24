"""The name PostgreSQL gives to an output column that has no AS: `FigureColname` in parse_target.c."""

from __future__ import annotations

from rules.text.source import Node, string, unwrap

_WEAK, _STRONG = 1, 2
_FIXED = {
    "CoalesceExpr": "coalesce",
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "GroupingFunc": "grouping",
    "MergeSupportFunc": "merge_action",
    "XmlSerialize": "xmlserialize",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "JsonObjectConstructor": "json_object",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
}
_SQL_VALUES = {
    "SVFOP_CURRENT_DATE": "current_date",
    "SVFOP_CURRENT_TIME": "current_time",
    "SVFOP_CURRENT_TIME_N": "current_time",
    "SVFOP_CURRENT_TIMESTAMP": "current_timestamp",
    "SVFOP_CURRENT_TIMESTAMP_N": "current_timestamp",
    "SVFOP_LOCALTIME": "localtime",
    "SVFOP_LOCALTIME_N": "localtime",
    "SVFOP_LOCALTIMESTAMP": "localtimestamp",
    "SVFOP_LOCALTIMESTAMP_N": "localtimestamp",
    "SVFOP_CURRENT_ROLE": "current_role",
    "SVFOP_CURRENT_USER": "current_user",
    "SVFOP_USER": "user",
    "SVFOP_SESSION_USER": "session_user",
    "SVFOP_CURRENT_CATALOG": "current_catalog",
    "SVFOP_CURRENT_SCHEMA": "current_schema",
}


def label_of(target: Node) -> str:
    """The name of an output column, given the body of its ResTarget (not for a star)."""
    if "name" in target:
        return str(target["name"])
    return _figure(target.get("val", {}))[1] or "?column?"


def label_reference(target: Node) -> Node | None:
    """The ColumnRef whose replacement would change the output column's name, if there is one."""
    if "name" in target:
        return None
    node = target.get("val", {})
    while True:
        kind, body = unwrap(node)
        match kind:
            case "ColumnRef":
                return body
            case "TypeCast" | "CollateClause":
                node = body.get("arg", {})
            case "A_Indirection":
                kind, inner = unwrap(body["arg"])
                if any("String" in item for item in body.get("indirection", [])):
                    return inner if kind == "ColumnRef" else None  # (u).name is replaced as a whole
                node = body["arg"]
            case "CaseExpr":
                node = body.get("defresult", {})
            case _:
                return None


def _figure(node: Node) -> tuple[int, str | None]:
    kind, body = unwrap(node)
    match kind:
        case "ColumnRef":
            names = [string(f) for f in body["fields"] if "String" in f]
            return _STRONG, names[-1] if names else None
        case "A_Indirection":
            names = [string(f) for f in body.get("indirection", []) if "String" in f]
            return (_STRONG, names[-1]) if names else _figure(body["arg"])
        case "FuncCall":
            return _STRONG, string(body["funcname"][-1])
        case "A_Expr":
            return (_STRONG, "nullif") if body.get("kind") == "AEXPR_NULLIF" else (0, None)
        case "TypeCast":
            strength, name = _figure(body.get("arg", {}))
            if strength <= _WEAK and body.get("typeName", {}).get("names"):
                return _WEAK, string(body["typeName"]["names"][-1])
            return strength, name
        case "CollateClause":
            return _figure(body.get("arg", {}))
        case "CaseExpr":
            strength, name = _figure(body.get("defresult", {}))
            return (_WEAK, "case") if strength <= _WEAK else (strength, name)
        case "SubLink":
            return _figure_sublink(body)
        case "MinMaxExpr":
            return _STRONG, "greatest" if body.get("op") == "IS_GREATEST" else "least"
        case "SQLValueFunction":
            return _STRONG, _SQL_VALUES.get(body.get("op", ""))
        case "XmlExpr":
            name = str(body.get("op", "")).removeprefix("IS_").lower()
            return (_STRONG, name) if name != "document" else (0, None)
        case _:
            return (_STRONG, _FIXED[kind]) if kind in _FIXED else (0, None)


def _figure_sublink(body: Node) -> tuple[int, str | None]:
    match body.get("subLinkType"):
        case "EXISTS_SUBLINK":
            return _STRONG, "exists"
        case "ARRAY_SUBLINK":
            return _STRONG, "array"
        case "EXPR_SUBLINK":
            select = body["subselect"].get("SelectStmt", {})
            if select.get("targetList"):
                target = select["targetList"][0]["ResTarget"]
                if "name" in target:
                    return _STRONG, str(target["name"])
                return _figure(target.get("val", {}))
    return 0, None
