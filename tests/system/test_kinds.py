"""Every kind of table and key on the whole ladder, behind one proxy, with clients of both shapes on each rung."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import psycopg
import pytest

from proxy.backfill.session import find_key
from proxy.control.registry import read_managed_table
from proxy.ladder.climb import advance, rollback, start
from proxy.ladder.operator import Operator
from proxy.verify.runner import verify
from rules.changes import quote_table
from rules.loader import load_text
from rules.phases import Shape
from rules.spec import MigrationSpec
from tests.conftest import ALL_SERVERS, Database, RunningProxy, StartProxy
from tests.system.ladder_case import operator_of, schema_dump

ROWS = 60

MIGRATION = """
migration: "{name}"
table: '{table}'
operations:
  - split_column:
      column: full_name
      into:
        first_name: {{type: text, up: "split_part(full_name, ' ', 1)", index: true}}
        last_name: {{type: text, up: "nullif(substr(full_name, length(split_part(full_name, ' ', 1)) + 2), '')"}}
      down: "first_name || coalesce(' ' || last_name, '')"
"""

#: Rows are told apart by these, whatever PostgreSQL knows of it.
Key = tuple[Any, ...]


@dataclass
class Kind:
    """One table. `key` makes the values of its key columns for the nth row; `walked` is what the backfill goes by."""

    name: str
    create: str
    key_columns: tuple[str, ...]
    key: Callable[[int], Key]
    walked: tuple[str, ...]
    table: str = ""
    rows: dict[Key, tuple[str, str | None]] = field(default_factory=dict)
    made: int = 0

    @cached_property
    def spec(self) -> MigrationSpec:
        return load_text(MIGRATION.format(name=self.name, table=self.table or f"public.{self.name}"), "kind.yaml")

    @cached_property
    def sql_name(self) -> str:
        return quote_table(self.spec.table)

    @property
    def where(self) -> str:
        return " AND ".join(f"{c} = %s" for c in self.key_columns)

    def new_key(self) -> Key:
        self.made += 1
        return self.key(self.made)

    def fill(self, session: psycopg.Connection[Any]) -> None:
        session.execute(self.create.encode())
        marks = ", ".join(["%s"] * (len(self.key_columns) + 1))
        sql = f"INSERT INTO {self.sql_name} ({', '.join(self.key_columns)}, full_name) VALUES ({marks})"
        for number in range(ROWS):
            key = self.new_key()
            self.rows[key] = (f"First{number}", f"Last{number}" if number % 3 else None)
            session.execute(sql.encode(), (*key, joined(*self.rows[key])))


def joined(first: str, last: str | None) -> str:
    return first if last is None else f"{first} {last}"


COLUMNS = "full_name text, note text DEFAULT 'none'"


#: A collation of words that are alike but for case, if the server was built with ICU.
ALIKE = {
    True: "provider = icu, locale = 'und-u-ks-level2', deterministic = false",
    False: "provider = libc, locale = 'C.utf8'",
}


def kinds(*, has_icu: bool) -> list[Kind]:
    letters = "zÄaBéñ"
    return [
        Kind("heap", f"CREATE TABLE heap (n int, {COLUMNS})", ("n",), lambda n: (n,), ("ctid",)),
        Kind(
            "composite",
            f"CREATE UNLOGGED TABLE composite (tenant text, {COLUMNS}, day date, PRIMARY KEY (day, tenant))",
            ("tenant", "day"),
            lambda n: (f"t{n % 3}", datetime.date(2024, 1, 1) + datetime.timedelta(days=n // 3)),
            ("day", "tenant"),
        ),
        Kind(
            "uuids",
            f"CREATE TABLE uuids (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), {COLUMNS})",
            ("id",),
            lambda n: (uuid.uuid5(uuid.NAMESPACE_OID, str(n)),),
            ("id",),
        ),
        Kind(
            "words",
            f"CREATE COLLATION alike ({ALIKE[has_icu]});"
            f'CREATE TABLE words (lang text COLLATE "{"und-x-icu" if has_icu else "C.utf8"}",'
            f" word text COLLATE alike NOT NULL, {COLUMNS},"
            " PRIMARY KEY (lang, word))",
            ("lang", "word"),
            lambda n: (letters[n % 6], f"{letters[n % 5]}{n}"),
            ("lang", "word"),
        ),
        Kind(
            "parts",
            f"CREATE TABLE parts (region text NOT NULL, id int NOT NULL, {COLUMNS}, PRIMARY KEY (id, region))"
            " PARTITION BY LIST (region);"
            "CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');"
            "CREATE TABLE others PARTITION OF parts DEFAULT PARTITION BY RANGE (id);"
            "CREATE TABLE others_low PARTITION OF others FOR VALUES FROM (MINVALUE) TO (40);"
            "CREATE TABLE others_high PARTITION OF others FOR VALUES FROM (40) TO (MAXVALUE)",
            ("region", "id"),
            lambda n: (("eu", "us", "asia")[n % 3], n),
            ("id", "region"),
        ),
        Kind(
            "odd",
            'CREATE ROLE kinds_owner; CREATE SCHEMA "Odd ""Schema" AUTHORIZATION kinds_owner; SET ROLE kinds_owner;'
            'CREATE TABLE "Odd ""Schema"."Sel.ect 1" (id int GENERATED BY DEFAULT AS IDENTITY UNIQUE NOT NULL,'
            f" {COLUMNS}, loud text GENERATED ALWAYS AS (upper(note)) STORED); RESET ROLE",
            ("id",),
            lambda n: (n,),
            ("id",),
            table='"Odd ""Schema"."Sel.ect 1"',
        ),
    ]


@dataclass
class Clients:
    """A session per shape, kept open from the first rung to the last, and what the tables have to hold."""

    old: psycopg.Connection[Any]
    new: psycopg.Connection[Any]
    kinds: list[Kind]

    def work(self, *, old: bool = True) -> None:
        for kind in self.kinds:
            if old:
                self._write_old(kind)
            self._write_new(kind)
            self.check(kind, old=old)

    def _write_old(self, kind: Kind) -> None:
        key, changed, gone = kind.new_key(), *list(kind.rows)[:2]
        names, marks = ", ".join(kind.key_columns), ", ".join(["%s"] * len(key))
        kind.rows[key] = ("Old", f"Row{kind.made}")
        self.old.execute(
            f"INSERT INTO {kind.sql_name} ({names}, full_name) VALUES ({marks}, %s)".encode(),
            (*key, joined(*kind.rows[key])),
        )
        kind.rows[changed] = ("By", "Old Hand")
        self._one(
            self.old, f"UPDATE {kind.sql_name} SET full_name = 'By ' || %s WHERE {kind.where}", "Old Hand", *changed
        )
        del kind.rows[gone]
        self._one(self.old, f"DELETE FROM {kind.sql_name} WHERE full_name IS NOT NULL AND {kind.where}", *gone)

    def _write_new(self, kind: Kind) -> None:
        key, changed = kind.new_key(), list(kind.rows)[5]
        names, marks = ", ".join(kind.key_columns), ", ".join(["%s"] * len(key))
        kind.rows[key] = ("New", None)
        self.new.execute(
            f"INSERT INTO {kind.sql_name} ({names}, first_name) VALUES ({marks}, %s)".encode(), (*key, "New")
        )
        kind.rows[changed] = (kind.rows[changed][0], f"New{kind.made}")
        sql = f"UPDATE {kind.sql_name} SET last_name = %s WHERE {kind.where}"
        self._one(self.new, sql, kind.rows[changed][1], *changed)

    @staticmethod
    def _one(session: psycopg.Connection[Any], sql: str, *arguments: Any) -> None:
        assert session.execute(sql.encode(), arguments).rowcount == 1, (sql, arguments)

    def check(self, kind: Kind, *, old: bool = True) -> None:
        names = ", ".join(kind.key_columns)
        count = len(kind.key_columns)
        found = self.new.execute(f"SELECT {names}, first_name, last_name FROM {kind.sql_name}".encode()).fetchall()
        assert {r[:count]: r[count:] for r in found} == kind.rows, kind.name
        assert len(found) == len(kind.rows)
        if old:
            found = self.old.execute(f"SELECT {names}, full_name FROM {kind.sql_name}".encode()).fetchall()
            assert {r[:count]: r[count] for r in found} == {k: joined(*v) for k, v in kind.rows.items()}, kind.name
            join = (
                f"SELECT count(*) FROM {kind.sql_name} a JOIN {self.kinds[0].sql_name} b ON a.full_name = b.full_name"
            )
            names_here = [joined(*v) for v in self.kinds[0].rows.values()]
            expected = sum(names_here.count(joined(*v)) for v in kind.rows.values())
            assert self.old.execute(join.encode()).fetchone() == (expected,), kind.name


@pytest.fixture
def clients(database: Database, start_proxy: StartProxy) -> Iterator[Clients]:
    direct = database.connect()
    direct.execute("DROP ROLE IF EXISTS kinds_owner")
    icu = direct.execute("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'").fetchone()
    tables = kinds(has_icu=icu == (1,))
    if database.server.version < 18:  # a system's own server is here for its ICU
        names = ("heap", "words", "uuids", "parts") if database.server.version == 16 else ("words",)
        tables = [t for t in tables if t.name in names]
    for kind in tables:
        kind.fill(direct)
    proxy: RunningProxy = start_proxy(database)
    with ExitStack() as stack:
        old, new = (stack.enter_context(psycopg.connect(proxy.url(shape.value), autocommit=True)) for shape in Shape)
        yield Clients(old, new, tables)
    direct.execute('DROP SCHEMA IF EXISTS "Odd ""Schema" CASCADE; DROP ROLE IF EXISTS kinds_owner')


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
async def test_every_kind_of_table_goes_up_and_down_and_up_to_the_end(database: Database, clients: Clients) -> None:
    async with operator_of(database) as operator:
        for kind in clients.kinds:
            await start(operator, kind.spec)
            _, managed = await read_managed_table(operator.connection, kind.name)
            key = await find_key(operator.connection, managed.migration)
            assert tuple(c.name for c in key.columns) == kind.walked
        clients.work()
        await move(operator, clients, advance, "new_only")
        clients.work()
        await move(operator, clients, rollback, "writing_both")
        clients.work()
        await move(operator, clients, advance, "reading_new")
        clients.work()
        for kind in clients.kinds:
            assert (await verify(database.url, kind.name)).clean
        await move(operator, clients, partial(advance, force=True), "contracted")
    clients.work(old=False)
    assert "_pgjanus" not in schema_dump(database)


async def move(operator: Operator, clients: Clients, step: Callable[..., Any], phase: str) -> None:
    for kind in clients.kinds:
        await step(operator, kind.name, phase)
