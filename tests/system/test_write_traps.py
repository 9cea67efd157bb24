"""Situations in which a naive rewriting corrupts data: each statement goes through the planner to a real table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import psycopg
import pytest

from rules.migration import Client
from rules.phases import Shape, Strategy
from rules.plan import Refuse
from rules.planner import plan
from tests.conftest import ALL_SERVERS, Database
from tests.system.managed_table import TOKENS, Managed

LOSSY = """
migration: prices
table: public.prices
operations:
  - change_columns:
      lossy: true
      old: {cents: "(price * 100)::int"}
      new: {price: {type: "numeric(10,4)", up: "cents::numeric / 100"}}
"""
GREETING = """
migration: greeting
table: public.people
operations:
  - change_columns:
      old: {name: "nullif(substr(greeting, 7), '?')"}
      new: {greeting: {type: text, up: "'hello ' || coalesce(name, '?')"}}
"""


Make = Callable[..., Managed]


@pytest.fixture
def make(database: Database) -> Make:
    def managed(setup: str, definition: str, phase: str, strategy: Strategy = Strategy.DUAL_WRITE) -> Managed:
        return Managed(database, setup, definition, phase, strategy)

    return managed


TOKEN_TABLE = (
    "CREATE TABLE tokens (id int PRIMARY KEY, token text DEFAULT gen_random_uuid()::text);"
    "INSERT INTO tokens SELECT g, 'start' FROM generate_series(1, 12) g"
)
VOLATILE_WRITES = [
    "UPDATE tokens SET token = gen_random_uuid()::text",
    "UPDATE tokens SET (token) = ROW(gen_random_uuid()::text)",
    "UPDATE tokens SET (token) = (SELECT gen_random_uuid()::text WHERE tokens.id > 0)",
    "UPDATE tokens SET token = DEFAULT",
    "UPDATE tokens t SET token = gen_random_uuid()::text FROM generate_series(1, 12) g WHERE g = t.id",
    "INSERT INTO tokens (id, token) VALUES (21, gen_random_uuid()::text)",
    "INSERT INTO tokens (id, token) VALUES (21, gen_random_uuid()::text), (22, gen_random_uuid()::text)",
    "INSERT INTO tokens (id, token) VALUES (21, gen_random_uuid()::text), (22, DEFAULT),"
    " (23, (SELECT gen_random_uuid()::text WHERE true)), (24, 'x')",
    "WITH w AS (SELECT gen_random_uuid()::text AS t) INSERT INTO tokens (token, id) VALUES ((SELECT t FROM w), 21),"
    " (gen_random_uuid()::text, 22)",
    "WITH i AS (INSERT INTO tokens AS t (id, token) VALUES (21, gen_random_uuid()::text), (22, DEFAULT) RETURNING t.id)"
    " INSERT INTO tokens (id, token) VALUES (23, DEFAULT), (24, (SELECT gen_random_uuid()::text))",
    "INSERT INTO tokens (id) VALUES (21)",
    "INSERT INTO tokens (id) VALUES (21), (22)",
    "INSERT INTO tokens VALUES (21, DEFAULT)",
    "INSERT INTO tokens (id) SELECT g FROM generate_series(21, 24) g",
    "INSERT INTO tokens (id, token) SELECT g, gen_random_uuid()::text FROM generate_series(21, 24) g",
    "INSERT INTO tokens (id, token) SELECT 21, gen_random_uuid()::text UNION ALL SELECT 22, gen_random_uuid()::text",
    "INSERT INTO tokens (id, token) VALUES (1, 'x'), (2, 'x')"
    " ON CONFLICT (id) DO UPDATE SET token = gen_random_uuid()::text",
    "WITH w AS (UPDATE tokens SET token = gen_random_uuid()::text RETURNING id) SELECT count(*) FROM w",
]


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_a_volatile_value_is_evaluated_once_for_each_row(make: Make) -> None:
    table = make(TOKEN_TABLE, TOKENS, "writing_both")
    for sql in VOLATILE_WRITES:
        table.connection.execute("BEGIN")
        table.run(sql)
        rows = table.connection.execute(
            "SELECT token, _pgjanus_upper_token, _pgjanus_length FROM tokens"
            " WHERE _pgjanus_state IN (4, 5) AND token NOT IN ('start', 'x')"
        ).fetchall()
        table.connection.execute("ROLLBACK")
        assert rows, sql
        assert all(upper == token.upper() and length == 36 for token, upper, length in rows), sql
        assert len({token for token, _, _ in rows}) == len(rows), f"{sql}: one value for several rows"


def test_a_default_that_draws_from_a_sequence_draws_once(make: Make) -> None:
    table = make(
        "CREATE SEQUENCE s; CREATE TABLE tokens (id serial PRIMARY KEY, token text DEFAULT 't' || nextval('s'))",
        TOKENS,
        "writing_both",
    )
    table.run("INSERT INTO tokens DEFAULT VALUES")
    table.run("INSERT INTO tokens (id) VALUES (DEFAULT), (DEFAULT)")
    rows = table.run("SELECT id, token FROM tokens ORDER BY id")
    assert rows == [(1, "t1"), (2, "t2"), (3, "t3")]
    assert table.run("SELECT upper_token FROM tokens ORDER BY id", Shape.NEW) == [("T1",), ("T2",), ("T3",)]


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
@pytest.mark.parametrize("value", ["token || '+'", "upper(lower(token || '+'))"])
def test_concurrent_updates_of_one_row_lose_nothing(make: Make, value: str) -> None:
    """READ COMMITTED re-evaluates the SET list on the newest row; a join or CTE would write a stale value."""
    table = make(
        "CREATE TABLE tokens (id int PRIMARY KEY, token text); INSERT INTO tokens VALUES (1, '')",
        TOKENS,
        "writing_both",
    )
    sql = table.rewritten(f"UPDATE tokens SET token = {value} WHERE id = 1").encode()

    def add() -> None:
        with psycopg.connect(table.database.url, autocommit=True) as connection:
            for _ in range(50):
                connection.execute(sql)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = table.connection.execute("SELECT length(token), _pgjanus_length FROM tokens").fetchall()
    assert row == (200, 200)


PRICES = "CREATE TABLE prices (id int PRIMARY KEY, cents int, note text); INSERT INTO prices VALUES (1, 100), (2, 200)"


def test_an_orm_that_saves_all_columns_does_not_round_the_other_format(make: Make) -> None:
    table = make(PRICES, LOSSY, "writing_both")
    table.run("UPDATE prices SET price = 1.2345 WHERE id = 1", Shape.NEW)
    table.run("UPDATE prices SET cents = 123, note = 'saved' WHERE id = 1")
    assert str(table.run("SELECT price FROM prices WHERE id = 1", Shape.NEW)[0][0]) == "1.2345"
    table.run("UPDATE prices SET cents = 124 WHERE id = 1")
    assert str(table.run("SELECT price FROM prices WHERE id = 1", Shape.NEW)[0][0]) == "1.2400"


def test_a_lossy_value_is_refused_where_only_the_other_format_is_kept(make: Make) -> None:
    table = make(PRICES, LOSSY, "expanded")
    for sql in ("UPDATE prices SET price = 1.2345", "INSERT INTO prices (id, price) VALUES (9, 1), (10, 1.2345)"):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match='a value of "price" does not survive'):
            table.run(sql, Shape.NEW)
    table.run("UPDATE prices SET note = 'x', price = 1.5 WHERE id = 1", Shape.NEW)
    table.run("INSERT INTO prices (id, price) VALUES (9, 2.25)", Shape.NEW)
    assert table.run("SELECT cents FROM prices WHERE id IN (1, 9) ORDER BY id") == [(150,), (225,)]
    copied = plan("COPY prices FROM STDIN", table.snapshot, Client(Shape.NEW))
    assert isinstance(copied, Refuse)
    assert "lossy" in str(copied.refusal)


PEOPLE = (
    "CREATE TABLE people (id int PRIMARY KEY, name text);"
    "INSERT INTO people VALUES (1, 'Ada'), (2, NULL), (3, 'Alan');"
    "CREATE TABLE visits (id int, person int); INSERT INTO visits VALUES (1, 1), (2, 2), (3, 99)"
)


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new", "new_only"])
def test_a_missing_row_of_an_outer_join_is_null_and_not_a_converted_null(make: Make, phase: str) -> None:
    table = make(PEOPLE, GREETING, phase)
    rows = table.run(
        "SELECT v.id, p.greeting FROM visits v LEFT JOIN people p ON p.id = v.person ORDER BY v.id", Shape.NEW
    )
    assert rows == [(1, "hello Ada"), (2, "hello ?"), (3, None)]


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new", "new_only"])
def test_no_row_from_a_sub_select_assigns_null_and_converts_null(make: Make, phase: str) -> None:
    table = make(PEOPLE, GREETING, phase)
    table.run("UPDATE people SET (name) = (SELECT 'x' WHERE false) WHERE id = 1")
    assert table.run("SELECT name FROM people WHERE id = 1") == [(None,)]
    assert table.run("SELECT greeting FROM people WHERE id = 1", Shape.NEW) == [("hello ?",)]


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new", "new_only"])
def test_the_state_code_changes_with_each_proxied_write_and_only_then(make: Make, phase: str) -> None:
    table = make(PEOPLE, GREETING, phase)
    codes = [table.connection.execute("SELECT _pgjanus_state FROM people WHERE id = 1").fetchone()]
    for sql, shape in [
        ("UPDATE people SET name = name WHERE id = 1", Shape.OLD),
        ("UPDATE people SET greeting = 'hello you' WHERE id = 1", Shape.NEW),
        ("INSERT INTO people VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET name = excluded.name", Shape.OLD),
    ]:
        table.run(sql, shape)
        codes.append(table.connection.execute("SELECT _pgjanus_state FROM people WHERE id = 1").fetchone())
    assert all(a != b for a, b in pairwise(codes)), codes


TWO_CHANGES = """
migration: two
table: public.pets
operations:
  - change_columns: {old: {name: "lower(title)"}, new: {title: {type: text, up: "upper(name)"}}}
  - change_type: {column: age, type: text}
