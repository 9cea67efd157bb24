"""Mistakes that can be planted, to see that the checker finds them. Nothing of this is in the product."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from proxy.control import fencing
from proxy.control.fencing import StaleSession
from proxy.conversation.conversation import Conversation
from proxy.conversation.judge import Judge
from proxy.conversation.state import State
from proxy.conversation.statements import Planned
from proxy.database import Connection
from proxy.ladder import climb, lowest
from proxy.ladder.operator import Operator
from rules.changes import quote_identifier
from rules.ddl import guard
from rules.ddl.guard import guard_drop
from rules.ddl.statements import Statement
from rules.migration import ManagedTable
from rules.phases import OLD_IS_VALID_BELOW, STATE_COLUMN, RowState


class Bug(Enum):
    """The names are those of the model's (tests/model/bugs.py)."""

    NO_ACKNOWLEDGEMENT = "a step does not wait for the proxies"
    STATE_NOT_SET = "an UPDATE under writes=old does not set the row state"
    NO_GUARD = "there is no guard against writers without a proxy"
    GUARD_BY_PHASE = "the guard goes by the phase, not by the row state"
    STALE_SESSIONS_LIVE = "the sessions of a proxy whose lease has expired are not ended"
    PIN_AT_FIRST_TOUCH = "a transaction is pinned when it first touches the table"
    GATE_TOO_EARLY = "a phase is entered before the backfill has ended"

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        """In this process, for as long as `patch` lives."""
        _PLANT[self](patch)


async def _nothing(*_: object, **__: object) -> bool:
    return True


def _no_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Operator, "wait_for_proxies", _nothing)


def _state_not_set(patch: pytest.MonkeyPatch) -> None:
    right = RowState.next_code

    def next_code(state: RowState, stored: str) -> str:
        return stored if state is RowState.OLD else right(state, stored)

    patch.setattr(RowState, "next_code", next_code)


def _no_guard(patch: pytest.MonkeyPatch) -> None:
    def guard_ddl(managed: ManagedTable) -> tuple[Statement, ...]:
        return guard_drop(managed.migration)

    patch.setattr(lowest, "guard_ddl", guard_ddl)


def _guard_by_phase(patch: pytest.MonkeyPatch) -> None:
    right = guard._heal_update

    def heal_update(managed: ManagedTable) -> str:
        state_counts = f"IF OLD.{quote_identifier(STATE_COLUMN)} >= {OLD_IS_VALID_BELOW} THEN"
        body = right(managed)
        assert state_counts in body
        return body.replace(state_counts, "IF false THEN")

    patch.setattr(guard, "_heal_update", heal_update)


def _gate_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(climb, "ensure_gate", _nothing)


def _stale_sessions_live(patch: pytest.MonkeyPatch) -> None:
    async def stale_sessions(connection: Connection) -> tuple[StaleSession, ...]:
        return ()

    patch.setattr(fencing, "stale_sessions", stale_sessions)


def _pin_at_first_touch(patch: pytest.MonkeyPatch) -> None:
    """Until a transaction has named a managed table, it is not counted, and each message finds the newest snapshot."""
    touched: set[int] = set()
    loose: set[int] = set()

    def loosen(state: State) -> None:
        if state.snapshot is not None and id(state.judge) not in touched and id(state) not in loose:
            state.pins.unpin(state.snapshot)
            loose.add(id(state))

    def tighten(state: State) -> None:
        if id(state) in loose and (newest := state.pins.try_pin()) is not None:
            loose.discard(id(state))
            state.snapshot = newest

    def marking(judge: Callable[..., Planned]) -> Callable[..., Planned]:
        def judged(self: Judge, what: Any, snapshot: Any) -> Planned:
            planned = judge(self, what, snapshot)
            if planned.migration:
                touched.add(id(self))
            return planned

        return judged

    receive, release = Conversation.receive_client, State.release

    def receive_client(self: Conversation, data: bytes) -> Any:
        tighten(self._state)
        actions = receive(self, data)
        loosen(self._state)
        return actions

    def released(state: State) -> None:
        touched.discard(id(state.judge))
        if id(state) in loose:
            loose.discard(id(state))
            state.snapshot = None
        release(state)

    patch.setattr(Judge, "plan", marking(Judge.plan))
    patch.setattr(Judge, "still", marking(Judge.still))
    patch.setattr(Conversation, "receive_client", receive_client)
    patch.setattr(State, "release", released)


_PLANT: dict[Bug, Callable[[pytest.MonkeyPatch], None]] = {
    Bug.NO_ACKNOWLEDGEMENT: _no_acknowledgement,
    Bug.STATE_NOT_SET: _state_not_set,
    Bug.NO_GUARD: _no_guard,
    Bug.GUARD_BY_PHASE: _guard_by_phase,
    Bug.STALE_SESSIONS_LIVE: _stale_sessions_live,
    Bug.PIN_AT_FIRST_TOUCH: _pin_at_first_touch,
    Bug.GATE_TOO_EARLY: _gate_too_early,
}
