"""Odd uses of the protocol on tables in the middle of a migration: each answer is an unmigrated twin's, to its place.

Both sides get the same bytes; what comes back is compared message by message, the origins of columns aside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.wire.messages import ErrorFields, message, read_row_description
from rules.phases import Shape, Strategy, phase_named
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Server
from tests.playbook import (
    FLUSH,
    SYNC,
    OrderedPins,
    RawClient,
    bind,
    close,
    describe,
    error_of,
    execute,
    kinds,
    local_proxy,
    parse,
    query,
)
from tests.twin import Twin, open_twins, read_catalog

_ROWS = "SELECT id, full_name FROM users ORDER BY id"
_ONE = "SELECT full_name FROM users WHERE id = $1"
_SET = "UPDATE users SET full_name = $2 WHERE id = $1 RETURNING full_name"
_BAD = "UPDATE users SET full_name = full_name || 1/(id - id) WHERE id = 1"


def function_call(oid: int, *values: bytes) -> bytes:
    body = struct.pack(">ihh", oid, 0, len(values))
    body += b"".join(struct.pack(">i", len(value)) + value for value in values)
    return message(b"F", body + struct.pack(">h", 0))


def unnamed(text: str, *values: str | None) -> bytes:
    return parse("", text) + bind("", "", *values) + describe("P") + execute()


# (what is sent at once, the reply that ends the step, how often it has to come)
Step = tuple[bytes, bytes, int]
SCRIPTS: dict[str, list[Step]] = {
    "a portal in portions, flushed between them": [
        (query("BEGIN"), b"Z", 1),
        (parse("", _ROWS) + bind("p", "") + execute("p", 3) + FLUSH, b"s", 1),
        (FLUSH + FLUSH + execute("p", 2) + FLUSH, b"s", 1),
        (describe("P", "p") + execute("p", 100) + FLUSH, b"C", 1),
        (execute("p", 1) + SYNC, b"Z", 1),
        (execute("p") + SYNC, b"Z", 1),
        (query("ROLLBACK"), b"Z", 1),
    ],
    "two suspended portals beside each other": [
        (query("BEGIN"), b"Z", 1),
        (parse("a", _ROWS) + bind("p", "a") + bind("q", "a") + execute("p", 2) + execute("q", 1) + SYNC, b"Z", 1),
        (execute("q", 2) + unnamed(_SET, "2", "X Y") + execute("p", 2) + SYNC, b"Z", 1),
        (close("P", "p") + execute("p", 1) + SYNC, b"Z", 1),
        (query("ROLLBACK"), b"Z", 1),
        (close("S", "a") + SYNC, b"Z", 1),
    ],
    "an update whose rows are fetched one by one": [
        (query("BEGIN"), b"Z", 1),
        (parse("", "UPDATE users SET full_name = 'A B' WHERE id < 4 RETURNING full_name"), b"", 0),
        (bind("u", "") + describe("P", "u") + execute("u", 1) + FLUSH, b"s", 1),
        (execute("u", 1) + execute("u", 5) + SYNC, b"Z", 1),
        (query(_ROWS + "; ROLLBACK"), b"Z", 1),
    ],
    "flush in odd places": [
        (FLUSH + parse("f", _ONE) + FLUSH, b"1", 1),
        (describe("S", "f") + FLUSH, b"T", 1),
        (FLUSH + bind("", "f", "1") + FLUSH, b"2", 1),
        (FLUSH + execute() + FLUSH, b"C", 1),
        (FLUSH + SYNC + FLUSH, b"Z", 1),
        (close("S", "f") + FLUSH + SYNC, b"Z", 1),
    ],
    "flush behind an error": [
        (parse("", _BAD) + bind("", "") + execute() + FLUSH, b"E", 1),
        (FLUSH + unnamed(_ONE, "1") + FLUSH, b"", 0),
        (query(_ROWS) + SYNC, b"Z", 1),
        (query(_ROWS), b"Z", 1),
    ],
    "a pipeline with an error in the middle": [
        (unnamed(_SET, "1", "Q R") + SYNC + unnamed(_BAD) + SYNC + unnamed(_ONE, "1") + SYNC, b"Z", 3),
        (unnamed(_SET, "1", "S T") + unnamed(_BAD) + unnamed(_SET, "2", "U V") + SYNC, b"Z", 1),
        (unnamed(_ONE, "1") + unnamed(_ONE, "2") + SYNC, b"Z", 1),
        (unnamed(_SET, "1", "Ada Lovelace") + SYNC, b"Z", 1),
    ],
    "a pipeline in a transaction, with an error in the middle": [
        (query("BEGIN"), b"Z", 1),
        (unnamed(_SET, "1", "Q R") + SYNC + parse("", "SELECT nope FROM users") + SYNC + unnamed(_ONE, "1"), b"", 0),
        (SYNC + query("ROLLBACK") + unnamed(_ONE, "1") + SYNC, b"Z", 5),
    ],
    "an error in each kind of message": [
        (parse("", "SELECT full_name FROM users WHERE nope") + bind("", "") + SYNC, b"Z", 1),
        (parse("", _ONE) + bind("", "", "x") + execute() + SYNC, b"Z", 1),
        (parse("", _ONE) + bind("", "") + execute() + SYNC, b"Z", 1),
        (bind("", "never") + SYNC + describe("P", "never") + SYNC + execute("never") + SYNC, b"Z", 3),
    ],
    "several statements in one query": [
        (query(f"{_ROWS}; UPDATE users SET full_name = 'N N' WHERE id = 1; {_ROWS}; SELECT 1"), b"Z", 1),
        (query("UPDATE users SET full_name = 'gone' WHERE id = 2; " + _BAD), b"Z", 1),
        (query(_ROWS), b"Z", 1),
        (query("UPDATE users SET full_name = 'kept' WHERE id = 2; COMMIT; " + _BAD), b"Z", 1),
        (query("BEGIN; UPDATE users SET full_name = 'away' WHERE id = 2; ROLLBACK; " + _ROWS), b"Z", 1),
        (query("; ;UPDATE users SET full_name = 'Ada Lovelace' WHERE id = 1;;"), b"Z", 1),
        (query("BEGIN; " + _BAD), b"Z", 1),
        (query(_ROWS + "; ROLLBACK; " + _ROWS), b"Z", 1),
        (query("ROLLBACK"), b"Z", 1),
    ],
    "extended messages that a query ends": [
        (unnamed(_SET, "2", "W X") + query(_BAD), b"Z", 1),
        (unnamed(_SET, "2", "W X") + query(_ROWS), b"Z", 1),
        (parse("k", _ONE) + query("SELECT 1") + bind("", "k", "2") + execute() + SYNC, b"Z", 2),
        (close("S", "k") + SYNC, b"Z", 1),
    ],
    "function calls among statements": [
        (query("BEGIN") + unnamed(_SET, "2", "F G") + function_call(1402) + unnamed(_ONE, "2") + SYNC, b"Z", 3),
        (function_call(1) + function_call(1402) + query(_ROWS) + query("ROLLBACK") + query(_ROWS), b"Z", 5),
    ],
    "an unnamed statement and portal that are replaced": [
        (parse("", _ONE) + bind("", "", "1") + parse("", "SELECT 7") + execute() + SYNC, b"Z", 1),
        (parse("", _ONE) + query("SELECT 8") + bind("", "", "1") + SYNC, b"Z", 2),
        (query("BEGIN") + parse("n", _ONE) + bind("n", "n", "1") + bind("n", "n", "2") + SYNC, b"Z", 2),
        (query("ROLLBACK") + close("S", "n") + SYNC, b"Z", 2),
    ],
    "nothing at all": [(SYNC + SYNC + query("") + FLUSH + SYNC, b"Z", 4), (unnamed("") + unnamed(";") + SYNC, b"Z", 1)],
}


@pytest.fixture(scope="module", params=["writing_both", "reading_new"])
def twin(request: pytest.FixtureRequest, server: Server) -> Iterator[Twin]:
    with open_twins(server, prefix="odd_") as make:
        yield make(phase_named(Strategy.DUAL_WRITE, request.param), Shape.OLD)


@pytest.mark.parametrize("sliced", [False, True], ids=["whole", "byte_by_byte"])
def test_odd_uses_of_the_protocol_are_answered_as_on_an_unmigrated_table(
    server: Server, twin: Twin, sliced: bool
) -> None:
    found = []
    with local_proxy(server.port, pins=OrderedPins(twin.snapshot), planner=plan, sliced=sliced) as proxy:
        for name, script in SCRIPTS.items():
            direct = play(server.port, twin.direct.info.dbname, script)
            through = play(proxy.port, twin.managed.info.dbname, script)
            for step, (one, other) in enumerate(zip(direct, through, strict=True)):
                if one != other:
                    found.append(f"{name}, step {step}:\n  {one}\n  {other}")
    assert not found, "\n".join(found)


def play(port: int, database: str, script: list[Step]) -> list[list[tuple[bytes, Any]]]:
    with RawClient(port, database) as client:
        answers = []
        for data, kind, times in script:
            client.send(data)
            answers.append([shown(*reply) for reply in client.until(kind, times)])
        return answers


def shown(kind: bytes, body: bytes) -> tuple[bytes, Any]:
    if kind == b"T":
        return kind, [(f.name, f.attnum, f.type_oid, f.typmod, f.wire_format) for f in read_row_description(body)]
    if kind in (b"E", b"N"):
        error = ErrorFields.read(body)
        return kind, tuple(error.get(code) for code in (b"S", b"C", b"P", b"M"))
    return kind, body


@pytest.fixture
def branches(server: Server, twin: Twin) -> Iterator[Snapshot]:
    """Another table of that name in another schema, and a function that chooses between them."""
    twin.managed.execute(
        "CREATE SCHEMA branch; CREATE TABLE branch.users (id int, full_name text);"
        "INSERT INTO branch.users VALUES (1, 'of the branch');"
        "CREATE FUNCTION choose(text) RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN RETURN set_config('search_path', $1, false); END$$"
    )
    yield Snapshot(2, read_catalog(server.url(twin.managed.info.dbname)), twin.snapshot.tables)
    twin.managed.execute("DROP SCHEMA branch CASCADE; DROP FUNCTION choose")


CHOOSES = [
    "SELECT choose('public')",
    "DO $$BEGIN PERFORM public.choose('public'); END$$",
    "SELECT \"choose\" ('public')",
]


@pytest.mark.parametrize("chooses", CHOOSES)
def test_what_a_function_makes_of_the_search_path_is_not_guessed(
    server: Server, twin: Twin, branches: Snapshot, chooses: str
) -> None:
    """The server says so with the end of the round; until then it is open which table is meant."""
    text = "SELECT full_name FROM users WHERE id = 1"
    with local_proxy(server.port, pins=OrderedPins(branches), planner=plan) as proxy:
        with RawClient(proxy.port, twin.managed.info.dbname, {"options": "-c search_path=branch,public"}) as client:
            assert client.query(text)[1][1][6:] == b"of the branch"
            assert kinds(client.query("SELECT lower('X'), now(); SELECT random(); " + text)).count("D") == 3
            client.send(query(chooses) + query(text) + parse("", text) + bind("", "") + SYNC)
            assert [error_of([m])["C"] for m in client.until(b"Z", 3) if m[0] == b"E"] == ["0A000", "0A000"]
            assert client.query(text)[1][1][6:] != b"of the branch"
            client.query("SET search_path = branch, public")
            assert error_of(client.query(f"{chooses}; {text}"))["C"] == "0A000"
            assert client.query(f"{chooses}; SELECT full_name FROM public.users WHERE id = 1")[-1] == (b"Z", b"I")
