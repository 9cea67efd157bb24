"""The server's messages: which request each answers, and how the client has to see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from proxy.conversation.ledger import Step
from proxy.conversation.names import NAME_TAGS, follow_tag
from proxy.conversation.replies import is_refusal_answered, refused, translated
from proxy.conversation.state import State
from proxy.wire.framing import HEADER_BYTES, Framer
from proxy.wire.messages import UNDEFINED_STATEMENT, ErrorFields, patch_row_description, read_pair

#: Enough of a CommandComplete for its tag.
_HEAD_BYTES: Final = 64

_CATALOG_TAGS: Final = (b"CREATE ", b"ALTER ", b"DROP ", b"IMPORT ")


class Answers:
    """Deals with the message that the framer shows. Every method returns False if more of it has to come first."""

    __slots__ = ("_framer", "_state")

    def __init__(self, state: State, framer: Framer) -> None:
        self._state = state
        self._framer = framer

    def receive(self, kind: int) -> bool:
        return _HANDLERS[kind](self)

    def _complete(self, step: Step) -> bool:
        entry = self._state.ledger.complete(step)
        if entry is not None and entry.injected:
            self._framer.skip()
        else:
            self._framer.accept()
        return True

    def _row_description(self) -> bool:
        head = self._state.ledger.head
        patch = head.result if head is not None else None
        if patch is not None:
            if not self._framer.has(self._framer.total):
                return False
            self._framer.replace(patch_row_description(self._framer.body(), patch, self._state.codec))
        else:
            self._framer.accept()
        self._state.ledger.complete(Step.DESCRIBE)
        return True

    def _statement_done(self) -> bool:
        head = self._state.ledger.head
        silent = head is not None and (head.injected or head.statement in head.silent)
        if head is not None and head.step is Step.QUERY:
            head.statement += 1
        else:
            self._state.ledger.complete(Step.EXECUTE)
        if silent:
            self._framer.skip()
        else:
            self._framer.accept()
        return True

    def _command_complete(self) -> bool:
        if not self._framer.has(min(self._framer.total, _HEAD_BYTES)):
            return False
        tag = self._framer.head(_HEAD_BYTES)[HEADER_BYTES:]
        if tag.startswith(_CATALOG_TAGS):
            self._state.catalog_moved = True
        elif tag.startswith(NAME_TAGS):
            head = self._state.ledger.head
            follow_tag(self._state, tag.rstrip(b"\0"), head.command if head is not None else None)
        return self._statement_done()

    def _error(self) -> bool:
        framer = self._framer
        if framer.total > self._state.buffer_limit:
            framer.accept()
            self._fail()
            return True
        if not framer.has(framer.total):
            return False
        head = self._state.ledger.head
        error = ErrorFields.read(framer.body())
        if head is not None and head.refused is not None and is_refusal_answered(error):
            framer.replace(refused(error, head.refused.refusal, self._state.codec).write())
        elif self._state.manages_tables or (head is not None and head.positions is not None):
            framer.replace(translated(error, head.positions if head else None).write())
        else:
            framer.accept()
        self._fail()
        if head is not None and head.name is not None and error.get(b"C") == UNDEFINED_STATEMENT:
            self._state.ledger.forget(self._state.statements, head.name)
        return True

    def _fail(self) -> None:
        self._state.failed = True
        self._state.ledger.fail()

    def _notice(self) -> bool:
        if not self._state.manages_tables or self._framer.total > self._state.buffer_limit:
            self._framer.accept()
            return True
        if not self._framer.has(self._framer.total):
            return False
        head = self._state.ledger.head
        notice = translated(ErrorFields.read(self._framer.body()), head.positions if head else None)
        self._framer.replace(notice.write(b"N"))
        return True

    def _parameter_status(self) -> bool:
        if not self._framer.has(self._framer.total):
            return False
        pair = read_pair(self._framer.body())
        if pair is not None:
            self._state.judge.settings.update(*pair)
        self._framer.accept()
        return True

    def _copy_in(self) -> bool:
        self._state.ledger.begin_copy()
        self._framer.accept()
        return True

    def _key_data(self) -> bool:
        """BackendKeyData: which process serves this client, and a key for its cancel requests."""
        if not self._framer.has(self._framer.total):
            return False
        body = self._framer.body()
        if self._state.process is None and len(body) >= 4:
            self._state.process = self._state.pins.enrol(int.from_bytes(body[:4], "big", signed=True))
        self._framer.accept()
        return True

    def _ready(self) -> bool:
        if not self._framer.has(self._framer.total):
            return False
        state = self._state
        state.ledger.complete_cycle()
        # A COPY may fail before it has read anything: then the Sync behind its Execute was not ignored after all.
        state.ledger.skipping = False
        idle = self._framer.body()[:1] == b"I"
        self._framer.accept()
        state.cycles += 1
        state.times_ready += 1
        at_rest = not len(state.ledger)
        if idle and state.portals and (at_rest or any(bound.statement is None for bound in state.portals.values())):
            state.end_transaction(committed=not state.failed)
        state.failed = False
        if at_rest:
            state.cycles = 0
            state.judge.settle()
            if idle:
                state.release()
        return True


_HANDLERS: Final[Mapping[int, Callable[[Answers], bool]]] = {
    ord("1"): partial(Answers._complete, step=Step.PARSE),
    ord("2"): partial(Answers._complete, step=Step.BIND),
    ord("3"): partial(Answers._complete, step=Step.CLOSE),
    ord("n"): partial(Answers._complete, step=Step.DESCRIBE),
    ord("s"): partial(Answers._complete, step=Step.EXECUTE),
    ord("I"): Answers._statement_done,
    ord("T"): Answers._row_description,
    ord("C"): Answers._command_complete,
    ord("E"): Answers._error,
    ord("N"): Answers._notice,
    ord("S"): Answers._parameter_status,
    ord("G"): Answers._copy_in,
    ord("K"): Answers._key_data,
    ord("Z"): Answers._ready,
}
