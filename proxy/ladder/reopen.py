"""The operator's word that what the database says now holds, although it went back in time."""

from __future__ import annotations

from proxy.control import registry
from proxy.ladder.operator import Operator


async def reopen(operator: Operator) -> tuple[int, int]:
    """Go to an epoch that no proxy has seen. The epoch before and after.

    Raises:
        NotAcknowledged: a proxy has not come along.
    """
    connection = operator.connection
    before = await registry.read_epoch(connection)
    async with connection.transaction():
        after = await registry.leap_epoch(connection)
        for row in (await registry.read_state(connection)).migrations:
            if row.is_active:
                await registry.record(connection, row.name, row.phase, row.phase, after, "reopened")
    await operator.wait_for_proxies(after)
    return before, after
