"""`/`: the status page. `/events`: what it shows, once a second, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from importlib.resources import files
from typing import Any, Final

import asyncpg
from aiohttp import web

from proxy.admin.state import GATEWAY, STATUS_URL
from proxy.backfill.report import BackfillReport, read_backfills
from proxy.control import leases, registry
from proxy.control.installation import is_installed
from proxy.control.registry import MigrationRow
from proxy.database import Connection, connect
from proxy.ladder.gates import constraint_is_valid
from proxy.relay.gateway import Gateway
from proxy.usage import store as usages
from proxy.usage.recorder import sample_of
from proxy.verify.report import read_verification
from rules.ddl.statements import gate_name
from rules.errors import PgjanusError
from rules.phases import RowState

_EVERY_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 5.0
_REFUSALS_SHOWN: Final = 20
#: Nothing is fetched from elsewhere, nothing runs but the page's own script, and no other page may frame it.
_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


async def page(request: web.Request) -> web.Response:
    text = files("proxy.admin").joinpath("status.html").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": _POLICY})


async def events(request: web.Request) -> web.StreamResponse:
    """Until the browser is gone or the proxy ends."""
    gateway, url = request.app[GATEWAY], request.app[STATUS_URL]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    connection: Connection | None = None
    try:
        while not gateway.draining:
            began = time.monotonic()
            may_act = gateway.file.admin.token_file is not None
            shown: dict[str, Any] = {"refusals": _refusals(gateway), "may_act": may_act, "error": None}
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    if url is not None and (connection is None or connection.is_closed()):
                        connection = await connect(url, "pgjanus status page")
                    if connection is not None:
                        shown |= await _read(connection)
            except (OSError, TimeoutError, PgjanusError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                shown["error"] = " ".join(str(error).split()) or "the database does not answer"
                if connection is not None:
                    connection.terminate()
            await response.write(f"data: {json.dumps(shown, default=str)}\n\n".encode())
            await asyncio.sleep(max(0.0, _EVERY_SECONDS - (time.monotonic() - began)))
    except ConnectionError:
        pass
    finally:
        if connection is not None:
            connection.terminate()
    return response


def _refusals(gateway: Gateway) -> list[dict[str, Any]]:
    return [
        {"migration": r.migration, "reason": r.reason, "by": f"{r.application_name or '(no name)'} as {r.user}",
         "times": r.times, "at": r.last_at, "statement": sample_of(r.text)}
        for r in gateway.refusals.latest()[:_REFUSALS_SHOWN]
    ]  # fmt: skip


async def _read(connection: Connection) -> dict[str, Any]:
    if not await is_installed(connection):
        return {"migrations": [], "proxies": []}
    state = await registry.read_state(connection)
    return {
        "epoch": state.epoch,
        "migrations": [await _migration(connection, row) for row in state.migrations],
        "proxies": [{"text": str(p), "live": p.is_live} for p in await leases.read_proxies(connection)],
    }


async def _migration(connection: Connection, row: MigrationRow) -> dict[str, Any]:
    verification = await read_verification(connection, row.name) if row.is_active else None
    words = {None: "absent", False: "not validated", True: "validated"}
    gates = {
        state.value: words[await constraint_is_valid(connection, row.table_oid, gate_name(state))]
        for state in (RowState.OLD, RowState.NEW)
        if row.phase.expanded
    }
    return {
        "name": row.name,
        "table": str(row.table),
        "phase": row.phase.name,
        "ladder": [phase.name for phase in row.ladder],
        "held": row.hold_until is not None,
        "gates": gates,
        "backfills": [_backfill(b) for b in await read_backfills(connection, row.name)],
        "divergent": verification.divergent if verification is not None else None,
        "minutes": [
            [round(minute.timestamp()), shape.value, count]
            for minute, shape, count in await usages.read_minutes(connection, row.name)
        ],
        "usage": [used.to_json() for used in await usages.read(connection, row.name)],
    }


def _backfill(b: BackfillReport) -> dict[str, Any]:
    names = "empties status reason percent eta_s rows_done rows_total rows_per_s bad_rows".split()
    return {name: getattr(b, name) for name in names}
