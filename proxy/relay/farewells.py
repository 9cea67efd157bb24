"""The last words of a session, with PostgreSQL's SQLSTATEs and, where it has some, its own words."""

from __future__ import annotations

from typing import Final

from proxy.wire.messages import PROTOCOL_VIOLATION, error_response

TOO_MANY_CLIENTS: Final = error_response("FATAL", "53300", "sorry, too many clients already")
#: To one whose message is longer than any of a login.
TOO_LONG: Final = error_response("FATAL", PROTOCOL_VIOLATION, "invalid message length")
LOGIN_TOOK_TOO_LONG: Final = error_response("FATAL", "57014", "canceling authentication due to timeout")
IDLE_FOR_TOO_LONG: Final = error_response("FATAL", "57P05", "terminating connection due to idle-session timeout")
SHUTTING_DOWN: Final = error_response("FATAL", "57P01", "terminating connection: pgjanus is shutting down")
INTERNAL_ERROR: Final = error_response("FATAL", "XX000", "pgjanus: internal error; the proxy's log has it")


def unserved(reason: str) -> bytes:
    """To one whom the control side cannot let on."""
    return error_response("FATAL", "57P03", f"pgjanus: {reason}")


def unreachable(reason: str) -> bytes:
    hint = "Check that PostgreSQL runs there, and the proxy's option --server."
    return error_response("FATAL", "08006", f"pgjanus: {reason}", hint=hint)
