"""Prepared statements and portals: what the client named, and what the server has under that name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from rules.migration import Client
from rules.plan import Plan, Refuse, Rewrite, Untouched
from rules.snapshot import Snapshot

#: A session's application_name and user.
Who = tuple[str, str]


class Watch(Protocol):
    """Counts how often a planned statement is sent, and by whom; cheap enough for each time."""

    def saw(self, who: Who) -> None: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the migrations that the statement may concern (for counting; empty if none).

    `watch` is told of each time that the statement is sent, or refused; None if nobody wants to know.
    """

    plan: Plan
    migration: str = ""
    watch: Watch | None = None

    @property
    def rewrite(self) -> Rewrite | None:
        return self.plan if isinstance(self.plan, Rewrite) else None

    @property
    def refusal(self) -> Refuse | None:
        return self.plan if isinstance(self.plan, Refuse) else None


Planner = Callable[[str, Snapshot, Client], Planned]

#: For a text that cannot name a managed table.
UNCONCERNED: Final = Planned(Untouched())


@dataclass(slots=True, eq=False)
class Statement:
    """A prepared statement. `text` is the client's (None: longer than is kept), `server_text` what the server prepared.

    `snapshot` and `client` are what `planned` was made for. `server_text` is None when the server may have nothing.
    """

    name: bytes
    text: bytes | None
    types: bytes
    snapshot: Snapshot
    client: Client
    planned: Planned
    server_text: bytes | None


@dataclass(frozen=True, slots=True)
class Bound:
    """What a portal runs: a statement as it was planned when it was bound."""

    statement: Statement
    planned: Planned


_NAME = rb'(?:"((?:[^"]|"")+)"|([a-z_\x80-\xff][\w$\x80-\xff]*))'
_DEALLOCATE = re.compile(rb"\s*deallocate\s+(?:prepare\s+)?" + _NAME, re.IGNORECASE)
_PREPARE = re.compile(rb"\s*prepare\s+" + _NAME, re.IGNORECASE)
_EXECUTE = re.compile(rb"\bexecute\s+" + _NAME, re.IGNORECASE)


def deallocated_name(text: bytes) -> bytes | None:
    """The name that a DEALLOCATE drops; None for any other text. A miss only costs memory: the server decides."""
    match = _DEALLOCATE.match(text)
    return _folded(match) if match else None


def prepared_name(text: bytes) -> bytes | None:
    """The name that an SQL PREPARE at the start of a text makes."""
    match = _PREPARE.match(text)
    return _folded(match) if match else None


def executed_names(text: bytes) -> list[bytes]:
    """Whatever an SQL EXECUTE anywhere in the text may run."""
    return [_folded(match) for match in _EXECUTE.finditer(text)]


def _folded(match: re.Match[bytes]) -> bytes:
    quoted, bare = match.groups()
    return bytes(bare).lower() if quoted is None else bytes(quoted).replace(b'""', b'"')


# What may change how the next statement is read before the server can have told us. PostgreSQL reports changed
# parameters only in front of ReadyForQuery, so a pipeline may be ahead of it.
_MOVES_PATH = re.compile(
    rb"search_path|set_config|\bschema\b|\breset\b|\bdiscard\b|\brollback\b|\bauthorization\b|\brole\b", re.IGNORECASE
)
_MOVES_LEXING = re.compile(rb"standard_conforming_strings|client_encoding|\bnames\b", re.IGNORECASE)
_GAP = rb"(?:\s|/\*.*?\*/|--[^\n]*\n)"
_TEMPORARY = re.compile(
    (
        rb"(?:\b(?:temp|temporary)GAP+(?:(?:recursiveGAP+)?(?:table|view)GAP+)?(?:ifGAP+notGAP+existsGAP+)?"
        rb"|\bpg_tempGAP*\.GAP*)"
    ).replace(b"GAP", _GAP)
    + _NAME,
    re.IGNORECASE | re.DOTALL,
)


def may_move_path(text: bytes) -> bool:
    return _MOVES_PATH.search(text) is not None


def may_move_lexing(text: bytes) -> bool:
    return _MOVES_LEXING.search(text) is not None


def temporary_names(text: bytes, codec: str) -> frozenset[str]:
    """The names of the temporary relations that a text makes (or at least speaks of)."""
    return frozenset(_folded(match).decode(codec, errors="replace") for match in _TEMPORARY.finditer(text))