"""


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new", "new_only"])
@pytest.mark.parametrize("shape", list(Shape))
def test_a_write_of_one_change_makes_the_other_one_whole_too(make: Make, phase: str, shape: Shape) -> None:
    """The row state speaks of the whole row, so a format that is written has to be written in all its columns."""
    table = make(
        "CREATE TABLE pets (id int PRIMARY KEY, name text, age int);"
        "INSERT INTO pets SELECT g, 'rex' || g, g FROM generate_series(1, 12) g",
        TWO_CHANGES,
        phase,
    )
    name = "name" if shape is Shape.OLD else "title"
    table.run(f"UPDATE pets SET {name} = {name} || 'x' WHERE id < 7", shape)
    old = table.run("SELECT id, name, age FROM pets ORDER BY id")
    new = table.run("SELECT id, title, age FROM pets ORDER BY id", Shape.NEW)
    suffix = ["x" if g < 7 else "" for g in range(1, 13)]
    assert old == [(g, f"rex{g}{x}", g) for g, x in enumerate(suffix, 1)]
    assert [(g, title.lower(), age) for g, title, age in new] == [
        (g, f"rex{g}{x}", str(g)) for g, x in enumerate(suffix, 1)
    ]


def test_a_domain_enum_array_and_json_column_keep_parameters_types_and_errors(database: Database) -> None:
    definition = """
