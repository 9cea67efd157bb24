"""What the side worker does when it has nothing to convert: it proves, and keeps the proof up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Container

import asyncpg

from proxy.backfill.session import Session, find_key
from proxy.control.registry import MigrationRow, read_managed_table, read_state
from proxy.verify import passes
from proxy.verify.passes import Part, Pass, PassEnded, Superseded
from proxy.verify.runner import go_through
from rules.agreement import needs_proof
from rules.errors import PgjanusError

#: Between two looks at the same table, and so many times as long as a look took: it is never worth more of the server.
_REST_SECONDS = 60.0
_REST_TIMES = 20
#: Then the worker asks whether there is something to convert again, and goes on after that.
_AT_MOST_SECONDS = 60.0


async def verify_unasked(
    session: Session, *, unready: Container[str], stop: Callable[[], bool], on_error: Callable[[str], None]
) -> bool:
    """Verify every table whose next step needs a proof and has none. False: there is more to do right away.

    Args:
        unready: names of migrations that have rows to convert first.
        stop: asked between chunks.
        on_error: told of rows that differ, once for each pass, and of what fails.
    """
    deadline = time.monotonic() + _AT_MOST_SECONDS
    for row in (await read_state(await session.connection())).migrations:
        if not row.is_active or row.name in unready or not needs_proof(row.strategy, row.phase.name):
            continue
        try:
            if not await _verify(session, row, lambda: stop() or time.monotonic() > deadline, on_error):
                return False
        except PassEnded:
            return False
        except Superseded:
            continue
        except (PgjanusError, asyncpg.PostgresError) as error:
            on_error(f"{row.name}: {' '.join(str(error).split())}")
    return True


async def _verify(
    session: Session, row: MigrationRow, stop: Callable[[], bool], on_error: Callable[[str], None]
) -> bool:
    connection = await session.connection()
    _, managed = await read_managed_table(connection, row.name)
    key = await find_key(connection, managed.migration)
    last = await passes.read(connection, row.name)
    if last is not None and last.current:
        if last.attended or not _is_due(last):
            return True
        if last.part is Part.DONE and last.clean:
            await passes.reopen(connection, row.name, last.number)
        number = last.number
    if last is None or not last.current or (last.part is Part.DONE and not last.clean):
        number = await passes.begin(connection, row, key, last, repair=False)
    if not await go_through(session, managed, key, number, stop=stop, unasked=True):
        return False
    differing, _ = await passes.count(await session.connection(), row.name, number)
    if differing:
        on_error(f"{row.name}: the two formats differ in {differing} rows: pgjanus verify {row.name} lists them")
    return True


def _is_due(last: Pass) -> bool:
    if last.part is not Part.DONE:
        return True
    took_s = last.check_s if last.clean else last.pass_s
    return last.rested_s >= max(_REST_SECONDS, _REST_TIMES * took_s)
