"""The steps: `start`, one rung up or down, `abort`. Every step is the same few moves in the same order.

everybody is at this phase ─► what the next one needs is made true and proved ─► one transaction: gates that its
writers would run into go, phase, epoch, history, NOTIFY ─► everybody is at the next phase
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.catalog import load_relation
from proxy.control import registry
from proxy.control.registry import MigrationRow, did_you_mean
from proxy.database import Connection
from proxy.ladder.attributes import constraining, ensure_attributes
from proxy.ladder.contract import contract
from proxy.ladder.dependants import relax, require_no_dependants, restore
from proxy.ladder.gates import ensure_gate
from proxy.ladder.grants import copy_grants
from proxy.ladder.indexes import drop_indexes, ensure_indexes, find_counterparts, plan_indexes
from proxy.ladder.lowest import expand_table, forget, managed_table, serve_new_again, triggers, withdraw
from proxy.ladder.operator import LadderError, NotAcknowledged, Operator
from proxy.ladder.outlook import warn_of_refusals
from proxy.ladder.proof import require_proof
from proxy.ladder.quiet import require_quiet
from proxy.ladder.rebuilding import rebuild_all, restore_all, return_to_row_state
from proxy.preflight import USUAL, Extent, preflight
from rules.ddl.statements import (
    Statement,
    drop_constraint,
    gate_name,
    leaves_old_format,
    reads_new_format,
)
from rules.dependants import Form
from rules.phases import ANNOUNCED, CONTRACTED, Phase, Reads, RowState, step_between
from rules.spec import MigrationSpec

#: A proof that is older than that when a phase is entered is brought up to date first.
_PROOF_SECONDS = 2.0


@dataclass(slots=True)
class Outcome:
    """What a command has done: `phase` is where the migration is now, None if it is gone; `held_ms` of `contracted`.

    `missing` says which proxies had not come along yet when the command ended; the step itself is done.
    """

    migration: str
    phase: str | None
    steps: list[str] = field(default_factory=list)
    held_ms: float | None = None
    missing: str | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "migration": self.migration,
            "phase": self.phase,
            "steps": self.steps,
            "held_ms": None if self.held_ms is None else round(self.held_ms, 1),
            "missing": self.missing,
        }


# start


Consent = Callable[[str], bool]


async def start(
    operator: Operator, spec: MigrationSpec, consent: Consent = lambda question: False, extent: Extent = USUAL
) -> Outcome:
    """Announce, expand, enter the first phase. What fails on the way is taken back.

    Args:
        extent: how many rows are looked at before.
        consent: asked about what would be done beside the migration itself, such as triggers that the backfill fires.

    Raises:
        LadderError: a second migration of that name or table, a preflight finding, or no consent.
        MigrationError: the definition does not fit the table.
        NotAcknowledged, TableIsBusy: nothing is left behind.
    """
    connection = operator.connection
    relation = await load_relation(connection, spec.table)
    if relation is None:
        raise LadderError(f"there is no table {spec.table} in this database{await _similar_tables(connection, spec)}")
    await _require_free(connection, spec)
    found = await _open_migration(connection, spec)
    if found is None:
        migration = spec.compile(relation)
        await _require_preflight(operator, spec, consent, extent)
        async with connection.transaction():
            await registry.insert_migration(connection, spec.migration, relation, migration.strategy, spec.to_json())
            epoch = await registry.raise_epoch(connection)
            await registry.record(connection, spec.migration, None, ANNOUNCED, epoch)
        operator.say(f"{spec.migration}: announced")
    else:
        operator.say(f"{spec.migration}: was announced already; going on")
    try:
        row = await registry.read_migration(connection, spec.migration)
        row = await expand_table(operator, row)
    except BaseException:
        if not connection.is_closed():
            row = await registry.read_migration(connection, spec.migration)
            if row.phase is ANNOUNCED:
                await forget(operator, row, "announcement taken back")
        raise
    outcome = Outcome(row.name, row.phase.name, [ANNOUNCED.name, row.phase.name])
    await _settle(operator, outcome)
    return outcome


async def _similar_tables(connection: Connection, spec: MigrationSpec) -> str:
    rows = await connection.fetch(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgjanus')"
    )
    return did_you_mean(str(spec.table), [r[0] for r in rows])


async def _require_free(connection: Connection, spec: MigrationSpec) -> None:
    state = await registry.read_state(connection)
    for row in state.migrations:
        if row.name == spec.migration:
            if row.phase is ANNOUNCED and dict(row.definition) == spec.to_json():
                continue
            if row.phase is CONTRACTED:
                raise LadderError(f"migration {row.name!r} has been carried out already: give this one another name")
            raise LadderError(
                f"migration {row.name!r} is already there, in phase {row.phase.name}: pgjanus status {row.name}"
            )
        if row.table == spec.table and row.is_active:
            raise LadderError(
                f"table {row.table} already has migration {row.name!r} in phase {row.phase.name}:"
                " one at a time, finish or abort that one first"
            )


async def _open_migration(connection: Connection, spec: MigrationSpec) -> MigrationRow | None:
    """What a `start` that was interrupted left behind."""
    state = await registry.read_state(connection)
    return next((row for row in state.migrations if row.name == spec.migration), None)


async def _require_preflight(operator: Operator, spec: MigrationSpec, consent: Consent, extent: Extent) -> None:
    report = await preflight(operator.connection, spec, extent)
    if report.rows:
        operator.say(f"{spec.migration}: {report.looked_at}")
    if report.refusals:
        raise LadderError("; ".join(map(str, report.refusals)))
    for question in report.questions:
        if not consent(str(question)):
            raise LadderError(f"{question}. If that is all right: pgjanus start --yes")
    for warning in report.warnings:
        operator.say(f"note: {warning}")


# advance, rollback


async def advance(operator: Operator, name: str, to: str | None = None, *, force: bool = False) -> Outcome:
    """One rung up, or up to the phase `to`.

    Args:
        force: drop the old columns although somebody used them within the quiet period.

    Raises:
        LadderError: at the end already, no such phase, or a gate is not met: the phase is what it was.
    """
    row = await registry.read_migration(operator.connection, name)
    target = _target(row, to, +1)
    outcome = Outcome(name, row.phase.name)
    await warn_of_refusals(operator, row)
    if row.withdrawn and row.phase is target:
        await serve_new_again(operator, row)
    while row.phase is not target:
        await _release_stale_hold(operator, row)
        after = row.ladder[row.ladder.index(row.phase) + 1]
        if row.phase is ANNOUNCED:
            row = await expand_table(operator, row)
        elif after is CONTRACTED:
            await operator.wait_for_proxies(await registry.read_epoch(operator.connection))
            managed = await managed_table(operator, row)
            await require_quiet(operator, managed.migration, force=force)
            await copy_grants(operator, managed)
            readings = await require_no_dependants(operator, managed, after.name)
            await ensure_gate(operator, managed, RowState.OLD)
            await ensure_attributes(operator, managed)
            indexes = await plan_indexes(operator, managed)
            await ensure_indexes(operator, managed, indexes, row.phase)
            counterparts = await find_counterparts(operator, managed, indexes)
            await rebuild_all(operator, managed, readings, Form.FROM_NEW)
            outcome.held_ms = await contract(operator, row, managed, counterparts)
            row = await registry.read_migration(operator.connection, name)
        else:
            row = await _step(operator, row, after)
        outcome.steps.append(row.phase.name)
        outcome.phase = row.phase.name
    await _settle(operator, outcome, row)
    return outcome


async def rollback(operator: Operator, name: str, to: str | None = None) -> Outcome:
    """One rung down, or down to the phase `to`. Raises as `advance`."""
    row = await registry.read_migration(operator.connection, name)
    target = _target(row, to, -1)
    outcome = Outcome(name, row.phase.name)
    while row.phase is not target:
        await _release_stale_hold(operator, row)
        row = await _step(operator, row, row.ladder[row.ladder.index(row.phase) - 1])
        outcome.steps.append(row.phase.name)
        outcome.phase = row.phase.name
    await _settle(operator, outcome, row)
    return outcome


def _target(row: MigrationRow, to: str | None, direction: int) -> Phase:
    names = [p.name for p in row.ladder]
    ladder = " → ".join(names)
    if row.phase is CONTRACTED:
        raise LadderError(f"migration {row.name!r} is over ({ladder}): there is no way on, nor back")
    at = names.index(row.phase.name)
    first = row.ladder[1]
    if to is not None and to not in names:
        raise LadderError(f"strategy {row.strategy.value} has no phase {to!r}{did_you_mean(to, names)} ({ladder})")
    if direction < 0 and (to == ANNOUNCED.name or (to is None and row.phase in (ANNOUNCED, first))):
        raise LadderError(
            f"{row.name} is in phase {row.phase.name}, below {first.name} is only: pgjanus abort {row.name}"
        )
    wanted = names.index(to) if to is not None else at + direction
    if (wanted - at) * direction < 0:
        other = "rollback" if direction > 0 else "advance"
        raise LadderError(
            f"{to} is the other way from {row.phase.name} ({ladder}): pgjanus {other} {row.name} --to {to}"
        )
    return row.ladder[wanted]


async def _step(operator: Operator, row: MigrationRow, after: Phase) -> MigrationRow:
    """Between two phases that both have columns."""
    connection, before = operator.connection, row.phase
    step = step_between(before, after)
    assert after.policy is not None and before.policy is not None
    operator.say(f"{row.name}: {before.name} → {after.name}")
    await operator.wait_for_proxies(await registry.read_epoch(connection))
    managed = await managed_table(operator, row)
    await copy_grants(operator, managed)
    if row.ladder.index(after) < row.ladder.index(before):
        await return_to_row_state(operator, managed)
    if leaves_old_format(after) and not leaves_old_format(before):
        readings = await require_no_dependants(operator, managed, after.name)
        await rebuild_all(operator, managed, readings, Form.BY_ROW_STATE)
        await relax(operator, managed, row.relaxed)
    if step.empties is not None:
        await ensure_gate(operator, managed, step.empties)
    proved = await require_proof(operator, row) if before.policy.reads is not after.policy.reads else None
    if reads_new_format(after):
        await ensure_attributes(operator, managed)
    indexes = await plan_indexes(operator, managed)
    await ensure_indexes(operator, managed, indexes, after)
    if after.policy.reads is Reads.OLD:
        await restore(operator, managed, row.relaxed)
        await restore_all(operator, managed)
    if proved is not None and time.monotonic() - proved > _PROOF_SECONDS:
        # Indexes took a while to build: whatever has changed since is compared once more.
        await require_proof(operator, row)
    going = [drop_constraint(row.table, gate_name(s)) for s in step.drops if s is not RowState.BOTH]
    if row.ladder.index(after) < row.ladder.index(before) and not reads_new_format(after):
        # Also after a step that did not get that far up: what it had made by then is still there.
        going += constraining(managed)
    if reads_new_format(before) and not reads_new_format(after):
        going += [i.drop for i in await find_counterparts(operator, managed, indexes) if i.is_unique]

    async def work(connection: Connection) -> Sequence[Statement]:
        await registry.set_phase(connection, row, after)
        await registry.record(connection, row.name, before, after, await registry.raise_epoch(connection))
        return [*going, *triggers(managed, after)]

    await operator.briefly(f"entering {after.name}", row.table, work)
    operator.say(f"{row.name}: {after.name}")
    return await registry.read_migration(connection, row.name)


async def _release_stale_hold(operator: Operator, row: MigrationRow) -> None:
    """Left by an operator who was killed while contracting; we have the lock, so nobody else is at it."""
    if row.hold_until is not None:
        async with operator.connection.transaction():
            if await registry.clear_hold(operator.connection, row.name):
                await registry.raise_epoch(operator.connection)


async def _settle(operator: Operator, outcome: Outcome, row: MigrationRow | None = None) -> None:
    """The step is done; who has not come along yet delays only the next one.

    With everybody in the phase of `row`, nobody reads by what only the phases before it needed.
    """
    try:
        await operator.wait_for_proxies(await registry.read_epoch(operator.connection))
    except NotAcknowledged as error:
        outcome.missing = str(error)
        operator.say(f"done, but {error}; the next step waits for them")
        return
    if row is not None and row.phase.policy is not None:
        managed = await managed_table(operator, row)
        await drop_indexes(operator, managed, await plan_indexes(operator, managed), row.phase)


# abort


async def abort(operator: Operator, name: str) -> Outcome:
    """Down the ladder, then the table as it was before `start`."""
    row = await registry.read_migration(operator.connection, name)
    if row.phase is CONTRACTED:
        raise LadderError(f"migration {name!r} is over: its old columns are gone, there is no way back")
    outcome = Outcome(name, None)
    await _release_stale_hold(operator, row)
    if await registry.present_name(operator.connection, row) is None:
        await forget(operator, row, "aborted: its table is gone")
        return outcome
    if row.phase not in (ANNOUNCED, row.ladder[1]):
        outcome.steps += (await rollback(operator, name, row.ladder[1].name)).steps
        row = await registry.read_migration(operator.connection, name)
    connection = operator.connection
    await operator.wait_for_proxies(await registry.read_epoch(connection))
    if row.phase is not ANNOUNCED:
        await _restore_all(operator, row)
        await withdraw(operator, row)
        outcome.steps.append(ANNOUNCED.name)
        await operator.wait_for_proxies(await registry.read_epoch(connection))
        row = await registry.read_migration(connection, name)
    await forget(operator, row, "aborted")
    await _settle(operator, outcome)
    return outcome


async def _restore_all(operator: Operator, row: MigrationRow) -> None:
    managed = await managed_table(operator, row)
    await restore(operator, managed, row.relaxed)
    await restore_all(operator, managed)
