"""`contracted`: the old columns go, the new ones get their names, while no proxied transaction runs.

    hold (epoch + 1) ─► every proxy acknowledges: nothing runs ─► one transaction under a short lock_timeout:
    the hold is still in force? DDL, phase, epoch, hold cleared ─► proxies read the outcome and release

The hold is at most some seconds by the database's clock, whatever becomes of us; between attempts it is lifted, so that
everybody who waited gets through.
"""

from __future__ import annotations

import asyncio
import random
import time

import asyncpg

from proxy import registry
from proxy.database import Connection
from proxy.ladder.dependants import not_null_names
from proxy.ladder.operator import LOCK_TIMEOUT_MS, LadderError, NotAcknowledged, Operator
from proxy.ladder.partitions import name_parts
from proxy.registry import MigrationRow
from rules.ddl.attributes import name_new
from rules.ddl.copying import copying_drop
from rules.ddl.guard import guard_drop
from rules.ddl.statements import drop_old
from rules.ddl.transition import TransitionIndex
from rules.errors import PgjanusError
from rules.migration import ManagedTable
from rules.phases import CONTRACTED

HOLD_SECONDS = 3.0
#: How long of it to wait for transactions that are still running; the rest is for the DDL.
_DRAIN_SECONDS = 2.0
_ATTEMPTS = 10
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


class HoldExpired(LadderError):
    """the hold had run out before the DDL could begin"""


async def contract(
    operator: Operator, row: MigrationRow, managed: ManagedTable, counterparts: tuple[TransitionIndex, ...]
) -> float:
    """Enter `contracted`. How long new transactions were held the time it worked, in milliseconds.

    `counterparts` are the indexes that stay and get their names.

    Raises:
        LadderError: not within the attempts, and who was in the way. The phase is what it was, nobody is held.
    """
    deadline = time.monotonic() + operator.timeout_s
    pause = _FIRST_PAUSE_SECONDS
    for attempt in range(1, _ATTEMPTS + 1):
        held_at = time.monotonic()
        try:
            await _attempt(operator, row, managed, counterparts)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, NotAcknowledged, HoldExpired) as error:
            holders = await operator.holders([row.table_oid])
            await _release(operator, row)
            held_ms = (time.monotonic() - held_at) * 1000
            why = str(error) if isinstance(error, PgjanusError) else f"the table is locked by {holders or 'somebody'}"
            operator.say(f"attempt {attempt}: held new transactions for {held_ms:.0f} ms, released: {why}")
            if attempt == _ATTEMPTS or time.monotonic() >= deadline:
                raise LadderError(f"{row.name} could not be contracted after {attempt} attempts: {why}") from error
        except BaseException:
            await _release(operator, row)
            raise
        else:
            held_ms = (time.monotonic() - held_at) * 1000
            operator.say(f"{row.name}: contracted; new transactions were held for {held_ms:.0f} ms")
            return held_ms
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def _attempt(
    operator: Operator, row: MigrationRow, managed: ManagedTable, counterparts: tuple[TransitionIndex, ...]
) -> None:
    connection = operator.connection
    async with connection.transaction():
        await registry.set_hold(connection, row.name, HOLD_SECONDS)
        epoch = await registry.raise_epoch(connection)
    await operator.wait_for_proxies(epoch, _DRAIN_SECONDS)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
        if not await registry.lock_held_migration(connection, row.name):
            raise HoldExpired("the hold had run out before its transaction began")
        triggers = (*guard_drop(managed.migration), *copying_drop(managed.migration))
        for statement in (*triggers, *drop_old(managed.migration)):
            await connection.execute(statement.sql)
        taken = await _taken_names(connection, managed)
        not_nulls = await not_null_names(connection, managed.relation.oid)
        for statement in name_new(managed.migration, taken, counterparts, not_nulls):
            await connection.execute(statement.sql)
        if managed.relation.is_partitioned:
            await name_parts(connection, managed.relation.oid, set(await _taken_names(connection, managed)))
        await registry.set_phase(connection, row, CONTRACTED)
        epoch = await registry.raise_epoch(connection)
        await registry.record(connection, row.name, row.phase, CONTRACTED, epoch)


async def _taken_names(connection: Connection, managed: ManagedTable) -> list[str]:
    rows = await connection.fetch(
        "SELECT c.relname::text FROM pg_class c JOIN pg_class t USING (relnamespace) WHERE t.oid = $1::int8::oid"
        " UNION SELECT conname::text FROM pg_constraint WHERE conrelid = $1::int8::oid",
        managed.relation.oid,
    )
    return [r[0] for r in rows]


async def _release(operator: Operator, row: MigrationRow) -> None:
    """A lost connection is no reason to worry: the hold runs out, and any proxy lifts it."""
    if operator.connection.is_closed():
        return
    async with operator.connection.transaction():
        if await registry.clear_hold(operator.connection, row.name):
            await registry.raise_epoch(operator.connection)
