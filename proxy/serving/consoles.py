"""The console of a serving process, as its settings are now."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import structlog

from proxy.config import ConsoleSettings
from proxy.console.console import Console, mock_key
from proxy.console.desk import Desk
from proxy.console.login import Users, read_users
from proxy.errors import SettingsError
from proxy.metrics import Metrics
from proxy.relay.gateway import Gateway
from proxy.serving.options import Serving

log = structlog.get_logger(__name__)


def desk_of(
    serving: Serving,
    gateway: Gateway,
    metrics: Metrics,
    reload: Callable[[], str | None],
    drain: Callable[[], None],
) -> Desk:
    """What commands of console and status page work with.

    Args:
        reload, drain: for this process alone; one of several has its parent do it for all.
    """

    def reload_all() -> str | None:
        os.kill(os.getppid(), signal.SIGHUP)
        return None

    def drain_all() -> None:
        os.kill(os.getppid(), signal.SIGTERM)

    parted = bool(serving.worker)
    return Desk(
        gateway, metrics, serving.database_url, reload_all if parted else reload, drain_all if parted else drain
    )


def console_of(desk: Desk) -> Console:
    """It follows the settings: there may be none at times."""
    gateway = desk.gateway
    key = mock_key()
    kept: tuple[ConsoleSettings, Users] | None = None

    def users() -> Users | None:
        nonlocal kept
        settings = gateway.file.console
        if settings is None:
            return None
        if kept is None or kept[0] is not settings:
            try:
                kept = (settings, read_users(settings, key))
            except SettingsError as error:  # the file has gone since the settings were found to be right
                log.error("console_users_unreadable", reason=str(error))
                return None
        return kept[1]

    users()
    return Console(desk, users)
