"""Prepared statements and portals: what the client named, and what the server has under that name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.wire.encodings import Undecodable, encode
from rules.catalog import Volatility
from rules.commands import Command
from rules.migration import Client
from rules.plan import Plan, PositionMap, Refuse, ResultPatch, Rewrite, Untouched
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


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What the planner is asked."""

    sql: str
    snapshot: Snapshot
    client: Client
    #: The same as the client sent it, in that codec; for `considered`.
    text: bytes = b""
    codec: str | None = None

    @property
    def key(self) -> tuple[str, int, Client]:
        return self.sql, id(self.snapshot), self.client


class Unplanned(Exception):
    """The planner takes too long for this one: ask it elsewhere, and look at the message again with the answer."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


@dataclass(frozen=True, slots=True)
class Traits:
    """What a look at the words of a text says, without reading it."""

    moves_path: bool
    moves_lexing: bool
    holds_commands: bool
    temporary: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan with what else takes long for a long text: its traits, and what the server gets (None: cannot be said)."""

    planned: Planned
    traits: Traits
    server_text: bytes | None


#: For a text that cannot name a managed table.
UNCONCERNED: Final = Planned(Untouched())


@dataclass(slots=True, eq=False)
class Statement:
    """A prepared statement. `text` is the client's (None: longer than is kept), `server_text` what the server prepared.

    `snapshot` and `client` are what `planned` was made for. `server_text` is None when the server has nothing of that
    name. `command` is what the text itself does with names, if it can be prepared and does. `by_sql`: made by SQL's
    PREPARE, and both texts are that PREPARE.
    """

    name: bytes
    text: bytes | None
    types: bytes
    snapshot: Snapshot
    client: Client
    planned: Planned
    server_text: bytes | None
    #: The settings under which the text was read (`Judge.lexing`).
    lexing: tuple[str | None, bool]
    command: Command | None = None
    by_sql: bool = False
    #: Where the text stood in the text that the client sent, in characters.
    offset: int = 0

    @property
    def positions(self) -> PositionMap | None:
        """From what the server has to the client's text; not for what PREPARE made, whose text is another."""
        return self.planned.rewrite.positions if self.planned.rewrite and not self.by_sql else None

    @property
    def result(self) -> ResultPatch | None:
        """How the description of its rows has to be patched."""
        rewrite = self.planned.rewrite
        patches = () if rewrite is None else rewrite.makes if self.by_sql else rewrite.results
        return patches[0] if patches else None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A portal: a statement as it was planned when it was bound, or a cursor that SQL's DECLARE made (no statement).

    `result` patches the description of its rows. `holds`: it outlives its transaction.
    """

    statement: Statement | None
    planned: Planned
    result: ResultPatch | None = None
    holds: bool = False


_NAME = rb'(?:"((?:[^"]|"")+)"|([a-z_\x80-\xff][\w$\x80-\xff]*))'
_COMMANDS = b"prepare execute deallocate declare fetch move close savepoint release rollback".split()
_BEGINS = (b"begin", b"start", b"chain", b"copy")
_PREPARES = (b"prepare", b"deallocate")
#: PostgreSQL compares that many bytes of a name (NAMEDATALEN - 1).
_NAME_BYTES: Final = 63


def may_hold_commands(text: bytes) -> bool:
    """Whether any statement of the text may make or use a name that the session keeps."""
    return _has_word(text, _COMMANDS)


def may_prepare(text: bytes) -> bool:
    """Whether any statement of the text may make or drop a prepared statement."""
    return _has_word(text, _PREPARES)


def may_begin(text: bytes) -> bool:
    """Whether any statement of the text may begin a transaction that outlives it, or wait for more from the client."""
    return _has_word(text, _BEGINS)


def key_of(name: bytes) -> bytes:
    """What a prepared statement or portal of that name is known by."""
    return name[:_NAME_BYTES]


def _folded(match: re.Match[bytes]) -> bytes:
    quoted, bare = match.groups()
    return bytes(bare).lower() if quoted is None else bytes(quoted).replace(b'""', b'"')


# What may change how the next statement is read before the server can have told us. PostgreSQL reports changed
# parameters only in front of ReadyForQuery, so a pipeline may be ahead of it.
_MOVES_PATH = (b"schema", b"reset", b"discard", b"rollback", b"authorization", b"role")
_SETS_PATH = (b"search_path", b"set_config")
_MOVES_LEXING = (b"names",)
_SETS_LEXING = (b"standard_conforming_strings", b"client_encoding")
_GAP = rb"(?:\s|/\*.*?\*/|--[^\n]*\n)"
#: Both at the letters "temp".
_TEMPORARY, _TEMPORARY_SCHEMA = (
    re.compile(pattern.replace(b"GAP", _GAP) + _NAME, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rb"\btemp(?:orary)?GAP+(?:(?:recursiveGAP+)?(?:table|view)GAP+)?(?:ifGAP+notGAP+existsGAP+)?",
        rb"(?<=\bpg_)tempGAP*\.GAP*",
    )
)


_RUNS = (b"call", b"execute")
_CALL = re.compile(_NAME + _GAP + rb"*\(", re.IGNORECASE | re.DOTALL)
_DO = re.compile(rb"\bdo" + _GAP + rb"*(?:\$|'|e'|u&'|language\b)", re.IGNORECASE | re.DOTALL)
#: PostgreSQL's own volatile functions that leave search_path alone.
_HARMLESS: Final = frozenset(
    "nextval setval currval lastval random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7"
    " pg_sleep pg_notify pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock pg_try_advisory_xact_lock"
    " pg_advisory_unlock pg_advisory_unlock_all".split()
)


def considered(question: Question, planned: Planned) -> Verdict:
    """The answer to a question with this plan."""
    text = question.text
    traits = Traits(
        may_move_path(text),
        may_move_lexing(text),
        may_hold_commands(text),
        temporary_names(text, question.codec or "utf-8"),
    )
    try:
        server_text = encode(planned.rewrite.sql, question.codec) if planned.rewrite else text
    except Undecodable:
        server_text = None
    return Verdict(planned, traits, server_text)


def may_move_path(text: bytes) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in _SETS_PATH) or _has_word(text, _MOVES_PATH)


def may_run_functions(text: bytes, volatility: Mapping[str, Volatility]) -> bool:
    """Whether a text calls a function that may do anything at all. `volatility` is the catalog's, by bare name.

    What a trigger, a default or an operator calls is not seen; no application is known to set a path in one.
    """
    if _has_word(text, _RUNS) or _DO.search(text):
        return True
    called = {_folded(match).decode(errors="replace") for match in _CALL.finditer(text)}
    return any(volatility.get(name) is Volatility.VOLATILE for name in called - _HARMLESS)


def may_move_lexing(text: bytes) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in _SETS_LEXING) or _has_word(text, _MOVES_LEXING)


def temporary_names(text: bytes, codec: str) -> frozenset[str]:
    """The names of the temporary relations that a text makes (or at least speaks of)."""
    found = set()
    for at in _places(text.lower(), b"temp"):
        match = _TEMPORARY.match(text, at) or _TEMPORARY_SCHEMA.match(text, at)
        if match is not None:
            found.add(_folded(match).decode(codec, errors="replace"))
    return frozenset(found)


def _has_word(text: bytes, words: Iterable[bytes]) -> bool:
    """Whether one of these (lower-case) words stands in a text; many times as fast as a regular expression."""
    lowered = text.lower()
    for word in words:
        for at in _places(lowered, word):
            end = at + len(word)
            if not (at and _IN_WORD[lowered[at - 1]]) and not (end < len(lowered) and _IN_WORD[lowered[end]]):
                return True
    return False


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


#: By byte: whether it belongs to a word.
_IN_WORD: Final = bytes(chr(code).isalnum() or chr(code) == "_" for code in range(128)) + bytes(128)
