from __future__ import annotations

import pytest

from proxy.observe.sightings import Sightings
from proxy.serving.watches import watched_by
from proxy.usage.counting import OTHERS, SENDERS_LIMIT, Sender, Usage, shapes_used
from proxy.usage.recorder import sample_of
from rules.migration import Client
from rules.phases import Shape
from rules.planner import plan
from tests.rules.managed import snapshot

OLD, NEW = Client(Shape.OLD), Client(Shape.NEW)


def used(sql: str, phase: str, client: Client = OLD) -> tuple[str, ...]:
    at = snapshot(phase)
    return shapes_used(sql, at, client, plan(sql, at, client))


@pytest.mark.parametrize(
    ("phase", "counted"), [("expanded", True), ("writing_both", True), ("reading_new", False), ("new_only", False)]
)
def test_what_touches_no_managed_column_uses_a_shape_only_while_that_cannot_be_told(phase: str, counted: bool) -> None:
    """Its old columns are the physical ones there, so an untouched statement may name them."""
    assert used("SELECT full_name FROM users", phase)
    assert used("UPDATE users SET full_name = 'x'", phase)
    assert bool(used("SELECT id FROM users", phase)) is counted
    assert used("SELECT first_name FROM users", phase, NEW)
    assert not used("SELECT id FROM users", phase, NEW)


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT relname FROM pg_catalog.pg_class", "SELECT * FROM other"])
def test_what_names_no_managed_table_uses_no_shape(sql: str) -> None:
    assert not used(sql, "new_only")


def test_a_refused_statement_uses_the_shape() -> None:
    assert used("SELECT array_agg(u) FROM users u", "new_only")
    assert used("""SELECT full_name FROM U&"\\0075sers" """, "new_only")


def test_senders_are_counted_apart_and_those_beyond_the_limit_together() -> None:
    usage, at = Usage(), snapshot("new_only")
    sql = "SELECT full_name FROM users WHERE id = 7"
    watch = usage.watch(sql, at, OLD, plan(sql, at, OLD))
    assert watch is not None
    for i in range(SENDERS_LIMIT + 5):
        watch.saw((f"app {i}", "u"))
    watch.saw(("app 0", "u"))
    taken = usage.take()
    (migration,) = {sender.migration for sender in taken}
    assert len(taken) == SENDERS_LIMIT + 1
    assert taken[Sender(migration, Shape.OLD, *OTHERS)].statements == 5
    assert taken[Sender(migration, Shape.OLD, "app 0", "u")].statements == 2
    assert usage.take() == {}


def test_a_sample_has_no_constants() -> None:
    assert sample_of("SELECT 1 FROM users WHERE name = 'secret' -- secret") == "SELECT $1 FROM users WHERE name = $2"
    assert "secret" not in sample_of("SELECT 'secret")
    assert "secret" not in sample_of("SELECT '" + "secret" * 20_000 + "'")


def test_what_is_observed_is_counted_as_well() -> None:
    sightings, usage, at = Sightings(), Usage(), snapshot("expanded")
    sql = "SELECT full_name FROM users"
    watch = watched_by(sightings, usage)(sql, at, OLD, plan(sql, at, OLD))
    assert watch is not None
    watch.saw(("app", "u"))
    assert len(sightings.take()) == len(usage.take()) == 1
