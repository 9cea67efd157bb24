"""The table of metrics: what is exported, docs/metrics.md and a test follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


_FAMILIES: Final[dict[Kind, type[Family]]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric. `of`: whom a value is about."""

    name: str
    kind: Kind
    does: str
    labels: tuple[str, ...] = ()
    of: str = "process"

    @property
    def samples(self) -> dict[str, tuple[str, ...]]:
        """What queries call it, each with its labels."""
        if self.kind is Kind.HISTOGRAM:
            whole = dict.fromkeys((f"{self.name}_sum", f"{self.name}_count"), self.labels)
            return {f"{self.name}_bucket": (*self.labels, "le"), **whole}
        return {f"{self.name}_total" if self.kind is Kind.COUNTER else self.name: self.labels}

    def family(self) -> Family:
        """Without values."""
        return _FAMILIES[self.kind](self.name, self.does, labels=self.labels)


def _counter(name: str, does: str, *labels: str, of: str = "process") -> Measure:
    return Measure(f"pgjanus_{name}", Kind.COUNTER, does, labels, of)


def _histogram(name: str, does: str) -> Measure:
    return Measure(f"pgjanus_{name}", Kind.HISTOGRAM, does)


def _gauge(name: str, does: str, *labels: str, of: str = "process") -> Measure:
    return Measure(f"pgjanus_{name}", Kind.GAUGE, does, labels, of)


_ALL: Final = "database"

MEASURES: Final = (
    _counter("statements", "Statements by what happened to them.", "outcome", "migration"),
    _counter(
        "statements_observed",
        "Untouched statements that a migration would refuse if it did not say on_unsupported: observe.",
        "migration",
    ),
    _counter("refusals", "Refused statements by the SQLSTATE that the client got.", "migration", "sqlstate"),
    _histogram("planning_seconds", "What planning a statement took; a remembered plan costs nothing."),
    _counter("plan_cache_hits", "Texts whose plan was remembered."),
    _counter("plan_cache_misses", "Texts that were planned."),
    _gauge("plan_cache_bytes", "Estimated size of the remembered plans."),
    _gauge("plan_cache_entries", "Remembered plans."),
    _counter("prepared_again", "Prepared statements given a new text for a new phase."),
    _counter("transactions_held", "Transactions that waited for a step of a migration."),
    _counter("received_bytes", "Taken in by sessions, by who sent them; encryption does not count.", "sender"),
    _counter("slow_statements", "Those that took longer than log.min_duration_statement_ms."),
    _counter("sessions_opened", "Client connections accepted."),
    _counter("server_unreachable", "Clients that got no server connection."),
    _counter("too_many_clients", "Clients turned away because of max_connections."),
    _gauge("sessions", "Client connections, and server connections that outlive them."),
    _gauge("clients", "Clients that are logged in or about to, by the shape of their session.", "shape"),
    _gauge("asyncio_tasks", "Tasks of the event loop."),
    _gauge("loop_lag_seconds", "The longest that the event loop was late since the last look."),
    _gauge("managed_tables_closed", "1 while managed tables are refused because the control connection is lost."),
    _gauge("database_reachable", "1 if what follows could be read from the database just now."),
    _gauge("migration_phase", "1 for the phase that a migration is in.", "migration", "table", "phase", of=_ALL),
    _gauge("proxies", "Proxies by whether their lease stands.", "live", of=_ALL),
    _gauge("backfill_rows_done", "Rows that a backfill has been through.", "migration", "state", of=_ALL),
    _gauge("backfill_rows", "Rows that it has to go through, as estimated.", "migration", "state", of=_ALL),
    _gauge("backfill_rows_per_second", "Its pace over the last half minute.", "migration", "state", of=_ALL),
    _gauge("backfill_eta_seconds", "How long it will take at that pace.", "migration", "state", of=_ALL),
    _gauge("backfill_workers", "Workers that are at it.", "migration", "state", of=_ALL),
    _gauge("backfill_bad_rows", "Rows that cannot be converted.", "migration", "state", of=_ALL),
    _gauge("backfill_waited_seconds", "How long its workers waited, by cause.", "migration", "state", "cause", of=_ALL),
    _gauge("divergent_rows", "Rows that the last verification found to differ.", "migration", of=_ALL),
    _gauge("shape_last_used_seconds", "Since a shape of a migration was used last.", "migration", "shape", of=_ALL),
    _gauge("shape_statements", "How often it was used, all proxies together.", "migration", "shape", of=_ALL),
)
