"""What Prometheus sees. The data path only counts in plain integers; they are read when somebody scrapes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.measures import MEASURES, Family
from proxy.planning.plans import PlanCache
from proxy.relay.gateway import Gateway
from proxy.standing import LoopLag, Standing

#: Name without `pgjanus_`, values of its labels, value.
Sample = tuple[str, tuple[str, ...], float]


class ProxyCollector(Collector):
    """What the table of metrics says, and nothing else: a name that is not in it is a KeyError."""

    def __init__(self, gateway: Gateway, plans: PlanCache, lag: LoopLag, standing: Standing) -> None:
        self._gateway = gateway
        self._plans = plans
        self._lag = lag
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Family] = {m.name: m.family() for m in MEASURES}
        for samples in (self._statements(), self._process(), self._standing.samples()):
            for name, labels, value in samples:
                family = families[f"pgjanus_{name}"]
                assert not isinstance(family, HistogramMetricFamily)
                family.add_metric(labels, value)
        planning, took = families["pgjanus_planning_seconds"], self._plans.took
        assert isinstance(planning, HistogramMetricFamily)
        planning.add_metric((), took.cumulative(), took.total_s)
        yield from families.values()

    def _statements(self) -> Iterator[Sample]:
        tally, plans = self._gateway.tally, self._plans
        yield "statements", ("untouched", ""), tally.untouched
        for outcome, counts in (("rewritten", tally.rewritten), ("refused", tally.refused)):
            for migration, count in counts.items():
                yield "statements", (outcome, migration), count
        for migration, count in tally.observed.items():
            yield "statements_observed", (migration,), count
        for (migration, sqlstate), count in self._gateway.refusals.counts.items():
            yield "refusals", (migration, sqlstate), count
        yield "prepared_again", (), tally.prepared_again
        yield "transactions_held", (), tally.held
        yield "plan_cache_hits", (), plans.hits
        yield "plan_cache_misses", (), plans.misses
        yield "plan_cache_bytes", (), plans.bytes
        yield "plan_cache_entries", (), len(plans)

    def _process(self) -> Iterator[Sample]:
        gateway = self._gateway
        yield "received_bytes", ("client",), gateway.received_of_clients
        yield "received_bytes", ("server",), gateway.received_of_servers
        yield "slow_statements", (), gateway.slow
        yield "sessions_opened", (), gateway.opened
        yield "server_unreachable", (), gateway.unreachable
        yield "too_many_clients", (), gateway.turned_away
        yield "sessions", (), len(gateway.sessions)
        shapes = Counter(session.facts.shape or "none" for session in gateway.sessions)
        for shape in ("old", "new", "none"):
            yield "clients", (shape,), shapes[shape]
        yield "asyncio_tasks", (), len(asyncio.all_tasks())
        yield "loop_lag_seconds", (), self._lag.take()
        yield "managed_tables_closed", (), int(not gateway.pins.may_serve_managed())


class Metrics:
    """A registry of this process's own, with the interpreter's and the process's usual metrics."""

    def __init__(self, gateway: Gateway, plans: PlanCache, lag: LoopLag, standing: Standing) -> None:
        self.standing = standing
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(ProxyCollector(gateway, plans, lag, standing))

    async def samples(self) -> list[tuple[str, Mapping[str, str], float]]:
        """Name, labels and value of pgjanus's own."""
        await self.standing.refresh()
        found = [sample for family in self.registry.collect() for sample in family.samples]
        return [(s.name, s.labels, s.value) for s in found if s.name.startswith("pgjanus_")]

    async def exposition(self) -> bytes:
        """The text format."""
        await self.standing.refresh()
        return generate_latest(self.registry)
