"""What an answer consists of: columns of four types, in the text and in the binary format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Final

from proxy.wire.messages import message

Cell = str | int | float | bool | None
Row = Sequence[Cell]

_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
_FLOAT64: Final = Struct(">d")
_FIELD: Final = Struct(">IhIhih")


class Kind(Enum):
    """OID and length of PostgreSQL's type."""

    TEXT = (25, -1)
    INTEGER = (20, 8)
    NUMBER = (701, 8)
    BOOLEAN = (16, 1)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind = Kind.TEXT


def text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


def row_description(columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    parts = [_INT16.pack(len(columns))]
    for column, wire_format in zip(columns, formats, strict=True):
        oid, length = column.kind.value
        parts.append(column.name.encode() + b"\0" + _FIELD.pack(0, 0, oid, length, -1, wire_format))
    return message(b"T", b"".join(parts))


def data_row(row: Row, columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    parts = [_INT16.pack(len(columns))]
    for cell, column, wire_format in zip(row, columns, formats, strict=True):
        found = None if cell is None else _encode(cell, column.kind, binary=bool(wire_format))
        parts += [_INT32.pack(-1)] if found is None else [_INT32.pack(len(found)), found]
    return message(b"D", b"".join(parts))


def _encode(cell: str | int | float | bool, kind: Kind, *, binary: bool) -> bytes:
    match kind:
        case Kind.BOOLEAN:
            return bytes([bool(cell)]) if binary else b"t" if cell else b"f"
        case Kind.INTEGER if binary:
            return _INT64.pack(int(cell))
        case Kind.NUMBER if binary:
            return _FLOAT64.pack(float(cell))
        case Kind.TEXT:
            return str(cell).replace("\0", "?").encode(errors="replace")
        case _:
            return str(cell).encode()


def formats_of(given: Iterable[int], columns: int) -> list[int]:
    """The result formats of a Bind, for each column: none are all text, one is for all."""
    found = list(given)
    return found * columns if len(found) == 1 else found if len(found) == columns else [0] * columns
