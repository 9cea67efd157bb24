"""The client's messages: what is looked into, what the server gets in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.conversation.actions import Refused
from proxy.conversation.ledger import Change, Expected, Step
from proxy.conversation.names import Followed, Follower
from proxy.conversation.renewals import Renewals, refuse_unknown
from proxy.conversation.replies import REFUSED_NAME, refusal_text
from proxy.conversation.state import State
from proxy.conversation.statements import UNCONCERNED, Bound, Planned, Statement, key_of, may_prepare
from proxy.wire.framing import HEADER_BYTES, Framer
from proxy.wire.messages import Parse, Query, read_names, read_target
from rules.commands import Act, Command
from rules.plan import ResultPatch, Untouched
from rules.snapshot import Snapshot

#: PQ_SMALL_MESSAGE_LIMIT: the server closes the connection over a longer Describe, Execute or Close.
_SMALL_BYTES: Final = 10_000 + HEADER_BYTES
#: Names are looked for this far into a Bind or Parse (PostgreSQL itself compares only 63 bytes of them).
_NAMES_BYTES: Final = 16_384
#: Enough of most Binds for both names.
_HEAD_BYTES: Final = 256
#: A longer unnamed statement is not remembered while nothing is managed: hardly anybody binds it much later.
_UNNAMED_BYTES: Final = 1 << 20


class Requests:
    """Deals with the message that the framer shows. Every method returns False if more of it has to come first."""

    __slots__ = ("_framer", "_renewals", "_state")

    def __init__(self, state: State, framer: Framer) -> None:
        self._state = state
        self._framer = framer
        self._renewals = Renewals(state)

    def receive(self, kind: int, snapshot: Snapshot) -> bool:
        return _HANDLERS[kind](self, snapshot)

    def _query(self, snapshot: Snapshot) -> bool:
        framer, state = self._framer, self._state
        # A simple query drops the unnamed statement before anything else.
        gone = state.statements.get(b"")
        dropped = [Change(state.statements, b"", None, gone, statement=-1)] if gone else []
        entry = Expected(Step.QUERY, changes=dropped)
        if framer.total > state.buffer_limit:
            if snapshot.tables:
                self._refuse(entry, state.judge.too_long(state.buffer_limit), Query)
            else:
                state.unread = True
                self._pass_untouched(entry)
            return True
        if not framer.has(framer.total):
            return False
        query = Query.read(framer.body())
        if query is None:
            self._forward(entry)
            return True
        if not (snapshot.tables or state.lasting or state.follows or may_prepare(query.text)):
            self._pass_untouched(entry)
            return True
        followed = self._follow(query.text, state.judge.plan(query.text, snapshot), snapshot)
        if followed is None:
            state.stalled = True
            return False
        planned = followed.planned
        if planned.refusal:
            self._refuse(entry, planned, Query, query.text)
            return True
        state.judge.sent(query.text, snapshot, planned)
        self._count(planned)
        entry.positions, entry.results = followed.positions, followed.results
        entry.commands, entry.silent = followed.commands, followed.silent
        entry.changes = [*dropped, *followed.changes]
        if followed.sql is not None:
            framer.replace(Query(state.judge.encoded(followed.sql)).write())
            state.ledger.push(entry)
        elif planned.rewrite:
            framer.replace(Query(state.judge.server_text(query.text, planned)).write())
            state.ledger.push(entry)
        else:
            self._forward(entry)
        return True

    def _pass_untouched(self, entry: Expected) -> None:
        self._state.tally.untouched += 1
        self._forward(entry)

    def _follow(self, text: bytes, planned: Planned, snapshot: Snapshot) -> Followed | None:
        """What becomes of a text and the names in it; None: the server has to answer something first."""
        judge = self._state.judge
        rewrite = planned.rewrite
        commands = () if planned.refusal else judge.commands(text)
        if commands is None:
            self._state.unread |= may_prepare(text)
            planned = self._renewals.refuse_unread(text, snapshot) or planned
        if rewrite is not None and rewrite.wrapped and not planned.refusal:
            commands = commands or (None,) * len(rewrite.results)
        elif not commands or not any(commands):
            results = list(rewrite.results) if rewrite else []
            return Followed(planned, positions=rewrite.positions if rewrite else None, results=results)
        return Follower(self._state, self._renewals, snapshot, judge.readable(text), planned).follow(commands)

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
                self._state.unread = True
                lexing = self._state.judge.lexing
                self._prepare(Statement(key_of(names[0]), None, b"", snapshot, client, UNCONCERNED, None, lexing))
            return True
        planned = self._state.judge.plan(parse.text, snapshot)
        if planned.refusal:
            gone = self._state.statements.get(b"") if not parse.name else None
            dropped = [Change(self._state.statements, b"", None, gone)] if gone else []
            entry = Expected(Step.PARSE, changes=dropped)
            self._refuse(entry, planned, Parse, parse.text, parse.name)
            return True
        commands = self._state.judge.commands(parse.text)
        if commands is None:
            self._state.unread |= may_prepare(parse.text)
            refused = self._renewals.refuse_unread(parse.text, snapshot)
            if refused is not None:
                self._refuse(Expected(Step.PARSE), refused, Parse, parse.text, parse.name)
                return True
        server_text = self._state.judge.server_text(parse.text, planned)
        if planned.rewrite:
            framer.replace(Parse(parse.name, server_text, parse.types).write())
        client, lexing = self._state.judge.settings.client, self._state.judge.lexing
        if not parse.name and not snapshot.tables and len(parse.text) > _UNNAMED_BYTES:
            self._prepare(Statement(parse.name, None, b"", snapshot, client, UNCONCERNED, None, lexing))
        else:
            command = commands[0] if commands else None
            made = Statement(
                key_of(parse.name), parse.text, parse.types, snapshot, client, planned, server_text, lexing, command
            )
            self._prepare(made)
        return True

    def _prepare(self, statement: Statement) -> None:
        rewrite = statement.planned.rewrite
        change = Change(self._state.statements, statement.name, statement, self._state.statements.get(statement.name))
        positions = rewrite.positions if rewrite else None
        self._state.follows |= rewrite is not None
        self._state.ledger.push(Expected(Step.PARSE, positions=positions, changes=[change]))
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
        portal, name = map(key_of, names)
        entry.name = name
        if snapshot.tables and not self._state.ledger.is_settled(self._state.statements, name):
            self._state.stalled = True
            return False
        statement = self._state.statements.get(name)
        if statement is None:
            self._state.tally.untouched += 1
            if portal in self._state.portals:
                entry.changes = [Change(self._state.portals, portal, None, self._state.portals[portal])]
            self._forward(entry)
            return True
        source = self._source(statement, snapshot)
        if source is None:
            self._state.stalled = True
            return False
        planned, result = source
        if planned.refusal:
            self._refuse(entry, planned, Parse, statement.text or b"", REFUSED_NAME)
            return True
        self._count(planned)
        entry.positions = statement.positions
        bound = Bound(statement, planned, result)
        entry.changes = [Change(self._state.portals, portal, bound, self._state.portals.get(portal))]
        self._forward(entry)
        return True

    def _source(self, statement: Statement, snapshot: Snapshot) -> tuple[Planned, ResultPatch | None] | None:
        """The plan of what a statement runs and the patch of what it returns; None: the server has to answer first.

        In front of the shown message the server is made to have what fits the plan.
        """
        planned = self._renewed(statement, snapshot)
        command = statement.command
        if command is None or planned.refusal:
            return planned, statement.result
        key = self._state.judge.key(command)
        match command.act:
            case Act.EXECUTE:
                if not self._state.ledger.is_settled(self._state.statements, key):
                    return None
                target = self._state.statements.get(key)
                if target is None:
                    unknown = self._state.unread and snapshot.tables
                    return (refuse_unknown(key) if unknown else planned), None
                planned = self._renewed(target, snapshot)
                return planned, target.result if command.returns_rows else None
            case Act.FETCH:
                if not self._state.ledger.is_settled(self._state.portals, key):
                    return None
                bound = self._state.portals.get(key)
                if bound is None:
                    return planned, None
                return self._state.judge.still(bound.planned, snapshot), bound.result if command.returns_rows else None
            case _:
                return planned, statement.result

    def _renewed(self, statement: Statement, snapshot: Snapshot) -> Planned:
        """The statement's plan for this transaction; in front of the shown message the server's text is made to fit."""
        planned = self._renewals.fresh(statement, snapshot)
        if planned.refusal:
            return planned
        text = self._renewals.outdated_text(statement, planned)
        if text is not None:
            self._renewals.inject(self._framer, statement, planned, text)
        self._renewals.commit(statement, planned, snapshot)
        return planned

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
            source = self._source(statement, snapshot)
            if source is None:
                self._state.stalled = True
                return False
            planned, result = source
            if planned.refusal:
                self._refuse(entry, planned, Parse, statement.text or b"", REFUSED_NAME)
                return True
            entry.positions, entry.results = statement.positions, [result]
        elif kind == b"P" and (bound := self._state.portals.get(name)):
            entry.results = [bound.result]
            entry.positions = bound.statement.positions if bound.statement else None
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
        bound = self._state.portals.get(key_of(names[0])) if names else None
        if bound is not None:
            planned = self._state.judge.still(bound.planned, snapshot)
            text = (bound.statement and bound.statement.text) or b""
            followed = None
            if not planned.refusal and bound.statement is not None and bound.statement.command is not None:
                followed = self._follow_execution(bound.statement, bound.statement.command, snapshot)
                planned = followed.planned if followed.planned.refusal else planned
            if planned.refusal:
                self._refuse(entry, planned, Parse, text, REFUSED_NAME)
                return True
            if followed is not None:
                entry.commands, entry.changes = followed.commands, followed.changes
            entry.positions = bound.statement.positions if bound.statement else None
            self._state.judge.sent(text, snapshot, planned)
        self._forward(entry)
        return True

    def _follow_execution(self, statement: Statement, command: Command, snapshot: Snapshot) -> Followed:
        """What running a prepared statement does to names; those that it uses were seen to when it was bound."""
        sql = self._state.judge.readable(statement.text or b"")
        if command.act in (Act.EXECUTE, Act.FETCH):
            return Followed(statement.planned, commands=[command])
        followed = Follower(self._state, self._renewals, snapshot, sql, statement.planned).follow((command,))
        assert followed is not None, "only EXECUTE and FETCH have to wait"
        return followed

    def _close(self, snapshot: Snapshot) -> bool:
        target = self._small_target()
        if target is None:
            return False
        kind, name = target
        table: dict[bytes, Any] = self._state.statements if kind == b"S" else self._state.portals
        before = table.get(name)
        changes = [Change(table, name, None, before)] if before else []
        self._forward(Expected(Step.CLOSE, changes=changes))
        return True

    def _small_target(self) -> tuple[bytes, bytes] | None:
        """What a Describe or Close means; empty names if the server will not understand it. None: not there yet."""
        if not self._framer.has(min(self._framer.total, _SMALL_BYTES)):
            return None
        kind, name = read_target(self._framer.head(_SMALL_BYTES)[HEADER_BYTES:]) or (b"", b"")
        return kind, key_of(name)

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
