"""`pgjanus serve`: the proxy."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import structlog
import uvloop

from proxy.cli.common import one_line_for_errors
from proxy.config import Address, ProxyFile, read_address, read_proxy_file, read_server_url
from proxy.errors import SettingsError
from proxy.logs import configure_logs
from proxy.relay.listener import Entrance, bind
from proxy.relay.stored_secrets import SecretsOfDatabase
from proxy.serving.notify import Tell, watchdog_s
from proxy.serving.options import Serving, equipment_of
from proxy.serving.process import serve
from proxy.workers import supervise

log = structlog.get_logger(__name__)


@click.command(name="serve")
@click.option("--server", required=True, metavar="URL", help="PostgreSQL: postgresql://host:5432[/database].")
@click.option(
    "--listen",
    "listen_old",
    default="127.0.0.1:6432",
    show_default=True,
    metavar="HOST:PORT",
    help="For clients of the old shape.",
)
@click.option("--listen-new", metavar="HOST:PORT", help="For clients of the new shape.")
@click.option("--admin", metavar="HOST:PORT", help="HTTP: /metrics, /healthz, /readyz.")
@click.option(
    "--database-url",
    envvar="PGJANUS_DATABASE_URL",
    show_envvar=True,
    metavar="URL",
    help="The control connection: the database whose tables are migrated. Without it the proxy only relays.",
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="pgjanus.yaml: which clients see which shape, limits.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, each a proxy of its own; the n-th has --admin at that port + n - 1.",
)
@click.option(
    "--reuse-port",
    is_flag=True,
    help="Let another process with this option listen on the same addresses: a restart that turns nobody away.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def command(
    server: str,
    listen_old: str,
    listen_new: str | None,
    admin: str | None,
    database_url: str | None,
    file: Path | None,
    workers: int,
    reuse_port: bool,
    log_level: str,
) -> None:
    """Stand between applications and PostgreSQL.

    Clients log in as they would at the server; their credentials are not looked at. SIGTERM lets running transactions
    end; a second one does not. SIGHUP reads the settings file and the certificates again.
    """
    configure_logs(log_level)
    with one_line_for_errors():
        serving = Serving(
            read_server_url(server, "--server"),
            database_url,
            read_address(listen_old, "--listen"),
            read_address(listen_new, "--listen-new") if listen_new else None,
            read_address(admin, "--admin") if admin else None,
            read_proxy_file(file) if file else ProxyFile(),
            config=file,
            shares_ports=reuse_port,
            watchdog_s=watchdog_s(),
        )
        if workers > 1 or reuse_port:
            serving = replace(
                serving,
                listen=_bound(serving.listen, "--listen", reuse_port),
                listen_new=_bound(serving.listen_new, "--listen-new", reuse_port) or None,
            )
        if workers > 1:
            sys.exit(_share(serving, workers))
        uvloop.run(serve(serving))


def _bound(entrance: Entrance | None, option: str, reuse_port: bool) -> Sequence[socket.socket]:
    if entrance is None:
        return ()
    return bind(entrance, option, reuse_port=reuse_port) if isinstance(entrance, Address) else entrance


def _share(serving: Serving, workers: int) -> int:
    """Serve with several processes; returns the exit code."""
    sockets = [sock for e in (serving.listen, serving.listen_new) if not isinstance(e, Address) for sock in e or ()]

    def work(number: int, lifeline: int, tell: Tell) -> None:
        admin = serving.admin and replace(serving.admin, port=serving.admin.port + number - 1)
        with one_line_for_errors():
            uvloop.run(serve(replace(serving, admin=admin, worker=number), lifeline, tell))

    def reload() -> bool:
        """Once for all of them, and for those that take the place of one that dies."""
        nonlocal serving
        try:
            file = serving.read_file()
            equipment_of(serving, file, SecretsOfDatabase(serving.database_url) if serving.database_url else None)
        except SettingsError as error:
            log.error("reload_failed", reason=str(error), settings="as before")
            return False
        serving = replace(serving, file=file)
        return True

    def stop_listening() -> None:
        for sock in sockets:
            sock.close()

    return supervise(workers, work, stop_listening, reload, watched=serving.watchdog_s is not None)
