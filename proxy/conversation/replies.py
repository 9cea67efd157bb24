"""Errors and notices as the client has to see them, and the statements that stand for refused ones."""

from __future__ import annotations

import re
from typing import Final

from proxy.wire.messages import SYNTAX_ERROR, ErrorFields, error_fields
from rules.errors import FEATURE_NOT_SUPPORTED, Refusal
from rules.phases import HIDDEN_PREFIX, STATE_COLUMN
from rules.plan import PositionMap
from rules.statements.survival import REFUSED

#: The name of a prepared statement that never comes to exist: Parse of a refusal under it always fails.
REFUSED_NAME: Final = b"_pgjanus_refused"

# A new column's hidden name. The state column and the gates have no other name that a client could know.
_STATE = STATE_COLUMN.removeprefix(HIDDEN_PREFIX)
_HIDDEN: Final = re.compile(rb"%b(?!%b\b|gate_)" % (HIDDEN_PREFIX.encode(), _STATE.encode()))
#: An index in place of another (`rules.ddl.transition`): its clients know the name of the one that it stands for.
_STAND_IN: Final = re.compile(rb"%b[onc]x_(.+?)_[0-9a-f]{8}\b" % HIDDEN_PREFIX.encode())
#: A column read by row state (`rules.reads.by_row_state`), as PostgreSQL prints the key of an index.
_BY_ROW_STATE: Final = re.compile(rb"\s*CASE\s+WHEN %b [<>]=? \d THEN (\S+)" % STATE_COLUMN.encode())
_CASE_OR_END: Final = re.compile(rb"\b(CASE|END)\b")
#: Message, detail, hint, context, column and constraint name.
_NAMING_FIELDS: Final = frozenset(b"MDHWcn")
#: A line of a context that speaks of a trigger's function of ours (`rules.ddl.copying`), which no client knows.
_CONVERTER: Final = re.compile(rb"(?m)^.*\bpgjanus\.copy_(?:old|new)_[0-9a-f]{16}\(\).*\n?")
_CONTEXT: Final = ord("W")
_POSITION: Final = ord("P")
_SEVERITY: Final = b"S"


def refusal_text(refusal: Refusal) -> bytes:
    """A text that is a syntax error at its first word on every server; the server's log shows the reason with it."""
    reason = " ".join(refusal.message.split()).encode("ascii", errors="replace").decode()
    return f"pgjanus refused this statement: {reason}".replace("'", "''").replace("\0", "?").encode()


def is_refusal_answered(error: ErrorFields) -> bool:
    """Whether this error is the syntax error that `refusal_text` was sent for, and not, say, a cancel."""
    return error.get(b"C") == SYNTAX_ERROR


def refused(error: ErrorFields, refusal: Refusal, codec: str) -> ErrorFields:
    """The server's syntax error with the words of the refusal."""
    return error_fields(
        error.get(_SEVERITY) or b"ERROR",
        refusal.sqlstate,
        refusal.message,
        hint=refusal.hint,
        position=None if refusal.position is None else refusal.position + 1,
        codec=codec,
    )


def translated(error: ErrorFields, positions: PositionMap | None) -> ErrorFields:
    """Positions as in the client's text, columns by the names that clients know, and refusals as such."""
    found = REFUSED.search(error.get(b"M") or b"")
    if found is not None:
        return ErrorFields(
            (
                *((code, value) for code, value in error.fields if code in b"SV"),
                *zip(b"CMH", (FEATURE_NOT_SUPPORTED.encode(), found[1], found[2]), strict=True),
            )
        )
    fields = []
    for code, value in error.fields:
        if code == _POSITION and positions is not None and value.isdigit():
            value = b"%d" % (positions.to_client(int(value) - 1) + 1)
        elif code in _NAMING_FIELDS:
            value = _HIDDEN.sub(b"", _STAND_IN.sub(rb"\1", _without_row_state(value)))
            if code == _CONTEXT:
                value = _CONVERTER.sub(b"", value)
        fields.append((code, value))
    return ErrorFields(tuple(fields))


def _without_row_state(text: bytes) -> bytes:
    """`Key ((CASE … THEN email … END))=(…)` → `Key (email)=(…)`: the column that the expression stands for."""
    while found := _BY_ROW_STATE.search(text):
        depth, end = 1, len(text)
        for word in _CASE_OR_END.finditer(text, found.end()):
            depth += 1 if word[1] == b"CASE" else -1
            if depth == 0:
                end = word.end()
                break
        start = found.start()
        if text[start - 2 : start] in (b"((", b" (") and text[end : end + 1] == b")":  # not those of a function
            start, end = start - 1, end + 1
        text = text[:start] + found[1] + text[end:]
    return text
