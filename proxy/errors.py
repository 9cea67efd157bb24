"""Errors of the running side, each with what to do about it in its text.

PgjanusError (rules.errors)
├── SettingsError        a setting or the settings file is wrong
├── ListenError          an address cannot be listened on
├── SecretsUnavailable   it cannot be found out what is stored of a user
└── ServerUnreachable    PostgreSQL does not accept connections
"""

from __future__ import annotations

from typing import Final

from rules.errors import PgjanusError

#: A process ends with it when one of these has kept it from its work.
EXIT_REFUSED: Final = 1


class SettingsError(PgjanusError):
    """A command line option or the settings file is wrong: what is wrong, and what would be right."""


class ListenError(PgjanusError):
    """An address cannot be listened on; names the address and the option."""


class SecretsUnavailable(PgjanusError):
    """The database does not say what it stores of a user; names the reason."""


class ServerUnreachable(PgjanusError):
    """PostgreSQL does not accept connections; names the address."""
