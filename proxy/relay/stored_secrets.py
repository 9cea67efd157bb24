"""Where the secrets of users are found that PostgreSQL stores: asked of the database, or in a file like PgBouncer's."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg

from proxy.database import Connection, connect
from proxy.errors import SecretsUnavailable, SettingsError
from proxy.relay.login import FindSecret
from proxy.wire.scram import Secret

#: `"user" "secret"`, a quote within doubled; what follows is ignored.
_LINE: Final = re.compile(r'"((?:[^"]|"")*)"\s+"((?:[^"]|"")*)"')


def read_userlist(file: Path, setting: str) -> dict[str, str]:
    """What userlist.txt has for each user.

    Raises:
        SettingsError: it cannot be read, or a line is none.
    """
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise SettingsError(f"{setting}: {file}: {error.strerror}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        words = _LINE.match(line.strip())
        if words is None:
            raise SettingsError(f'{setting}: {file}:{number}: not of the form "user" "secret"')
        name, text = (word.replace('""', '"') for word in words.groups())
        found[name] = text
    return found


class SecretsInFile:
    """userlist.txt.

    Raises:
        SettingsError: it cannot be read, or a line is none.
    """

    def __init__(self, file: Path) -> None:
        self._secrets = {user: Secret.read(text) for user, text in read_userlist(file, "auth.auth_file").items()}

    async def find(self, user: str) -> Secret | None:
        return self._secrets.get(user)


class SecretsOfDatabase:
    """Asked anew at each login, over one connection that is opened when it is needed."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: Connection | None = None
        self._alone = asyncio.Lock()

    def asking(self, query: str) -> FindSecret:
        return partial(self._find, query)

    async def _find(self, query: str, user: str) -> Secret | None:
        """
        Raises:
            SecretsUnavailable: the database does not say.
        """
        try:
            async with self._alone:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._database_url)
                row = await self._connection.fetchrow(query, user)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise SecretsUnavailable(f"auth.auth_query: {error}") from error
        return Secret.read(row[1]) if row is not None and isinstance(row[1], str) else None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
