"""Who breaks things, and mends them again: every harm ends with all three proxies and the server running."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.chaos.arena import Arena, Proxy
from tests.chaos.operators import Operators
from tests.chaos.scenario import Harm, Scenario

#: In leases: for its end, and for an operator to get on without the proxy; and how long it is given at most.
_LONGER_THAN_THE_LEASE = (1.2, 0.3)
_PATIENCE = 6
#: How long a proxy is waited for to send a statement on a managed table.
_STATEMENT_S = 1.5


class Nemesis:
    """Does the harms of a scenario one after the other, spread over its walk."""

    def __init__(self, arena: Arena, scenario: Scenario, operators: Operators) -> None:
        self._arena, self._harms, self._operators = arena, scenario.harms, operators
        self._rng = random.Random(f"{scenario.seed} nemesis")
        self.done: list[str] = []

    async def run(self) -> None:
        for harm in self._harms:
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
            if self._operators.have_arrived:
                return
            self.done.append(f"{time.monotonic():.3f} {harm.name.lower()}")
            await self._do(harm)

    async def _do(self, harm: Harm) -> None:
        proxy = self._rng.choice(self._arena.proxies)
        match harm:
            case Harm.KILL_PROXY:
                await proxy.kill()
                await asyncio.sleep(self._rng.uniform(0, self._arena.lease_s))
                proxy.start()
                await proxy.wait_until_it_listens()
            case Harm.FREEZE_PROXY:
                async with self._frozen(proxy):
                    await self._until_left_behind()
            case Harm.BLINK_PROXY:
                async with self._frozen(proxy):
                    await asyncio.sleep(self._rng.uniform(0.1, 0.8) * self._arena.lease_s)
            case Harm.CUT_CONTROL:
                await self._end_sessions("usename = $1", proxy.role)
            case Harm.CUT_OFF:
                await self._cut_off(proxy)
            case Harm.CUT_OPERATOR:
                await self._end_sessions(
                    "application_name ~ '^pgjanus (start|advance|rollback|abort)' AND $1 <> ''", "all"
                )
            case Harm.CUT_WORKER:
                await self._end_sessions("application_name LIKE $1", "pgjanus backfill%")
            case Harm.CUT_CLIENT:
                await self._end_sessions(
                    "application_name ~ '^(old|new)' AND pid % 4 = $1::int", self._rng.choice("0123")
                )
            case Harm.RESTART_FAST:
                await self._arena.restart("fast")
            case Harm.RESTART_AT_ONCE:
                await self._arena.restart("immediate")

    @asynccontextmanager
    async def _frozen(self, proxy: Proxy) -> AsyncIterator[None]:
        """Stopped between a look at its lease and what follows from it; wherever it is, if nobody asks it anything."""
        proxy.send(signal.SIGUSR1)
        patience = time.monotonic() + _STATEMENT_S
        while not proxy.is_stopped and time.monotonic() < patience:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.002)
        self.done.append(f"{time.monotonic():.3f} stopped {'where asked' if proxy.is_stopped else 'anywhere'}")
        proxy.send(signal.SIGSTOP)
        try:
            yield
        finally:
            proxy.send(signal.SIGCONT)

    async def _until_left_behind(self) -> None:
        """Until the lease is over, and operators have gone two rungs without the proxy, or cannot."""
        enough = await self._epoch() + 2
        until = time.monotonic() + _PATIENCE * self._arena.lease_s
        await asyncio.sleep(sum(_LONGER_THAN_THE_LEASE) * self._arena.lease_s)
        while await self._epoch() < enough and time.monotonic() < until:
            if self._operators.have_arrived:
                await self._operators.go_far()
            await asyncio.sleep(0.05 * self._arena.lease_s)

    async def _epoch(self) -> int:
        return int((await self._arena.execute("SELECT epoch FROM pgjanus.epoch"))[0][0])

    async def _cut_off(self, proxy: Proxy) -> None:
        await self._arena.execute(f"ALTER ROLE {proxy.role} NOLOGIN")
        try:
            await self._end_sessions("usename = $1", proxy.role)
            await asyncio.sleep(sum(_LONGER_THAN_THE_LEASE) * self._arena.lease_s)
        finally:
            await self._arena.execute(f"ALTER ROLE {proxy.role} LOGIN")

    async def _end_sessions(self, which: str, argument: str) -> None:
        sql = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND {which}"
        with suppress(asyncpg.PostgresError):
            await self._arena.execute(sql, argument)
