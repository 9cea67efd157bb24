"""What the console says no with: PostgreSQL's own SQLSTATEs."""

from __future__ import annotations

from typing import Final

from rules.errors import PgjanusError

SYNTAX_ERROR: Final = "42601"
INVALID_VALUE: Final = "22023"
NOT_SUPPORTED: Final = "0A000"
NOT_ALLOWED: Final = "42501"
#: What PostgreSQL says of VACUUM in a transaction.
ACTIVE_TRANSACTION: Final = "25001"
FAILED_TRANSACTION: Final = "25P02"
#: A gate, a lock, a proxy: something is not as the command needs it.
NOT_IN_STATE: Final = "55000"
CANCELED: Final = "57014"
#: What pgjanus has to say about a mistake of its own.
INTERNAL_ERROR: Final = "XX000"

LISTED: Final = "SHOW HELP lists the commands."


class ConsoleError(PgjanusError):
    """a command that is refused: `sqlstate`, `hint`, and `position` in characters from 1"""

    def __init__(self, sqlstate: str, message: str, hint: str = LISTED, position: int | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.hint = hint
        self.position = position
