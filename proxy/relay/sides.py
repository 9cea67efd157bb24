"""The two ends of a session, which tell it what happens at their sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.foreground import Foreground
from proxy.relay.dialer import keep_alive
from proxy.relay.ends import End, TimedEnd


class Between(Protocol):
    """What stands between the two."""

    def begin(self) -> None:
        """A client is there."""

    def client_data(self, data: bytes) -> None: ...

    def client_eof(self) -> bool:
        """Whether our half stays open."""

    def client_lost(self) -> None: ...

    def server_data(self, data: bytes) -> None: ...

    def server_eof(self) -> None: ...

    def server_lost(self, server: ServerSide) -> None: ...

    def regulate(self) -> None:
        """Either end takes more than before, or less."""


class ClientSide(End):
    """Made by a listener.

    Args:
        make: the session of a client.
    """

    def __init__(self, make: Callable[[ClientSide], Between]) -> None:
        self._session = make(self)
        super().__init__(self._session.regulate)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        keep_alive(transport)
        self._session.begin()

    def data_received(self, data: bytes) -> None:
        self._session.client_data(data)

    def eof_received(self) -> bool:
        return self._session.client_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.client_lost()


class ServerSide(TimedEnd):
    """Made by the dialer."""

    def __init__(self, session: Between, foreground: Foreground) -> None:
        self._session = session
        #: Maybe before it was the session's: then whoever dials says so.
        self.lost = False
        super().__init__(session.regulate, foreground)

    def received(self, data: bytes) -> None:
        self._session.server_data(data)

    def eof_received(self) -> None:
        self._session.server_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._session.server_lost(self)
