"""What a text does with names that a session keeps: SQL's prepared statements, cursors, savepoints.

They outlive the text that makes them, so whoever rewrites texts has to remember them from one to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from rules.text.depth import with_room
from rules.text.source import Node, SourceText, unwrap


class Act(Enum):
    PREPARE = auto()
    EXECUTE = auto()
    DEALLOCATE = auto()
    DECLARE = auto()
    FETCH = auto()
    CLOSE = auto()
    SAVEPOINT = auto()
    RELEASE = auto()
    ROLLBACK_TO = auto()


@dataclass(frozen=True, slots=True)
class Command:
    """One statement of a text, at the characters [start, end) without comments around it.

    `name` is None for ALL. `returns_rows`: it returns the rows of what it names, with their description. `holds`: a
    cursor WITH HOLD.
    """

    act: Act
    name: str | None
    start: int
    end: int
    returns_rows: bool = False
    holds: bool = False


_CURSOR_OPT_HOLD = 0x0020  # nodes/parsenodes.h
_SAVEPOINTS = {
    "TRANS_STMT_SAVEPOINT": Act.SAVEPOINT,
    "TRANS_STMT_RELEASE": Act.RELEASE,
    "TRANS_STMT_ROLLBACK_TO": Act.ROLLBACK_TO,
}


def read_commands(sql: str) -> tuple[Command | None, ...]:
    """One entry per statement; None for those that neither make nor use such a name.

    Raises:
        pglast.parser.ParseError: PostgreSQL would not parse it either.
        UnicodeEncodeError: it cannot be read.
    """
    try:
        return _read(sql)
    except RecursionError:
        return with_room(lambda: _read(sql))


def _read(sql: str) -> tuple[Command | None, ...]:
    source = SourceText(sql)
    return tuple(_command(source, statement) for statement in source.statements)


def _command(source: SourceText, statement: Node) -> Command | None:
    found = _act(*unwrap(statement["stmt"]))
    if found is None:
        return None
    act, name, returns_rows, holds = found
    start, end = source.statement_span(statement)
    return Command(act, name, start, end, returns_rows, holds)


def _act(kind: str, node: Node) -> tuple[Act, str | None, bool, bool] | None:
    match kind:
        case "PrepareStmt":
            return Act.PREPARE, node["name"], False, False
        case "ExecuteStmt":
            return Act.EXECUTE, node["name"], True, False
        case "ExplainStmt" | "CreateTableAsStmt":
            inner = _act(*unwrap(node["query"]))
            return (Act.EXECUTE, inner[1], False, False) if inner and inner[0] is Act.EXECUTE else None
        case "DeallocateStmt":
            return Act.DEALLOCATE, node.get("name"), False, False
        case "DeclareCursorStmt":
            return Act.DECLARE, node["portalname"], False, bool(node.get("options", 0) & _CURSOR_OPT_HOLD)
        case "FetchStmt":
            return Act.FETCH, node["portalname"], not node.get("ismove", False), False
        case "ClosePortalStmt":
            return Act.CLOSE, node.get("portalname"), False, False
        case "TransactionStmt" if node["kind"] in _SAVEPOINTS:
            return _SAVEPOINTS[node["kind"]], node["savepoint_name"], False, False
    return None
