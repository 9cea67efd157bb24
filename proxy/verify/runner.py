"""`pgjanus verify`, and the proof that `advance` asks for: a pass over the table, from wherever it is to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.backfill.drive import BadRow, Met, Step, drive
from proxy.backfill.session import Session, find_key, open_session
from proxy.backfill.throttle import BatchSize
from proxy.backfill.watch import Watch
from proxy.control.installation import require_installed
from proxy.control.registry import MigrationRow, read_managed_table
from proxy.database import Connection
from proxy.verify import passes
from proxy.verify.compare import Comparer
from proxy.verify.pace import Pace, Stopped
from proxy.verify.passes import Part, PassEnded, Superseded
from rules.batches import Key
from rules.errors import PgjanusError
from rules.migration import ManagedTable

#: Rows that a result names at most; `pgjanus.divergences` has all of them.
MOST_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that is not as it has to be: `id=7`, why, and both formats under visible names, as text or None."""

    key: str
    key_values: dict[str, str]
    reason: str
    old: dict[str, str | None]
    new: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """`rows_total` is the planner's estimate, `divergent` what was found so far, `state` a few words for a person."""

    rows: int
    rows_total: int
    divergent: int
    rate: float
    state: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a whole pass over the table found.

    Attributes:
        rows: compared, by whoever was at the pass.
        divergent: rows in state `both` where neither format is what the other converts to, or cannot be converted.
        forbidden: rows in the state that the phase's gate forbids.
        repaired: rows that the pass derived again, which are none of the divergent ones any more.
        findings: the first `MOST_NAMED` of divergent and forbidden rows.
    """

    migration: str
    phase: str
    rows: int
    divergent: int
    forbidden: int
    repaired: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        return not self.divergent and not self.forbidden

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f.key for f in self.findings)


OnProgress = Callable[[VerifyProgress], None]
#: Which pass to be at: the number of one that is there, or of a new one.
Choose = Callable[[Connection, MigrationRow, Key], Awaitable[int]]

#: Somebody else begins a pass at the same moment: how often to look again which one that is.
_ATTEMPTS = 5


def _never() -> bool:
    return False


def _ignore(_: VerifyProgress) -> None:
    pass


async def verify(
    url: str, migration_name: str, *, repair: bool = False, on_progress: OnProgress = _ignore
) -> VerifyResult:
    """Check every row of the table beside live traffic: goes on with a pass that has not ended, or begins one.

    Args:
        repair: derive the other format again from the one that the phase holds true, and look at these rows once more.

    Raises:
        PgjanusError: unreachable, not installed, unknown or finished migration, columns not there yet.
        Superseded: somebody else has begun a pass meanwhile.
        TooManyBadRows: the expressions are to blame, not the rows.
    """

    async def choose(connection: Connection, row: MigrationRow, key: Key) -> int:
        last = await passes.read(connection, row.name)
        if last is not None and last.current and not last.proved and last.repair is repair:
            return last.number
        return await passes.begin(connection, row, key, last, repair=repair)

    session = Session(lambda: open_session(url, f"verify {migration_name}"))
    try:
        return await _whole_pass(session, migration_name, choose, on_progress)
    finally:
        await session.close()


async def prove(url: str, migration_name: str, *, on_progress: OnProgress = _ignore) -> VerifyResult:
    """Make sure that there is a clean pass of this stay in the phase, and that it holds now.

    One that has been clean is only closed once more, over what has changed since; one that is under way and clean so
    far is gone on with. Ends at the first rows that differ: the result has those that were found until then.

    Raises: as `verify`.
    """

    async def choose(connection: Connection, row: MigrationRow, key: Key) -> int:
        last = await passes.read(connection, row.name)
        if last is None or not last.current or not last.clean or last.repair:
            if last is not None and last.repair and last.part is not Part.DONE and last.attended:
                raise PgjanusError(f"pgjanus verify {row.name} --repair is at work: let it end first")
            return await passes.begin(connection, row, key, last, repair=False)
        if last.part is Part.DONE:
            await passes.reopen(connection, row.name, last.number)
        return last.number

    session = Session(lambda: open_session(url, f"verify {migration_name}"))
    try:
        return await _whole_pass(session, migration_name, choose, on_progress, until_found=True)
    finally:
        await session.close()


async def _whole_pass(
    session: Session,
    name: str,
    choose: Choose,
    on_progress: OnProgress,
    *,
    until_found: bool = False,
) -> VerifyResult:
    started = time.monotonic()
    lost = 0
    while True:
        connection = await session.connection()
        await require_installed(connection)
        row, managed = await read_managed_table(connection, name)
        if not managed.phase.expanded:
            raise PgjanusError(f"migration {name!r} is in phase {managed.phase.name}: there is nothing to compare")
        key = await find_key(connection, managed.migration)
        try:
            number = await choose(connection, row, key)
        except Superseded:
            lost += 1
            if lost == _ATTEMPTS:
                raise
            continue
        try:
            await go_through(session, managed, key, number, on_progress=on_progress, until_found=until_found)
        except PassEnded:
            continue
        return await _result(await session.connection(), managed, number, time.monotonic() - started)


async def go_through(
    session: Session,
    managed: ManagedTable,
    key: Key,
    number: int,
    *,
    on_progress: OnProgress = _ignore,
    stop: Callable[[], bool] = _never,
    until_found: bool = False,
    unasked: bool = False,
) -> bool:
    """One pass, from where it is to its end; several may be at it. False: there is more to do.

    Args:
        stop: asked between two chunks.
        unasked: nobody waits for it, so it looks for reasons to wait before the first chunk.
        until_found: stop at the first chunk with a row that is not as it has to be.

    Raises:
        PassEnded: the phase has moved on.
        Superseded, TooManyBadRows: as `verify`.
    """
    watch = Watch(managed.migration)
    comparer = Comparer(managed, key, watch, number)
    pace = Pace(
        *(managed.migration.name, number, watch, lambda: comparer.met),
        lambda: stop() or (until_found and comparer.found > 0),
        look_first=unasked,
    )
    kept = await passes.read_this(await session.connection(), managed.migration.name, number)
    comparer.rows, total = kept.rows, kept.rows_total

    def report(state: str) -> None:
        on_progress(VerifyProgress(comparer.rows, max(total, comparer.rows), comparer.found, pace.rows_per_s, state))

    async def between(connection: Connection) -> None:
        await pace.between(connection, report)

    async def after(_: Met | BadRow, size: BatchSize, __: float) -> BatchSize:
        report("comparing")
        return BatchSize(watch.settings.batch_target_ms, size.rows)

    step = Step(comparer.take, comparer.blame, report, between)
    try:
        await drive(session, step, BatchSize(watch.settings.batch_target_ms), after)
    except Stopped:
        return False
    report("done")
    return True


async def _result(connection: Connection, managed: ManagedTable, number: int, seconds: float) -> VerifyResult:
    name = managed.migration.name
    kept = await passes.read_this(connection, name, number)
    divergent, forbidden = await passes.count(connection, name, number)
    rows = await connection.fetch(
        "SELECT key::text, reason, old::text, new::text FROM pgjanus.divergences WHERE migration = $1 AND pass = $2"
        " ORDER BY id LIMIT $3",
        *(name, number, MOST_NAMED),
    )
    findings = tuple(_finding(*r) for r in rows)
    phase = managed.phase.name
    return VerifyResult(name, phase, kept.rows, divergent, forbidden, kept.repaired, findings, seconds)


def _finding(key: str, reason: str, old: str, new: str) -> Finding:
    values: dict[str, str] = json.loads(key)
    return Finding(", ".join(f"{k}={v}" for k, v in values.items()), values, reason, json.loads(old), json.loads(new))
