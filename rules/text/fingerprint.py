"""Which statements are the same but for their values, and how to show one without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pglast.parser import ParseError, fingerprint, normalize, scan

_COMMENTS: Final = {"SQL_COMMENT", "C_COMMENT"}
_STRINGS: Final = {"SCONST", "USCONST", "BCONST", "XCONST"}
_NUMBERS: Final = {"ICONST", "FCONST"}
#: A longer text is cut; it is for people.
_TEXT_LIMIT: Final = 4_000
_SCAN_LIMIT: Final = 40_000
#: Words without which `normalize` replaces every constant but those that are numbers of columns and lengths of types.
_DEFINITIONS: Final = {"CREATE", "PREPARE", "ALTER", "COMMENT"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`hash` is libpg_query's: one for all texts that differ in constants, comments and layout only, and in the number
    of items of a list. `text` is one line without comments; a parameter stands in the place of each constant."""

    hash: str
    text: str


#: Of whatever cannot be parsed: nothing of such a text may be shown, since its constants cannot be told from the rest.
UNREADABLE: Final = Fingerprint("unreadable", "(a text that cannot be parsed)")


def fingerprint_of(sql: str) -> Fingerprint:
    """Never raises."""
    try:
        return Fingerprint(fingerprint(sql), _on_one_line(normalize(sql)))
    except (ParseError, UnicodeEncodeError, ValueError):
        return UNREADABLE


def _on_one_line(sql: str) -> str:
    """`normalize` leaves the constants of PREPARE, CREATE and other definitions; no value may be shown."""
    try:
        tokens = scan(sql[:_SCAN_LIMIT])
    except ParseError:  # cut within a quoted name or a comment
        tokens = scan(sql)
    is_definition = bool(_DEFINITIONS & {t.name for t in tokens})
    parts: list[str] = []
    end = 0
    for token in tokens:
        if token.name in _COMMENTS:
            continue
        if parts and token.start > end:
            parts.append(" ")
        end = token.end + 1
        if token.name in _STRINGS:
            parts.append("'…'")
        elif is_definition and token.name in _NUMBERS:
            parts.append("0")
        else:
            parts.append(sql[token.start : end])
    text = "".join(parts)
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"
