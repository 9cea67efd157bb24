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
from collections.abc import Sequence

import asyncpg

from proxy.control import registry
from proxy.control.rebuilt import forget_all_rebuilt
from proxy.control.registry import MigrationRow
from proxy.database import Connection
from proxy.ladder.dependants import not_null_names
from proxy.ladder.operator import LadderError, NotAcknowledged, Operator, TableIsBusy
from proxy.ladder.partitions import name_parts
from rules.ddl.attributes import final_names, name_new
from rules.ddl.copying import copying_drop
from rules.ddl.guard import guard_drop
from rules.ddl.statements import Statement, drop_old, old_columns
from rules.ddl.transition import TransitionIndex
from rules.migration import ManagedTable
from rules.phases import CONTRACTED, STATE_COLUMN

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
        except (TableIsBusy, NotAcknowledged, HoldExpired) as error:
            await _release(operator, row)
            held_ms = (time.monotonic() - held_at) * 1000
            why = f"the table is locked by {error}" if isinstance(error, TableIsBusy) else str(error)
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

    async def work(connection: Connection) -> Sequence[Statement]:
        if not await registry.lock_held_migration(connection, row.name):
            raise HoldExpired("the hold had run out before its transaction began")
        taken = await _names_that_stay(connection, managed)
        not_nulls = await not_null_names(connection, managed.relation.oid)
        await registry.set_phase(connection, row, CONTRACTED)
        await forget_all_rebuilt(connection, row.name)
        await registry.record(connection, row.name, row.phase, CONTRACTED, await registry.raise_epoch(connection))
        named = name_new(managed.migration, taken, counterparts, not_nulls)
        if managed.relation.is_partitioned:
            finals = final_names(managed.migration, taken, counterparts, not_nulls)
            named += await name_parts(connection, managed.relation.oid, {*taken, *finals.values()}, finals)
        triggers = (*guard_drop(managed.migration), *copying_drop(managed.migration))
        return [*triggers, *drop_old(managed.migration), *named]

    try:
        await operator.attempt(row.table, work)
    except asyncpg.DependentObjectsStillExistError as error:
        raise LadderError(
            f"something that depends on an old column has appeared just now ({error.detail or error}):"
            f" pgjanus advance {row.name} looks again"
        ) from error


# Which names the old columns take with them is asked before the table is locked: what PostgreSQL drops with a column
# depends on it automatically (a constraint, an index, an owned sequence) or is a part of such a thing.
_NAMES_THAT_STAY = """
WITH RECURSIVE going(class, object, part) AS (
    SELECT 'pg_class'::regclass::oid, attrelid, attnum::int FROM pg_attribute
     WHERE attname = ANY ($2::text[]) AND (attrelid = $1::int8::oid
        OR attrelid IN (SELECT relid FROM pg_partition_tree($1::int8::oid)))
    UNION
    SELECT d.classid, d.objid, d.objsubid FROM pg_depend d JOIN going g
        ON (d.refclassid, d.refobjid) = (g.class, g.object) AND g.part IN (0, d.refobjsubid)
     WHERE d.deptype IN ('a', 'i', 'P', 'S') AND d.objid <> $1::int8::oid
)
SELECT c.relname::text FROM pg_class c JOIN pg_class t USING (relnamespace)
 WHERE t.oid = $1::int8::oid AND NOT EXISTS (SELECT FROM going WHERE (class, object) = ('pg_class'::regclass, c.oid))
UNION
SELECT conname::text FROM pg_constraint c
 WHERE conrelid = $1::int8::oid
   AND NOT EXISTS (SELECT FROM going WHERE (class, object) = ('pg_constraint'::regclass, c.oid))"""


async def _names_that_stay(connection: Connection, managed: ManagedTable) -> list[str]:
    """Names of the schema's relations and of the table's constraints that are taken once the old columns are gone."""
    columns = [STATE_COLUMN, *(c.physical for c in old_columns(managed.migration))]
    return [r[0] for r in await connection.fetch(_NAMES_THAT_STAY, managed.relation.oid, columns)]


async def _release(operator: Operator, row: MigrationRow) -> None:
    """A lost connection is no reason to worry: the hold runs out, and any proxy lifts it."""
    if operator.connection.is_closed():
        return
    async with operator.connection.transaction():
        if await registry.clear_hold(operator.connection, row.name):
            await registry.raise_epoch(operator.connection)
