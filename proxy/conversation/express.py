"""The express lane: rounds that concern no migration pass as they came, and the ledger never hears of them.

A round is what a client sends before it waits (one Query, or messages up to a Sync) with all that the server answers.
Nearly all rounds are plain: they come in one piece each way, touch no managed table, move no name that the session
keeps, and succeed. Nothing has to be known of those but that a transaction was running, and whether it still is.

    client's piece:  plain?  no ──► the conversation          yes ──► passes, and is kept
    server's piece:  the whole, usual answer?  yes ──► passes, and the round is over
                                               no  ──► the conversation is told the kept piece as if it had just come,
                                                       and goes on as ever (`Conversation.receive_server`)

So the conversation is the reference, and this module only a shorter way to the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from proxy.conversation.state import State
from proxy.conversation.statements import UNCONCERNED, Statement, key_of
from proxy.wire.framing import HEADER_BYTES
from proxy.wire.messages import Parse, read_names, read_target
from rules.migration import Client
from rules.snapshot import Snapshot

_LENGTH: Final = Struct(">i")
#: Longer pieces gain nothing here.
_PIECE_BYTES: Final = 8_192
_QUERY, _PARSE, _BIND, _DESCRIBE, _EXECUTE, _SYNC = b"QPBDES"
_COMPLETE: Final = ord("C")
_READY_BYTES: Final = 6
#: So many per session; a client that sends new literals each time fills them with what it never sends again.
_PLAIN_TEXTS: Final = 32
_READY: Final = tuple(b"Z\0\0\0\5" + status for status in (b"I", b"T"))
_IDLE: Final = ord("I")


def _flags(kinds: bytes) -> bytes:
    return bytes(kind in kinds for kind in range(256))


#: Of the server: what nobody has to look into. Not errors, notices, parameters, COPY, PortalSuspended.
_USUAL: Final = _flags(b"12nTDCI")
#: How the tags begin of statements that move nothing which the session keeps; `COMMIT` with no portal left.
_USUAL_TAGS: Final = frozenset((b"SELE", b"INSE", b"UPDA", b"DELE", b"MERG", b"BEGI", b"COMM", b"SET\0"))
#: None of these is in a text that leaves the session as it was: names that it keeps, the ways to read the next text.
_STIRRING: Final = (
    *(b"prepare", b"execute", b"deallocate", b"declare", b"fetch", b"move", b"close", b"savepoint", b"release"),
    *(b"rollback", b"reset", b"discard", b"schema", b"role", b"authorization", b"temp", b"names"),
    *(b"search_path", b"set_config", b"client_encoding", b"standard_conforming_strings"),
)


@dataclass(slots=True, frozen=True, eq=False)
class _Form:
    """What a driver's rounds of one prepared statement have in common: all but the parameters.

    Attributes:
        parse: the Parse message before the Bind; may be empty.
        names: how the Bind begins, behind its length: the portal and the statement.
        rest: what follows the Bind; none of it names a statement.
    """

    parse: bytes
    names: bytes
    rest: bytes
    statement: Statement

    def has(self, piece: bytes) -> bool:
        """Whether the piece differs in the parameters alone."""
        bind, size = len(self.parse), len(piece)
        names = bind + HEADER_BYTES
        if size < names + len(self.names) + len(self.rest) or piece[bind] != _BIND:
            return False
        if not (piece.startswith(self.names, names) and piece.endswith(self.rest) and piece.startswith(self.parse)):
            return False
        return bool(bind + 1 + _LENGTH.unpack_from(piece, bind + 1)[0] == size - len(self.rest))


class Express:
    """`piece`: what the client sent in the round under way; empty if there is none."""

    __slots__ = ("_form", "_found_by", "_found_in", "_known", "_parsed", "_plain", "_rounds", "_state", "piece")

    def __init__(self, state: State) -> None:
        self._state = state
        self.piece = b""
        #: What the round under way leaves as the named statement, if it does.
        self._parsed: Statement | None = None
        #: How many statements it runs, for the tally.
        self._rounds = 0
        #: Prepared statements and the latest texts that were found plain, in that snapshot for that client.
        self._known: dict[bytes, Statement] = {}
        self._plain: set[bytes] = set()
        #: Of the latest round that had one, in that snapshot for that client.
        self._form: _Form | None = None
        self._found_in: Snapshot | None = None
        self._found_by: Client | None = None

    def begin(self, piece: bytes) -> bool:
        """Whether a piece that came while nothing was under way is a plain round. Then it may be passed on as it is."""
        if len(piece) > _PIECE_BYTES:
            return False
        form = self._form
        is_like_last = form is not None and form.has(piece)
        if not is_like_last and not self._is_round(piece):
            return False
        state = self._state
        snapshot = state.snapshot
        if snapshot is None:
            if state.change or not state.pins.may_begin(state.process):
                return False
            snapshot = state.snapshot = state.pins.try_pin()
            if snapshot is None:
                return False
        if self._found_in is not snapshot or self._found_by is not state.judge.settings.client:
            self._found_in, self._found_by = snapshot, state.judge.settings.client
            self._known.clear()
            self._plain.clear()
            form = self._form = None
        self._parsed = None
        if form is not None and is_like_last and self._repeat(form):
            self.piece = piece
            return True
        if not (self._query(piece, snapshot) if piece[0] == _QUERY else self._extended(piece, snapshot)):
            return False
        self.piece = piece
        return True

    def finish(self, piece: bytes) -> bool:
        """Whether this is the whole, usual answer of the round under way, which is over then."""
        status = self._status(piece)
        if not status:
            return False
        state = self._state
        if self.piece[0] == _QUERY:
            state.statements.pop(b"", None)
        elif self._parsed is not None:
            state.statements[self._parsed.name] = self._parsed
        state.tally.untouched += self._rounds
        state.times_ready += 1
        self.piece = b""
        if status == _IDLE:
            state.release()
        return True

    @staticmethod
    def _is_round(piece: bytes) -> bool:
        """Whether it is one Query, or Parse, Bind, Describe and Execute up to a Sync, and nothing more or less."""
        size, at, unpack = len(piece), 0, _LENGTH.unpack_from
        while size - at >= HEADER_BYTES:
            kind, length = piece[at], unpack(piece, at + 1)[0]
            at += length + 1
            if kind in (_QUERY, _SYNC):
                return at == size and (kind == _SYNC or at == length + 1)
            if length < 4 or kind not in b"PBDE":
                return False
        return False

    @staticmethod
    def _status(piece: bytes) -> int:
        """The status of the ReadyForQuery that ends a whole answer in which nothing is unusual; 0 if this is none."""
        if not piece.endswith(_READY):
            return 0
        end, at, unpack = len(piece) - _READY_BYTES, 0, _LENGTH.unpack_from
        while at < end:
            kind = piece[at]
            if not _USUAL[kind] or (kind == _COMPLETE and piece[at + 5 : at + 9] not in _USUAL_TAGS):
                return 0
            length = unpack(piece, at + 1)[0]
            if length < 4:
                return 0
            at += length + 1
        return piece[-1] if at == end else 0

    def _query(self, piece: bytes, snapshot: Snapshot) -> bool:
        self._rounds = 1
        # Not a malformed one, in which there is more behind the text.
        return piece.find(0, HEADER_BYTES) == len(piece) - 1 and self._is_plain(piece[HEADER_BYTES:-1], snapshot)

    def _repeat(self, form: _Form) -> bool:
        """Whether the statement of that form still is the one it was; then the round is as plain as the last."""
        statement = form.statement
        if statement.planned is not UNCONCERNED:
            return False
        if form.parse:
            # It may have been prepared anew for another snapshot, or taken from the server, since.
            if statement.snapshot is not self._found_in or statement.server_text is not statement.text:
                return False
            if statement.lexing != self._state.judge.lexing:
                return False
            self._parsed = statement
        elif self._state.statements.get(statement.name) is not statement:
            return False
        self._rounds = 1
        return True

    def _extended(self, piece: bytes, snapshot: Snapshot) -> bool:
        at, self._rounds, names_one = 0, 0, False
        self._form = form = None
        while (kind := piece[at]) != _SYNC:
            end = at + _LENGTH.unpack_from(piece, at + 1)[0] + 1
            body = piece[at + HEADER_BYTES : end]
            at = end
            if kind == _PARSE:
                if self._parsed is not None or self._rounds or not self._parse(body, snapshot):
                    return False
            elif kind == _BIND:
                names = read_names(body, 2)
                if names is None or not self._is_known(key_of(names[1]), snapshot):
                    return False
                self._rounds += 1
                form = self._form_of(piece, end - len(body) - HEADER_BYTES, end, names)
            elif kind == _DESCRIBE:
                target = read_target(body)
                if target is None:
                    return False
                if target[0] == b"S" and not self._is_known(key_of(target[1]), snapshot):
                    return False
                names_one = names_one or target[0] == b"S"
        if self._rounds == 1 and not names_one:
            self._form = form
        return True

    def _form_of(self, piece: bytes, start: int, end: int, names: tuple[bytes, ...]) -> _Form | None:
        parsed, key = self._parsed, key_of(names[1])
        if not start:
            statement = self._state.statements.get(key)
        elif parsed is not None and parsed.name == key and _LENGTH.unpack_from(piece, 1)[0] + 1 == start:
            statement = parsed  # only a Parse comes before
        else:
            return None
        return None if statement is None else _Form(piece[:start], b"%b\0%b\0" % names, piece[end:], statement)

    def _parse(self, body: bytes, snapshot: Snapshot) -> bool:
        parse = Parse.read(body)
        if parse is None or not self._is_plain(parse.text, snapshot):
            return False
        judge, text = self._state.judge, parse.text
        name, client = key_of(parse.name), judge.settings.client
        self._parsed = Statement(name, text, parse.types, snapshot, client, UNCONCERNED, text, judge.lexing)
        return True

    def _is_known(self, name: bytes, snapshot: Snapshot) -> bool:
        """Whether what a Bind or Describe means is plain: prepared in this round, or found so before."""
        if self._parsed is not None and name == self._parsed.name:
            return True
        statement = self._state.statements.get(name)
        if statement is None:
            return False
        if self._known.get(name) is statement:
            return True
        if statement.planned is not UNCONCERNED or statement.command is not None or statement.text is None:
            return False
        if not self._is_plain(statement.text, snapshot):
            return False
        self._known[name] = statement
        return True

    def _is_plain(self, text: bytes, snapshot: Snapshot) -> bool:
        """Whether a text concerns no migration, and leaves the session as it was."""
        if text in self._plain:
            return True
        lowered = text.lower()
        for word in _STIRRING:
            if word in lowered:
                return False
        if snapshot.tables and not self._state.judge.passes(text, snapshot):
            return False
        if len(self._plain) >= _PLAIN_TEXTS:
            self._plain.clear()
        self._plain.add(text)
        return True
