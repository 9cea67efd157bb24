"""From one round over all ranges to the next, until a scan finds no row in the state: nobody trusts a cursor.

nothing begun ──► plan, round 1 ──► every range done ──► scan ──► none left: done
                                          ▲                ├──► only rows that cannot be converted: failed
                                          └── round n + 1 ◄┘
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from proxy.backfill import bad_rows, ranges
from proxy.backfill.ranges import Job
from proxy.database import Connection
from rules.batches import count_sql


class Next(Enum):
    """What a worker does when it has no range (yet)."""

    WORK = auto()
    #: Another worker has the last range, or scans.
    WAIT = auto()
    DONE = auto()
    #: What is left cannot be converted.
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Turn:
    """`round` counts from 1, and is 0 if there was never a row in the state; `total`: of all rounds, an estimate in the
    first one."""

    next: Next
    round: int = 0
    total: int = 0


async def turn(connection: Connection, job: Job, *, seen: int | None, exact: bool = False) -> Turn:
    """Join the round that is under way, or end it and begin the next one; one worker at a time does so.

    Args:
        seen: the round that this worker has just been through, None at its start: then what failed is tried again.
        exact: count the rows before the first round, too.
    """
    if not await _is_known(connection, job):
        if not await _left(connection, job, exact=False):
            return Turn(Next.DONE)
        await connection.execute(
            "INSERT INTO pgjanus.backfills (migration, state) VALUES ($1, $2) ON CONFLICT DO NOTHING", *job.name
        )
    async with connection.transaction():
        # A scan takes as long as it takes.
        await connection.execute("SET LOCAL statement_timeout = 0")
        row = await connection.fetchrow(
            "SELECT round, rows_total, done, error FROM pgjanus.backfills WHERE migration = $1 AND state = $2"
            " FOR NO KEY UPDATE SKIP LOCKED",
            *job.name,
        )
        if row is None:
            return Turn(Next.WAIT)
        round_, total, done, error = row
        if await ranges.any_left(connection, job):
            if error is not None:
                await stop(connection, job, None)
            return Turn(Next.WORK, round_, total)
        if seen is not None and round_ == seen and error is not None:
            return Turn(Next.FAILED, round_, total)
        under_way = bool(round_) and not done and (error is None or seen is not None)
        left = await _left(connection, job, exact=exact or under_way)
        if left == 0:
            return await _end(connection, job, round_, None, total)
        if under_way:
            bad = await bad_rows.count(connection, job, round_)
            if left <= bad:
                first = (await bad_rows.named(connection, job))[0]
                reason = f"{bad} rows cannot be converted, such as {': '.join(first)}"
                return await _end(connection, job, round_, reason, total)
            await ranges.begin_again(connection, job)
            return await _begin(connection, job, round_ + 1, await ranges.rows_done(connection, job) + left)
        await bad_rows.forget_before(connection, job, round_ + 1)
        await ranges.plan(connection, job, left)
        return await _begin(connection, job, round_ + 1, left, anew=True)


async def stop(connection: Connection, job: Job, error: str | None) -> None:
    """For now; the next worker that is started goes on where this one stopped."""
    await connection.execute(
        "UPDATE pgjanus.backfills SET error = $3, updated_at = clock_timestamp() WHERE migration = $1 AND state = $2",
        *(*job.name, error),
    )


async def _is_known(connection: Connection, job: Job) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pgjanus.backfills WHERE migration = $1 AND state = $2)", *job.name
        )
    )


async def _left(connection: Connection, job: Job, *, exact: bool) -> int:
    if not exact:
        estimated = await ranges.estimate(connection, job)
        if estimated:
            return estimated
    return int(await connection.fetchval(count_sql(job.migration.table, job.state)))


async def _begin(connection: Connection, job: Job, round_: int, total: int, *, anew: bool = False) -> Turn:
    await connection.execute(
        "UPDATE pgjanus.backfills SET round = $3, rows_total = $4, done = false, error = NULL,"
        " started_at = CASE WHEN $5 THEN clock_timestamp() ELSE started_at END, updated_at = clock_timestamp()"
        " WHERE migration = $1 AND state = $2",
        *(*job.name, round_, total, anew),
    )
    return Turn(Next.WORK, round_, total)


async def _end(connection: Connection, job: Job, round_: int, error: str | None, total: int | None) -> Turn:
    done = await ranges.rows_done(connection, job)
    await bad_rows.forget_before(connection, job, round_ + (error is None))
    await connection.execute(
        "UPDATE pgjanus.backfills SET done = $3::text IS NULL, error = $3,"
        " rows_total = CASE WHEN $3::text IS NULL THEN $4 ELSE rows_total END, updated_at = clock_timestamp()"
        " WHERE migration = $1 AND state = $2",
        *(*job.name, error, done),
    )
    return Turn(Next.DONE if error is None else Next.FAILED, round_, total or done)