migration: kinds
table: public.kinds
operations:
  - change_columns:
      old: {mood: "m2", tags: "t2", doc: "d2", short: "s2"}
      new:
        m2: {type: public.mood, up: mood}
        t2: {type: "int[]", up: tags}
        d2: {type: jsonb, up: doc}
        s2: {type: public.code, up: short}
"""
    setup = (
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN code AS varchar(5) CHECK (VALUE <> 'bad');"
        "CREATE TABLE kinds (id int PRIMARY KEY, mood mood, tags int[], doc jsonb, short code);"
        "CREATE TABLE twin (LIKE kinds)"
    )
    table = Managed(database, setup, definition, "writing_both", Strategy.DUAL_WRITE)
    for sql in (
        "INSERT INTO {} VALUES ($1, $2, $3, $4, $5)",
        "UPDATE {} SET mood = $2, tags = $3, doc = $4, short = $5 WHERE id = $1",
        "INSERT INTO {} (id, mood, tags, doc, short) VALUES ($1, $2, $3, $4, $5), (7, 'sad', '{{1}}', '{{}}', 'x')",
        "UPDATE {} SET tags = tags || $2, doc = doc || $1, short = coalesce($3, short)",
        "INSERT INTO {} (id, mood, tags, doc, short) SELECT $1, $2, $3, $4, $5",
    ):
        pgconn = table.connection.pgconn
        types = []
        for name in ("twin", "kinds"):
            text = sql.format(name)
            assert pgconn.prepare(b"", table.rewritten(text).encode()).status == 1, pgconn.error_message
            described = pgconn.describe_prepared(b"")
            types.append([described.param_type(i) for i in range(described.nparams)])
        assert types[0] == types[1], sql
    for sql, state in (
        ("INSERT INTO kinds (id, short) VALUES (1, 'toolong')", "22001"),
        ("INSERT INTO kinds (id, short) VALUES (1, 'bad')", "23514"),
        ("INSERT INTO kinds (id, mood) VALUES (1, 'meh')", "22P02"),
        ("INSERT INTO kinds (id, doc) VALUES (1, '{')", "22P02"),
        ("INSERT INTO kinds (id, tags) VALUES (1, 'x')", "22P02"),
    ):
        with pytest.raises(psycopg.Error) as error:
            table.run(sql)
        assert error.value.sqlstate == state, sql
