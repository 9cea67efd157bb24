"""`/healthz`: the process turns its event loop. `/startupz`: it has begun to serve. `/readyz`: send it new clients."""

from __future__ import annotations

from aiohttp import web

from proxy.admin.state import GATEWAY


async def healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def startupz(request: web.Request) -> web.Response:
    """There is nobody to answer before PostgreSQL was reached and the listeners are open."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """503 while shutting down, and while managed tables are closed because the lease is lost."""
    gateway = request.app[GATEWAY]
    if gateway.draining:
        return web.Response(status=503, text="shutting down\n")
    if not gateway.pins.may_serve_managed():
        return web.Response(status=503, text="managed tables are closed: no control connection\n")
    return web.Response(text="ok\n")
