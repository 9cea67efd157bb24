"""What Prometheus sees. The data path only counts in plain integers; they are read when somebody scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.planning.plans import PlanCache
from proxy.relay.gateway import Gateway


class DataPathCollector(Collector):
    """Sessions, statements and plans of this process."""

    def __init__(self, gateway: Gateway, plans: PlanCache) -> None:
        self._gateway = gateway
        self._plans = plans

    def collect(self) -> Iterator[Metric]:
        gateway, tally, plans = self._gateway, self._gateway.tally, self._plans
        statements = CounterMetricFamily(
            "pgjanus_statements",
            "Statements by what happened to them: untouched, rewritten or refused.",
            labels=("outcome", "migration"),
        )
        statements.add_metric(("untouched", ""), tally.untouched)
        for migration, count in tally.rewritten.items():
            statements.add_metric(("rewritten", migration), count)
        for migration, count in tally.refused.items():
            statements.add_metric(("refused", migration), count)
        yield statements
        observed = CounterMetricFamily(
            "pgjanus_statements_observed",
            "Untouched statements that a migration would refuse if it did not say on_unsupported: observe.",
            labels=("migration",),
        )
        for migration, count in tally.observed.items():
            observed.add_metric((migration,), count)
        yield observed
        yield _counter(
            "pgjanus_prepared_again", "Prepared statements given a new text for a new phase.", tally.prepared_again
        )
        yield _counter("pgjanus_transactions_held", "Transactions that waited for a step of a migration.", tally.held)
        yield _counter("pgjanus_sessions_opened", "Client connections accepted.", gateway.opened)
        yield _counter("pgjanus_server_unreachable", "Clients that got no server connection.", gateway.unreachable)
        yield _counter(
            "pgjanus_too_many_clients", "Clients turned away because of max_connections.", gateway.turned_away
        )
        yield _gauge(
            "pgjanus_sessions", "Client connections, and server connections that outlive them.", len(gateway.sessions)
        )
        yield _gauge("pgjanus_asyncio_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
        yield _counter("pgjanus_plan_cache_hits", "Texts whose plan was remembered.", plans.hits)
        yield _counter("pgjanus_plan_cache_misses", "Texts that were planned.", plans.misses)
        yield _gauge("pgjanus_plan_cache_bytes", "Estimated size of the remembered plans.", plans.bytes)
        yield _gauge("pgjanus_plan_cache_entries", "Remembered plans.", len(plans))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


class Metrics:
    """A registry of this process's own, with the interpreter's and the process's usual metrics."""

    def __init__(self, gateway: Gateway, plans: PlanCache) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(DataPathCollector(gateway, plans))

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name, labels and value of pgjanus's own; to be called on the event loop's thread."""
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name.startswith("pgjanus_"):
                    yield sample.name, sample.labels, sample.value

    def exposition(self) -> bytes:
        """The text format; to be called on the event loop's thread."""
        return generate_latest(self.registry)
