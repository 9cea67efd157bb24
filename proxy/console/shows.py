"""What there is to see. What belongs to clients is of this process; what belongs to migrations is in the database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.backfill.controls import read_controls
from proxy.console.cells import Cell, Row
from proxy.console.desk import Call
from proxy.control import leases, registry
from proxy.control.leases import package_version
from proxy.ladder.status import read_status
from proxy.observe import store as observations
from proxy.usage import store as usages
from proxy.usage.recorder import sample_of
from rules.phases import RowState


async def migrations(call: Call) -> list[Row]:
    async with call.desk.connection(installed=False) as connection:
        status = await read_status(connection)
    rows: list[Row] = []
    for m in status.migrations:
        gates = ", ".join(f"{state}: {gate}" for state, gate in m.gates.items())
        counts = [m.rows[state.value] if m.rows is not None else None for state in RowState]
        rows.append((m.name, m.table, m.strategy, m.phase, m.next_phase, gates or None, *counts, m.held))
    return rows


async def backfill(call: Call) -> list[Row]:
    rows: list[Row] = []
    async with call.desk.connection(installed=False) as connection:
        for m in (await read_status(connection)).migrations:
            controls = await read_controls(connection, m.name)
            settings = json.dumps(controls.settings) if controls.settings else None
            for b in m.backfills:
                percent = None if b.percent is None else round(b.percent, 1)
                pace = (round(b.rows_per_s, 1), None if b.eta_s is None else round(b.eta_s, 1))
                waited = ", ".join(f"{seconds:.1f} s for {cause}" for cause, seconds in b.waited_s.items())
                state = (m.name, b.empties, b.status, b.reason or None, controls.paused, settings)
                rows.append(
                    (*state, b.rows_done, b.rows_total, percent, *pace, len(b.workers), b.bad_rows, waited or None)
                )
    return rows


async def proxies(call: Call) -> list[Row]:
    async with call.desk.connection() as connection:
        found = await leases.read_proxies(connection)
        epoch = await registry.read_epoch(connection)
    return [
        (
            *(p.id, p.application_name, p.host, p.pid, p.is_live, p.epoch_acked, epoch),
            *(p.transactions, p.transactions_behind, p.oldest_behind_s, round(p.heartbeat_age_s, 3), p.closed),
        )
        for p in found
    ]


async def clients(call: Call) -> list[Row]:
    return [
        (f.user, f.database, f.application_name, f.shape, f.address, f.encrypted, f.state, f.phase_pinned, f.age_s)
        for f in (session.facts for session in call.desk.gateway.sessions)
    ]


async def servers(call: Call) -> list[Row]:
    return [
        (f.server_pid, f.server_encrypted, f.user, f.database, f.application_name, f.state)
        for f in (session.facts for session in call.desk.gateway.sessions)
        if f.has_server
    ]


async def statements(call: Call) -> list[Row]:
    rows: list[Row] = []
    async with call.desk.connection() as connection:
        for migration in (await registry.read_state(connection)).migrations:
            for found in await observations.read(connection, migration.name):
                refused = ", ".join(o.phase for o in found.what.forecast if o.treatment.value == "refused")
                who = ", ".join(f"{s.application_name or '(no application_name)'} as {s.user}" for s in found.senders)
                what = (migration.name, found.what.shape.value, found.seen, found.what.statement)
                rows.append((*what, refused or None, who, found.last_seen.isoformat()))
    return rows


async def usage(call: Call) -> list[Row]:
    async with call.desk.connection() as connection:
        found = await usages.read(connection)
    return [
        (
            *(u.sender.migration, u.sender.shape.value, u.sender.application_name, u.sender.user, u.statements),
            *(u.last_seen.isoformat(), round(u.age_s, 1), u.sample),
        )
        for u in found
    ]


async def refusals(call: Call) -> list[Row]:
    return [
        (r.migration, r.sqlstate, r.reason, r.application_name, r.user, r.times, r.last_at, sample_of(r.text))
        for r in call.desk.gateway.refusals.latest()
    ]


async def stats(call: Call) -> list[Row]:
    rows: list[Row] = []
    for name, labels, value in await call.desk.metrics.samples():
        rows.append((name, ", ".join(f"{k}={v}" for k, v in labels.items()) or None, value))
    return rows


async def config(call: Call) -> list[Row]:
    return [(name, shown) for name, shown in _flat("", call.desk.gateway.file.model_dump(mode="json"))]


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value if value is None or isinstance(value, str) else json.dumps(value)


async def version(call: Call) -> list[Row]:
    return [(package_version(),)]
