"""What all sessions of a process share."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.config import ProxyFile
from proxy.conversation.actions import Tally
from proxy.conversation.opening import Encryption
from proxy.conversation.statements import Planner, Question, Verdict
from proxy.dialer import Dialer
from proxy.foreground import Foreground
from proxy.pins import Pins


class AnySession(Protocol):
    """What is done with every session at once."""

    def drain(self) -> None:
        """End as soon as no transaction runs."""

    def abort(self) -> None:
        """End now."""


@dataclass(slots=True)
class Gateway:
    """`database` is the managed one; None if any may be."""

    dialer: Dialer
    pins: Pins
    planner: Planner
    tally: Tally
    file: ProxyFile
    database: str | None = None
    #: Plans what takes too long for the event loop; None if nothing does.
    ask: Callable[[Question], Awaitable[Verdict]] | None = None
    #: For clients that ask for encryption; None if they are told no.
    client_tls: ssl.SSLContext | None = None
    sessions: set[AnySession] = field(default_factory=set)
    opened: int = 0
    unreachable: int = 0
    foreground: Foreground = field(default_factory=Foreground)
    #: Set while no session is left.
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False

    @property
    def encryption(self) -> Encryption:
        if self.client_tls is None:
            return Encryption.NONE
        return Encryption.REQUIRED if self.file.client_tls.sslmode.requires else Encryption.OFFERED
