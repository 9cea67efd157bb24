"""What the pages are about."""

from __future__ import annotations

from aiohttp import web

from proxy.console.desk import Desk
from proxy.metrics import Metrics
from proxy.relay.gateway import Gateway

GATEWAY = web.AppKey("gateway", Gateway)
METRICS = web.AppKey("metrics", Metrics)
DESK = web.AppKey("desk", Desk)
#: Of the managed database; None: there is none.
STATUS_URL = web.AppKey[str | None]("status_url")
