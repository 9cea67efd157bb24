"""A conversation that is timed: which statements took long, and whether the proxy or the server took the time.

A round begins when a message of the client's is there while nothing is under way (not when it begins to come in), and
ends when the server owes nothing and nothing is held. The clock stands to the server's account from when something was
sent there until something comes back, and to the proxy's for the rest: planning, a hold during a phase change, the way
through the process. A client that is slow to send or to read within a round (COPY, a large result) is on the server's
account, as it is in the server's own log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from proxy.conversation.actions import Action, ToServer
from proxy.conversation.conversation import Conversation
from proxy.conversation.statements import Question, Verdict, key_of
from proxy.wire.framing import HEADER_BYTES
from proxy.wire.messages import read_names

_LENGTH: Final = Struct(">i")
#: Of what the client sent in a round, to know what it was.
_KEPT_BYTES: Final = 16 << 10
_QUERY, _PARSE, _BIND = b"QPB"


@dataclass(frozen=True, slots=True)
class Slow:
    """One round: the texts of its statements as the client wrote them, as far as they were kept; durations in
    seconds."""

    texts: tuple[bytes, ...]
    took_s: float
    server_s: float

    @property
    def milliseconds(self) -> dict[str, float]:
        """The whole, and how it is split."""
        split = {"duration_ms": self.took_s, "proxy_ms": self.took_s - self.server_s, "server_ms": self.server_s}
        return {name: round(1000 * seconds, 3) for name, seconds in split.items()}


class TimedConversation(Conversation):
    """
    Args:
        threshold_s: rounds that take as long, or longer, are reported.
        report: told of each when it is over.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *arguments: Any,
        threshold_s: float,
        report: Callable[[Slow], None],
        clock: Callable[[], float],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._threshold_s = threshold_s
        self._report = report
        self._clock = clock
        #: When the round under way has begun, what of it was kept, and what is on the server's account.
        self._since: float | None = None
        self._kept = b""
        self._server_since: float | None = None
        self._server_s = 0.0
        #: So far only a part of a message has come.
        self._comes_in = False

    def passes_client(self, data: bytes) -> bool:
        self._begin(data)
        passed = super().passes_client(data)
        if passed:
            self._asked()
        return passed

    def receive_client(self, data: bytes) -> list[Action]:
        return self._sent(super().receive_client(data))

    def resume(self) -> list[Action]:
        return self._sent(super().resume())

    def learn(self, question: Question, answer: Verdict) -> list[Action]:
        return self._sent(super().learn(question, answer))

    def passes_server(self, data: bytes) -> bool:
        self._answered()
        passed = super().passes_server(data)
        if passed:
            self._end()
        return passed

    def receive_server(self, data: bytes) -> list[Action]:
        return self._sent(super().receive_server(data), answered=True)

    def _begin(self, data: bytes) -> None:
        if self._since is None:
            if not self._state.times_ready:
                return  # a login waits for people
            self._since, self._kept, self._server_s, self._server_since = self._clock(), b"", 0.0, None
        elif self._comes_in:
            self._since = self._clock()
        self._comes_in = False
        if len(self._kept) < _KEPT_BYTES:
            self._kept += data[: _KEPT_BYTES - len(self._kept)]

    def _asked(self) -> None:
        if self._server_since is None:
            self._server_since = self._clock()

    def _answered(self) -> None:
        if self._server_since is not None:
            self._server_s += self._clock() - self._server_since
            self._server_since = None

    def _sent(self, actions: list[Action], *, answered: bool = False) -> list[Action]:
        if self._since is not None:
            if self._is_over:
                self._end()
            elif answered or any(isinstance(action, ToServer) for action in actions):
                self._asked()
            else:
                self._comes_in = not (len(self._state.ledger) or self._held or self._asking)
        return actions

    @property
    def _is_over(self) -> bool:
        under_way = len(self._state.ledger) or self._express.piece or self._held or self._asking
        return not (under_way or self._client.holds_some)

    def _end(self) -> None:
        if self._since is None:
            return
        took_s = self._clock() - self._since
        if took_s >= self._threshold_s:
            self._report(Slow(tuple(self._texts()), took_s, self._server_s))
        self._since, self._kept = None, b""

    def _texts(self) -> list[bytes]:
        """Of the messages of the round; a statement that was prepared before has the text that it had then."""
        kept, at, found = self._kept, 0, []
        while at + HEADER_BYTES <= len(kept):
            kind, length = kept[at], _LENGTH.unpack_from(kept, at + 1)[0]
            body = kept[at + HEADER_BYTES : at + 1 + length]
            at += 1 + max(length, 4)
            if kind == _QUERY:
                found.append(body.partition(b"\0")[0])
            elif kind == _PARSE:
                found.append(body.partition(b"\0")[2].partition(b"\0")[0])
            elif kind == _BIND and (names := read_names(body, 2)) and names[1]:
                statement = self._state.statements.get(key_of(names[1]))
                text = statement.text if statement is not None else None
                if text is not None and text not in found:
                    found.append(text)
        return found
