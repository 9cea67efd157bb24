"""The catalog as the planner gets it, read from real servers."""

from __future__ import annotations

import pytest

from proxy.catalog import CatalogLoader, catalog_fingerprint, load_catalog, load_relation
from proxy.database import DatabaseUnreachable, connect
from rules.catalog import Column, TableName, Volatility
from tests.conftest import ALL_SERVERS, Database

pytestmark = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)

SCHEMA = """
CREATE SCHEMA "Odd Schema";
CREATE DOMAIN public.code AS varchar(5) DEFAULT 'dom';
CREATE FUNCTION public.tick() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE FUNCTION public.steady(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION public.steady(text) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE FUNCTION public.pairs(OUT a int, OUT b text) LANGUAGE sql AS $$SELECT 1, ''$$;
CREATE FUNCTION public.listed() RETURNS TABLE (x int, y int) LANGUAGE sql AS 'SELECT 1, 2';
CREATE FUNCTION public.wild(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE OPERATOR public.<~> (leftarg = int, rightarg = int, function = public.wild);
CREATE TYPE public.mood AS ENUM ('ok');
CREATE TABLE public.t (
    tenant int, id bigint GENERATED ALWAYS AS IDENTITY, c public.code, v varchar(7) COLLATE "C" NOT NULL,
    n numeric(10,2) DEFAULT 1 + 2, gone int, at timestamptz DEFAULT now(), r float8 DEFAULT random(),
    k int DEFAULT public.tick(), o int DEFAULT 1 OPERATOR(public.<~>) 2, e public.mood DEFAULT 'ok',
    g text GENERATED ALWAYS AS (upper(v)) STORED, PRIMARY KEY (id, tenant));
ALTER TABLE public.t DROP COLUMN gone;
CREATE VIEW public.v AS SELECT id FROM public.t;
CREATE TABLE "Odd Schema"."Odd.Name" ("Odd "" Column" int);
CREATE FUNCTION public.rows_of_t() RETURNS SETOF public.t LANGUAGE sql AS 'SELECT * FROM public.t';
"""


async def test_the_catalog_has_every_relation_with_its_columns_as_they_are(database: Database) -> None:
    session = database.connect()
    session.execute(SCHEMA)
    session.execute("CREATE TEMPORARY TABLE mine (x int)")
    connection = await connect(database.url)
    try:
        catalog = await load_catalog(connection)
        t = catalog.relations[TableName("public", "t")]
        assert await load_relation(connection, t.table) == t
        assert await load_relation(connection, TableName("public", "nothing")) is None
    finally:
        await connection.close()
    assert {str(name): r.kind for name, r in catalog.relations.items()} == {
        "public.t": "r",
        "public.v": "v",
        "Odd Schema.Odd.Name": "r",
    }
    assert t.primary_key == ("id", "tenant")
    assert [c.name for c in t.columns] == ["tenant", "id", "c", "v", "n", "at", "r", "k", "o", "e", "g"]
    columns = {c.name: c for c in t.columns}
    assert columns["id"].identity == "a"
    assert columns["id"].not_null
    assert columns["v"] == Column("v", 4, 1043, 11, "character varying(7)", True, collation='pg_catalog."C"')
    assert (columns["c"].type, columns["c"].default) == ("public.code", "'dom'::character varying")
    assert (columns["n"].type, columns["n"].typmod) == ("numeric(10,2)", (10 << 16 | 2) + 4)
    assert columns["g"].generated == "s"
    assert columns["at"].attnum == 7, "dropped columns leave a gap"
    assert {name: c.default_volatility for name, c in columns.items() if c.default} == {
        "c": Volatility.IMMUTABLE,
        "n": Volatility.IMMUTABLE,
        "at": Volatility.STABLE,
        "r": Volatility.VOLATILE,
        "k": Volatility.VOLATILE,
        "o": Volatility.VOLATILE,
        "e": Volatility.IMMUTABLE,
        "g": Volatility.IMMUTABLE,
    }
    assert catalog.volatility["upper"] is Volatility.IMMUTABLE
    assert catalog.volatility["steady"] is Volatility.VOLATILE, "of several overloads the worst counts"
    assert catalog.function_columns["pairs"] == {"a", "b"}
    assert catalog.function_columns["listed"] == {"x", "y"}
    assert catalog.function_columns["rows_of_t"] >= {"tenant", "id", "g"}
    assert "<~>" in catalog.volatile_operators
    assert catalog.server_version // 10000 == database.server.version


