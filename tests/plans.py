"""`make plans`: does a predicate use an index in every phase in which it would on a table that is not migrated?

    python -m tests.plans --rows 1000000

Two twins hold the same rows without a migration, one in either shape. Each query is explained there and, in each phase
of each strategy, through the proxy. Nothing is switched off for it: what counts is what PostgreSQL chooses. A query
must not read the whole table where its twin does not, and its estimate must be within ten times the twin's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import psycopg
from psycopg import sql

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from proxy.ladder.climb import advance, rollback, start
from proxy.ladder.operator import operate
from rules.phases import LADDERS, Phase, Shape, Strategy, Writes
from rules.spec import MigrationSpec
from tests.bench.ways import proxy_before

MOST_TIMES_OFF = 10.0
TABLE = "people"
SETTINGS = {**NOT_DURABLE, "shared_buffers": "256MB", "maintenance_work_mem": "256MB", "max_wal_size": "8GB",
             "autovacuum": "off", "max_parallel_workers_per_gather": "0"}  # fmt: skip

_OLD = """
CREATE TABLE people (id bigint PRIMARY KEY, tenant int NOT NULL, active boolean NOT NULL, email text NOT NULL,
    full_name text, price int NOT NULL, tier text NOT NULL);
INSERT INTO people SELECT g, g % 1000, g % 5 = 0, 'user' || g || '@example.org',
    CASE WHEN g % 5000 > 0 THEN 'First' || g || ' Last' || g % 5000 END, (g * 7919::bigint) % 100000,
    CASE WHEN g % 2 = 0 THEN 'free' ELSE 'tier' || g % 40 END FROM generate_series(1, {rows}) g;
"""
_NEW = """
CREATE TABLE people AS SELECT id, tenant, active, email AS mail, split_part(full_name, ' ', 1) AS first_name,
    split_part(full_name, ' ', 2) AS last_name, (price / 100.0)::numeric(12,2) AS cost, tier AS plan
    FROM (SELECT * FROM people) AS p;
