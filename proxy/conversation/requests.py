"""The client's messages: what is looked into, what the server gets in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.conversation.actions import Refused
from proxy.conversation.ledger import Change, Expected, Step
from proxy.conversation.replies import REFUSED_NAME, refusal_text
from proxy.conversation.state import State
from proxy.conversation.statements import (
    UNCONCERNED,
    Bound,
    Planned,
    Statement,
    deallocated_name,
    executed_names,
    prepared_name,
)
from proxy.wire.framing import HEADER_BYTES, Framer
from proxy.wire.messages import Parse, Query, close_statement, read_names, read_target
from rules.plan import Untouched
from rules.snapshot import Snapshot

#: PQ_SMALL_MESSAGE_LIMIT: the server closes the connection over a longer Describe, Execute or Close.
_SMALL_BYTES: Final = 10_000 + HEADER_BYTES
#: Names are looked for this far into a Bind or Parse (PostgreSQL itself compares only 63 bytes of them).
_NAMES_BYTES: Final = 16_384
#: Enough of a Query for the name in a DEALLOCATE, and of most Binds for both names.
_HEAD_BYTES: Final = 256
#: A longer unnamed statement is not remembered while nothing is managed: hardly anybody binds it much later.
_UNNAMED_BYTES: Final = 1 << 20


class Requests:
    """Deals with the message that the framer shows. Every method returns False if more of it has to come first."""

    __slots__ = ("_framer", "_state")

    def __init__(self, state: State, framer: Framer) -> None:
        self._state = state
        self._framer = framer

    def receive(self, kind: int, snapshot: Snapshot) -> bool:
        return _HANDLERS[kind](self, snapshot)

    def _query(self, snapshot: Snapshot) -> bool:
        framer = self._framer
        # A simple query drops the unnamed statement before anything else.
        gone = self._state.statements.get(b"")
        entry = Expected(Step.QUERY, change=Change(self._state.statements, b"", None, gone) if gone else None)
        if not snapshot.tables:
            if not framer.has(min(framer.total, _HEAD_BYTES)):
                return False
            head = framer.head(_HEAD_BYTES)[HEADER_BYTES:]
            entry.name = deallocated_name(head)
            if prepared_name(head) and framer.total <= self._state.buffer_limit:
                if not framer.has(framer.total):
                    return False
                self._remember_prepare(framer.body()[:-1])
            self._state.tally.untouched += 1
            self._forward(entry)
            return True
        if framer.total > self._state.buffer_limit:
            self._refuse(entry, self._state.judge.too_long(self._state.buffer_limit), Query)
            return True
        if not framer.has(framer.total):
            return False
        query = Query.read(framer.body())
        if query is None:
            self._forward(entry)
            return True
        entry.name = deallocated_name(query.text)
        planned = self._outdated(query.text, snapshot) or self._state.judge.plan(query.text, snapshot)
        if planned.refusal:
            self._refuse(entry, planned, Query, query.text)
            return True
        self._state.judge.sent(query.text, snapshot, planned)
        self._remember_prepare(query.text)
        self._count(planned)
        if planned.rewrite:
            entry.rewrite = planned.rewrite
            framer.replace(Query(self._state.judge.server_text(query.text, planned)).write())
            self._state.ledger.push(entry)
        else:
            self._forward(entry)
        return True

    def _parse(self, snapshot: Snapshot) -> bool:
        framer = self._framer
        kept = framer.total <= self._state.buffer_limit
        if not framer.has(framer.total if kept else _NAMES_BYTES):
            return False
        parse = Parse.read(framer.body()) if kept else None
        if parse is None:
            names = read_names(framer.head(_NAMES_BYTES)[HEADER_BYTES:], 1)
            if not kept and snapshot.tables:
                self._refuse(Expected(Step.PARSE), self._state.judge.too_long(self._state.buffer_limit), Parse)
            elif kept or names is None:
                self._forward(Expected(Step.PARSE))
            else:
                client = self._state.judge.settings.client
                self._prepare(Statement(names[0], None, b"", snapshot, client, UNCONCERNED, None))
            return True
        planned = self._outdated(parse.text, snapshot) or self._state.judge.plan(parse.text, snapshot)
        if planned.refusal:
            gone = self._state.statements.get(b"") if not parse.name else None
            entry = Expected(Step.PARSE, change=Change(self._state.statements, b"", None, gone) if gone else None)
            self._refuse(entry, planned, Parse, parse.text, parse.name)
            return True
        server_text = self._state.judge.server_text(parse.text, planned)
        if planned.rewrite:
            framer.replace(Parse(parse.name, server_text, parse.types).write())
        client = self._state.judge.settings.client
        if not parse.name and not snapshot.tables and len(parse.text) > _UNNAMED_BYTES:
            self._prepare(Statement(parse.name, None, b"", snapshot, client, UNCONCERNED, None))
        else:
            self._prepare(Statement(parse.name, parse.text, parse.types, snapshot, client, planned, server_text))
        return True

    def _prepare(self, statement: Statement) -> None:
        rewrite = statement.planned.rewrite
        change = Change(self._state.statements, statement.name, statement, self._state.statements.get(statement.name))
        self._state.ledger.push(Expected(Step.PARSE, rewrite=rewrite, change=change))
        if not rewrite:
            self._framer.accept()

    def _bind(self, snapshot: Snapshot) -> bool:
        framer = self._framer
        for count in (_HEAD_BYTES, _NAMES_BYTES):
            if not framer.has(min(framer.total, count)):
                return False
            names = read_names(framer.head(count)[HEADER_BYTES:], 2)
            if names is not None:
                break
        entry = Expected(Step.BIND)
        if names is None:
            self._forward(entry)  # the server calls it malformed, or knows no statement of such a name
            return True
        portal, entry.name = names
        if snapshot.tables and not self._state.ledger.is_settled(self._state.statements, entry.name):
            self._state.stalled = True
            return False
        statement = self._state.statements.get(entry.name)
        if statement is None:
            outdated = self._outdated_name(entry.name, snapshot)
            if outdated:
                self._refuse(entry, outdated, Parse, b"", REFUSED_NAME)
                return True
            self._state.tally.untouched += 1
            if portal in self._state.portals:
                entry.change = Change(self._state.portals, portal, None, self._state.portals[portal])
            self._forward(entry)
            return True
        planned = self._outdated(statement.text or b"", snapshot) or self._renewed(statement, snapshot)
        if planned.refusal:
            self._refuse(entry, planned, Parse, statement.text or b"", REFUSED_NAME)
            return True
        self._count(planned)
        entry.rewrite = planned.rewrite
        entry.change = Change(self._state.portals, portal, Bound(statement, planned), self._state.portals.get(portal))
        self._forward(entry)
        return True

    def _renewed(self, statement: Statement, snapshot: Snapshot) -> Planned:
        """The statement's plan for this transaction; in front of the shown message the server's text is made to fit."""
        client = self._state.judge.settings.client
        if statement.snapshot is snapshot and statement.client == client and statement.server_text is not None:
            return self._state.judge.still(statement.planned, snapshot)
        if not snapshot.tables and not statement.snapshot.tables and statement.server_text == statement.text:
            statement.snapshot, statement.client = snapshot, client
            return statement.planned
        if statement.text is None:
            return self._state.judge.too_long(self._state.buffer_limit) if snapshot.tables else UNCONCERNED
        planned = self._state.judge.plan(statement.text, snapshot)
        if planned.refusal:
            return planned
        server_text = self._state.judge.server_text(statement.text, planned)
        if server_text != statement.server_text:
            parse = Parse(statement.name, server_text, statement.types)
            self._framer.insert(close_statement(statement.name) + parse.write())
            self._state.ledger.push(Expected(Step.CLOSE, injected=True))
            self._state.ledger.push(
                Expected(Step.PARSE, injected=True, rewrite=planned.rewrite, name=statement.name, reprepares=statement)
            )
            self._state.tally.prepared_again += 1
        statement.snapshot, statement.client = snapshot, client
        statement.planned, statement.server_text = planned, server_text
        return planned

    def _remember_prepare(self, text: bytes) -> None:
        name = prepared_name(text)
        if name is not None:
            self._state.sql_prepared[name] = text

    def _outdated(self, text: bytes, snapshot: Snapshot) -> Planned | None:
        """A refusal if the text executes what SQL's PREPARE made before its table was managed: nobody rewrote that."""
        if not self._state.sql_prepared or not snapshot.tables:
            return None
        return next(filter(None, (self._outdated_name(name, snapshot) for name in executed_names(text))), None)

    def _outdated_name(self, name: bytes, snapshot: Snapshot) -> Planned | None:
        text = self._state.sql_prepared.get(name)
        planned = self._state.judge.plan(text, snapshot) if text is not None else UNCONCERNED
        return None if isinstance(planned.plan, Untouched) else self._state.judge.outdated(name, planned.migration)

    def _describe(self, snapshot: Snapshot) -> bool:
        target = self._small_target()
        if target is None:
            return False
        kind, name = target
        if snapshot.tables and not self._state.ledger.is_settled(self._state.statements, name):
            self._state.stalled = True
            return False
        entry = Expected(Step.DESCRIBE)
        if kind == b"S" and (statement := self._state.statements.get(name)):
            entry.name = name
            planned = self._renewed(statement, snapshot)
            if planned.refusal:
                self._refuse(entry, planned, Parse, statement.text or b"", REFUSED_NAME)
                return True
            entry.rewrite = planned.rewrite
        elif kind == b"P" and (bound := self._state.portals.get(name)):
            entry.rewrite = bound.planned.rewrite
        self._forward(entry)
        return True

    def _execute(self, snapshot: Snapshot) -> bool:
        if self._framer.total > _SMALL_BYTES:
            self._framer.accept()
            return True
        if not self._framer.has(self._framer.total):
            return False
        entry = Expected(Step.EXECUTE)
        names = read_names(self._framer.body(), 1)
        bound = self._state.portals.get(names[0]) if names else None
        if bound is not None:
            planned = self._state.judge.still(bound.planned, snapshot)
            text = bound.statement.text or b""
            if planned.refusal:
                self._refuse(entry, planned, Parse, text, REFUSED_NAME)
                return True
            entry.rewrite = planned.rewrite
            entry.name = deallocated_name(text)
            self._remember_prepare(text)
            self._state.judge.sent(text, snapshot, planned)
        self._forward(entry)
        return True

    def _close(self, snapshot: Snapshot) -> bool:
        target = self._small_target()
        if target is None:
            return False
        kind, name = target
        table: dict[bytes, Any] = self._state.statements if kind == b"S" else self._state.portals
        before = table.get(name)
        self._forward(Expected(Step.CLOSE, change=Change(table, name, None, before) if before else None))
        return True

    def _small_target(self) -> tuple[bytes, bytes] | None:
        """What a Describe or Close means; empty names if the server will not understand it. None: not there yet."""
        if not self._framer.has(min(self._framer.total, _SMALL_BYTES)):
            return None
        return read_target(self._framer.head(_SMALL_BYTES)[HEADER_BYTES:]) or (b"", b"")

    def _sync(self, snapshot: Snapshot) -> bool:
        if self._state.ledger.copying:
            self._framer.accept()  # ignored by the server, so not answered
            return True
        self._state.ledger.skipping = False
        self._forward(Expected(Step.SYNC))
        return True

    def _function(self, snapshot: Snapshot) -> bool:
        self._forward(Expected(Step.FUNCTION))
        return True

    def _forward(self, entry: Expected) -> None:
        self._framer.accept()
        self._state.ledger.push(entry)

    def _refuse(
        self,
        entry: Expected,
        planned: Planned,
        kind: type[Query] | type[Parse],
        text: bytes = b"",
        name: bytes = REFUSED_NAME,
    ) -> None:
        """Send, in place of the shown message, what the server will refuse."""
        refuse = planned.refusal
        assert refuse is not None
        stand_in = refusal_text(refuse.refusal)
        self._framer.replace((Query(stand_in) if kind is Query else Parse(name, stand_in)).write())
        entry.refused = refuse
        self._state.ledger.push(entry)
        self._state.tally.refused[refuse.migration] += 1
        self._watch(planned)
        self._state.actions.append(Refused(refuse.refusal, refuse.migration, text.decode(errors="replace")))

    def _watch(self, planned: Planned) -> None:
        if planned.watch is not None:
            planned.watch.saw(self._state.judge.settings.who)

    def _count(self, planned: Planned) -> None:
        self._watch(planned)
        if planned.rewrite:
            self._state.tally.rewritten[planned.migration] += 1
        else:
            self._state.tally.untouched += 1
            if isinstance(planned.plan, Untouched) and planned.plan.despite is not None:
                self._state.tally.observed[planned.migration] += 1


_HANDLERS: Final[Mapping[int, Callable[[Requests, Snapshot], bool]]] = {
    ord("Q"): Requests._query,
    ord("P"): Requests._parse,
    ord("B"): Requests._bind,
    ord("D"): Requests._describe,
    ord("E"): Requests._execute,
    ord("C"): Requests._close,
    ord("S"): Requests._sync,
    ord("F"): Requests._function,
}
