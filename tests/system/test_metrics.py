"""What a real proxy exports, against the table that its document and the dashboards follow from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from proxy.measures import MEASURES
from tests.conftest import Database, RunningProxy, StartProxy
from tests.system.ladder_case import NAME, USERS
from tests.system.test_console import until
from tests.system.test_usage import RECIPE, pgjanus

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(proxy: RunningProxy, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{proxy.admin_port}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def scrape(proxy: RunningProxy) -> Samples:
    families = list(text_string_to_metric_families(page(proxy, "/metrics")))
    own = {family.name: family for family in families if family.name.startswith("pgjanus_")}
    assert {name: family.type for name, family in own.items()} == {m.name: m.kind.value for m in MEASURES}
    labels = {name: frozenset(labels) for m in MEASURES for name, labels in m.samples.items()}
    samples = [sample for family in own.values() for sample in family.samples]
    assert [s for s in samples if frozenset(s.labels) != labels[s.name]] == []
    return {(s.name.removeprefix("pgjanus_"), frozenset(s.labels.items())): s.value for s in samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_the_metrics_tell_how_the_proxy_and_its_migrations_stand(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    database.connect().execute(USERS)
    config = tmp_path / "pgjanus.yaml"
    config.write_text("observe: {every_s: 0.1}")
    proxy = start_proxy(database, "--config", str(config))
    assert page(proxy, "/startupz") == page(proxy, "/healthz") == page(proxy, "/readyz") == "ok\n"
    before = scrape(proxy)
    assert value(before, "database_reachable") == 1 and value(before, "proxies", live="true") == 1
    assert pgjanus(database, "start", str(RECIPE)).exit_code == 0
    assert pgjanus(database, "advance", NAME, "--to", "reading_new").exit_code == 0
    with psycopg.connect(proxy.url(), autocommit=True) as old:
        old.execute("SELECT full_name FROM users WHERE id = 1")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            old.execute("SELECT array_agg(u) FROM users u")
        until(lambda: value(scrape(proxy), "shape_statements", migration=NAME, shape="old") == 2)
        found = scrape(proxy)
        assert value(found, "clients", shape="old") == 1
    assert value(found, "migration_phase", migration=NAME, table="public.users", phase="reading_new") == 1
    assert value(found, "statements_total", outcome="rewritten", migration=NAME) == 1
    assert value(found, "refusals_total", migration=NAME, sqlstate="0A000") == 1
    assert value(found, "backfill_rows_done", migration=NAME, state="old") == 500
    assert value(found, "backfill_bad_rows", migration=NAME, state="old") == 0
    assert value(found, "divergent_rows", migration=NAME) == 0
    assert (value(found, "planning_seconds_sum") or 0) > 0
    planned = value(found, "planning_seconds_count") or 0
    assert planned == value(found, "planning_seconds_bucket", le="+Inf") == value(found, "plan_cache_misses_total")
    assert (value(found, "received_bytes_total", sender="client") or 0) > 100
    assert (value(found, "received_bytes_total", sender="server") or 0) > 100
    assert value(found, "managed_tables_closed") == 0

    assert "pgjanus" in page(proxy, "/")
    with urlopen(f"http://127.0.0.1:{proxy.admin_port}/events", timeout=20) as stream:
        shown = json.loads(stream.readline().removeprefix(b"data: "))
        assert shown["error"] is None
        (migration,) = shown["migrations"]
        assert (migration["name"], migration["phase"]) == (NAME, "reading_new")
        assert migration["backfills"][0]["percent"] == 100 and migration["gates"]["old"] == "validated"
        assert sum(count for _, shape, count in migration["minutes"] if shape == "old") == 2
        assert [r["statement"] for r in shown["refusals"]] == ["SELECT array_agg(u) FROM users u"]
        assert len(shown["proxies"]) == 1
        assert proxy.stop() == 0, "an open page keeps no proxy alive"


def queries() -> Iterator[tuple[str, str]]:
    for file in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        board: dict[str, Any] = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_every_query_of_dashboards_and_alerts_is_of_a_metric_and_labels_that_there_are() -> None:
    known = {name: set(labels) for m in MEASURES for name, labels in m.samples.items()}
    assert len(list(queries())) > 15
    for title, query in queries():
        named = set(re.findall(r"\bpgjanus_\w+", query))
        assert named <= known.keys(), title
        labels = {"instance"}.union(*(known[name] for name in named)) if named else {"instance", "job"}
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert set(group.split(", ")) <= labels, title
