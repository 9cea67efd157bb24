"""What concerns no migration passes byte for byte, both ways: the same script directly and through the proxy."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from psycopg import Connection

from proxy.wire.messages import message
from rules.snapshot import Snapshot
from tests.conftest import ALL_SERVERS, Database, Server
from tests.playbook import (
    FLUSH,
    NOTHING,
    SYNC,
    OrderedPins,
    RawClient,
    RecordingRelay,
    bind,
    close,
    describe,
    execute,
    kinds,
    local_proxy,
    managing,
    parse,
    query,
)

COPY_LINE = message(b"d", b"1\tone\n")
COPY_DONE = message(b"c", b"")
COPY_FAIL = message(b"f", b"no\0")


def function_call(oid: int, *values: bytes) -> bytes:
    body = struct.pack(">ihh", oid, 0, len(values))
    body += b"".join(struct.pack(">i", len(value)) + value for value in values)
    return message(b"F", body + struct.pack(">h", 0))


# Each script: (what is sent at once, which reply ends the step, how often it has to come).
Step = tuple[bytes, bytes, int]
SCRIPTS: dict[str, list[Step]] = {
    "a simple query": [(query("SELECT 1 AS a, 'x' AS b"), b"Z", 1)],
    "an empty query": [(query(""), b"Z", 1), (query(" ; "), b"Z", 1)],
    "several statements in one query": [(query("SELECT 1; SELECT 2; SELECT 'three'"), b"Z", 1)],
    "several statements, the second fails": [(query("SELECT 1; SELECT 1/0; SELECT 3"), b"Z", 1)],
    "a transaction that fails and ends": [
        (query("BEGIN"), b"Z", 1),
        (query("SELECT 1/0"), b"Z", 1),
        (query("SELECT 1"), b"Z", 1),
        (query("ROLLBACK"), b"Z", 1),
    ],
    "an error has its position": [(query("SELECT 'żółć', nope FROM t"), b"Z", 1)],
    "a notice": [(query("DO $$ BEGIN RAISE NOTICE 'hello'; END $$"), b"Z", 1)],
    "parse, bind, describe, execute, close": [
        (
            parse("", "SELECT $1::int + 1") + bind("", "", "4") + describe("P") + execute() + close("S", "") + SYNC,
            b"Z",
            1,
        )
    ],
    "a named statement used again": [
        (parse("s", "SELECT id, name FROM t WHERE id = $1", 23) + describe("S", "s") + SYNC, b"Z", 1),
        (bind("p", "s", "1") + describe("P", "p") + execute("p") + SYNC, b"Z", 1),
        (bind("p", "s", None) + execute("p") + SYNC, b"Z", 1),
        (close("S", "s") + bind("p", "s", None) + SYNC, b"Z", 1),
    ],
    "the same name prepared twice": [(parse("s", "SELECT 1") + parse("s", "SELECT 2") + SYNC, b"Z", 1)],
    "a failing parse skips to sync": [
        (parse("s", "SELEC 1") + bind("", "s") + execute() + SYNC + parse("s", "SELECT 2") + SYNC, b"Z", 2),
        (bind("", "s") + execute() + SYNC, b"Z", 1),
    ],
    "messages after an error, sync later": [
        (parse("", "SELECT 1/0") + bind("", "") + execute() + FLUSH, b"E", 1),
        (parse("", "SELECT 1") + query("SELECT 2") + SYNC, b"Z", 1),
        (query("SELECT 3"), b"Z", 1),
    ],
    "pipelined groups, one fails": [
        (
            (parse("", "SELECT 1") + bind("", "") + execute() + SYNC)
            + (parse("", "SELECT 1/0") + bind("", "") + execute() + SYNC)
            + (parse("", "SELECT 3") + bind("", "") + execute() + SYNC),
            b"Z",
            3,
        )
    ],
    "a query behind extended messages without sync": [
        (parse("", "INSERT INTO t VALUES (9, 'nine')") + bind("", "") + execute() + query("SELECT 1/0"), b"Z", 1),
        (query("SELECT * FROM t"), b"Z", 1),
    ],
    "queries pipelined": [(query("SELECT 1") + query("SELECT 1/0") + query("SELECT 3"), b"Z", 3)],
    "a portal in portions": [
        (
            parse("", "SELECT generate_series(1, 5)")
            + bind("", "")
            + execute("", 2)
            + execute("", 2)
            + execute("", 2)
            + SYNC,
            b"Z",
            1,
        )
    ],
    "statements without rows": [
        (parse("n", "INSERT INTO t VALUES (3, 'c')") + describe("S", "n") + bind("", "n") + describe("P"), b"", 0),
        (execute() + parse("e", "") + bind("", "e") + execute() + SYNC, b"Z", 1),
    ],
    "copy in, simple": [
        (query("COPY t FROM STDIN"), b"G", 1),
        (COPY_LINE + COPY_LINE, b"", 0),
        (COPY_DONE, b"Z", 1),
    ],
    "copy in, everything at once": [(query("COPY t FROM STDIN") + COPY_LINE + COPY_DONE, b"Z", 1)],
    "copy in, the client gives up": [(query("COPY t FROM STDIN"), b"G", 1), (COPY_LINE + COPY_FAIL, b"Z", 1)],
    "copy in, bad data, then more": [
        (query("COPY t FROM STDIN"), b"G", 1),
        (message(b"d", b"x\n") + COPY_LINE + COPY_DONE, b"Z", 1),
        (query("SELECT count(*) FROM t"), b"Z", 1),
    ],
    "copy in within several statements": [
        (query("SELECT 1; COPY t FROM STDIN; SELECT 2"), b"G", 1),
        (COPY_LINE + COPY_DONE, b"Z", 1),
    ],
    "copy in, extended, with a sync that is ignored": [
        (parse("", "COPY t FROM STDIN") + bind("", "") + execute() + SYNC, b"G", 1),
        (COPY_LINE + SYNC + COPY_DONE + SYNC, b"Z", 1),
        (query("SELECT 1"), b"Z", 1),
    ],
    "copy in, extended, everything at once": [
        (parse("", "COPY t FROM STDIN") + bind("", "") + execute() + SYNC + COPY_LINE + COPY_DONE + SYNC, b"Z", 1),
        (query("SELECT 1"), b"Z", 1),
    ],
    "copy in, extended, bad data": [
        (parse("", "COPY t FROM STDIN") + bind("", "") + execute(), b"", 0),
        (FLUSH, b"G", 1),
        (message(b"d", b"x\n") + COPY_DONE + SYNC, b"Z", 1),
        (query("SELECT count(*) FROM t"), b"Z", 1),
    ],
    "stray copy messages": [(COPY_LINE + COPY_DONE + COPY_FAIL + query("SELECT 1"), b"Z", 1), (SYNC, b"Z", 1)],
    "copy out": [(query("COPY (SELECT generate_series(1, 1000)) TO STDOUT"), b"Z", 1)],
    "copy out, extended": [(parse("", "COPY t TO STDOUT") + bind("", "") + describe("P") + execute() + SYNC, b"Z", 1)],
    "listen and notify": [(query("LISTEN c"), b"Z", 1), (query("SELECT 1; NOTIFY c, 'x'"), b"C", 2)],
    "a function call": [(function_call(1402), b"Z", 1), (function_call(1), b"Z", 1)],
    "parameters change": [
        (query("SET client_encoding = 'LATIN1'; SET standard_conforming_strings = off"), b"Z", 1),
        (query("RESET ALL"), b"Z", 1),
    ],
    "deallocate and discard": [
        (parse("a", "SELECT 1") + parse("b", "SELECT 2") + SYNC, b"Z", 1),
        (query("DEALLOCATE a"), b"Z", 1),
        (bind("", "a") + SYNC + bind("", "b") + SYNC, b"Z", 2),
        (query("DISCARD ALL"), b"Z", 1),
        (bind("", "b") + SYNC, b"Z", 1),
    ],
    "cursors": [
        (query("BEGIN; DECLARE c CURSOR FOR SELECT * FROM t"), b"Z", 1),
        (query("FETCH 1 FROM c"), b"Z", 1),
        (describe("P", "c") + execute("c", 1) + SYNC, b"Z", 1),
        (query("COMMIT"), b"Z", 1),
    ],
    "40,000 syncs at once": [(SYNC * 40_000, b"Z", 40_000)],
    "5,000 queries at once": [(query("SELECT 1") * 5_000, b"Z", 5_000)],
    "a large value": [(query("SELECT repeat('x', 3000000)"), b"Z", 1)],
    "a large statement": [(query(f"SELECT length('{'y' * 2_000_000}')"), b"Z", 1)],
    "a malformed query": [(message(b"Q", b"SELECT 1"), b"Z", 1)],
    "a query with a zero byte": [(message(b"Q", b"SELECT 1\0; SELECT 2\0"), b"Z", 1)],
    "a malformed parse": [(message(b"P", b"s\0SELECT 1\0\xff\xff") + SYNC, b"Z", 1)],
    "a malformed bind and describe": [
        (message(b"B", b"p") + SYNC, b"Z", 1),
        (message(b"D", b"Xy\0") + SYNC + message(b"C", b"") + SYNC, b"Z", 2),
    ],
    "an unknown message": [(message(b"!", b"") + query("SELECT 1"), b"Z", 1)],
    "an impossible length": [(b"Q" + struct.pack(">i", 3) + query("SELECT 1"), b"Z", 1)],
    "a describe that is too long": [(message(b"D", b"S" + b"n" * 20_000 + b"\0") + SYNC, b"Z", 1)],
    "text that is not utf-8": [(message(b"Q", b"SELECT '\xff\xfe'\0"), b"Z", 1)],
    "goodbye": [(message(b"X", b""), b"Z", 1)],
}

Reply = tuple[bytes, bytes]


def play(port: int, owner: Connection[Any], script: list[Step]) -> list[Reply]:
    owner.execute("TRUNCATE t; INSERT INTO t VALUES (1, 'one'), (2, 'zwölf')")
    replies: list[Reply] = []
    with RawClient(port, owner.info.dbname) as client:
        for data, kind, times in script:
            client.send(data)
            if kind:
                replies += client.until(kind, times)
    return [normal(reply) for reply in replies]


def normal(reply: Reply) -> Reply:
    """Without the process id in notifications."""
    kind, body = reply
    return (kind, body[4:]) if kind == b"A" else reply


CASES = [
    *(pytest.param("18", snapshot, sliced) for snapshot in (NOTHING, managing("users")) for sliced in (False, True)),
    *(pytest.param(server, managing("users"), False) for server in ALL_SERVERS[1:]),
]


@pytest.mark.parametrize(("server", "snapshot", "sliced"), CASES, indirect=["server"])
def test_every_script_gives_the_same_bytes_on_both_sides_of_the_proxy(
    server: Server, database: Database, snapshot: Snapshot, sliced: bool
) -> None:
    owner = database.connect()
    owner.execute("CREATE TABLE t (id int, name text)")
    pins = OrderedPins(snapshot)
    differences: list[tuple[object, ...]] = []
    with (
        RecordingRelay(server.port) as direct,
        RecordingRelay(server.port) as behind,
        local_proxy(behind.port, pins=pins, sliced=sliced) as proxy,
    ):
        for name, script in SCRIPTS.items():
            if sliced and ("large" in name or "at once" in name):
                continue  # two million steps of one byte say no more than two thousand
            directly = play(direct.port, owner, script)
            through = play(proxy.port, owner, script)
            if directly != through:
                differences.append((name, kinds(directly), kinds(through)))
            proxy.wait_until_empty()
            one, other = sorted((direct.towards_server[-1], behind.towards_server[-1]), key=len)
            # A server that closes the connection need not have read everything.
            if one != other and not (directly[-1][0] == b"" and other.startswith(one)):
                differences.append((name, one[-300:], other[-300:]))
    assert differences == []
    assert pins.pinned == []
