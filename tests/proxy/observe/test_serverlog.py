"""Logs as PostgreSQL writes them, with what collectors and rotations do to them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from proxy.observe.serverlog import TEXT_LIMIT, read_log


def found(text: str | Iterable[str]) -> list[tuple[str, int]]:
    lines = text.splitlines(keepends=True) if isinstance(text, str) else text
    return [(logged.sql, logged.times) for logged in read_log(lines)]


@pytest.mark.parametrize(
    "prefix",
    ["", "2026-11-23 15:28:52.123 UTC [17] ", "%m[17]: u=me,d=[x],a=psql ", "me@shop", "[::1](4711) 0/3 <x>:", "17:"],
)
def test_stderr_with_any_prefix(prefix: str) -> None:
    log = f"""\
{prefix}LOG:  database system is ready to accept connections
{prefix}LOG:  statement: SELECT 1
{prefix}LOG:  statement: SELECT 'a
\tLOG:  statement: not a line of its own
\t
\t\tb'
{prefix}LOG:  execute <unnamed>: SELECT $1
{prefix}DETAIL:  parameters: $1 = 'LOG:  statement: x'
{prefix}LOG:  execute S_1/C_2: SELECT $1::text, 'x: y'
{prefix}LOG:  duration: 0.103 ms  parse __asyncpg_stmt_1__: SELECT 2
{prefix}LOG:  duration: 0.021 ms  bind __asyncpg_stmt_1__: SELECT 2
{prefix}LOG:  duration: 11.003 ms  execute __asyncpg_stmt_1__: SELECT 2
{prefix}LOG:  duration: 1.003 ms  statement: SELECT 3
{prefix}LOG:  duration: 1.003 ms
{prefix}LOG:  execute fetch from S_1/C_2: SELECT 4
{prefix}ERROR:  syntax error at or near "SELEC" at character 1
{prefix}STATEMENT:  SELEC 5
{prefix}LOG:  duration: 3.3 ms  plan:
\tQuery Text: SELECT 6
"""
    assert found(log) == [
        ("SELECT 1", 1),
        ("SELECT 'a\nLOG:  statement: not a line of its own\n\n\tb'", 1),
        ("SELECT $1", 1),
        ("SELECT $1::text, 'x: y'", 1),
        ("SELECT 2", 0),
        ("SELECT 2", 0),
        ("SELECT 2", 1),
        ("SELECT 3", 1),
        ("SELECT 4", 0),
    ]


def test_lines_whose_tab_was_taken_away_belong_to_the_message_before() -> None:
    assert found("x LOG:  statement: SELECT\nfull_name\nFROM users\nx LOG:  statement: SELECT 2") == [
        ("SELECT\nfull_name\nFROM users", 1),
        ("SELECT 2", 1),
    ]


def test_a_log_that_begins_in_the_middle_of_a_message() -> None:
    assert found("\tFROM users\nmore\nx LOG:  statement: SELECT 2\r\n") == [("SELECT 2", 1)]


def test_csvlog() -> None:
    head = '2026-11-23 15:28:52.1 UTC,"me","shop",17,"[local]",65f.1,1,"SELECT",2026-11-23 15:00:00 UTC,3/1,0'
    log = (
        f'{head},LOG,00000,"statement: SELECT ""a"",\n\t\'x\'",,,,,,,,,"psql","client backend",,0\n'
        f'{head},ERROR,42601,"syntax error",,,,,,"SELEC 1",1,,"psql","client backend",,0\n'
        f'{head},LOG,00000,"duration: 1.5 ms  execute a: SELECT $1","parameters: $1 = \'7\'",,,,,,,,"psql",,,0\n'
    )
    assert found(log) == [("SELECT \"a\",\n\t'x'", 1), ("SELECT $1", 1)]


def test_jsonlog() -> None:
    entries = [
        {"error_severity": "LOG", "message": "statement: SELECT 'a\nb'"},
        {"error_severity": "ERROR", "message": "syntax error", "statement": "SELEC 1"},
        {"error_severity": "LOG", "message": "execute x: SELECT $1", "detail": "parameters: $1 = '7'"},
    ]
    lines = [json.dumps(entry) + "\n" for entry in entries]
    assert found([*lines, lines[0][:20]]) == [("SELECT 'a\nb'", 1), ("SELECT $1", 1)]


def test_a_statement_that_is_too_long_is_left_out_and_nothing_of_it_is_kept() -> None:
    def lines() -> Iterable[str]:
        yield "LOG:  statement: SELECT\n"
        for _ in range(TEXT_LIMIT // 10):
            yield "\t" + "x" * 100 + "\n"
        yield "LOG:  statement: SELECT 2\n"

    assert found(lines()) == [("SELECT 2", 1)]


def test_what_is_no_log_has_no_statements() -> None:
    for text in ("", "\n\n", "CREATE TABLE t ();\n", "{\n", '{"message": 7}\n[]\n'):
        assert found(text) == []
