"""Prepared statements that follow the phase: what each has to be now, and what it takes to make it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.conversation.judge import refuse
from proxy.conversation.ledger import Change, Expected, Renewal, Step
from proxy.conversation.state import State
from proxy.conversation.statements import UNCONCERNED, Planned, Statement
from proxy.wire.framing import Framer
from proxy.wire.messages import Parse, bind_nothing, close_portal, close_statement, execute_all
from rules.commands import Command
from rules.plan import PositionMap
from rules.snapshot import Snapshot

#: Statement and portal for a PREPARE that we send in between; clients have names of their own.
_PRIVATE: Final = b"_pgjanus_prepare"


def refuse_unknown(name: bytes) -> Planned:
    return refuse(
        f'it is not known what "{name.decode(errors="replace")}" runs: a text too long to be read may have prepared it',
        "DEALLOCATE it and PREPARE it again.",
    )


class Renewals:
    def __init__(self, state: State) -> None:
        self._state = state

    def made_by_sql(self, key: bytes, sql: str, command: Command, snapshot: Snapshot) -> Statement:
        """The statement that a PREPARE makes; `sql` is the whole text that it is part of."""
        judge = self._state.judge
        text = judge.encoded(sql[command.start : command.end])
        planned = judge.plan(text, snapshot)
        server_text = None if planned.refusal else judge.server_text(text, planned)
        self._state.follows |= planned.rewrite is not None
        # If the rest of the text may change how names are found, the plan has to be made again before the next use.
        client = judge.settings.client_on_the_move if judge.may_be_moving(sql) else judge.settings.client
        return Statement(
            key, text, b"", snapshot, client, planned, server_text, judge.lexing, by_sql=True, offset=command.start
        )

    def fresh(self, statement: Statement, snapshot: Snapshot) -> Planned:
        """The statement's plan for this transaction."""
        judge = self._state.judge
        client = judge.settings.client
        if statement.snapshot is snapshot and statement.client == client and statement.server_text is not None:
            return judge.still(statement.planned, snapshot)
        if not snapshot.tables and not statement.snapshot.tables and statement.server_text == statement.text:
            return statement.planned
        if statement.text is None:
            return judge.too_long(self._state.buffer_limit) if snapshot.tables else UNCONCERNED
        if not judge.reads_alike(statement.text, statement.lexing):
            if not snapshot.tables and statement.server_text == statement.text:
                return statement.planned
            return refuse(
                f'"{statement.name.decode(errors="replace")}" was prepared under another client_encoding or'
                " standard_conforming_strings, and would have to be prepared again",
                "Set them back, or prepare it again.",
            )
        return judge.plan(statement.text, snapshot)

    def refuse_unread(self, text: bytes, snapshot: Snapshot) -> Planned | None:
        """A refusal for a text whose statements cannot be told apart, if it may run one that concerns a migration."""
        if not snapshot.tables:
            return None
        lowered = text.lower()
        for statement in self._state.statements.values():
            if statement.name and statement.name.lower() in lowered:
                planned = self.fresh(statement, snapshot)
                if planned.migration or self.outdated_text(statement, planned) is not None:
                    name = statement.name.decode(errors="replace")
                    return refuse(
                        f'this text cannot be read, and may run "{name}"',
                        "Write it without backslashes in plain strings, and in an encoding that pgjanus can read.",
                        migration=planned.migration,
                    )
        return None

    def outdated_text(self, statement: Statement, planned: Planned) -> bytes | None:
        """What the server has to prepare in place of what it has; None if that fits the plan."""
        if statement.text is None or self._has(statement, planned):
            return None
        text = self._state.judge.server_text(statement.text, planned)
        return text if text != statement.server_text else None

    def commit(self, statement: Statement, planned: Planned, snapshot: Snapshot) -> None:
        """The server will have what the plan says."""
        had = self._has(statement, planned)
        statement.snapshot, statement.client = snapshot, self._state.judge.settings.client
        statement.planned = planned
        self._state.follows |= planned.rewrite is not None
        if statement.text is not None and not had:
            statement.server_text = self._state.judge.server_text(statement.text, planned)

    def _has(self, statement: Statement, planned: Planned) -> bool:
        """Whether the server has prepared just this plan; its bytes may be another encoding's by now."""
        return planned is statement.planned and statement.server_text is not None

    def restoring(self, statement: Statement) -> Callable[[], None]:
        """Makes the statement what it is now."""
        before = (statement.snapshot, statement.client, statement.planned, statement.server_text)

        def restore() -> None:
            statement.snapshot, statement.client, statement.planned, statement.server_text = before

        return restore

    def forgetting(self, statement: Statement) -> Callable[[], None]:
        """Says that the server has nothing of that name any more."""

        def forget() -> None:
            statement.server_text = None

        return forget

    def positions(self, statement: Statement, planned: Planned) -> PositionMap:
        """From what the server prepares to the text in which the client prepared it."""
        runs = planned.rewrite.positions.runs if planned.rewrite else ((0, 0, True),)
        return PositionMap(tuple((start, at + statement.offset, moves) for start, at, moves in runs))

    def inject(self, framer: Framer, statement: Statement, planned: Planned, text: bytes) -> None:
        """Put what prepares the statement again in front of the shown message."""
        name = statement.name
        self._push(Step.CLOSE, renewal=Renewal(self.restoring(statement)))
        renewal = Renewal(self.forgetting(statement))
        positions = self.positions(statement, planned)
        if statement.by_sql:
            framer.insert(
                close_statement(name)
                + close_statement(_PRIVATE)
                + Parse(_PRIVATE, text).write()
                + bind_nothing(_PRIVATE, _PRIVATE)
                + execute_all(_PRIVATE)
                + close_portal(_PRIVATE)
                + close_statement(_PRIVATE)
            )
            for step in (Step.CLOSE, Step.PARSE, Step.BIND):
                self._push(step, positions=positions)
            self._push(Step.EXECUTE, positions=positions, renewal=renewal)
            for step in (Step.CLOSE, Step.CLOSE):
                self._push(step)
        else:
            framer.insert(close_statement(name) + Parse(name, text, statement.types).write())
            self._push(Step.PARSE, positions=positions, renewal=renewal, name=name)
        self._state.tally.prepared_again += 1

    def _push(
        self,
        step: Step,
        *,
        positions: PositionMap | None = None,
        renewal: Renewal | None = None,
        name: bytes | None = None,
    ) -> None:
        changes: tuple[Change | Renewal, ...] = (renewal,) if renewal is not None else ()
        self._state.ledger.push(Expected(step, injected=True, positions=positions, changes=changes, name=name))
