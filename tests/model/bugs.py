"""Mistakes that can be planted, to see that the model finds them."""

from __future__ import annotations

from enum import Enum


class Bug(Enum):
    """Each is a well-known wrong turn (docs/traps.md); the value is what is printed."""

    NO_ACKNOWLEDGEMENT = "a step does not wait for the proxies"
    STATE_NOT_SET = "an UPDATE under writes=old does not set the row state"
    NO_GUARD = "there is no guard against writers without a proxy"
    GUARD_BY_PHASE = "the guard goes by the phase, not by the row state"
    STALE_SESSIONS_LIVE = "the sessions of a proxy whose lease has expired are not ended"
    PIN_AT_FIRST_TOUCH = "a transaction is pinned when it first touches the table"
    GATE_TOO_EARLY = "a phase is entered before the backfill has ended"
    BOOLEAN_MARKER = "the row state says only whether the new format is there"
    TWO_RUNGS = "a step takes two rungs"
    NOT_WITHDRAWN = "an abort enters announced while clients of the new shape are served"
    GATE_NOT_DROPPED = "a step leaves the gate that the next phase's writers run into"
