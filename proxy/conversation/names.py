"""The names that SQL itself makes: what a client's text does to them, and what the server's answers say of them.

Prepared statements have one namespace, whether the protocol's Parse or SQL's PREPARE made them; so have portals and
cursors. A text is followed statement by statement, as the server will run it:

    EXECUTE p        in the phase that it was prepared in:  as it is
                     in another one:  DEALLOCATE p; PREPARE p AS <the text of this phase>; EXECUTE p
    FETCH FROM c     as it is; its columns are described as those of DECLARE c

What is put in front of an EXECUTE is part of the same Query, because nothing else is certain to run at that place of
that transaction, and to do nothing more: a message of its own would, for example, run before an earlier statement of
the text has chosen the isolation level, and if it failed, the server would skip the Query behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from proxy.conversation.ledger import Change, Renewal
from proxy.conversation.renewals import Renewals, refuse_unknown
from proxy.conversation.state import State
from proxy.conversation.statements import Bound, Planned, Statement, Unplanned
from rules.changes import quote_identifier
from rules.commands import Act, Command
from rules.plan import PositionMap, ResultPatch
from rules.snapshot import Snapshot
from rules.text.splices import Splice, spliced

#: Tags of the statements that drop names by the dozen, and of those that may.
NAME_TAGS: Final = (
    *(b"DEALLOCATE ALL", b"DISCARD ALL", b"CLOSE CURSOR ALL"),
    *(b"COMMIT", b"PREPARE TRANSACTION", b"ROLLBACK", b"SAVEPOINT", b"RELEASE"),
)


def follow_tag(state: State, tag: bytes, command: Command | None) -> None:
    """The server has completed a statement with one of NAME_TAGS; `command` is what is known of it."""
    if tag in (b"DEALLOCATE ALL", b"DISCARD ALL"):
        state.ledger.retain(state.statements, ())
    if tag in (b"CLOSE CURSOR ALL", b"DISCARD ALL"):
        state.lasting.clear()
        state.ledger.retain(state.portals, ())
    match tag:
        case b"DISCARD ALL":
            state.judge.settings.unshadow()
        case b"COMMIT" | b"PREPARE TRANSACTION":
            state.end_transaction(committed=True)
        case b"SAVEPOINT" if command is not None:
            state.savepoints.append((command.name, list(state.ledger.as_of_now(state.portals).values())))
        case b"RELEASE" if command is not None:
            del state.savepoints[_place(state, command) :]
        case b"ROLLBACK" if command is not None and command.act is Act.ROLLBACK_TO:
            at = _place(state, command)
            kept = state.savepoints[at][1] if at < len(state.savepoints) else state.lasting
            del state.savepoints[at + 1 :]
            state.ledger.retain(state.portals, kept)
        case b"ROLLBACK":
            state.end_transaction(committed=False)


def _place(state: State, command: Command) -> int:
    """Where the savepoint is among all of them; their number if it is not known."""
    places = [i for i, (name, _) in enumerate(state.savepoints) if name == command.name]
    return places[-1] if places else len(state.savepoints)


@dataclass(slots=True)
class Followed:
    """What becomes of a text: the server's SQL (None: as it was planned) and what its ledger entry has to know.

    `planned` is a refusal if any statement of the text must not run.
    """

    planned: Planned
    sql: str | None = None
    positions: PositionMap | None = None
    results: list[ResultPatch | None] = field(default_factory=list)
    commands: list[Command | None] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)
    changes: list[Change | Renewal] = field(default_factory=list)


class Follower:
    """Follows one text; `statements` and `portals` are what the names will mean at each of its statements."""

    def __init__(self, state: State, renewals: Renewals, snapshot: Snapshot, sql: str, planned: Planned) -> None:
        self._state = state
        self._renewals = renewals
        self._snapshot = snapshot
        self._sql = sql
        self._statements = dict(state.statements)
        self._portals = dict(state.portals)
        self._splices: list[Splice] = []
        self._undo: list[Callable[[], None]] = []
        rewrite = planned.rewrite
        self._makes = rewrite.makes if rewrite is not None else ()
        self._results = rewrite.results if rewrite is not None else ()
        self._wrapped = rewrite.wrapped if rewrite is not None else ()
        self.found = Followed(planned, positions=rewrite.positions if rewrite is not None else None)

    def follow(self, commands: tuple[Command | None, ...]) -> Followed | None:
        """None: a name may yet change its meaning; ask again when the server has answered."""
        found = self.found
        if not all(command is None or self._is_settled(command) for command in commands):
            return None
        for i, command in enumerate(commands):
            patch = self._results[i] if i < len(self._results) else None
            try:
                if command is not None:
                    patch = self._step(i, command) or patch
            except Unplanned:
                self._undo_all()
                raise
            if found.planned.refusal:
                self._undo_all()
                return found
            if i in self._wrapped:
                self._silent_statement()
            found.results.append(patch)
            found.commands.append(command)
            if i in self._wrapped:
                self._silent_statement()
        if self._splices:
            rewrite = found.planned.rewrite
            plain = PositionMap(((0, 0, True),))
            sql, positions = (rewrite.sql, rewrite.positions) if rewrite else (self._sql, plain)
            found.sql, found.positions = spliced(sql, positions, self._splices)
        return found

    def _undo_all(self) -> None:
        for undo in reversed(self._undo):
            undo()

    def _is_settled(self, command: Command) -> bool:
        ledger, key = self._state.ledger, self._state.judge.key(command)
        match command.act:
            case Act.EXECUTE:
                return ledger.is_settled(self._state.statements, key)
            case Act.FETCH:
                return ledger.is_settled(self._state.portals, key)
            case _:
                return True

    def _step(self, i: int, command: Command) -> ResultPatch | None:
        key = self._state.judge.key(command)
        match command.act:
            case Act.PREPARE:
                self._prepare(key, command)
            case Act.EXECUTE:
                return self._execute(key, command)
            case Act.DEALLOCATE:
                self._drop(self._state.statements, self._statements, key, command)
            case Act.DECLARE:
                patch = self._makes[i] if i < len(self._makes) else None
                self._set(
                    self._state.portals, self._portals, key, Bound(None, self.found.planned, patch, command.holds)
                )
            case Act.FETCH:
                return self._fetch(key, command)
            case Act.CLOSE:
                self._drop(self._state.portals, self._portals, key, command)
            case Act.SAVEPOINT | Act.RELEASE | Act.ROLLBACK_TO:
                pass
            case _:
                assert_never(command.act)
        return None

    def _set(self, table: dict[bytes, Any], now: dict[bytes, Any], key: bytes, value: Any) -> None:
        self.found.changes.append(Change(table, key, value, now.get(key), len(self.found.results)))
        now[key] = value

    def _drop(self, table: dict[bytes, Any], now: dict[bytes, Any], key: bytes, command: Command) -> None:
        if command.name is None:
            now.clear()  # in the table itself when the server has done it
        elif key in now:
            self._set(table, now, key, None)

    def _prepare(self, key: bytes, command: Command) -> None:
        statement = self._renewals.made_by_sql(key, self._sql, command, self._snapshot)
        if statement.planned.refusal:
            self.found.planned = statement.planned
        else:
            self._set(self._state.statements, self._statements, key, statement)

    def _fetch(self, key: bytes, command: Command) -> ResultPatch | None:
        bound: Bound | None = self._portals.get(key)
        if bound is None:
            return None
        planned = self._state.judge.still(bound.planned, self._snapshot)
        if planned.refusal:
            self.found.planned = planned
        return bound.result if command.returns_rows else None

    def _execute(self, key: bytes, command: Command) -> ResultPatch | None:
        statement: Statement | None = self._statements.get(key)
        if statement is None:
            if self._state.unread and self._snapshot.tables:
                self.found.planned = refuse_unknown(key)
            return None
        planned = self._renewals.fresh(statement, self._snapshot)
        if planned.refusal:
            self.found.planned = planned
            return None
        text = self._renewals.outdated_text(statement, planned)
        if text is not None:
            if not statement.by_sql:
                self.found.planned = self._state.judge.outdated(key, planned.migration)
                return None
            self._prepare_again(statement, planned, text, command)
        self._undo.append(self._renewals.restoring(statement))
        self._renewals.commit(statement, planned, self._snapshot)
        self._state.judge.sent(statement.text or b"", self._snapshot, planned)
        return statement.result if command.returns_rows else None

    def _prepare_again(self, statement: Statement, planned: Planned, text: bytes, command: Command) -> None:
        found = self.found
        restore = self._renewals.restoring(statement)
        drop = ""
        if statement.server_text is not None:
            drop = f"DEALLOCATE {quote_identifier(command.name or '')}; "
            self._silent_statement(Renewal(restore, len(found.results)))
        self._silent_statement(Renewal(self._renewals.forgetting(statement), len(found.results)))
        sql = f"{drop}{self._state.judge.readable(text)}; "
        runs = self._renewals.positions(statement, planned).runs
        positions = PositionMap(tuple((len(drop) + start, at, moves) for start, at, moves in runs))
        self._splices.append(Splice(command.start, sql, positions))
        self._state.tally.prepared_again += 1

    def _silent_statement(self, *renewals: Renewal) -> None:
        found = self.found
        found.changes += renewals
        found.silent.append(len(found.results))
        found.results.append(None)
        found.commands.append(None)
