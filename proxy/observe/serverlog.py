"""Statements in PostgreSQL's log: stderr's format with any log_line_prefix, csvlog and jsonlog.

    2026-11-23 15:28:52 UTC [17] LOG:  statement: SELECT 1          log_statement, simple protocol
    … LOG:  execute S_1: SELECT $1                                  log_statement, extended protocol
    … LOG:  duration: 0.1 ms  statement: SELECT 1                   log_min_duration_statement
    … DETAIL:  parameters: $1 = '7'                                 not looked at
        a line of a text but its first begins with a tab            stderr's format only

The words are those of lc_messages = C (or English). A log is read line by line; of a statement longer than
`TEXT_LIMIT` nothing is kept.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Final

TEXT_LIMIT: Final = 1 << 20
_SEVERITIES: Final = (
    "DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|QUERY|CONTEXT|STATEMENT|LOCATION|BACKTRACE"
)
_HEADER: Final = re.compile(rf"({_SEVERITIES}):  ")
_CSV_LINE: Final = re.compile(rf'\d{{4}}-\d\d-\d\d [^,]*,.*,"?({_SEVERITIES})"?,[0-9A-Z]{{5}},')
_CSV_SEVERITY, _CSV_MESSAGE = 11, 13
_MESSAGE: Final = re.compile(
    r"(?:duration: [0-9.]+ ms  )?(?:(statement)|(parse|bind|execute fetch from|execute) (?:.+?)): (.*)", re.DOTALL
)
_SENT: Final = {"statement", "execute"}


class LogFormat(Enum):
    STDERR = "stderr"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Logged:
    """`times` is 0 where the log tells of a part of a statement only (its parse or bind), 1 where it was executed."""

    sql: str
    times: int


def read_log(lines: Iterable[str]) -> Iterator[Logged]:
    """The statements of a log, whose format is told from its first line. Lines keep their line ends."""
    lines = iter(lines)
    first = next((line for line in lines if line.strip()), "")
    lines = chain([first], lines)
    match _format_of(first):
        case LogFormat.STDERR:
            messages = _stderr_messages(lines)
        case LogFormat.CSV:
            messages = _csv_messages(lines)
        case LogFormat.JSON:
            messages = _json_messages(lines)
    for message in messages:
        found = _MESSAGE.fullmatch(message)
        if found is not None:
            statement, part, sql = found.groups()
            yield Logged(sql, int((statement or part) in _SENT))


def _format_of(line: str) -> LogFormat:
    if line.startswith("{"):
        return LogFormat.JSON
    return LogFormat.CSV if _CSV_LINE.match(line) else LogFormat.STDERR


def _stderr_messages(lines: Iterable[str]) -> Iterator[str]:
    """Messages of severity LOG."""
    parts: list[str] | None = None
    size = 0
    for raw in lines:
        line = raw.rstrip("\r\n")
        header = None if line.startswith("\t") else _HEADER.search(line)
        if header is None:
            if parts is not None:
                # Some collectors take the tab away.
                parts.append(line.removeprefix("\t"))
                size += len(line)
                if size > TEXT_LIMIT:
                    parts = None
            continue
        if parts is not None:
            yield "\n".join(parts)
        parts = [line[header.end() :]] if header[1] == "LOG" else None
        size = len(line)
    if parts is not None:
        yield "\n".join(parts)


def _csv_messages(lines: Iterable[str]) -> Iterator[str]:
    csv.field_size_limit(1 << 30)
    for row in csv.reader(lines):
        if len(row) > _CSV_MESSAGE and row[_CSV_SEVERITY] == "LOG" and len(row[_CSV_MESSAGE]) <= TEXT_LIMIT:
            yield row[_CSV_MESSAGE]


def _json_messages(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a rotation
        if isinstance(entry, dict) and entry.get("error_severity") == "LOG":
            message = entry.get("message", "")
            if len(message) <= TEXT_LIMIT:
                yield message
