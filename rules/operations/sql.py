"""Pieces of SQL that a migration file may hold: a name, an expression, a type, the target of a foreign key.

Each is checked by PostgreSQL's own parser, never by search. The functions return the piece as it may be spliced, and
raise `ValueError` with a sentence that says what is wrong and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pglast.parser import ParseError, parse_sql_json, scan

from rules.changes import Expression, parse_expression
from rules.errors import MigrationError
from rules.phases import HIDDEN_PREFIX
from rules.text.source import walk

NAME_LIMIT_BYTES = 63
NEW_NAME_LIMIT_BYTES = NAME_LIMIT_BYTES - len(HIDDEN_PREFIX)
SQL_LIMIT_CHARS = 10_000
DEFAULT_SCHEMA = "public"

#: https://www.postgresql.org/docs/current/ddl-system-columns.html
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})

#: Types of pg_catalog that the grammar has no keyword for. Any other type needs its schema in front: a client's
#: search_path would otherwise decide what the expression means.
_BUILTIN_TYPES = frozenset(
    """text uuid json jsonb jsonpath xml bytea date time timetz timestamp timestamptz interval name oid money bool
    int2 int4 int8 float4 float8 numeric varchar bpchar bit varbit inet cidr macaddr macaddr8 tsvector tsquery
    point line lseg box path polygon circle pg_lsn pg_snapshot xid8 regclass regtype regproc regprocedure regrole
    int4range int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange
    tsmultirange tstzmultirange datemultirange""".split()
)
_SERIAL_TYPES = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}

#: Parse nodes that an IMMUTABLE expression over one row cannot have.
_FORBIDDEN_NODES = {
    "SubLink": "a sub-select",
    "ParamRef": "a parameter",
    "SetToDefault": "DEFAULT",
    "GroupingFunc": "GROUPING",
}
_FORBIDDEN_IN_CALLS = ("agg_star", "agg_distinct", "agg_order", "agg_filter", "agg_within_group", "over")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'column'?)`, or nothing if no known word is near."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def column_name(name: str) -> str:
    """A name that a column can have."""
    if not name:
        raise ValueError("a column's name cannot be empty")
    _plain_text(name)
    if len(name.encode()) > NAME_LIMIT_BYTES:
        raise ValueError(f"{name!r} is longer than {NAME_LIMIT_BYTES} bytes, which is PostgreSQL's limit for a name")
    if name.lower().startswith(HIDDEN_PREFIX):
        raise ValueError(f"{name!r}: names that begin with {HIDDEN_PREFIX} are reserved for pgjanus")
    if name in SYSTEM_COLUMNS:
        raise ValueError(f"{name!r} is a system column of PostgreSQL: it cannot be migrated or added")
    return name


def new_column_name(name: str) -> str:
    """A name that still fits when the reserved prefix is put in front of it."""
    if len(column_name(name).encode()) > NEW_NAME_LIMIT_BYTES:
        raise ValueError(
            f"{name!r} is longer than {NEW_NAME_LIMIT_BYTES} bytes: a new column carries the prefix {HIDDEN_PREFIX} "
            f"until the migration is contracted, and PostgreSQL's limit is {NAME_LIMIT_BYTES} bytes"
        )
    return name


def row_expression(text: str) -> Expression:
    """One expression over the columns of one row, such as could be in an index."""
    if not text.strip():
        raise ValueError('the expression is empty: for "no value" write NULL, in quotes: "NULL"')
    _plain_text(text)
    try:
        expression = parse_expression(text)
        # In parentheses too, as it will be used: `ALL x` or `x;` parse only without them.
        tree = _parse(f"SELECT ({text})")
    except (MigrationError, ParseError) as error:
        raise ValueError(_one_line(error)) from error
    for key, value in walk(tree):
        if key in _FORBIDDEN_NODES:
            raise ValueError(f"{text!r}: {_FORBIDDEN_NODES[key]} cannot be part of an expression here")
        if key == "SQLValueFunction":
            raise ValueError(
                f"{text!r} reads the clock or the session, so it is not IMMUTABLE: the same row would convert "
                "differently each time"
            )
        if key == "FuncCall" and any(value.get(part) for part in _FORBIDDEN_IN_CALLS):
            raise ValueError(f"{text!r}: an aggregate or a window function cannot be used, an expression sees one row")
    return expression


def default_expression(text: str) -> str:
    """A column's DEFAULT: one expression without columns; it may be volatile (`gen_random_uuid()`)."""
    if not text.strip():
        raise ValueError("the default is empty: for the empty string write \"''\"")
    _plain_text(text)
    try:
        expression = parse_expression(text)
        _parse(f"SELECT ({text})")
    except (MigrationError, ParseError) as error:
        raise ValueError(_one_line(error)) from error
    if expression.columns:
        raise ValueError(
            f"a default cannot name columns, and {text!r} names {expression.columns[0]} "
            "(text in it needs quotes of its own: \"'text'\")"
        )
    return text


