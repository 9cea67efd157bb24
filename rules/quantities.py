"""Lengths of time and amounts of data as a migration file writes them: `100ms`, `5s`, `64MB`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, PlainValidator, StrictStr, WithJsonSchema

from rules.operations.base import invalid

_DURATION = re.compile(r"([1-9][0-9]{0,5})(ms|s|min)")
_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000}
_PERIOD = re.compile(r"(0|[1-9][0-9]{0,5})(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_SIZE = re.compile(r"([1-9][0-9]{0,8})(kB|MB|GB)")
_BYTES = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_MOST = 1_000_000
_PERCENT = re.compile(r"([1-9][0-9]{0,2})%")


def _duration(text: str) -> str:
    if not _DURATION.fullmatch(text):
        raise invalid(f"{text!r} is not a length of time: give a whole number with its unit, such as 100ms, 5s or 1min")
    return text


def _period(text: str) -> str:
    if not _PERIOD.fullmatch(text):
        raise invalid(f"{text!r} is not a length of time: give a whole number with its unit, such as 0s, 30min or 1d")
    return text


def _size(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise invalid(f"{text!r} is not an amount of data: give a whole number with its unit, such as 512kB or 64MB")
    return text


def _percent(text: str) -> str:
    if not _PERCENT.fullmatch(text):
        raise invalid(f"{text!r} is not a share: give a whole number with %, such as 20%")
    return text


def _count(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise invalid("give a whole number of sessions, such as 10")
    return value


def milliseconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    assert match
    return int(match[1]) * _MILLISECONDS[match[2]]


def seconds(text: str) -> int:
    match = _PERIOD.fullmatch(text)
    assert match
    return int(match[1]) * _SECONDS[match[2]]


def size_bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    assert match
    return int(match[1]) * _BYTES[match[2]]


def share(text: str) -> float:
    """`20%` is 0.2."""
    return int(text.removesuffix("%")) / 100


Duration = Annotated[
    StrictStr,
    AfterValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["100ms", "5s", "1min"]}),
]
#: For people rather than for machines, and it may be nothing.
Period = Annotated[
    StrictStr,
    AfterValidator(_period),
    WithJsonSchema({"type": "string", "pattern": f"^{_PERIOD.pattern}$", "examples": ["0s", "30min", "1d"]}),
]
#: Units as PostgreSQL's: 1 kB is 1024 bytes.
Size = Annotated[
    StrictStr,
    AfterValidator(_size),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["512kB", "64MB", "1GB"]}),
]
Count = Annotated[
    int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": _MOST, "examples": [10]})
]
NoneOrSize = Annotated[
    StrictStr,
    AfterValidator(lambda text: text if text == "none" else _size(text)),
    WithJsonSchema({"type": "string", "pattern": f"^({_SIZE.pattern}|none)$", "examples": ["512MB", "none"]}),
]
Percent = Annotated[
    StrictStr,
    AfterValidator(_percent),
    WithJsonSchema({"type": "string", "pattern": f"^{_PERCENT.pattern}$", "examples": ["20%"]}),
]
