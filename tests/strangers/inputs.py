"""Packets, messages, logins and statements, as a `Random` decides."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from proxy.wire.messages import message
from rules.phases import Shape
from tests.playbook import FLUSH, SYNC, bind, close, describe, execute, parse, query
from tests.random_sql import RandomSql

T = TypeVar("T")
Make = Callable[[random.Random], bytes]

_CODES: Final = (80877102, 80877103, 80877104, 0x30000, 0x30002, 0x20000, 0x40000)
_LENGTHS: Final = (0, 3, 4, 5, 7, 8, 9, 16, 10_000, 10_001, 0x3FFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_CLIENT_KINDS: Final = b"QPBDECSHFXdcfp!\0"
_SERVER_KINDS: Final = b"123TnCIsENSGHWKZDtVARvdc!\0"
_NAMES: Final = ("", "s", "p", "ß" * 40)
_TEXTS: Final = (
    *("SELECT 1", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "DISCARD ALL", "", ";;"),
    *("PREPARE s AS SELECT 1", "EXECUTE s", "DEALLOCATE s", "DEALLOCATE ALL", "DECLARE p CURSOR FOR TABLE users"),
    *("FETCH p", "CLOSE p", "SELECT '\\", "SET search_path = x", "SET LOCAL search_path = x; TABLE users"),
    *("PREPARE p AS UPDATE users SET full_name = $1", "EXECUTE p('x'); EXECUTE p('y')", "COPY users FROM STDIN"),
    *("CREATE TEMP TABLE users (id int)", "SET standard_conforming_strings = off", "RESET ALL", "TABLE users"),
)
_SETTINGS: Final = (
    *(("client_encoding", "UTF8"), ("client_encoding", "LATIN1"), ("client_encoding", "SQL_ASCII")),
    *(("standard_conforming_strings", "off"), ("standard_conforming_strings", "on"), ("session_authorization", "u")),
    *(("search_path", '"$user", public'), ("search_path", '"'), ("search_path", ""), ("application_name", "a")),
)
_TAGS: Final = (
    *("SELECT 1", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PREPARE", "DEALLOCATE", "DEALLOCATE ALL"),
    *("DISCARD ALL", "DECLARE CURSOR", "FETCH 1", "CLOSE CURSOR", "SET", "CREATE TABLE", "COPY 1", "UPDATE 0", ""),
)
_SCRAM_WORDS: Final = (
    *(b"n", b"y", b"p=tls-server-end-point", b"p=x", b"", b"n=", b"r=abc", b"r=", b"a=x", b"m=x", b"c=biws"),
    *(b"c=eSws", b"p=", b"=", b"s=AAAA", b"i=4096", b"i=0", b"i=-1", b"i=99999999999", b"v=AAAA", b"e=other-error"),
)


def often(rng: random.Random, known: Sequence[T], other: Callable[[], T]) -> T:
    """One of the known, but now and then another."""
    return rng.choice(known) if rng.random() < 0.7 else other()


def some_bytes(rng: random.Random, longest: int) -> bytes:
    return rng.randbytes(rng.randrange(longest + 1))


def several(rng: random.Random, make: Callable[[random.Random], T], most: int) -> list[T]:
    return [make(rng) for _ in range(rng.randrange(most + 1))]


def cuts(rng: random.Random) -> list[int]:
    return [rng.randint(1, 40) for _ in range(rng.randint(1, 6))]


def pieces(data: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    """All of it, cut at these lengths again and again."""
    at = turn = 0
    while at < len(data):
        step = lengths[turn % len(lengths)]
        yield data[at : at + step]
        at, turn = at + step, turn + 1


def packet(rng: random.Random) -> bytes:
    """What may come before a session."""
    code = often(rng, _CODES, lambda: rng.getrandbits(32))
    body = some_bytes(rng, 60)
    match rng.randrange(6):
        case 0:
            return some_bytes(rng, 30)
        case 1:
            return struct.pack(">II", often(rng, _LENGTHS, lambda: rng.randrange(64)), code) + body
        case 2:
            words = [b"user", b"database", b"options", b"_pq_.x", b"pgjanus.shape", b"-c search_path=x", b"new", b""]
            body = b"".join(rng.choice(words) + b"\0" for _ in range(rng.randrange(9)))
    return struct.pack(">II", len(body) + 8, code) + body


def _framed(rng: random.Random, kinds: bytes) -> bytes:
    return message(bytes([rng.choice(kinds)]), some_bytes(rng, 40))


def _misframed(rng: random.Random, kinds: bytes) -> bytes:
    length = often(rng, _LENGTHS, lambda: rng.randrange(64))
    return bytes([rng.choice(kinds)]) + struct.pack(">I", length) + some_bytes(rng, 10)


def text(rng: random.Random) -> str:
    return often(rng, _TEXTS, lambda: statement(rng)).encode(errors="replace").decode()


def whole_message(rng: random.Random) -> bytes:
    """A client's, framed as it should be."""
    name = rng.choice(_NAMES)
    match rng.randrange(9):
        case 0:
            return query(text(rng))
        case 1 | 2:
            return parse(name, text(rng))
        case 3 | 4:
            return bind(name, rng.choice(_NAMES))
        case 5:
            return execute(name)
        case 6:
            return rng.choice((describe, close))(rng.choice("SP"), name)
        case 7:
            return rng.choice((SYNC, FLUSH))
        case _:
            return _framed(rng, _CLIENT_KINDS)


