"""What the pages are about."""

from __future__ import annotations

from aiohttp import web

from proxy.gateway import Gateway
from proxy.metrics import Metrics

GATEWAY = web.AppKey("gateway", Gateway)
METRICS = web.AppKey("metrics", Metrics)
