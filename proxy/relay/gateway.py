"""What all sessions of a process share."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import structlog

from proxy.config import ProxyFile
from proxy.conversation.actions import Tally
from proxy.conversation.conversation import Conversation
from proxy.conversation.judge import Judge
from proxy.conversation.opening import Begin, Encryption, requested_shape
from proxy.conversation.pins import FixedPins, Pins
from proxy.conversation.settings import Settings
from proxy.conversation.statements import Planner, Question, Verdict
from proxy.conversation.timing import Slow, TimedConversation
from proxy.foreground import Foreground
from proxy.relay.dialer import Dialer
from proxy.relay.ends import End
from proxy.relay.facts import Facts
from proxy.relay.login import Ending
from proxy.relay.refusals import Refusals
from proxy.usage.recorder import sample_of
from proxy.wire.startup import CancelRequest, StartupMessage
from rules.catalog import Catalog
from rules.migration import Client
from rules.phases import Shape
from rules.snapshot import Snapshot

#: What sessions of other databases are pinned to.
_ELSEWHERE: Final = FixedPins(Snapshot(0, Catalog(0, {})))
_NOT_REPLICATION: Final = {"", "false", "off", "no", "0", "f", "n"}

log = structlog.get_logger(__name__)


class AnySession(Protocol):
    """What is done with every session at once."""

    def drain(self) -> None:
        """End as soon as no transaction runs."""

    def abort(self) -> None:
        """End now."""

    def end_if_idle(self, now: float, timeout_s: float) -> None:
        """End if it has not been used for so long; to be asked again and again."""

    @property
    def facts(self) -> Facts:
        """For whoever asks."""


class AnyConsole(Protocol):
    """Serves clients that do not want to get to the server."""

    def takes(self, first: CancelRequest | StartupMessage) -> bool:
        """Whether this is one of them, or means one."""

    async def serve(self, client: End, begin: Begin, logged_in: Callable[[], None]) -> bytes:
        """To the end; what is to be said last."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What follows from the settings; a reload makes it anew, for connections that come afterwards."""

    file: ProxyFile
    dialer: Dialer
    client_tls: ssl.SSLContext | None
    ending: Ending | None


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
    #: For logins that cannot be passed on, where both sides are encrypted; None if all are.
    ending: Ending | None = None
    sessions: set[AnySession] = field(default_factory=set)
    opened: int = 0
    unreachable: int = 0
    #: Of `sessions` those that want to use the server, and how many did not get that far for want of room.
    admitted: int = 0
    turned_away: int = 0
    foreground: Foreground = field(default_factory=Foreground)
    #: Set while no session is left.
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    #: Another process has the address already: who comes in at the last moment is served, not sent away.
    taken_over: bool = False
    refusals: Refusals = field(default_factory=Refusals)
    #: Bytes, and statements that took longer than the settings file says.
    received_of_clients: int = 0
    received_of_servers: int = 0
    slow: int = 0
    console: AnyConsole | None = None

    def equip(self, equipment: Equipment) -> None:
        """All at once, and from now on."""
        self.file, self.dialer = equipment.file, equipment.dialer
        self.client_tls, self.ending = equipment.client_tls, equipment.ending

    @property
    def is_full(self) -> bool:
        return self.admitted >= self.file.limits.max_connections

    @property
    def is_crowded(self) -> bool:
        """So many that have not said yet what they want that there is no point in asking; PostgreSQL's own measure."""
        return len(self.sessions) > 2 * self.file.limits.max_connections

    @property
    def encryption(self) -> Encryption:
        if self.client_tls is None:
            return Encryption.NONE
        return Encryption.REQUIRED if self.file.client_tls.sslmode.requires else Encryption.OFFERED

    def converse(self, startup: StartupMessage, shape: Shape) -> Conversation | None:
        """None for what is relayed as raw bytes: replication, other protocols.

        A session of another database is followed as one in which nothing is ever managed, so that it is known when it
        is idle.

        Args:
            shape: the listener's; the client or the settings file may say otherwise.

        Raises:
            UnknownShape: the client asks for one that there is not.
        """
        parameters = startup.parameters
        if startup.version[0] != 3 or parameters.get("replication", "").lower() not in _NOT_REPLICATION:
            return None
        user, database, application = startup.user, startup.database, startup.application
        shape = requested_shape(parameters) or self.file.shape_for(user, database, application) or shape
        elsewhere = self.database is not None and database != self.database
        pins, tally = (_ELSEWHERE, Tally()) if elsewhere else (self.pins, self.tally)
        judge = Judge(pins, self.planner, Settings(Client(shape), user, application))
        limit = self.file.limits.buffer_limit_bytes
        slow_ms = self.file.log.min_duration_statement_ms
        if slow_ms is None:
            return Conversation(pins, judge, tally, buffer_limit=limit, elsewhere=elsewhere)
        report = partial(self._report_slow, startup.who)
        return TimedConversation(
            *(pins, judge, tally),
            threshold_s=slow_ms / 1000,
            report=report,
            clock=time.perf_counter,
            buffer_limit=limit,
            elsewhere=elsewhere,
        )

    def _report_slow(self, who: dict[str, str], slow: Slow) -> None:
        self.slow += 1
        statements = [sample_of(text.decode(errors="replace")) for text in slow.texts]
        log.warning("slow_statement", **slow.milliseconds, statements=statements, **who)
