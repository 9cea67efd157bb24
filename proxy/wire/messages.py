"""The messages that pgjanus looks into, and those that it writes itself. All others stay opaque bytes.

`read` functions take a body (without type and length) and return None where PostgreSQL would call it malformed: such a
message is forwarded, and the server gives its own error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

from rules.plan import FieldPatch, ResultPatch

_INT32 = Struct(">i")
_COUNT = Struct(">h")
#: RowDescription, after each name: table OID, attribute number, type OID, type length, type modifier, format code.
_FIELD = Struct(">IhIhih")

PROTOCOL_VIOLATION: Final = "08P01"
CONNECTION_FAILURE: Final = "08006"
CANNOT_CONNECT_NOW: Final = "57P03"
ADMIN_SHUTDOWN: Final = "57P01"
PROGRAM_LIMIT_EXCEEDED: Final = "54000"
SYNTAX_ERROR: Final = b"42601"
UNDEFINED_STATEMENT: Final = b"26000"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + _INT32.pack(len(body) + 4) + body


@dataclass(frozen=True, slots=True)
class Query:
    """Client: `Q text\\0`."""

    text: bytes

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        return cls(body[:-1]) if body and body.find(0) == len(body) - 1 else None

    def write(self) -> bytes:
        return b"".join((b"Q", _INT32.pack(len(self.text) + 5), self.text, b"\0"))  # a long text is copied once


@dataclass(frozen=True, slots=True)
class Parse:
    """Client: `P name\\0 text\\0 count (int16) OIDs (int32 each)`; `types` is the count with the OIDs."""

    name: bytes
    text: bytes
    types: bytes = b"\0\0"

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        name_end = body.find(0)
        text_end = body.find(0, name_end + 1)
        if name_end < 0 or text_end < 0:
            return None
        return cls(body[:name_end], body[name_end + 1 : text_end], body[text_end + 1 :])

    def write(self) -> bytes:
        return message(b"P", b"%b\0%b\0%b" % (self.name, self.text, self.types))


def close_statement(name: bytes) -> bytes:
    return message(b"C", b"S" + name + b"\0")


def close_portal(name: bytes) -> bytes:
    return message(b"C", b"P" + name + b"\0")


def bind_nothing(portal: bytes, statement: bytes) -> bytes:
    """A Bind without parameters."""
    return message(b"B", b"%b\0%b\0" % (portal, statement) + b"\0\0" * 3)


def execute_all(portal: bytes) -> bytes:
    return message(b"E", portal + b"\0" + b"\0" * 4)


def read_names(body: bytes, count: int) -> tuple[bytes, ...] | None:
    """The strings at the start of a body: portal and statement of Bind, the portal of Execute."""
    words = body.split(b"\0", count)
    return tuple(words[:count]) if len(words) > count else None


def read_target(body: bytes) -> tuple[bytes, bytes] | None:
    """Describe and Close: `S` or `P`, and the name of the statement or portal."""
    if len(body) < 2 or body[-1] != 0:
        return None
    return body[:1], body[1:-1]


def read_pair(body: bytes) -> tuple[str, str] | None:
    """ParameterStatus: name and value (undecodable bytes as surrogates)."""
    words = body.split(b"\0")
    return (words[0].decode(), words[1].decode(errors="surrogateescape")) if len(words) == 3 else None


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """ErrorResponse or NoticeResponse: (code, value) pairs in order, as sent.

    Codes: https://www.postgresql.org/docs/current/protocol-error-fields.html
    """

    fields: tuple[tuple[int, bytes], ...]

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(tuple((item[0], item[1:]) for item in body.split(b"\0") if item))

    def get(self, code: bytes) -> bytes | None:
        return next((value for key, value in self.fields if key == code[0]), None)

    def write(self, kind: bytes = b"E") -> bytes:
        return message(kind, b"".join(b"%c%b\0" % item for item in self.fields) + b"\0")


def error_response(
    severity: str, sqlstate: str, text: str, *, detail: str = "", hint: str = "", position: int | None = None
) -> bytes:
    """An ErrorResponse of pgjanus's own. `position` counts characters from 1."""
    return error_fields(severity.encode(), sqlstate, text, detail=detail, hint=hint, position=position).write()


def error_fields(
    severity: bytes,
    sqlstate: str,
    text: str,
    *,
    detail: str = "",
    hint: str = "",
    position: int | None = None,
    codec: str = "utf-8",
) -> ErrorFields:
    """`severity` is for people, and may be translated; the untranslated one goes beside it."""
    plain = severity if severity in (b"FATAL", b"PANIC") else b"ERROR"
    pairs = [(b"S", severity), (b"V", plain), (b"C", sqlstate.encode())]
    for code, value in ((b"M", text), (b"D", detail), (b"H", hint)):
        if value:
            pairs.append((code, value.replace("\0", "?").encode(codec, errors="replace")))
    if position is not None:
        pairs.append((b"P", b"%d" % position))
    return ErrorFields(tuple((code[0], value) for code, value in pairs))


def patch_row_description(body: bytes, patch: ResultPatch, codec: str) -> bytes:
    """The message with the patched columns; as it was if it has fewer columns than the patch speaks of."""
    count = _COUNT.unpack_from(body)[0]
    if count < max(len(patch.head), len(patch.tail)):
        return message(b"T", body)
    patches: list[FieldPatch | None] = [None] * count
    patches[: len(patch.head)] = patch.head
    if patch.tail:
        patches[-len(patch.tail) :] = patch.tail
    out = [body[:2]]
    at = 2
    for field in _with_ends(body, count):
        name_end, end = field
        new = patches[len(out) - 1]
        if new is None:
            out.append(body[at:end])
        else:
            table_oid, attnum, type_oid, length, typmod, wire_format = _FIELD.unpack_from(body, name_end + 1)
            own = new.describe(type_oid, typmod) or (table_oid, attnum, type_oid, typmod)
            table_oid, attnum, type_oid, typmod = own
            numbers = _FIELD.pack(table_oid, attnum, type_oid, length, typmod, wire_format)
            out.append(new.name.encode(codec, errors="replace") + b"\0" + numbers)
        at = end
    return message(b"T", b"".join(out))


def _with_ends(body: bytes, count: int) -> Iterable[tuple[int, int]]:
    """Where each column's name and each column end."""
    ends: list[tuple[int, int]] = []
    at = 2
    for _ in range(count):
        name_end = body.index(0, at)
        at = name_end + 1 + _FIELD.size
        ends.append((name_end, at))
    return ends


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One column of a RowDescription, for tests and diagnosis."""

    name: bytes
    table_oid: int
    attnum: int
    type_oid: int
    type_length: int
    typmod: int
    wire_format: int


def read_row_description(body: bytes) -> Sequence[FieldDescription]:
    found = []
    at = 2
    for name_end, end in _with_ends(body, _COUNT.unpack_from(body)[0]):
        found.append(FieldDescription(body[at:name_end], *_FIELD.unpack_from(body, name_end + 1)))
        at = end
    return found
