"""Who moves the phases: the walk of a scenario, its rivals, and the worker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

from proxy.backfill.runner import run as run_worker
from proxy.control.registry import UnknownMigration
from proxy.ladder.climb import Outcome, abort, advance, rollback, start
from proxy.ladder.gates import RowsCannotBeConverted
from proxy.ladder.operator import OperatorBusy, operate
from rules.errors import PgjanusError
from rules.loader import load_text
from rules.phases import CONTRACTED, LADDERS, Shape
from tests.chaos.applications import Surroundings
from tests.chaos.records import Violation, Wrong
from tests.chaos.register import migration_yaml
from tests.chaos.scenario import End, Scenario

#: How long a command waits for proxies and locks: a frozen proxy's lease runs out well within.
_TIMEOUT_S = 6.0
#: What was not to be had while things died must be had soon after; a command that hangs is one that never ends.
_PATIENCE_S, _HANGS_S, _PAUSE_S = 90.0, 120.0, 0.15
#: What an operator may be told: try again.
_LATER = (
    *(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, PgjanusError),
    asyncpg.InternalClientError,  # a connection that was cut in the middle of a query
)
#: For answers that are on their way to clients while the operator already knows that all proxies have come along.
_GRACE_S = 0.3


_EVERYBODY_CAME_ALONG = """
SELECT bool_and(epoch_acked >= (SELECT epoch FROM pgjanus.epoch)) FROM pgjanus.proxies
WHERE lease_until > clock_timestamp()
"""

Command = Callable[..., Awaitable[None]]


class Operators:
    """The commands of one history, run as `pgjanus` runs them."""

    def __init__(self, around: Surroundings, scenario: Scenario) -> None:
        self._around, self._scenario = around, scenario
        self._rng = random.Random(f"{scenario.seed} operators")
        self.name = around.table
        self.said: list[str] = []
        #: All moves have been tried.
        self.have_arrived = False

    @property
    def url(self) -> str:
        return self._around.arena.url

    # The history's course

    async def start(self) -> None:
        """Until the new shape is there for everybody."""
        await self._until("started", self._start)
        await asyncio.sleep(_GRACE_S)
        self._around.without.discard(Shape.NEW)

    async def walk(self) -> None:
        """Every move once; those that fail are left out, as somebody would who has other things to do."""
        for move in self._scenario.moves:
            rival = None if move.rival is None else asyncio.create_task(self._try(self._go, move.rival))
            await self._try(self._go, move.to)
            if rival is not None:
                await rival
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
        self.have_arrived = True

    async def go_far(self) -> None:
        """To the end of the ladder that is further away, short of `contracted`."""
        rungs = [p.name for p in LADDERS[self._scenario.strategy] if p.expanded]
        at = rungs.index(await self.phase() or rungs[0])
        await self._try(self._go, rungs[-1] if 2 * at < len(rungs) else rungs[0])

    async def finish(self) -> None:
        """When nothing breaks any more, the end must be reached."""
        match self._scenario.end:
            case End.STAY:
                # Wherever the walk has led, the next step must be possible.
                await self._until("moved on", self._step)
            case End.CONTRACT:
                await self._until("brought to the last phase", self._go, LADDERS[self._scenario.strategy][-2].name)
                self._around.without.add(Shape.OLD)
                await self._until("contracted", self._go, CONTRACTED.name)
            case End.ABORT:
                await self.abort()

    async def abort(self) -> None:
        self._around.without.add(Shape.NEW)
        await self._until("aborted", self._abort)

    async def phase(self) -> str | None:
        """None: it is not there (any more)."""
        rows = await self._around.arena.execute("SELECT phase FROM pgjanus.migrations WHERE name = $1", self.name)
        return str(rows[0][0]) if rows else None

    # Commands

    async def _start(self) -> None:
        spec = load_text(migration_yaml(self.name, self._scenario.strategy, self._scenario.guard), "chaos.yaml")
        async with operate(self.url, "start", say=self._say, timeout_s=_TIMEOUT_S) as operator:
            if await self.phase() in (None, "announced"):
                await start(operator, spec)
        # Not by the operator's own word: that may be what is wrong.
        while not (await self._around.arena.execute(_EVERYBODY_CAME_ALONG))[0][0]:  # noqa: ASYNC110 - in the database
            await asyncio.sleep(_PAUSE_S)

    async def _go(self, to: str) -> None:
        """Up or down to a phase, whichever way it is from where the table says that we are."""
        ladder = [p.name for p in LADDERS[self._scenario.strategy]]
        at = ladder.index(await self.phase() or "announced")
        if at == ladder.index(to) or ladder[at] == CONTRACTED.name:
            return
        command = advance if at < ladder.index(to) else rollback
        async with operate(
            self.url, f"{command.__name__} {self.name}", say=self._say, timeout_s=_TIMEOUT_S
        ) as operator:
            outcome: Outcome = await command(operator, self.name, to)
            self._say(f"done: {outcome.steps}")

    async def _step(self) -> None:
        ladder = [p.name for p in LADDERS[self._scenario.strategy]]
        at = ladder.index(await self.phase() or "announced")
        await self._go(ladder[at + 1] if at + 2 < len(ladder) else ladder[at - 1])

    async def _abort(self) -> None:
        async with operate(self.url, f"abort {self.name}", say=self._say, timeout_s=_TIMEOUT_S) as operator:
            with suppress(UnknownMigration):
                await abort(operator, self.name)

    def _say(self, line: str) -> None:
        self.said.append(f"{time.monotonic():.3f} {line}")

    async def _try(self, command: Command, *arguments: str) -> bool:
        """Whether it was done. Formats that differ, and rows that cannot be converted, are violations."""
        try:
            async with asyncio.timeout(_HANGS_S):
                await command(*arguments)
        except _LATER as error:
            text = " ".join(str(error).split()) or type(error).__name__
            self._say(f"{' '.join((command.__name__.strip('_'), *arguments))}: {text}")
            if isinstance(error, RowsCannotBeConverted) or "two formats differ" in text:
                self._around.records.violations.append(Violation(Wrong.DIVERGENT, text))
            if isinstance(error, OperatorBusy):
                await asyncio.sleep(0.1)
            return False
        return True

    async def _until(self, what: str, command: Command, *arguments: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not await self._try(command, *arguments):
            if time.monotonic() > deadline:
                last = self.said[-1] if self.said else ""
                what = f"{self.name} could not be {what} within {_PATIENCE_S:g} s: {last}"
                self._around.records.violations.append(Violation(Wrong.STUCK, what))
                return
            await asyncio.sleep(_PAUSE_S)

    # The worker

    async def work(self) -> None:
        """`pgjanus backfill`, started again whenever it ends."""
        while True:
            try:
                await run_worker(self.url)
            except _LATER as error:
                self._say(f"the worker: {error}")
                await asyncio.sleep(0.1)
