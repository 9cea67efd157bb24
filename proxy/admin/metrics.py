"""`/metrics` for Prometheus."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.admin.state import METRICS


async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=await request.app[METRICS].exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
