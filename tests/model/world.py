"""What may happen next in each state of the model, and what must hold there.

    operator   announced ─► expanded ─► … ─► last phase, up and down, one move of a step at a time; dies anywhere
    proxies    learn of the phase whenever they like; begin, write, commit; are paused longer than their lease
    others     a writer without a proxy, and the backfill

Reads are no moves: every read that could take place in a state is checked there (`checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from rules.batches import states_to_empty
from rules.migration import Guard
from rules.phases import RowState, Shape, step_between
from tests.model.bugs import Bug
from tests.model.pairs import Truth, Write
from tests.model.states import (
    ABSENT,
    EXPANDED,
    GATES,
    NOT_VALID,
    TOO_FAR,
    VALID,
    WITHDRAWN,
    Next,
    Proxy,
    Setting,
    State,
    Step,
    Transaction,
)
from tests.model.table import Row, Table

#: The state in which one proxy is as given: `(proxy)` or `(proxy, state)`.
Become = Callable[..., State]


class World:
    """The moves of one setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.bugs = setting.bugs
        self.table = Table(setting.strategy, setting.pair, setting.guard, setting.bugs, parity=setting.parity)
        self.ladder = self.table.ladder
        self._checked: dict[tuple[int, Row, Truth], str | None] = {}
        self._written: dict[object, list[tuple[str, Row | None, Truth, str | None]]] = {}

    def first(self) -> State:
        """Before `start`: no column, nobody knows anything."""
        pair = self.setting.pair
        row = self._new_row(pair.first)
        proxies = (Proxy(0, 0), Proxy(0, 0))
        return State(0, False, row, (pair.first, pair.up(pair.first)), (ABSENT, ABSENT), -1, proxies, None)

    def _new_row(self, old: Row) -> Row:
        return self.table.settled(self.table.unexpanded((*old, *(None for _ in self.setting.pair.new), 0)))

    def named(self, state: State) -> str:
        return self.called(state.at)

    def called(self, at: int) -> str:
        return self.ladder[at].name + (", new shape refused" if at == WITHDRAWN else "")

    # --- what must hold ---------------------------------------------------------------------------------------------

    def checks(self, state: State) -> str | None:
        """What is wrong with a state; None if nothing is."""
        for proxy in state.proxies:
            # A paused proxy begins nothing; what it had begun may go on as long as its sessions live.
            readers: list[tuple[int, int, str, tuple[Row, Truth] | None]] = []
            if not proxy.stale:
                readers.append((proxy.at, proxy.behind, "a new transaction", None))
            if proxy.open is not None:
                # One that is not pinned yet would be, now.
                own = proxy.open if proxy.open.at >= 0 else proxy.open._replace(at=proxy.at, behind=proxy.behind)
                readers.append((own.at, own.behind, "an open transaction", own.wrote or own.seen))
            for at, behind, who, held in readers:
                if behind >= TOO_FAR and self.setting.distance:
                    return f"{who} in phase {self.ladder[at].name} runs beside phase {self.named(state)}"
                if self.ladder[at].expanded and not state.columns:
                    return f"{who} in phase {self.ladder[at].name} reads columns that do not exist"
                wrong = self._misread(at, *(held or (state.row, state.truth)))
                if wrong is not None:
                    return f"{who} in phase {self.ladder[at].name}{wrong}"
        # In `announced` the new columns may get stale: nobody reads them, and the next one to come makes them anew.
        if state.at and self.table.state(state.row) is RowState.BOTH and not self.table.agrees(state.row):
            return "the two formats of a row in state both differ"
        return None

    def _misread(self, at: int, row: Row, truth: Truth) -> str | None:
        key = at, row, truth
        if key not in self._checked:
            self._checked[key] = self._find_misread(at, row, truth)
        return self._checked[key]

    def _find_misread(self, at: int, row: Row, truth: Truth) -> str | None:
        policy = self.ladder[at].policy
        assert policy is not None
        for shape, true in zip(Shape, truth, strict=True):
            read = self.table.read(at, shape, row)
            if read is not None and read != true:
                return f": the {shape.value} shape reads {read}, true is {true}"
        state = self.table.state(row)
        return f" meets a row in state {state.value}" if state is policy.reads.forbids else None

    # --- what may happen --------------------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Next]:
        yield from self._operator(state)
        yield from self._others(state)
        for i, proxy in enumerate(state.proxies):
            if i == 0 or proxy != state.proxies[0]:
                yield from self._proxy(state, i, proxy)

    def _locked(self, state: State) -> bool:
        """Whether a transaction holds the row, and with it a lock on the table."""
        return any(p.open is not None and p.open.wrote is not None for p in state.proxies)

    # The operator: proxy/ladder/climb.py

    def _operator(self, state: State) -> Iterator[Next]:
        if state.step is not None:
            yield Next("the operator dies", state._replace(step=None))
            done = self._move(state, state.step)
            if done is not None:
                yield done
            return
        acknowledged = self._acknowledged(state)
        if acknowledged is None:
            return
        ways = [(to, self._moves_to(state, to)) for to in self._targets(state.at)]
        if state.at == 0 and state.columns:
            ways.append((0, ("collapse",)))
        for to, moves in ways:
            what = f"every live proxy has acknowledged {self.named(state)}, a step to {self.called(to)} begins"
            yield Next(what, acknowledged._replace(step=Step(to, moves)))

    def _targets(self, at: int) -> list[int]:
        """The phases that a step may lead to."""
        if at == 0:
            return [EXPANDED]
        if at == WITHDRAWN:  # what `expanded` may do, and to let clients of the new shape in again
            return [0, EXPANDED, EXPANDED + 1]
        reach = (1, -1, 2, -2) if Bug.TWO_RUNGS in self.bugs else (1, -1)
        lowest = WITHDRAWN if self.setting.abort else EXPANDED
        found = [to for d in reach if lowest <= (to := at + d) < len(self.ladder)]
        return [*found, 0] if at == EXPANDED and Bug.NOT_WITHDRAWN in self.bugs else found

    def _moves_to(self, state: State, to: int) -> tuple[str, ...]:
        """The order of a step after everybody has acknowledged: `_step`, `_expand` and `abort` there."""
        if state.at == 0:
            return ("expand",)
        empties = step_between(self.ladder[state.at], self.ladder[to]).empties
        if max(state.at, to) <= EXPANDED or empties is None or Bug.GATE_TOO_EARLY in self.bugs:
            return ("enter",)
        # A gate that stands already is gone on with.
        gate = state.gates[GATES.index(empties)]
        return {
            ABSENT: ("backfill", "add", "validate", "enter"),
            NOT_VALID: ("validate", "enter"),
            VALID: ("enter",),
        }[gate]

    def _move(self, state: State, step: Step) -> Next | None:
        """The next move of the step; None while it has to wait."""
        rest = state._replace(step=step._replace(moves=step.moves[1:]))
        target = self.ladder[step.to]
        assert target.policy is not None
        forbidden = target.policy.reads.forbids
        match step.moves[0]:
            case "backfill":
                # A scan decides, and it sees what is committed.
                assert forbidden is not None
                if self.table.state(state.row) is forbidden:
                    return None
                return Next(f"a scan finds no row in state {forbidden.value}", rest)
            case "add":
                assert forbidden is not None
                if self._locked(state):
                    return None
                return Next(f"gate on state {forbidden.value} NOT VALID", _with_gate(rest, forbidden, NOT_VALID))
            case "validate":
                assert forbidden is not None
                if not self.table.passes_gate(forbidden, state.row):
                    return None  # the backfill goes on
                return Next(f"gate on state {forbidden.value} proved", _with_gate(rest, forbidden, VALID))
            case "enter" | "expand" | "collapse" as move:
                takes_no_lock = step.to == WITHDRAWN or (state.at, step.to) == (WITHDRAWN, EXPANDED)
                if self._locked(state) and not takes_no_lock:
                    return None
                return Next(*self._entered(state, step, move))
            case _:
                raise AssertionError(step.moves)

    def _acknowledged(self, state: State) -> State | None:
        """Every live proxy is at this epoch, and the sessions of the others are ended by the database; None if not."""
        proxies = []
        for proxy in state.proxies:
            opened = proxy.open
            if proxy.stale and Bug.STALE_SESSIONS_LIVE not in self.bugs:
                proxy = Proxy(0, 0, stale=True)
            elif not proxy.stale and Bug.NO_ACKNOWLEDGEMENT not in self.bugs:
                if proxy.behind or (opened is not None and opened.at >= 0 and opened.behind):
                    return None
            proxies.append(proxy)
        return _with_proxies(state, proxies)

    def _entered(self, state: State, step: Step, move: str) -> tuple[str, State]:
        """One transaction: gates, guard, phase, epoch."""
        proxies = [_one_epoch_later(p) for p in state.proxies]
        gates = list(state.gates)
        guard, columns, row, truth = state.guard, state.columns, state.row, state.truth
        if move == "enter" and step.to == 0:
            guard = -1
        elif move == "enter" and max(step.to, state.at) > EXPANDED:
            for dropped in step_between(self.ladder[state.at], self.ladder[step.to]).drops:
                if dropped in GATES and Bug.GATE_NOT_DROPPED not in self.bugs:
                    gates[GATES.index(dropped)] = ABSENT
            guard = step.to
        elif move != "enter":
            columns, row = move == "expand", self._new_row(self.table.old_values(row))
            gates = [NOT_VALID if columns and g in self.table.gates_at_first else ABSENT for g in GATES]
            guard = step.to if columns else -1
            if truth[0] == self.table.old_values(row):  # what only the new format of a lossy pair knew is given up
                truth = truth[0], self.setting.pair.up(truth[0])
        said = {"enter": "is entered", "expand": "is entered: columns are added", "collapse": ": columns are dropped"}
        after = State(step.to, columns, row, truth, (gates[0], gates[1]), guard, (), None)
        return f"{self.called(step.to)} {said[move]}", _with_proxies(after, proxies)

    # Others

    def _others(self, state: State) -> Iterator[Next]:
        if self._locked(state):
            return
        if state.columns and self.table.state(state.row) in self._emptied(state):
            row = self.table.settled(self.table.backfilled(state.row))
            if row != state.row and self._passes_gates(state, row):
                yield Next("the backfill converts the row", state._replace(row=row))
        if self.setting.guard is not Guard.OFF or Bug.NO_GUARD in self.bugs:
            yield from self._bypass(state)

    def _emptied(self, state: State) -> tuple[RowState, ...]:
        """What a worker may be at: in the middle of the ladder also one that has not heard of the latest phase yet."""
        if state.at > EXPANDED:
            return GATES
        stepping = (
            () if state.step is None else (step_between(self.ladder[state.at], self.ladder[state.step.to]).empties,)
        )
        asked = states_to_empty(self.setting.strategy, self.ladder[state.at].name)
        return tuple(s for s in GATES if s in (*asked, *stepping))

    def _bypass(self, state: State) -> Iterator[Next]:
        pair, width = self.setting.pair, len(self.setting.pair.old)
        read = self.table.old_values(state.row)
        values = pair.bypass(tuple(str(v) for v in read))
        for insert in (False, True):
            truth = pair.inserted(Shape.OLD, values) if insert else pair.updated(Shape.OLD, values, state.truth)
            row = (*values, *state.row[width:])
            if insert:
                row = self.table.unexpanded(row)
            passed = self._guarded(state, row, insert=insert)[0]
            if passed is not None and self._passes_gates(state, passed):
                wrong = None
                if read != state.truth[0] and not insert:
                    wrong = f"a write is accepted that rests on the stale value {read}, true is {state.truth[0]}"
                what = f"without a proxy: {'INSERT' if insert else 'UPDATE'} of {values}"
                yield Next(what, state._replace(row=self.table.settled(passed), truth=truth), wrong)

    def _guarded(self, state: State, row: Row, *, insert: bool) -> tuple[Row | None, bool]:
        if state.guard < 0:
            return row, False
        return self.table.guarded(state.guard, state.row, row, insert=insert)

    def _passes_gates(self, state: State, row: Row) -> bool:
        pairs = zip(GATES, state.gates, strict=True)
        return all(gate == ABSENT or self.table.passes_gate(forbidden, row) for forbidden, gate in pairs)

    # Proxies: proxy/control/rollout.py

    def _proxy(self, state: State, i: int, proxy: Proxy) -> Iterator[Next]:
        def other(changed: Proxy, now: State = state) -> State:
            return _with_proxies(now, [changed if j == i else p for j, p in enumerate(now.proxies)])

        name = "the paused proxy" if proxy.stale else f"a proxy at {self.ladder[proxy.at].name}"
        opened = proxy.open
        if proxy.stale:
            # It finds its lease lost, reads the phase, and lets its transactions touch nothing any more.
            yield Next("the paused proxy returns", other(Proxy(state.at, 0)))
        else:
            # What a transaction does before the phase moves or the proxy is paused does not need one that stays open.
            stays = self._begun(state, proxy) if opened is None and not self.setting.held else []
            if proxy.behind:
                learnt = proxy._replace(at=state.at, behind=0)
                yield Next(f"{name} learns of {self.named(state)}", other(learnt))
                for how, begun in stays:
                    what = f"{name} begins{how}, then learns of {self.named(state)}"
                    yield Next(what, other(learnt._replace(open=begun)))
            if not any(p.stale for p in state.proxies) and Bug.PIN_AT_FIRST_TOUCH not in self.bugs:
                yield Next(f"{name} is paused, its lease expires", other(Proxy(0, 0, stale=True, open=opened)))
                for how, begun in stays:
                    what = f"{name} begins{how}, is paused, its lease expires"
                    yield Next(what, other(Proxy(0, 0, stale=True, open=begun)))
            if opened is None:
                for how, begun in self._begun(state, proxy) if self.setting.held else []:
                    yield Next(f"{name} begins{how}", other(proxy._replace(open=begun)))
                yield from self._write(state, proxy, None, name, other)
        if opened is not None:
            if opened.at >= 0:
                yield from self._write(state, proxy, opened, name, other)
            now = state if opened.wrote is None else state._replace(row=opened.wrote[0], truth=opened.wrote[1])
            yield Next(f"{name} commits", other(proxy._replace(open=None), now))
            if opened.wrote is not None:
                yield Next(f"{name} rolls back", other(proxy._replace(open=None)))

    def _begun(self, state: State, proxy: Proxy) -> list[tuple[str, Transaction]]:
        """The transactions that can begin, and how."""
        unpinned = Bug.PIN_AT_FIRST_TOUCH in self.bugs
        if (unpinned or self.setting.held) and any(p.open is not None for p in state.proxies):
            return []  # one such transaction is enough
        if unpinned:
            return [(" with a read of another table, REPEATABLE READ", Transaction(-1, 0, (state.row, state.truth)))]
        plain = Transaction(proxy.at, proxy.behind)
        repeatable = plain._replace(seen=(state.row, state.truth))
        return [("", plain), (", REPEATABLE READ", repeatable)] if self.setting.held else [("", plain)]

    def _write(
        self, state: State, proxy: Proxy, opened: Transaction | None, name: str, other: Become
    ) -> Iterator[Next]:
        at = proxy.at if opened is None else opened.at
        mine = opened is not None and opened.wrote is not None
        if self._locked(state) and not mine:
            return
        if opened is not None and opened.seen is not None and opened.wrote is None and opened.seen[0] != state.row:
            return  # 40001: somebody else has changed the row
        row, truth = opened.wrote if opened is not None and opened.wrote is not None else (state.row, state.truth)
        for what, after, true, wrong in self._writes(at, state, row, truth):
            error = wrong if not proxy.stale else None
            if after is None:
                if error:
                    yield Next(f"{name}{what}", state, error)
                continue
            if opened is not None and self.setting.held:
                yield Next(f"{name}{what}", other(proxy._replace(open=opened._replace(wrote=(after, true)))), error)
            else:
                yield Next(f"{name}{what}", state._replace(row=after, truth=true), error)

    def _writes(self, at: int, state: State, row: Row, truth: Truth) -> list[tuple[str, Row | None, Truth, str | None]]:
        """(what, row or None if it failed, truth, what is wrong with that) of each write in phase number `at`."""
        key = at, row, truth, state.guard, state.gates, state.columns
        if key not in self._written:
            self._written[key] = [
                found
                for shape in Shape
                for write in self.table.writes[shape]
                for insert in (False, True)
                if (found := self._one_write(at, state, row, truth, shape, write, insert))
            ]
        return self._written[key]

    def _one_write(
        self, at: int, state: State, row: Row, truth: Truth, shape: Shape, write: Write, insert: bool
    ) -> tuple[str, Row | None, Truth, str | None] | None:
        pair = self.setting.pair
        columns = pair.columns(shape)
        if insert and set(write.columns) != set(columns):
            return None
        after = self.table.write(at, shape, write, row, insert=insert)
        where = f" (transaction in {self.ladder[at].name})" if at != state.at else ""
        what = f", {shape.value} shape{where}: {'INSERT' if insert else 'UPDATE'} {write}"
        own = list(Shape).index(shape)
        values = tuple(write.columns.get(c, v) for c, v in zip(columns, truth[own], strict=True))
        if after is None:
            known = None if insert else truth[own]
            rightly = at < EXPANDED or not pair.survives(shape, values, known)
            return None if rightly else (what, None, truth, "a value that would survive is refused")
        truth = pair.inserted(shape, values) if insert else pair.updated(shape, values, truth)
        passed, fired = self._guarded(state._replace(row=row), after, insert=insert)
        if passed is None:
            return what, None, truth, "the guard refuses a write that came through a proxy"
        if not self._passes_gates(state, passed):
            return what, None, truth, "a gate refuses a write that came through a proxy"
        # In `announced` the proxy sets no row state: its UPDATE is to the guard like anybody's.
        too_much = fired and not insert and self.ladder[at].expanded
        return what, self.table.settled(passed), truth, "the guard fires for a proxied UPDATE" if too_much else None


def _with_proxies(state: State, proxies: list[Proxy]) -> State:
    """Proxies are interchangeable, so they stand in one order."""
    return state._replace(proxies=tuple(sorted(proxies, key=_order)))


@cache
def _order(proxy: Proxy) -> str:
    return repr(proxy)


def _with_gate(state: State, forbidden: RowState, to: int) -> State:
    old, new = (to if g is forbidden else known for g, known in zip(GATES, state.gates, strict=True))
    return state._replace(gates=(old, new))


def _one_epoch_later(proxy: Proxy) -> Proxy:
    opened = proxy.open
    if opened is not None and opened.at >= 0:
        opened = opened._replace(behind=min(opened.behind + 1, TOO_FAR))
    if proxy.stale and opened is None:
        return proxy
    return proxy._replace(behind=min(proxy.behind + 1, TOO_FAR), open=opened)
