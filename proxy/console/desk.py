"""What the commands work with: the proxy that they are given to, and the database behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy.console.errors import NOT_IN_STATE, ConsoleError
from proxy.console.words import Words
from proxy.control.installation import require_installed
from proxy.database import Connection, connect
from proxy.metrics import Metrics
from proxy.relay.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Desk:
    """
    Attributes:
        reload: read the settings again; why not, or None.
        drain: end this proxy when its transactions have ended.
    """

    gateway: Gateway
    metrics: Metrics
    database_url: str | None
    reload: Callable[[], str | None]
    drain: Callable[[], None]

    @property
    def url(self) -> str:
        """
        Raises:
            ConsoleError: this proxy only relays.
        """
        if self.database_url is None:
            raise ConsoleError(NOT_IN_STATE, "this proxy has no control connection", "Start it with --database-url.")
        return self.database_url

    @asynccontextmanager
    async def connection(self, *, installed: bool = True) -> AsyncIterator[Connection]:
        """One to the managed database, for as long as the block.

        Args:
            installed: insist on there being a schema `pgjanus`.
        """
        connection = await connect(self.url, "pgjanus console")
        try:
            if installed:
                await require_installed(connection)
            yield connection
        finally:
            connection.terminate()


@dataclass(frozen=True, slots=True)
class Call:
    """One command as it was given: `words` behind its name. `notice` tells the client how it goes."""

    desk: Desk
    words: Words
    notice: Callable[[str], None]
