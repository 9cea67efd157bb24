"""The console of one process: takes a client that asks for its database, and keeps it until it leaves."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Final

import structlog

from proxy.console.desk import Desk
from proxy.console.login import Users, let_in
from proxy.console.session import ConsoleSession
from proxy.control.leases import package_version
from proxy.conversation.opening import Begin
from proxy.relay import farewells
from proxy.relay.ends import End
from proxy.relay.login import LoginFailed
from proxy.relay.reading import Reading
from proxy.wire.messages import message
from proxy.wire.startup import CancelRequest, StartupMessage

_INT32: Final = Struct(">i")
_KEY: Final = Struct(">ii")
_AUTHENTICATION_OK: Final = message(b"R", _INT32.pack(0))
_PARAMETERS: Final = {
    # Drivers go by the number in front.
    "server_version": f"16.0 (pgjanus {package_version()})",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "integer_datetimes": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
}
_MESSAGE_LIMIT_BYTES: Final = 1 << 20

log = structlog.get_logger(__name__)


class Console:
    """
    Args:
        users: as the settings say now.
    """

    def __init__(self, desk: Desk, users: Callable[[], Users | None]) -> None:
        self._desk = desk
        self._users = users
        self._sessions: dict[bytes, ConsoleSession] = {}
        self._numbers = count(1)

    def takes(self, first: CancelRequest | StartupMessage) -> bool:
        """Whether this is a client of the console, or wants to interrupt one."""
        if isinstance(first, CancelRequest):
            return first.packet[8:] in self._sessions
        users = self._users()
        return users is not None and first.version[0] == 3 and first.database == users.settings.database

    async def serve(self, client: End, begin: Begin, logged_in: Callable[[], None]) -> bytes:
        """To the end. Returns what is to be said last.

        Args:
            logged_in: called when the login is over.
        """
        if isinstance(begin.first, CancelRequest):
            session = self._sessions.get(begin.first.packet[8:])
            if session is not None:
                session.cancel()
            return b""
        try:
            return await self._serve(client, begin.first, begin.rest, logged_in)
        except Exception:
            log.exception("console_failed", **begin.first.who)
            return farewells.INTERNAL_ERROR

    async def _serve(self, client: End, startup: StartupMessage, rest: bytes, logged_in: Callable[[], None]) -> bytes:
        users = self._users()
        assert users is not None
        this = asyncio.current_task()
        assert this is not None
        with _Watched(client, rest, this) as reading:
            try:
                _negotiate(client, startup)
                await let_in(client, reading, users, startup.user)
                logged_in()
                key = self._greet(client)
                session = ConsoleSession(client, reading, self._desk, startup.user, users.may_change(startup.user))
                self._sessions[key] = session
                try:
                    await session.serve()
                finally:
                    del self._sessions[key]
            except LoginFailed as error:
                log.warning("console_login_failed", reason=str(error), **startup.who)
                return error.answer
            except ConnectionError:
                pass
        return b""

    def _greet(self, client: End) -> bytes:
        key = _KEY.pack(next(self._numbers) & 0x7FFFFFFF, int.from_bytes(secrets.token_bytes(4), "big", signed=True))
        client.write(_AUTHENTICATION_OK)
        for name, value in _PARAMETERS.items():
            client.write(message(b"S", f"{name}\0{value}\0".encode()))
        client.write(message(b"K", key))
        return key


class _Watched(Reading):
    """Ends the task that serves a client as soon as that is gone: an operator who is not there wants nothing done."""

    def __init__(self, end: End, received: bytes, task: asyncio.Task[object]) -> None:
        super().__init__(end, received, _MESSAGE_LIMIT_BYTES)
        self._task = task

    def eof_received(self) -> bool:
        super().eof_received()
        asyncio.get_running_loop().call_soon(self._end_of_client)
        return True

    def _end_of_client(self) -> None:
        if b"X" not in self.rest[:1]:
            self._task.cancel()


def _negotiate(client: End, startup: StartupMessage) -> None:
    """Protocol 3.0 is what is spoken here; a client that asks for more is told so, and what of it is not known."""
    unknown = [name for name in startup.parameters if name.startswith("_pq_.")]
    if startup.version[1] or unknown:
        names = b"".join(name.encode(errors="surrogateescape") + b"\0" for name in unknown)
        client.write(message(b"v", _INT32.pack(3 << 16) + _INT32.pack(len(unknown)) + names))


def mock_key() -> bytes:
    return os.urandom(32)
