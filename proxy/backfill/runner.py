"""`pgjanus backfill`: what there is to empty, now or from now on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

import asyncpg

from proxy.backfill.drive import TooManyBadRows
from proxy.backfill.progress import Progress
from proxy.backfill.session import Session, open_session
from proxy.backfill.sqlstate import is_disconnect
from proxy.backfill.worker import OnProgress, StateResult, empty_state
from proxy.control.installation import require_installed
from proxy.control.registry import CHANNEL, read_epoch, read_managed_table, read_migration, read_state
from proxy.database import Connection
from proxy.verify.unasked import verify_unasked
from rules.batches import states_to_empty
from rules.errors import PgjanusError
from rules.phases import RowState

_IDLE_ROUND_SECONDS = 60.0
_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """What came of all row states that had to be emptied."""

    states: tuple[StateResult, ...]

    @property
    def complete(self) -> bool:
        return all(state.complete for state in self.states)

    @property
    def rows(self) -> int:
        return sum(state.rows for state in self.states)

    @property
    def bad(self) -> tuple[tuple[str, str], ...]:
        return tuple(row for state in self.states for row in state.bad)


async def run(
    url: str,
    migration_name: str | None = None,
    *,
    once: bool = False,
    exact: bool = False,
    on_progress: OnProgress = lambda _: None,
    on_error: Callable[[str], None] = lambda _: None,
) -> BackfillResult:
    """Empty the row states that the neighbours of the current phase forbid, for one migration or for all.

    Returns when nothing is left to do; without a name and without `once` it goes on for ever, following phase changes.

    Args:
        exact: count the rows that are to be done before the first one, instead of estimating them from a sample.
        on_error: told of a migration that fails while the worker serves all of them.

    Raises:
        PgjanusError: unreachable, not installed, unknown or finished migration, or an expression that fails everywhere.
        asyncpg.PostgresError: the conversion cannot work at all.
    """
    first: Connection | None = await open_session(url, "backfill")

    async def connect() -> Connection:
        nonlocal first
        connection, first = first, None
        return connection or await open_session(url, "backfill")

    session = Session(connect)
    try:
        await require_installed(await session.connection())
        if migration_name is not None:
            return await _empty_migration(session, migration_name, on_progress, exact=exact)
        if once:
            return await _round(session, on_progress, on_error=None)
        await _serve(url, session, on_progress, on_error)
    finally:
        await session.close()


async def _wants(name: str, state: RowState, connection: Connection) -> bool:
    row = await read_migration(connection, name)
    return state in states_to_empty(row.strategy, row.phase.name)


async def _empty_migration(
    session: Session, name: str, on_progress: OnProgress, *, exact: bool = False
) -> BackfillResult:
    results: list[StateResult] = []
    while True:
        row, managed = await read_managed_table(await session.connection(), name)
        stopped = False
        for state in states_to_empty(row.strategy, row.phase.name):
            wanted = partial(_wants, name, state)
            result = await empty_state(
                session, managed.migration, state, on_progress=on_progress, still_wanted=wanted, exact=exact
            )
            results.append(result)
            stopped = stopped or not (result.complete or result.bad)
        if not stopped:
            return BackfillResult(tuple(results))
        # The phase moved on while a state was being emptied: what is wanted now may be something else.
        results = [replace(r, complete=True) if not r.bad else r for r in results]


async def _round(session: Session, on_progress: OnProgress, on_error: Callable[[str], None] | None) -> BackfillResult:
    results: list[StateResult] = []
    for row in (await read_state(await session.connection())).migrations:
        if not row.is_active:
            continue
        try:
            results += (await _empty_migration(session, row.name, on_progress)).states
        except (PgjanusError, asyncpg.PostgresError) as error:
            if on_error is None:
                raise
            on_error(f"{row.name}: {' '.join(str(error).split())}")
    return BackfillResult(tuple(results))


async def _serve(url: str, session: Session, on_progress: OnProgress, on_error: Callable[[str], None]) -> NoReturn:
    """Never returns by itself."""
    changed = asyncio.Event()
    while True:
        try:
            listener = await open_session(url, "backfill, waiting for phase changes")
            try:
                await listener.add_listener(CHANNEL, lambda *_: changed.set())
                while not listener.is_closed():
                    changed.clear()
                    epoch = await read_epoch(listener)
                    result = await _round(session, on_progress, on_error)
                    unready = {state.migration for state in result.states if not state.complete}
                    if await verify_unasked(session, unready=unready, stop=changed.is_set, on_error=on_error):
                        await _until_changed(listener, changed, epoch)
            finally:
                listener.terminate()
        except Exception as error:
            if not isinstance(error, PgjanusError | asyncpg.PostgresError) and not is_disconnect(error):
                raise
            on_error(" ".join(str(error).split()))
            await session.drop()
            await asyncio.sleep(_POLL_SECONDS)


async def _until_changed(listener: Connection, changed: asyncio.Event, epoch: int) -> None:
    """A notification ends the wait at once; the epoch is asked for as well, since notifications can be lost."""
    for _ in range(int(_IDLE_ROUND_SECONDS / _POLL_SECONDS)):
        try:
            await asyncio.wait_for(changed.wait(), _POLL_SECONDS)
        except TimeoutError:
            pass
        if changed.is_set() or await read_epoch(listener) != epoch:
            return


__all__ = ["BackfillResult", "Progress", "TooManyBadRows", "run"]
