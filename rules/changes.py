"""`ColumnChange`: the one value in which operations and statements meet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pglast.parser import ParseError, parse_sql_json, scan

from rules.catalog import TableName
from rules.errors import MigrationError
from rules.phases import HIDDEN_PREFIX, Shape

_IDENTIFIER_LIMIT_BYTES = 63


def quote_identifier(name: str) -> str:
    """Always quoted, so that no keyword list is needed and case survives."""
    return '"' + name.replace('"', '""') + '"'


def quote_table(table: TableName) -> str:
    return f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"


def quote_literal(text: str) -> str:
    """A string constant that means the same under either setting of standard_conforming_strings."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in text else quoted


def hidden_name(name: str) -> str:
    """The reserved physical name of a new column until `contracted` renames it."""
    hidden = HIDDEN_PREFIX + name
    return hidden.encode()[:_IDENTIFIER_LIMIT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Expression:
    """An `up` or `down`: SQL text in which the places of column names are known, so nothing is replaced by search.

    `parts` alternates literal SQL and column names: `(sql, column, sql, column, …, sql)`.
    """

    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names it mentions, each once, in order of first mention."""
        return tuple(dict.fromkeys(self.parts[1::2]))

    def render(self, column_sql: Callable[[str], str]) -> str:
        """SQL in parentheses, with `column_sql(name)` in place of each column."""
        return "(" + "".join(column_sql(p) if i % 2 else p for i, p in enumerate(self.parts)) + ")"

    def __str__(self) -> str:
        return "".join(self.parts)


def parse_expression(text: str) -> Expression:
    """Parse one SQL expression and find its column references.

    Raises:
        MigrationError: it does not parse, is more than one expression, or has a sub-select, parameter,
            aggregate-like star, or qualified column.
    """
    prefix = "SELECT "
    source = prefix + text
    try:
        statements = json.loads(parse_sql_json(source)).get("stmts", [])
    except ParseError as error:
        raise MigrationError(f"the expression {text!r} does not parse: {error.args[0]}") from error
    if "\0" in text or len(statements) != 1 or set(statements[0]["stmt"]) != {"SelectStmt"}:
        raise MigrationError(f"{text!r} is not one SQL expression")
    select = statements[0]["stmt"]["SelectStmt"]
    targets = select.get("targetList", [])
    if set(select) - {"targetList", "limitOption", "op"} or len(targets) != 1 or "name" in targets[0]["ResTarget"]:
        raise MigrationError(f'{text!r} is not one SQL expression: give an expression such as "upper(name)"')
    tokens = {token.start: token.end + 1 for token in scan(source)}
    to_char = _byte_to_char(source)
    parts: list[str] = []
    at = len(prefix)
    for location, name in sorted(_column_references(targets[0], text)):
        start = to_char(location)
        parts += [source[at:start], name]
        at = tokens[start]
    parts.append(source[at:])
    if any(token.name in ("SQL_COMMENT", "C_COMMENT") for token in scan(source)):
        raise MigrationError(f"{text!r} has a comment in it: put the comment in the YAML instead")
    return Expression(tuple(parts))


def _byte_to_char(text: str) -> Callable[[int], int]:
    """libpg_query's JSON positions are bytes; ours are characters."""
    if text.isascii():
        return lambda offset: offset
    encoded = text.encode()
    return lambda offset: len(encoded[:offset].decode())


def _column_references(node: object, text: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "ColumnRef":
                    fields = value["fields"]
                    if len(fields) != 1 or "String" not in fields[0]:
                        raise MigrationError(f"{text!r}: name columns without a table in front, and without *")
                    found.append((value.get("location", 0), fields[0]["String"]["sval"]))
                elif key in ("SubLink", "ParamRef"):
                    raise MigrationError(f"{text!r}: a sub-select or a parameter cannot be part of an expression here")
                else:
                    stack.append(value)
    return found


def referenced_column(target: str) -> tuple[TableName, str | None]:
    """Table and column of a `ManagedColumn.references`; column None means the primary key."""
    statement = json.loads(parse_sql_json(f"ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES {target}"))["stmts"][0]["stmt"]
    constraint = statement["AlterTableStmt"]["cmds"][0]["AlterTableCmd"]["def"]["Constraint"]
    columns = [c["String"]["sval"] for c in constraint.get("pk_attrs", ())]
    table = constraint["pktable"]
    return TableName(table["schemaname"], table["relname"]), columns[0] if columns else None


@dataclass(frozen=True, slots=True)
class ManagedColumn:
    """One column of one side of a change.

    `name` is what clients see, `physical` what the table has now (a reserved name for new columns),
    `type` the SQL type with its modifier, safe to splice into a cast.
    """

    name: str
    physical: str
    type: str
    not_null: bool = False
    unique: bool = False
    check: str | None = None
    default: str | None = None
    references: str | None = None
    index: bool = False


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """Columns `old` become columns `new`; `up[n]` computes a new column from old ones, `down[o]` the reverse.

    Every new column has an `up`, every old one a `down`. `old` is empty for an added column (its `up` may name
    any columns that stay), `new` is empty for a dropped one. `lossy` says that a value need not survive the round trip.
    `collations` has, by physical name, the columns of both sides (and `sources`) whose collation is not their type's.
    """

    table: TableName
    old: tuple[ManagedColumn, ...]
    new: tuple[ManagedColumn, ...]
    up: Mapping[str, Expression]
    down: Mapping[str, Expression]
    lossy: bool = False
    collations: Mapping[str, str] = field(default_factory=dict)

    def side(self, shape: Shape) -> tuple[ManagedColumn, ...]:
        return self.old if shape is Shape.OLD else self.new

    def into(self, shape: Shape) -> Mapping[str, Expression]:
        """The expressions that compute that side, by column name: `up` for the new side."""
        return self.up if shape is Shape.NEW else self.down

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns that stay and that an added column's `up` names (empty for every other change)."""
        if self.old:
            return ()
        return tuple(dict.fromkeys(c for e in self.up.values() for c in e.columns))
