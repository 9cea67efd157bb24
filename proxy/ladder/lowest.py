"""The lowest rungs: from `announced` to the columns, back, and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from proxy.control import registry
from proxy.control.registry import MigrationRow
from proxy.database import Connection
from proxy.ladder.grants import column_grants, copy_grants
from proxy.ladder.indexes import ensure_indexes, plan_indexes
from proxy.ladder.operator import LadderError, Operator
from rules.ddl.copying import copying_ddl, copying_drop
from rules.ddl.guard import guard_ddl, guard_drop
from rules.ddl.statements import Statement, collapse, expand
from rules.migration import ManagedTable
from rules.phases import ANNOUNCED, STATE_COLUMN, Phase


async def expand_table(operator: Operator, row: MigrationRow) -> MigrationRow:
    """From `announced` to the first phase with columns."""
    connection = operator.connection
    await operator.wait_for_proxies(await registry.read_epoch(connection))
    managed = await managed_table(operator, row)
    after = row.ladder[1]
    grants = await column_grants(connection, managed.migration, managed.relation)

    async def work(connection: Connection) -> Sequence[Statement]:
        await registry.set_phase(connection, row, after)
        await registry.record(connection, row.name, row.phase, after, await registry.raise_epoch(connection))
        # Columns that are there in this phase are what an interrupted abort left behind: their contents are stale.
        adds = expand(managed.migration, managed.relation, grants)
        return [*_leftovers(managed), *adds, *triggers(managed, after)]

    await operator.briefly("adding the columns", row.table, work)
    operator.say(f"{row.name}: {after.name}")
    managed = await managed_table(operator, row)
    await copy_grants(operator, managed)
    try:
        await ensure_indexes(operator, managed, await plan_indexes(operator, managed), after)
    except LadderError as error:
        # Only reads of the new shape are slower without them; the next step makes them before it goes on.
        operator.say(f"note: {error}")
    return await registry.read_migration(connection, row.name)


def _leftovers(managed: ManagedTable) -> tuple[Statement, ...]:
    if managed.relation.column(STATE_COLUMN) is None:
        return ()
    return (*guard_drop(managed.migration), *copying_drop(managed.migration), *collapse(managed.migration))


def triggers(managed: ManagedTable, after: Phase) -> tuple[Statement, ...]:
    """What makes the triggers those that `after` wants, for the transaction that enters it."""
    then = replace(managed, phase=after)
    return (*guard_ddl(then), *copying_ddl(then))


async def withdraw(operator: Operator, row: MigrationRow) -> None:
    """From `expanded` to `announced`.

    There proxies do not set the row state, so the new columns get stale, and the guard would take them for strangers:
    first nobody may read new columns any more, then the guard goes in the same transaction.
    """
    connection = operator.connection
    if not row.withdrawn:
        async with connection.transaction():
            await registry.withdraw(connection, row.name, True)
            await registry.raise_epoch(connection)
        operator.say(f"{row.name}: clients of the new shape are refused")
    await operator.wait_for_proxies(await registry.read_epoch(connection))
    managed = await managed_table(operator, row)

    async def work(connection: Connection) -> Sequence[Statement]:
        await registry.set_phase(connection, row, ANNOUNCED)
        epoch = await registry.raise_epoch(connection)
        await registry.record(connection, row.name, row.phase, ANNOUNCED, epoch, "abort")
        return triggers(managed, ANNOUNCED)

    await operator.briefly(f"entering {ANNOUNCED.name}", row.table, work)


async def serve_new_again(operator: Operator, row: MigrationRow) -> None:
    """An `abort` that did not get any further is called off."""
    async with operator.connection.transaction():
        await registry.withdraw(operator.connection, row.name, False)
        await registry.raise_epoch(operator.connection)
    operator.say(f"{row.name}: clients of the new shape are served again")


async def forget(operator: Operator, row: MigrationRow, note: str) -> None:
    """From `announced` to nothing: columns, if there are any, and registration in one transaction."""
    leftovers: tuple[Statement, ...] = ()
    if await registry.present_name(operator.connection, row) is not None:
        leftovers = _leftovers(await managed_table(operator, row))

    async def work(connection: Connection) -> Sequence[Statement]:
        await registry.delete_migration(connection, row.name)
        await registry.record(connection, row.name, row.phase, None, await registry.raise_epoch(connection), note)
        return leftovers

    await operator.briefly("dropping the new columns", row.table, work)
    operator.say(f"{row.name}: {note}")


async def managed_table(operator: Operator, row: MigrationRow) -> ManagedTable:
    _, managed = await registry.read_managed_table(operator.connection, row.name)
    return managed
