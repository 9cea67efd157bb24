"""What a conversation asks its session to do, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from proxy.conversation.pins import ServerProcess
from proxy.conversation.statements import Question
from rules.errors import Refusal


@dataclass(frozen=True, slots=True)
class ToServer:
    data: bytes


@dataclass(frozen=True, slots=True)
class ToClient:
    data: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """New transactions are held: call `resume` when the control side says so of this process."""

    process: ServerProcess | None


@dataclass(frozen=True, slots=True)
class Dismiss:
    """The session cannot be served: tell the client why, and close."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """To be logged; the client learns it from the server's reply."""

    refusal: Refusal
    migration: str
    text: str

    @property
    def facts(self) -> dict[str, object]:
        """Without the text, which may hold what nobody else should read."""
        return {
            "migration": self.migration,
            "sqlstate": self.refusal.sqlstate,
            "reason": self.refusal.message,
            "statement_bytes": len(self.text),
        }


@dataclass(frozen=True, slots=True)
class Ask:
    """The client is held: plan this away from the event loop, and let it `learn` the answer."""

    question: Question


Action = ToServer | ToClient | Hold | Ask | Dismiss | Refused


@dataclass(slots=True)
class Tally:
    """Statements by what happened to them: each Query, each Bind, and each Parse that was refused.

    `observed` are those of `untouched` that a migration would refuse if it did not say `on_unsupported: observe`.
    """

    untouched: int = 0
    observed: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    prepared_again: int = 0
    held: int = 0
