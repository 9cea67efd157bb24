"""Ends sessions that have not been used for a while, as `idle_session_timeout` does in PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.relay.gateway import Gateway

#: A session may stay longer than it should by this share of the timeout, or by so many seconds.
_SLACK: Final = 0.1
_SLACK_SECONDS: Final = 5.0


class Quiet:
    """How long a session has not been used; costs the data path one attribute."""

    __slots__ = ("_since", "stirred")

    def __init__(self) -> None:
        #: Something has come from the client.
        self.stirred = True
        self._since = 0.0

    def seconds(self, now: float, idle: bool) -> float:
        """As far as those know who ask now and then; `idle`: nothing is under way."""
        if self.stirred or not idle:
            self.stirred, self._since = False, now
        return now - self._since


async def end_idle_sessions(gateway: Gateway) -> None:
    """For ever; a timeout that a reload has changed holds within a few seconds."""
    loop = asyncio.get_running_loop()
    while True:
        timeout_s = gateway.file.limits.idle_timeout_s
        await asyncio.sleep(min(timeout_s * _SLACK, _SLACK_SECONDS) if timeout_s else _SLACK_SECONDS)
        if timeout_s:
            for session in tuple(gateway.sessions):
                session.end_if_idle(loop.time(), timeout_s)