def type_name(text: str) -> str:
    """A type with its modifier, such as `numeric(10,2)`; one that is not built in with its schema: `public.mood`."""
    wrong = ValueError(f"{text!r} is not a type: give one such as text, integer, numeric(10,2) or public.mood")
    _plain_text(text)
    try:
        targets = _parse(f"SELECT CAST(NULL AS {text})")[0]["stmt"]["SelectStmt"]["targetList"]
        cast = targets[0]["ResTarget"]["val"]["TypeCast"]
        named = cast["typeName"]
        names = [part["String"]["sval"] for part in named["names"]]
    except (ParseError, LookupError, TypeError) as error:
        raise wrong from error
    if len(targets) != 1 or "isnull" not in cast["arg"].get("A_Const", {}) or _has_comment(text):
        raise wrong
    if named.get("setof") or named.get("pct_type"):
        raise ValueError(f"{text!r}: a column cannot be a set or copy another column's type: name the type")
    if len(names) == 1 and names[0] in _SERIAL_TYPES:
        plain = _SERIAL_TYPES[names[0]]
        raise ValueError(f"{names[0]} is a type with a sequence: write {plain}, and give the default apart")
    if len(names) == 1 and names[0] not in _BUILTIN_TYPES:
        raise ValueError(
            f"{names[0]} is not a built-in type{did_you_mean(names[0], _BUILTIN_TYPES)}: "
            f"if it is your own, write its schema: {DEFAULT_SCHEMA}.{names[0]}"
        )
    return text


def foreign_key_target(text: str) -> str:
    """What follows REFERENCES, with a schema: `public.accounts(id) ON DELETE CASCADE`."""
    wrong = ValueError(f"{text!r} is not the target of a foreign key: give one such as public.accounts(id)")
    _plain_text(text)
    prefix = "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES "
    try:
        statements = _parse(prefix + text)
        commands = statements[0]["stmt"]["AlterTableStmt"]["cmds"]
        constraint = commands[0]["AlterTableCmd"]["def"]["Constraint"]
        target = constraint["pktable"]
    except (ParseError, LookupError, TypeError) as error:
        raise wrong from error
    if len(statements) != 1 or len(commands) != 1 or _has_comment(text) or ";" in text or "catalogname" in target:
        raise wrong
    if constraint.get("skip_validation"):
        raise ValueError(f"{text!r}: leave NOT VALID out, pgjanus adds and validates the foreign key in two steps")
    if len(constraint.get("pk_attrs", [{}])) != 1:
        raise ValueError(f"{text!r}: a foreign key of one column can reference only one column")
    if "schemaname" in target:
        return text
    at = len((prefix + text).encode()[: target["location"]].decode()) - len(prefix)
    return f"{text[:at]}{DEFAULT_SCHEMA}.{text[at:]}"


def _plain_text(text: str) -> None:
    if len(text) > SQL_LIMIT_CHARS:
        raise ValueError(f"this is {len(text)} characters long, the limit is {SQL_LIMIT_CHARS}")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{text!r} has a character that PostgreSQL cannot store")


def _parse(sql: str) -> list[Any]:
    statements: list[Any] = json.loads(parse_sql_json(sql)).get("stmts", [])
    return statements


def _has_comment(text: str) -> bool:
    return any(token.name in ("SQL_COMMENT", "C_COMMENT") for token in scan(text))


def _one_line(error: Exception) -> str:
    return str(error.args[0]).replace("\n", " ")
