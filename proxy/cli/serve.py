"""`pgjanus serve`: the proxy."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click
import structlog
import uvloop

from proxy.admin import start_admin
from proxy.cli.common import one_line_for_errors
from proxy.config import (
    Address,
    Observing,
    ProxyFile,
    ServerUrl,
    TlsMode,
    read_address,
    read_proxy_file,
    read_server_url,
)
from proxy.control.rollout import Rollout
from proxy.conversation.actions import Tally
from proxy.conversation.pins import FixedPins, Pins
from proxy.database import connect
from proxy.foreground import ForegroundReporter
from proxy.logs import configure_logs
from proxy.metrics import Metrics
from proxy.observe.recorder import Recorder
from proxy.observe.sightings import Sightings
from proxy.planning.plans import PlanCache
from proxy.planning.process import LONG_CHARS, PlanningProcess
from proxy.relay.dialer import Dialer
from proxy.relay.encryption import certificate_hash, client_context, private_hash
from proxy.relay.ends import End
from proxy.relay.gateway import Gateway
from proxy.relay.listener import Entrance, bind, drain, listen
from proxy.relay.login import Ending
from proxy.relay.stored_secrets import SecretsInFile, SecretsOfDatabase
from proxy.workers import supervise
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
    listen: Entrance
    listen_new: Entrance | None
    admin: Address | None
    file: ProxyFile
    #: Of several processes that share the addresses; 0: the only one.
    worker: int = 0

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
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, each a proxy of its own; the n-th has --admin at that port + n - 1.",
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
    log_level: str,
) -> None:
    """Stand between applications and PostgreSQL.

    Clients log in as they would at the server; their credentials are not looked at. SIGTERM lets running transactions
    end; a second one does not.
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
        )
        if workers > 1:
            sys.exit(_share(serving, workers))
        uvloop.run(serve(serving))


def _bound(entrance: Entrance | None, option: str) -> Sequence[socket.socket]:
    if entrance is None:
        return ()
    return bind(entrance, option) if isinstance(entrance, Address) else entrance


def _share(serving: Serving, workers: int) -> int:
    """Serve with several processes; returns the exit code."""
    old, new = _bound(serving.listen, "--listen"), _bound(serving.listen_new, "--listen-new")

    def work(number: int, lifeline: int) -> None:
        admin = serving.admin and replace(serving.admin, port=serving.admin.port + number - 1)
        mine = replace(serving, listen=old, listen_new=new or None, admin=admin, worker=number)
        with one_line_for_errors():
            uvloop.run(serve(mine, lifeline))

    def stop_listening() -> None:
        for sock in (*old, *new):
            sock.close()

    return supervise(workers, work, stop_listening)


async def serve(serving: Serving, lifeline: int | None = None) -> None:
    """Run until a signal, or until there is something to read from the file descriptor `lifeline`.

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
        pins = await _control(serving, stack)
        sightings = Sightings()
        if serving.database_url is not None:
            recorder = _recorder(serving.database_url, sightings, serving.file.observe)
            stack.push_async_callback(recorder.stop)
        plans = PlanCache(plan, limits.plan_cache_bytes, sightings.watch, away_from=LONG_CHARS)
        planning = PlanningProcess(plans)
        stack.callback(planning.close)
        database = serving.database
        if database is None and serving.database_url is not None:
            database = await _default_database(serving.database_url)
        gateway = Gateway(dialer, pins, plans, Tally(), serving.file, database, planning.answer, client_tls)
        if serving.database_url is not None:
            reporter = ForegroundReporter(serving.database_url, gateway.foreground)
            reporter.start()
            stack.push_async_callback(reporter.stop)
        gateway.ending = _ending(serving, stack)
        servers = await listen(gateway, serving.listen, Shape.OLD, "--listen")
        if serving.listen_new is not None:
            servers += await listen(gateway, serving.listen_new, Shape.NEW, "--listen-new")
        for server in servers:
            stack.callback(server.close)
        if serving.admin is not None:
            runner = await start_admin(serving.admin, gateway, Metrics(gateway, plans))
            stack.push_async_callback(runner.cleanup)
        stop, at_once = _signals(lifeline)
        log.info(
            "serving",
            listen=_shown(serving.listen),
            listen_new=_shown(serving.listen_new),
            server=str(serving.server.address),
            database=database,
            admin=str(serving.admin or "") or None,
        )
        await stop.wait()
        log.info("stopping", sessions=len(gateway.sessions), drain_timeout_s=limits.drain_timeout_s)
        cut = await drain(gateway, servers, limits.drain_timeout_s, at_once)
        log.info("stopped", sessions_cut=cut)


async def _default_database(url: str) -> str:
    """What a URL without a database's name leads to; sessions of all others are none of ours."""
    connection = await connect(url, "pgjanus proxy")
    try:
        return str(await connection.fetchval("SELECT current_database()"))
    finally:
        await connection.close()


def _ending(serving: Serving, stack: AsyncExitStack) -> Ending | None:
    """None if every login is passed on: one side is not encrypted, or nobody says what is stored of a user."""
    tls, auth = serving.file.client_tls, serving.file.auth
    if tls.cert_file is None or TlsMode.DISABLE in (tls.sslmode, serving.server.tls.sslmode):
        return None
    mock_key = private_hash(tls.key_file or tls.cert_file)
    if auth.auth_file is not None:
        return Ending(SecretsInFile(auth.auth_file).find, certificate_hash(tls.cert_file), mock_key)
    if serving.database_url is None:
        return None
    stored = SecretsOfDatabase(serving.database_url, auth.auth_query)
    stack.push_async_callback(stored.close)
    return Ending(stored.find, certificate_hash(tls.cert_file), mock_key)


def _shown(entrance: Entrance | None) -> str | None:
    if entrance is None or isinstance(entrance, Address):
        return str(entrance or "") or None
    return ", ".join(str(Address(*sock.getsockname()[:2])) for sock in entrance)


async def _control(serving: Serving, stack: AsyncExitStack) -> Pins:
    """The control side; without a control connection nothing is managed."""
    if serving.database_url is None:
        return FixedPins(Snapshot(0, Catalog(0, {})))
    lease = serving.file.lease
    rollout = Rollout(
        serving.database_url,
        application_name="pgjanus proxy" + (f", worker {serving.worker}" if serving.worker else ""),
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


def _signals(lifeline: int | None) -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first SIGTERM or SIGINT or the end of the lifeline, and by the second signal."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def received() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received)
    if lifeline is not None:

        def parent_gone() -> None:
            asyncio.get_running_loop().remove_reader(lifeline)
            stop.set()

        asyncio.get_running_loop().add_reader(lifeline, parent_gone)
    return stop, at_once