def client_message(rng: random.Random) -> bytes:
    return _misframed(rng, _CLIENT_KINDS) if rng.random() < 0.1 else whole_message(rng)


def whole_answer(rng: random.Random) -> bytes:
    """A server's, framed as it should be."""
    match rng.randrange(8):
        case 0:
            return message(b"Z", bytes([rng.choice(b"ITE")]))
        case 1:
            return message(b"S", b"\0".join(word.encode() for word in rng.choice(_SETTINGS)) + b"\0")
        case 2:
            return message(b"C", rng.choice(_TAGS).encode() + b"\0")
        case 3:
            fields = [b"Sx", b"C42601", b"P%d" % rng.randrange(200), b"p9", b"Mfull", b"C26000", b"q", b""]
            return message(rng.choice((b"E", b"N")), b"".join(rng.choice(fields) + b"\0" for _ in range(5)) + b"\0")
        case 4:
            count = rng.randrange(4)
            column = struct.pack(">IhIhih", 1, 2, 25, -1, -1, 0)
            return message(b"T", struct.pack(">h", count) + b"".join(b"full_name\0" + column for _ in range(count)))
        case 5:
            return message(rng.choice((b"1", b"2", b"3", b"n", b"I", b"s")), b"")
        case 6:
            return message(b"R", struct.pack(">i", rng.choice((0, 3, 5, 10, 11, 12))))
        case _:
            return _framed(rng, _SERVER_KINDS)


def server_message(rng: random.Random) -> bytes:
    return _misframed(rng, _SERVER_KINDS) if rng.random() < 0.05 else whole_answer(rng)


def scram_message(rng: random.Random) -> bytes:
    return b",".join(often(rng, _SCRAM_WORDS, lambda: some_bytes(rng, 12)) for _ in range(rng.randrange(7)))


_ODD: Final = (
    *("'", '"', "$$", "$1", "--", "/*", "*/", "(", ")", ";", "::", ".", "*", "[", "E'\\", "U&'", "\\", ":=", "?", "@>"),
    *("users", "items", "full_name", "first_name", "price", "ROW", "ALL", "LATERAL", "WITH", "RECURSIVE", "NULL"),
    *("RETURNING", "ONLY", "AS", "FROM", "WHERE", "GROUP BY", "OVER", "DEFAULT", "VALUES", "SET", "INTO", "EXCLUDED"),
    *("public.", "pg_temp.", "_pgjanus_state", "9" * 400, "\ud800", "\x01", "żółw", "𝔘", "1e", "0x", "b'2'", "1_"),
)


def statement(rng: random.Random) -> str:
    """One of a client's, or what is left of it after a few accidents."""
    found: Any = RandomSql(rng.choice((Shape.OLD, Shape.NEW)), rng).statement().sql
    sql = str(found)
    while rng.random() < 0.5:
        a, b = sorted((rng.randrange(len(sql) + 1), rng.randrange(len(sql) + 1)))
        match rng.randrange(4):
            case 0:
                sql = sql[:a] + f" {rng.choice(_ODD)} " + sql[a:]
            case 1:
                sql = sql[:a] + rng.choice(_ODD) + sql[a + 1 :]
            case 2:
                sql = sql[:a] + sql[min(b, a + 30) :]
            case 3:
                sql = sql[:b] + sql[a : min(b, a + 60)] + sql[b:]
    return sql
