"""What a seed says will happen: the strategy, who is there, the walk on the ladder, what breaks.

The machine decides how it all meets, so a seed that has found something may have to be run more than once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from rules.migration import Guard
from rules.phases import LADDERS, Phase, Shape, Strategy

#: A pause inside a transaction, in seconds. Without pauses a transaction is over before a phase can move under it.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
PROXIES = 3


class Harm(Enum):
    """What the nemesis does."""

    KILL_PROXY = "kill -9 a proxy, start another in its place"
    FREEZE_PROXY = "stop a proxy for longer than its lease"
    BLINK_PROXY = "stop a proxy for less than its lease"
    CUT_CONTROL = "end a proxy's control connection"
    CUT_OFF = "keep a proxy from its control connection for longer than its lease"
    CUT_OPERATOR = "end the session of the operator"
    CUT_WORKER = "end the sessions of the worker"
    CUT_CLIENT = "end a client's server session"
    RESTART_FAST = "restart PostgreSQL"
    RESTART_AT_ONCE = "crash PostgreSQL and start it again"


_WEIGHTS = {
    Harm.KILL_PROXY: 3,
    Harm.FREEZE_PROXY: 8,
    Harm.BLINK_PROXY: 3,
    Harm.CUT_CONTROL: 3,
    Harm.CUT_OFF: 3,
    Harm.CUT_OPERATOR: 4,
    Harm.CUT_WORKER: 2,
    Harm.CUT_CLIENT: 3,
    Harm.RESTART_FAST: 1,
    Harm.RESTART_AT_ONCE: 1,
}


class End(Enum):
    """How a history ends, when all moves are made."""

    STAY = "stay"
    ABORT = "abort"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Move:
    """To a phase, up or down, rung by rung. `rival`: what a second operator wants at the same moment."""

    to: str
    rival: str | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One history as it is meant. `bypass`: how many writers know nothing of the proxies.

    `brief`: clients with fewer pauses in a transaction and no long statements, so that a step waits for less.
    """

    seed: str
    strategy: Strategy
    guard: Guard
    clients: tuple[Shape, ...]
    bypass: int
    worker: bool
    moves: tuple[Move, ...]
    harms: tuple[Harm, ...]
    end: End
    brief: bool = False

    def __str__(self) -> str:
        walk = " → ".join(m.to + (f" (against {m.rival})" if m.rival else "") for m in self.moves)
        harms = ", ".join(h.name.lower() for h in self.harms) or "nothing"
        return f"{self.seed}: {self.strategy.value}, guard {self.guard.value}: {walk}, then {self.end.value}; {harms}"


def make_scenario(
    seed: str,
    strategy: Strategy | None = None,
    *,
    moves: int = 2,
    clients: int = 5,
    harms: tuple[Harm, ...] = tuple(Harm),
    brief: bool = False,
) -> Scenario:
    """The scenario of a seed. `moves` is the usual length of the walk, `harms` what may be done at all.

    `brief`: exactly one move of one or two rungs, and one harm at most.
    """
    rng = random.Random(seed)
    chosen = rng.choice(list(Strategy))
    strategy = strategy or chosen
    guard = rng.choices([Guard.HEAL, Guard.REJECT, Guard.OFF], [6, 2, 2])[0]
    count = rng.choices([0, 1, 2, 3], [2, 4, 3, 2])[0] if harms else 0
    count = min(count, 1) if brief else count
    moves, reach = (1, 2) if brief else (rng.randint(max(1, moves - 1), moves + 1), len(LADDERS[strategy]))
    end = rng.choices(list(End), [5, 2, 2])[0]
    return Scenario(
        seed=seed,
        strategy=strategy,
        guard=guard,
        clients=tuple(rng.sample([Shape.OLD, Shape.NEW] * clients, clients)),
        # Without a guard nothing is promised of writers without a proxy.
        bypass=0 if guard is Guard.OFF else rng.choice([1, 2]),
        worker=rng.random() < 0.5,
        moves=_walk(rng, strategy, count=moves, reach=reach),
        harms=tuple(rng.choices(harms, [_WEIGHTS[h] for h in harms], k=count)) if count else (),
        end=end,
        brief=brief,
    )


def _walk(rng: random.Random, strategy: Strategy, count: int, reach: int) -> tuple[Move, ...]:
    """`reach`: how many rungs a move has at most."""
    rungs: list[Phase] = [p for p in LADDERS[strategy] if p.expanded]
    at = 0
    moves: list[Move] = []
    while len(moves) < count:
        # Up in most cases: there is more to see, and several rungs at once leave proxies the least time.
        up = at < len(rungs) - 1 and (at == 0 or rng.random() < 0.6)
        left = len(rungs) - 1 - at if up else at
        steps = rng.randint(1, min(left, reach))
        to = at + steps if up else at - steps
        rival = rng.choice([p.name for p in rungs]) if rng.random() < 0.2 else None
        moves.append(Move(rungs[to].name, rival))
        at = to
    return tuple(moves)
