from __future__ import annotations

from proxy.planning.plans import PlanCache
from rules.errors import Refusal
from rules.migration import Client
from rules.phases import Shape
from rules.plan import Plan, Refuse, Untouched
from rules.snapshot import Snapshot
from tests.playbook import Scripted, managing, swap

OLD, NEW = Client(Shape.OLD), Client(Shape.NEW)


def test_a_plan_is_made_once_per_text_snapshot_and_client() -> None:
    planner = Scripted()
    cache = PlanCache(planner, 1 << 20)
    first, second = managing("users"), managing("users")
    for _ in range(3):
        for sql, snapshot, client in (("a", first, OLD), ("a", second, OLD), ("a", first, NEW), ("b", first, OLD)):
            cache(sql, snapshot, client)
    assert (len(planner.clients), cache.misses, cache.hits) == (4, 4, 8)


def test_the_least_recently_used_plans_go_when_the_bytes_are_used_up() -> None:
    cache = PlanCache(Scripted(), 50_000)
    snapshot = managing("users")
    for i in range(1_000):
        cache(f"SELECT {i}", snapshot, OLD)
        cache("SELECT 0", snapshot, OLD)
        assert cache.bytes <= 50_000
    assert len(cache) < 30
    hits = cache.hits
    cache("SELECT 0", snapshot, OLD)
    assert cache.hits == hits + 1


def test_a_text_too_large_to_keep_is_planned_each_time() -> None:
    cache = PlanCache(Scripted(), 100_000)
    cache("x" * 50_000, managing("users"), OLD)
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_migrations_that_a_text_mentions_are_counted() -> None:
    planner = Scripted()
    cache = PlanCache(planner, 1 << 20)
    snapshot = managing("users", "orders")
    planner.plans[1, "SELECT a FROM Users"] = swap("SELECT a FROM Users", "a", "b")
    assert cache("SELECT a FROM Users", snapshot, OLD).migration == "change_users"
    assert cache("SELECT a FROM Users, orders", snapshot, OLD).migration == "change_orders,change_users"


def test_a_planner_that_fails_refuses() -> None:
    def broken(sql: str, snapshot: Snapshot, client: Client) -> Plan:
        if sql == "refuse":
            raise Refusal("no")
        if sql == "break":
            raise ZeroDivisionError
        return Untouched()

    cache = PlanCache(broken, 1 << 20)
    snapshot = managing("users")
    for sql, sqlstate in (("refuse", "0A000"), ("break", "XX000")):
        plan = cache(sql, snapshot, OLD).plan
        assert isinstance(plan, Refuse)
        assert plan.refusal.sqlstate == sqlstate
    assert isinstance(cache("fine", snapshot, OLD).plan, Untouched)
