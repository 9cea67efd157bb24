"""HTTP for operators: one file per page, listed in `ROUTES`."""

from __future__ import annotations

from aiohttp import web

from proxy.admin.command import command
from proxy.admin.health import healthz, readyz, startupz
from proxy.admin.metrics import metrics
from proxy.admin.page import events, page
from proxy.admin.state import DESK, GATEWAY, METRICS, STATUS_URL
from proxy.config import Address
from proxy.console.desk import Desk
from proxy.errors import ListenError

ROUTES = (
    ("/metrics", metrics),
    ("/healthz", healthz),
    ("/readyz", readyz),
    ("/startupz", startupz),
    ("/", page),
    ("/events", events),
)

#: For pages that are still open when the proxy ends.
_LAST_SECONDS = 1.0


async def start_admin(address: Address, desk: Desk) -> web.AppRunner:
    """Start serving; `cleanup()` of what it returns ends it.

    Raises:
        ListenError: the address is in use or not ours.
    """
    app = web.Application()
    app[DESK], app[GATEWAY], app[METRICS], app[STATUS_URL] = desk, desk.gateway, desk.metrics, desk.database_url
    for path, handler in ROUTES:
        app.router.add_get(path, handler)
    app.router.add_post("/command", command)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(f"cannot listen on {address} (--admin): {error.strerror or error}") from error
    return runner