"""
_OLD_INDEXES = """
CREATE UNIQUE INDEX people_email ON people (email);
CREATE INDEX ON people (lower(email));
CREATE INDEX ON people (email text_pattern_ops);
CREATE INDEX ON people (tenant, email);
CREATE INDEX ON people (full_name);
CREATE INDEX ON people (price);
CREATE INDEX ON people (price) WHERE active;
"""
_NEW_INDEXES = """
ALTER TABLE people ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ON people (mail);
CREATE INDEX ON people (lower(mail));
CREATE INDEX ON people (mail text_pattern_ops);
CREATE INDEX ON people (tenant, mail);
CREATE INDEX ON people (first_name);
CREATE INDEX ON people (last_name);
CREATE INDEX ON people (cost);
CREATE INDEX ON people (cost) WHERE active;
"""
_WANTED = """
CREATE TABLE wanted (address text);
INSERT INTO wanted SELECT 'user' || g || '@example.org' FROM generate_series(1, 5) g;
"""

_OPERATIONS: list[dict[str, Any]] = [
    {"rename_column": {"column": "email", "to": "mail"}},
    {"rename_column": {"column": "tier", "to": "plan"}},
    {
        "split_column": {
            "column": "full_name",
            "into": {
                "first_name": {"type": "text", "up": "split_part(full_name, ' ', 1)", "index": True},
                "last_name": {"type": "text", "up": "split_part(full_name, ' ', 2)", "index": True},
            },
            "down": "first_name || ' ' || last_name",
        }
    },
    {
        "change_columns": {
            "old": {"price": "(cost * 100)::integer"},
            "new": {"cost": {"type": "numeric(12,2)", "up": "price / 100.0"}},
        }
    },
]

#: What both shapes ask, each in its words. `{mail}` and `{plan}` are renamed only, so most are the same text.
_BOTH = {
    "=": "SELECT * FROM people WHERE {mail} = 'user777@example.org'",
    "IN": "SELECT id FROM people WHERE {mail} IN ('user7@example.org', 'user77@example.org', 'nobody')",
    "range": "SELECT id FROM people WHERE {mail} >= 'user99' AND {mail} < 'user991'",
    "LIKE prefix": "SELECT id FROM people WHERE {mail} LIKE 'user1234%'",
    "lower()": "SELECT id FROM people WHERE lower({mail}) = 'user777@example.org'",
    "two columns": "SELECT id FROM people WHERE tenant = 7 AND {mail} > 'user5'",
    "ORDER BY LIMIT": "SELECT id, {mail} FROM people ORDER BY {mail} LIMIT 10",
    "ORDER BY two": "SELECT id FROM people WHERE tenant = 7 ORDER BY {mail} DESC LIMIT 10",
    "join": "SELECT p.id FROM wanted w JOIN people p ON p.{mail} = w.address",
    "max()": "SELECT max({mail}) FROM people",
    "UPDATE": "UPDATE people SET active = false WHERE {mail} = 'user777@example.org'",
    "managed UPDATE": "UPDATE people SET {mail} = 'x' WHERE {mail} = 'user777@example.org'",
    "DELETE": "DELETE FROM people WHERE {mail} = 'user777@example.org'",
    "no index, frequent": "SELECT id FROM people WHERE {plan} = 'free'",
    "no index, rare": "SELECT id FROM people WHERE {plan} = 'tier7'",
}
_OLD_ONLY = {
    "ON CONFLICT": "INSERT INTO people (id, tenant, active, email, price, tier) VALUES (0, 1, true, 'user1', 1, 'x')"
    " ON CONFLICT (email) DO UPDATE SET tenant = 2",
    "name =": "SELECT id FROM people WHERE full_name = 'First77 Last77'",
    "IS NULL": "SELECT id FROM people WHERE full_name IS NULL",
    "number range": "SELECT id FROM people WHERE price BETWEEN 700 AND 710",
    "partial": "SELECT id FROM people WHERE active AND price < 50",
    "number ORDER BY": "SELECT id FROM people ORDER BY price DESC LIMIT 5",
    "min()": "SELECT min(price) FROM people",
}
_NEW_ONLY = {
    "ON CONFLICT": "INSERT INTO people (id, tenant, active, mail, cost, plan) VALUES (0, 1, true, 'user1', 1, 'x')"
    " ON CONFLICT (mail) DO UPDATE SET tenant = 2",
    "name =": "SELECT id FROM people WHERE last_name = 'Last77'",
    "two names": "SELECT id FROM people WHERE first_name = 'First77' AND last_name = 'Last77'",
    "IS NULL": "SELECT id FROM people WHERE first_name IS NULL",
    "number range": "SELECT id FROM people WHERE cost BETWEEN 7.00 AND 7.10",
    "partial": "SELECT id FROM people WHERE active AND cost < 0.50",
    "number ORDER BY": "SELECT id FROM people ORDER BY cost DESC LIMIT 5",
    "min()": "SELECT min(cost) FROM people",
}
QUERIES: dict[Shape, dict[str, str]] = {
    Shape.OLD: {k: q.format(mail="email", plan="tier") for k, q in _BOTH.items()} | _OLD_ONLY,
    Shape.NEW: {k: q.format(mail="mail", plan="plan") for k, q in _BOTH.items()} | _NEW_ONLY,
}


#: `price / 100.0` may overflow numeric(12,2), for all that can be told from it; and a unique index refuses duplicates.
_OVER_WHAT_MAY_FAIL = {"number range", "partial", "number ORDER BY", "min()", "ON CONFLICT"}
_NO_ARBITER = "no arbiter"


@dataclass(frozen=True, slots=True)
class Access:
    """How a plan reaches the table: the node that scans it, and how many rows that expects."""

    node: str
    rows: float

    @property
    def reads_all(self) -> bool:
        return self.node in ("Seq Scan", _NO_ARBITER)


@dataclass(frozen=True, slots=True)
class Comparison:
    strategy: str
    phase: str
    shape: Shape
    query: str
    twin: Access
    ours: Access

    @property
    def lost_its_index(self) -> bool:
        return self.ours.reads_all and not self.twin.reads_all

    @property
    def times_off(self) -> float:
        """How far the estimates are apart; below ten rows it decides nothing."""
        low, high = sorted(max(10.0, a.rows) for a in (self.twin, self.ours))
        return high / low

    @property
    def is_by_design(self) -> bool:
        """In the first phase no index may be able to refuse an old application's write."""
        first = LADDERS[Strategy(self.strategy)][1].name
        return self.phase == first and self.shape is Shape.NEW and self.query in _OVER_WHAT_MAY_FAIL

    @property
    def is_good(self) -> bool:
        return self.is_by_design or (not self.lost_its_index and self.times_off <= MOST_TIMES_OFF)

    @property
    def _verdict(self) -> str:
        return "by design" if self.is_by_design else "" if self.is_good else "<-- !"

    def __str__(self) -> str:
        place = f"{self.strategy:10} {self.phase:12} {self.shape.value} {self.query:18}"
        plans = f"{self.twin.node:17} {self.twin.rows:9,.0f}   {self.ours.node:17} {self.ours.rows:9,.0f}"
        return f"{place} {plans} {self.times_off:6.1f} {self._verdict}"


