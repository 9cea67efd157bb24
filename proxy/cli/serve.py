"""`pgjanus serve`: the proxy."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import structlog
import uvloop

from proxy.admin import start_admin
from proxy.cli.common import EXIT_USAGE, describe, fail
from proxy.config import Address, Lease, Observing, ProxyFile, ServerUrl, read_address, read_proxy_file, read_server_url
from proxy.conversation.actions import Tally
from proxy.dialer import Dialer
from proxy.encryption import client_context
from proxy.ends import End
from proxy.gateway import Gateway
from proxy.listener import drain, listen
from proxy.logs import configure_logs
from proxy.metrics import Metrics
from proxy.observe.recorder import Recorder
from proxy.observe.sightings import Sightings
from proxy.pins import FixedPins, Pins
from proxy.planning.process import LONG_CHARS, PlanningProcess
from proxy.plans import PlanCache
from proxy.rollout import Rollout
from rules.catalog import Catalog
from rules.phases import Shape
from rules.planner import plan
from rules.snapshot import Snapshot

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """What the options say. `listen_new` and `admin` may be off."""

    server: ServerUrl
    database_url: str | None
    listen: Address
    listen_new: Address | None
    admin: Address | None
    file: ProxyFile

    @property
    def database(self) -> str | None:
        """The managed database: that of the control connection, else the server's."""
        if self.database_url is not None:
            return read_server_url(self.database_url, "--database-url").database
        return self.server.database


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
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes. Only 1 for now.")
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
    log_level: str,
) -> None:
    """Stand between applications and PostgreSQL.

    Clients log in as they would at the server; their credentials are not looked at. SIGTERM lets running transactions
    end; a second one does not.
    """
    if workers != 1:
        click.echo(
            "pgjanus: --workers: more than one process is not supported yet; start several proxies instead", err=True
        )
        sys.exit(EXIT_USAGE)
    configure_logs(log_level)
    try:
        serving = Serving(
            read_server_url(server, "--server"),
            database_url,
            read_address(listen_old, "--listen"),
            read_address(listen_new, "--listen-new") if listen_new else None,
            read_address(admin, "--admin") if admin else None,
            read_proxy_file(file) if file else ProxyFile(),
        )
        uvloop.run(serve(serving))
    except Exception as error:
        message = describe(error)
        if message is None:
            raise
        fail(message)


async def serve(serving: Serving) -> None:
    """Run until a signal.

    Raises:
        ListenError: an address is in use.
        ServerUnreachable: PostgreSQL does not accept connections.
        PgjanusError, asyncpg.PostgresError, OSError: the control connection cannot be used.
    """
    limits = serving.file.limits
    client_tls = client_context(serving.file.client_tls)
    dialer = Dialer(serving.server.address, limits.connect_timeout_s, serving.server.tls)
    (await dialer.dial(_probe)).close()
    async with AsyncExitStack() as stack:
        pins = await _control(serving.database_url, serving.file.lease, stack)
        sightings = Sightings()
        if serving.database_url is not None:
            recorder = _recorder(serving.database_url, sightings, serving.file.observe)
            stack.push_async_callback(recorder.stop)
        plans = PlanCache(plan, limits.plan_cache_bytes, sightings.watch, away_from=LONG_CHARS)
        planning = PlanningProcess(plans)
        stack.callback(planning.close)
        gateway = Gateway(dialer, pins, plans, Tally(), serving.file, serving.database, planning.answer, client_tls)
        servers = [await listen(gateway, serving.listen, Shape.OLD, "--listen")]
        stack.callback(servers[0].close)
        if serving.listen_new is not None:
            servers.append(await listen(gateway, serving.listen_new, Shape.NEW, "--listen-new"))
            stack.callback(servers[1].close)
        if serving.admin is not None:
            runner = await start_admin(serving.admin, gateway, Metrics(gateway, plans))
            stack.push_async_callback(runner.cleanup)
        stop, at_once = _signals()
        log.info(
            "serving",
            listen=str(serving.listen),
            listen_new=str(serving.listen_new or "") or None,
            server=str(serving.server.address),
            database=serving.database,
            admin=str(serving.admin or "") or None,
        )
        await stop.wait()
        log.info("stopping", sessions=len(gateway.sessions), drain_timeout_s=limits.drain_timeout_s)
        cut = await drain(gateway, servers, limits.drain_timeout_s, at_once)
        log.info("stopped", sessions_cut=cut)


async def _control(database_url: str | None, lease: Lease, stack: AsyncExitStack) -> Pins:
    """The control side; without a control connection nothing is managed."""
    if database_url is None:
        return FixedPins(Snapshot(0, Catalog(0, {})))
    rollout = Rollout(
        database_url,
        log=lambda line: log.info("rollout", message=line),
        lease_s=lease.seconds,
        poll_s=lease.heartbeat_s,
    )
    await rollout.start()
    stack.push_async_callback(rollout.stop)
    return rollout


def _recorder(database_url: str, sightings: Sightings, settings: Observing) -> Recorder:
    recorder = Recorder(
        database_url,
        sightings,
        keep_samples=settings.keep_samples,
        every_s=settings.every_s,
        log=lambda line: log.info("observe", message=line),
    )
    recorder.start()
    return recorder


def _probe() -> End:
    """Only to learn whether somebody accepts, and encrypts."""
    return End(lambda: None)


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first SIGTERM or SIGINT, and by the second."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def received() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received)
    return stop, at_once
