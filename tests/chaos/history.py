"""One history: a table, clients at work on it, a walk on the ladder, things that break; then the verdict."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from proxy.control import registry
from proxy.database import connect
from rules.phases import NEW_IS_VALID_FROM, OLD_IS_VALID_BELOW, STATE_COLUMN, Shape
from tests.chaos.applications import STUCK_S, Client, Surroundings
from tests.chaos.arena import Arena, Proxy
from tests.chaos.checker import check
from tests.chaos.nemesis import Nemesis
from tests.chaos.operators import Operators
from tests.chaos.records import Found, Outcome, Records, SeenRow, Violation, Wrong
from tests.chaos.register import COLUMNS, table_sql
from tests.chaos.scenario import End, Scenario

#: Clients at work before anything happens, and when everything has.
_BEFORE_S, _AFTER_S = 0.2, 0.3
_DEFECTS = ("session_failed", "planner_failed", "Traceback")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a history. `story` is what operators and nemesis did, in order."""

    scenario: Scenario
    violations: tuple[Violation, ...]
    seconds: float
    statements: int
    committed: int
    unknown: int
    reads: int
    errors: dict[str, int]
    story: tuple[str, ...]

    def __str__(self) -> str:
        counts = f"{self.statements} statements, {self.committed} transactions committed, {self.unknown} unknown"
        return f"{self.scenario} ({self.seconds:.1f} s, {counts}, {self.reads} reads, errors {self.errors})"


async def run_history(arena: Arena, scenario: Scenario) -> Verdict:
    """Everything of the history is gone afterwards, but for what a violation may have left of the migration."""
    started = time.monotonic()
    arena.number += 1
    around = Surroundings(arena, f"h{arena.number}", Records(), scenario.brief)
    noticed = len(arena.log)
    await arena.execute(table_sql(around.table))
    operators = Operators(around, scenario)
    nemesis = await _live(arena, scenario, around, operators)
    await _everybody_is_gone(arena, around.records)
    await _look(arena, around, operators)
    if scenario.end is not End.CONTRACT and await operators.phase() is not None:
        await operators.abort()
        if await operators.phase() is None:
            around.records.found.append(await _read(arena.url, "after abort", around.table, Shape.OLD))
    versions = await arena.execute(f"SELECT id, version, writer FROM {around.table}_versions")
    around.records.versions = [tuple(r) for r in versions]
    with suppress(Exception):
        await arena.execute(f"DROP TABLE {around.table}, {around.table}_versions CASCADE")
    for proxy in arena.proxies:
        if not proxy.is_running:
            around.records.violations.append(Violation(Wrong.STUCK, f"{proxy.role} has ended"))
            proxy.start()
            await proxy.wait_until_it_listens()
    for defect in _DEFECTS:
        if defect in arena.log[noticed:]:
            around.records.violations.append(Violation(Wrong.REFUSED, f"a proxy's log has {defect}"))
    transactions = around.records.transactions
    return Verdict(
        scenario,
        tuple(check(around.records)),
        time.monotonic() - started,
        around.statements,
        sum(t.outcome is Outcome.DONE for t in transactions),
        sum(t.outcome is Outcome.UNKNOWN for t in transactions),
        sum(len(s.rows) for t in transactions for s in t.seen),
        around.errors,
        tuple(sorted([*operators.said, *nemesis.done])),
    )


async def _live(arena: Arena, scenario: Scenario, around: Surroundings, operators: Operators) -> Nemesis:
    clients = [Client(around, n, shape, scenario.seed) for n, shape in enumerate(scenario.clients)]
    clients += [Client(around, n, Shape.OLD, scenario.seed, bypass=True) for n in range(scenario.bypass)]
    tasks = [asyncio.create_task(c.run(), name=c.name) for c in clients]
    await asyncio.sleep(_BEFORE_S)
    await operators.start()
    worker = asyncio.create_task(operators.work()) if scenario.worker else None
    walk = asyncio.create_task(operators.walk())
    nemesis = Nemesis(arena, scenario, operators)
    try:
        await asyncio.gather(walk, nemesis.run())
        await operators.finish()
        await asyncio.sleep(_AFTER_S)
    finally:
        around.stopping = True
        if worker is not None:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
        _, running = await asyncio.wait(tasks, timeout=STUCK_S + 5)
        for task in running:
            task.cancel()
            around.records.violations.append(Violation(Wrong.STUCK, f"{task.get_name()} does not come back"))
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()
    return nemesis


async def _everybody_is_gone(arena: Arena, records: Records) -> None:
    """What clients left running when their connection was cut has to be over before the table is looked at."""
    sql = (
        "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^(old|new|bypass)[0-9]' AND xact_start IS NOT NULL"
    )
    deadline = time.monotonic() + STUCK_S
    while await arena.execute(sql):
        if time.monotonic() > deadline:
            records.violations.append(Violation(Wrong.STUCK, "transactions of clients that are gone do not end"))
            return
        await asyncio.sleep(0.05)


async def _look(arena: Arena, around: Surroundings, operators: Operators) -> None:
    """The formats that each row says are valid, and what new clients of each shape read by each proxy."""
    phase = await operators.phase()
    found = around.records.found
    if phase is not None and phase != "contracted":
        found += await _formats(arena, around.table)
    for shape in Shape:
        if phase in (None, "announced") and shape is Shape.NEW:
            continue
        if phase == "contracted" and shape is Shape.OLD:
            continue
        for proxy in arena.proxies:
            found.append(await _read_by(proxy, f"{phase}", around.table, shape))


async def _read_by(proxy: Proxy, phase: str, table: str, shape: Shape) -> Found:
    where = f"in {phase} by {proxy.role}"
    while True:
        try:
            return await _read(proxy.url(shape), where, table, shape)
        except psycopg.Error as error:
            # It may still be on its way to the control connection that it has lost.
            if error.sqlstate != "57P03":
                raise
            await asyncio.sleep(0.05)


async def _read(url: str, where: str, table: str, shape: Shape) -> Found:
    sql = f"SELECT id, version, writer, {', '.join(COLUMNS[shape])} FROM {table}"
    async with asyncio.timeout(STUCK_S):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            rows = await (await connection.execute(sql.encode())).fetchall()
    return Found(f"{where}, {shape.value} shape", shape, {r[0]: SeenRow(r[1], r[2], tuple(r[3:])) for r in rows})


async def _formats(arena: Arena, table: str) -> list[Found]:
    connection = await connect(arena.url)
    try:
        _, managed = await registry.read_managed_table(connection, table)
        columns = {
            shape: {c.name: c.physical for change in managed.migration.changes for c in change.side(shape)}
            for shape in Shape
        }
        rows = await connection.fetch(f"SELECT * FROM public.{table}")
    finally:
        await connection.close()
    valid = {
        Shape.OLD: lambda state: state < OLD_IS_VALID_BELOW,
        Shape.NEW: lambda state: state >= NEW_IS_VALID_FROM,
    }
    return [
        Found(
            f"the {shape.value} format",
            shape,
            {
                r["id"]: SeenRow(r["version"], r["writer"], tuple(r[columns[shape][c]] for c in COLUMNS[shape]))
                for r in rows
                if valid[shape](r[STATE_COLUMN])
            },
            is_whole=False,
        )
        for shape in Shape
    ]