def access(connection: psycopg.Connection[Any], query: str) -> Access:
    """The scan of the table in PostgreSQL's plan. A query with an index for its ORDER BY expects the whole table."""
    try:
        row = connection.execute("EXPLAIN (FORMAT JSON) " + query).fetchone()
    except psycopg.errors.InvalidColumnReference:
        return Access(_NO_ARBITER, 1)
    assert row is not None
    stack = [row[0][0]["Plan"]]
    found = []
    while stack:
        node = stack.pop()
        if node.get("Relation Name") == TABLE and node["Node Type"] != "ModifyTable":
            found.append(Access(node["Node Type"], node["Plan Rows"]))
        if "Conflict Arbiter Indexes" in node:
            found.append(Access("arbiter", 1))
        stack += node.get("Plans", [])
    return max(found, key=lambda a: (a.reads_all, a.rows))


def compare(
    server: PostgresServer,
    rows: int,
    strategies: tuple[Strategy, ...],
    say: Callable[[str], None],
    *,
    back: bool = True,
) -> Iterator[Comparison]:
    """Every query in every phase, up and `back`; on `server`, in databases that are gone afterwards."""
    names = {Shape.OLD: "plans_old", Shape.NEW: "plans_new"}
    try:
        twins = {shape: _twin(server, name, shape, rows) for shape, name in names.items()}
        for strategy in strategies:
            yield from _walk(server, strategy, rows, twins, say, back)
    finally:
        for name in (*names.values(), *(f"plans_{s.value}" for s in strategies)):
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _twin(server: PostgresServer, name: str, shape: Shape, rows: int) -> dict[str, Access]:
    _create(server, name, rows)
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        if shape is Shape.NEW:
            connection.execute("ALTER TABLE people RENAME TO people_before")
            connection.execute(_NEW.replace("FROM people)", "FROM people_before)"))
            connection.execute("DROP TABLE people_before")
        connection.execute(_OLD_INDEXES if shape is Shape.OLD else _NEW_INDEXES)
        connection.execute("VACUUM ANALYZE")
        return {query: access(connection, text) for query, text in QUERIES[shape].items()}


def _create(server: PostgresServer, name: str, rows: int) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute(_OLD.format(rows=rows) + _WANTED)


