"""Errors of the pure side, by whose mistake they are.

PgjanusError
├── MigrationError     the migration file or definition is wrong (its author's)
└── Refusal            a statement cannot be rewritten exactly (nobody's; the client is told)
"""

from __future__ import annotations

from dataclasses import dataclass

FEATURE_NOT_SUPPORTED = "0A000"
SYNTAX_ERROR = "42601"
UNDEFINED_COLUMN = "42703"


class PgjanusError(Exception):
    """Base of every error that pgjanus raises on purpose; its text is meant for a person."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file: `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class MigrationError(PgjanusError):
    """A migration is wrong: what is wrong, what would be right, and where in the file (if it came from one)."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.place = place


class Refusal(PgjanusError):
    """A statement that cannot be rewritten exactly, and so is not sent at all.

    Args:
        message: one line that names the migration and the construct.
        hint: what the author of the statement can do about it.
        sqlstate: `0A000` unless PostgreSQL itself would have had a better word.
        position: where in the client's own text, in characters from 0; None if it is the whole of it.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        sqlstate: str = FEATURE_NOT_SUPPORTED,
        position: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.sqlstate = sqlstate
        self.position = position