async def test_the_fingerprint_changes_with_every_change_that_matters_and_with_no_other(database: Database) -> None:
    session = database.connect()
    session.execute(SCHEMA)
    session.execute("INSERT INTO public.t (tenant, v) SELECT g, '' FROM generate_series(1, 100) g")
    connection = await connect(database.url)
    try:
        seen = await catalog_fingerprint(connection)
        for harmless in (
            "ANALYZE public.t",
            "VACUUM public.t",
            "CREATE TEMPORARY TABLE x (a int)",
            "DELETE FROM public.t",
        ):
            session.execute(harmless)
            assert await catalog_fingerprint(connection) == seen, harmless
        for change in (
            "ALTER TABLE public.t ADD COLUMN extra int",
            "ALTER TABLE public.t RENAME COLUMN extra TO more",
            "ALTER TABLE public.t ALTER COLUMN more SET DEFAULT 1",
            "ALTER TABLE public.t ALTER COLUMN more SET DEFAULT 2",
            "ALTER TABLE public.t ALTER COLUMN more SET NOT NULL",
            "ALTER TABLE public.t ALTER COLUMN more TYPE bigint",
            "ALTER TABLE public.t DROP COLUMN more",
            "ALTER TABLE public.t RENAME TO u",
            'ALTER SCHEMA "Odd Schema" RENAME TO even',
            "ALTER FUNCTION public.tick() IMMUTABLE",
            "ALTER DOMAIN public.code SET DEFAULT 'x'",
            "DROP VIEW public.v",
        ):
            session.execute(change)
            now = await catalog_fingerprint(connection)
            assert now != seen, change
            seen = now
    finally:
        await connection.close()


async def test_after_a_change_the_catalog_is_what_a_new_reader_finds_and_the_rest_the_same_objects(
    database: Database,
) -> None:
    session = database.connect()
    session.execute(SCHEMA)
    session.execute("CREATE TABLE public.bystander (id int PRIMARY KEY, at timestamptz DEFAULT now())")
    bystander = TableName("public", "bystander")
    connection = await connect(database.url)
    loader = CatalogLoader()
    try:
        before = await loader.load(connection, await catalog_fingerprint(connection))
        for change, keeps in (
            ("ALTER TABLE public.t ADD COLUMN extra int", True),
            ("ALTER TABLE public.t RENAME COLUMN extra TO more", True),
            ("ALTER TABLE public.t ALTER COLUMN more SET DEFAULT public.tick() + 1", True),
            ("ALTER TABLE public.t ADD UNIQUE (more) DEFERRABLE", True),
            ("ALTER TABLE public.t DROP CONSTRAINT t_pkey", True),
            ("ALTER TABLE public.t ADD PRIMARY KEY (tenant, id)", True),
            ("ALTER FUNCTION public.tick() IMMUTABLE", True),
            ("CREATE FUNCTION public.more(t public.t) RETURNS int LANGUAGE sql AS 'SELECT 1'", True),
            ("CREATE OPERATOR public.<~~> (leftarg = int, rightarg = int, function = public.wild)", True),
            ("CREATE TABLE public.fresh AS SELECT 1 AS x; DROP VIEW public.v", True),
            ("ALTER TABLE public.fresh RENAME TO stale", True),
            ("ALTER TABLE public.stale ALTER x TYPE bigint", True),
            ("CREATE TABLE public.whole (k int, x text) PARTITION BY LIST (k)", True),
            ("CREATE TABLE public.part PARTITION OF public.whole FOR VALUES IN (1)", True),
            ("ALTER TABLE public.whole DETACH PARTITION public.part", True),
            ("ALTER DOMAIN public.code SET DEFAULT 'x'", False),
            ("ALTER TYPE public.mood RENAME TO temper", False),
            ("ALTER SCHEMA public RENAME TO people; CREATE SCHEMA public", False),
        ):
            session.execute(change)
            now = await loader.load(connection, await catalog_fingerprint(connection))
            assert now == await load_catalog(connection), change
            assert now != before, change
            if keeps:
                assert now.relations[bystander] is before.relations[bystander], change
            before = now
    finally:
        await connection.close()


async def test_a_failing_connection_is_one_line_with_the_address_and_without_the_password(database: Database) -> None:
    for url, reason in (
        ("postgresql://u:secret@127.0.0.1:1/nothing", "127.0.0.1:1/nothing"),
        (database.server.url("no_such_database").replace("postgres@", "postgres:secret@"), "no_such_database"),
        ("nonsense://", "nonsense"),
    ):
        with pytest.raises(DatabaseUnreachable) as caught:
            await connect(url, timeout=5)
        assert reason in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