def _walk(
    server: PostgresServer,
    strategy: Strategy,
    rows: int,
    twins: dict[Shape, dict[str, Access]],
    say: Callable[[str], None],
    back: bool,
) -> Iterator[Comparison]:
    database = f"plans_{strategy.value}"
    _create(server, database, rows)
    url = server.url(database)
    with psycopg.connect(url, autocommit=True) as direct, proxy_before(server, database) as ports:
        direct.execute(_OLD_INDEXES)
        direct.execute("VACUUM ANALYZE")
        address = "postgresql://postgres@127.0.0.1:{}/{}"
        clients = {shape: address.format(port, database) for shape, port in zip(Shape, ports, strict=True)}
        ladder = [p for p in LADDERS[strategy] if p.policy is not None and p.expanded]
        for phase in (*ladder, *(ladder[-2::-1] if back else ())):
            started = time.monotonic()
            asyncio.run(_enter(url, strategy, phase, direct, say))
            say(f"{strategy.value}: in {phase.name} after {time.monotonic() - started:.0f} s")
            _mix(clients, rows)
            direct.execute("VACUUM ANALYZE people")
            yield from _explain_all(clients, strategy, phase, twins)


async def _enter(
    url: str, strategy: Strategy, phase: Phase, direct: psycopg.Connection[Any], say: Callable[[str], None]
) -> None:
    definition = {"migration": "m", "table": "public.people", "strategy": strategy.value, "operations": _OPERATIONS}
    async with operate(url, "plans", say=say) as operator:
        registered = await operator.connection.fetchval("SELECT phase FROM pgjanus.migrations WHERE name = 'm'")
        names = [p.name for p in LADDERS[strategy]]
        if phase.policy is not None and phase.policy.writes is Writes.NEW:
            direct.execute("DROP INDEX IF EXISTS people_email")  # nothing may constrain values that get stale
        if registered is None:
            await start(operator, MigrationSpec.from_json(definition))
        elif names.index(phase.name) > names.index(registered):
            await advance(operator, "m", phase.name)
        else:
            await rollback(operator, "m", phase.name)
            if phase.policy is not None and phase.policy.writes is not Writes.NEW:
                direct.execute("CREATE UNIQUE INDEX IF NOT EXISTS people_email ON people (email)")


def _mix(clients: dict[Shape, str], rows: int) -> None:
    """Clients of both shapes write, so that rows are in every state that this phase's writers leave."""
    for shape, column in ((Shape.OLD, "email"), (Shape.NEW, "mail")):
        with psycopg.connect(clients[shape], autocommit=True) as connection:
            part = 0 if shape is Shape.OLD else 1
            connection.execute(f"UPDATE people SET {column} = {column} WHERE id % 40 = {part} AND id <= {rows // 2}")


def _explain_all(
    clients: dict[Shape, str], strategy: Strategy, phase: Phase, twins: dict[Shape, dict[str, Access]]
) -> Iterator[Comparison]:
    for shape, queries in QUERIES.items():
        with psycopg.connect(clients[shape], autocommit=True) as connection:
            for query, text in queries.items():
                ours = access(connection, text)
                yield Comparison(strategy.value, phase.name, shape, query, twins[shape][query], ours)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--strategy", "names", multiple=True, type=click.Choice([s.value for s in Strategy]))
@click.option("--quiet", is_flag=True, help="Show only what is not good, and the sums.")
def main(rows: int, names: tuple[str, ...], quiet: bool) -> None:
    strategies = tuple(Strategy(n) for n in names) or tuple(Strategy)
    found = []
    with EmbeddedPostgres(18, settings=SETTINGS) as server:
        for comparison in compare(server, rows, strategies, lambda line: click.echo(f"-- {line}", err=True)):
            found.append(comparison)
            if not quiet or not comparison.is_good:
                click.echo(str(comparison))
    judged = [c for c in found if not c.is_by_design]
    lost = sum(c.lost_its_index for c in judged)
    far = sum(c.times_off > MOST_TIMES_OFF for c in judged)
    worst = max(c.times_off for c in judged)
    click.echo(f"{rows:,} rows: {len(found)} plans, {lost} lost their index, {far} estimates are more than"
               f" {MOST_TIMES_OFF:g} times off (at worst {worst:.1f})")  # fmt: skip
    sys.exit(1 if lost or far else 0)


if __name__ == "__main__":
    main()
