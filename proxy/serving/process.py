"""One process that serves, from its first connection to PostgreSQL to the end of its last session."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import structlog

from proxy.admin import start_admin
from proxy.config import Address, Observing
from proxy.control.rollout import Rollout
from proxy.conversation.actions import Tally
from proxy.conversation.pins import FixedPins, Pins
from proxy.database import connect
from proxy.errors import SettingsError
from proxy.foreground import ForegroundReporter
from proxy.metrics import Metrics
from proxy.observe.recorder import Recorder
from proxy.observe.sightings import Sightings
from proxy.planning.plans import PlanCache
from proxy.planning.process import LONG_CHARS, PlanningProcess
from proxy.relay.ends import End
from proxy.relay.gateway import Gateway
from proxy.relay.idle import end_idle_sessions
from proxy.relay.listener import Entrance, drain, listen
from proxy.relay.stored_secrets import SecretsOfDatabase
from proxy.serving.consoles import console_of, desk_of
from proxy.serving.notify import Notice, Tell, tell_systemd
from proxy.serving.options import Serving, equipment_of, keep_what_is_fixed
from proxy.serving.signals import Orders
from proxy.serving.watches import watched_by
from proxy.standing import LoopLag, Standing
from proxy.usage.counting import Usage
from proxy.usage.recorder import UsageRecorder
from rules.catalog import Catalog
from rules.phases import Shape
from rules.planner import plan
from rules.snapshot import Snapshot

log = structlog.get_logger(__name__)

#: How many times the process says that it is alive in the time within which it has to.
_BEATS = 4
#: Open at once besides clients and their server connections.
_OTHER_FILES = 100


async def serve(serving: Serving, lifeline: int | None = None, tell: Tell = tell_systemd) -> None:
    """Run until a signal, or until there is something to read from the file descriptor `lifeline`.

    Args:
        tell: whom to tell how the process is.

    Raises:
        ListenError: an address is in use.
        ServerUnreachable: PostgreSQL does not accept connections.
        PgjanusError, asyncpg.PostgresError, OSError: the control connection cannot be used.
    """
    orders = Orders()
    limits = serving.file.limits
    _allow_open_files(limits.max_connections)
    async with AsyncExitStack() as stack:
        stored = None
        if serving.database_url is not None:
            stored = SecretsOfDatabase(serving.database_url)
            stack.push_async_callback(stored.close)
        equipment = equipment_of(serving, serving.file, stored)
        (await equipment.dialer.dial(_probe)).close()
        pins = await _control(serving, stack)
        sightings, usage = Sightings(), Usage()
        if serving.database_url is not None:
            recorder = _recorder(serving.database_url, sightings, serving.file.observe)
            stack.push_async_callback(recorder.stop)
            counting = _usage_recorder(serving.database_url, usage, serving.file.observe)
            stack.push_async_callback(counting.stop)
        plans = PlanCache(plan, limits.plan_cache_bytes, watched_by(sightings, usage), away_from=LONG_CHARS)
        planning = PlanningProcess(plans)
        stack.callback(planning.close)
        database = serving.database
        if database is None and serving.database_url is not None:
            database = await _default_database(serving.database_url)
        gateway = Gateway(equipment.dialer, pins, plans, Tally(), serving.file, database, planning.answer)
        gateway.equip(equipment)
        if serving.database_url is not None:
            reporter = ForegroundReporter(serving.database_url, gateway.foreground)
            reporter.start()
            stack.push_async_callback(reporter.stop)
        servers = await listen(gateway, serving.listen, Shape.OLD, "--listen")
        if serving.listen_new is not None:
            servers += await listen(gateway, serving.listen_new, Shape.NEW, "--listen-new")
        for server in servers:
            stack.callback(server.close)
        lag = LoopLag()
        metrics = Metrics(gateway, plans, lag, Standing(serving.database_url))

        def reload() -> str | None:
            return _reload(serving, gateway, stored, tell)

        desk = desk_of(serving, gateway, metrics, reload, orders.stop.set)
        gateway.console = console_of(desk)
        if serving.admin is not None:
            runner = await start_admin(serving.admin, desk)
            stack.push_async_callback(runner.cleanup)
        orders.obey(lifeline)
        log.info(
            "serving",
            listen=_shown(serving.listen),
            listen_new=_shown(serving.listen_new),
            server=str(serving.server.address),
            database=database,
            admin=str(serving.admin or "") or None,
        )
        tell(Notice.READY)
        _while_serving(stack, orders.reload(reload))
        _while_serving(stack, end_idle_sessions(gateway))
        _while_serving(stack, lag.watch())
        if serving.watchdog_s is not None:
            _while_serving(stack, _beat(serving.watchdog_s / _BEATS, tell))
        await orders.stop.wait()
        tell(Notice.STOPPING)
        drain_timeout_s = gateway.file.limits.drain_timeout_s
        log.info("stopping", sessions=len(gateway.sessions), drain_timeout_s=drain_timeout_s)
        taken_over = [serving.listen, serving.listen_new] if serving.shares_ports else []
        sockets = [sock for entrance in taken_over if not isinstance(entrance, Address) for sock in entrance or ()]
        cut = await drain(gateway, servers, drain_timeout_s, orders.at_once, sockets)
        log.info("stopped", sessions_cut=cut)


def _reload(serving: Serving, gateway: Gateway, stored: SecretsOfDatabase | None, tell: Tell) -> str | None:
    """Take the settings as they are in their files now; if anything is wrong with them, none of it, and why."""
    why_not: str | None = None
    tell(Notice.RELOADING)
    try:
        file, waiting = keep_what_is_fixed(gateway.file, serving.read_file())
        gateway.equip(equipment_of(serving, file, stored))
    except SettingsError as error:
        why_not = str(error)
        log.error("reload_failed", reason=why_not, settings="as before")
    else:
        log.info("reloaded", config=str(serving.config or "") or None, needs_restart=waiting or None)
    tell(Notice.READY)
    return why_not


def _allow_open_files(connections: int) -> None:
    """As far as the system lets us, for two sockets of each client, and as many again that are not logged in."""
    wanted = 4 * connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < 2 * connections + _OTHER_FILES:
        log.warning("too_few_open_files", allowed=allowed, max_connections=connections)


async def _beat(every_s: float, tell: Tell) -> None:
    while True:
        tell(Notice.ALIVE)
        await asyncio.sleep(every_s)


def _while_serving(stack: AsyncExitStack, coroutine: Coroutine[Any, Any, None]) -> None:
    """Let it run until the end of the stack."""
    task = asyncio.create_task(coroutine)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _default_database(url: str) -> str:
    """What a URL without a database's name leads to; sessions of all others are none of ours."""
    connection = await connect(url, "pgjanus proxy")
    try:
        return str(await connection.fetchval("SELECT current_database()"))
    finally:
        await connection.close()


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


def _usage_recorder(database_url: str, usage: Usage, settings: Observing) -> UsageRecorder:
    recorder = UsageRecorder(
        database_url, usage, every_s=settings.every_s, log=lambda line: log.info("usage", message=line)
    )
    recorder.start()
    return recorder


def _probe() -> End:
    """Only to learn whether somebody accepts, and encrypts."""
    return End(lambda: None)
