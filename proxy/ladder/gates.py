"""A gate: no row is in a row state that the next phase cannot read. Emptied by the backfill, proved by a constraint."""

from __future__ import annotations

import time
from functools import partial

import asyncpg

from proxy.backfill.progress import Progress, Status
from proxy.backfill.session import Session, open_session
from proxy.backfill.worker import empty_state
from proxy.database import Connection
from proxy.ladder.operator import LadderError, Operator
from rules.ddl.statements import add_gate, drop_constraint, gate_name, validate
from rules.migration import ManagedTable
from rules.phases import RowState

_ATTEMPTS = 5
_SAY_EVERY_SECONDS = 2.0


class RowsCannotBeConverted(LadderError):
    """the backfill met rows that `up` or `down` cannot convert: which, and PostgreSQL's reason"""


async def constraint_is_valid(connection: Connection, table_oid: int, name: str) -> bool | None:
    """None: there is no such constraint; False: it is there, but NOT VALID."""
    found = await connection.fetchval(
        "SELECT convalidated FROM pg_constraint WHERE conrelid = $1::int8::oid AND conname = $2", table_oid, name
    )
    return None if found is None else bool(found)


async def ensure_gate(operator: Operator, managed: ManagedTable, state: RowState) -> bool:
    """Empty the row state and prove it. Whether anything had to be done; False: the proof stood already.

    Raises:
        RowsCannotBeConverted: names them.
        TableIsBusy: the constraint could not be added.
    """
    connection, table, oid = operator.connection, managed.relation.table, managed.relation.oid
    name = gate_name(state)
    valid = await constraint_is_valid(connection, oid, name)
    if valid:
        return False
    if valid is None:
        await empty(operator, managed, state)
        await operator.execute_briefly(f"gate: no row in state {state.value}", table, [add_gate(table, state)])
    try:
        for _ in range(_ATTEMPTS):
            try:
                await operator.patiently(f"gate: no row in state {state.value}", table, validate(table, name))
            except asyncpg.CheckViolationError:
                # Rows that a writer without a proxy left behind the backfill, before the gate closed.
                await empty(operator, managed, state)
            else:
                operator.say(f"gate closed and proved: no row is in state {state.value}")
                return True
        raise LadderError(f"rows in state {state.value} keep appearing in {table}: who writes it without a proxy?")
    except BaseException:
        # A gate that is not proved would refuse innocent updates of the rows it forbids, where this phase allows them.
        if managed.policy.reads.forbids is not state and not connection.is_closed():
            await operator.execute_briefly("taking the gate back", table, [drop_constraint(table, name)])
        raise


async def empty(operator: Operator, managed: ManagedTable, state: RowState) -> None:
    """Backfill until a scan finds no row in that state."""
    said, waiting = time.monotonic(), ""

    def progress(report: Progress) -> None:
        nonlocal said, waiting
        why = report.state if report.status in (Status.PAUSED, Status.THROTTLED) else ""
        if why != waiting and time.monotonic() - said >= _SAY_EVERY_SECONDS / 2:
            said, waiting = time.monotonic(), why
            operator.say(f"backfill: {why or 'goes on'}")
        if time.monotonic() - said >= _SAY_EVERY_SECONDS:
            said = time.monotonic()
            operator.say(
                f"backfill: {report.rows_done:,} of about {report.rows_total:,} rows, {report.rate:,.0f} rows/s"
                + (f", {report.eta_s:.0f} s left" if report.eta_s is not None else "")
            )

    session = Session(partial(open_session, operator.url, f"backfill {managed.migration.name}"))
    try:
        result = await empty_state(session, managed.migration, state, on_progress=progress)
    finally:
        await session.close()
    if result.bad:
        listed = "; ".join(f"{key}: {why}" for key, why in result.bad[:10])
        raise RowsCannotBeConverted(
            f"{len(result.bad)} rows of {managed.relation.table} cannot be converted: {listed}."
            " pgjanus.backfill_bad_rows has all of them. Mend them, or abort and correct the expression"
        )
    if result.rows:
        operator.say(f"backfill: {result.rows:,} rows converted in {result.seconds:.1f} s")
