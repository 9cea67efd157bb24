"""Partitioned tables: the ladder on a tree of every kind of partition, and what clients see of the tree meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from proxy.catalog import load_catalog
from proxy.control.registry import managed_tables, read_managed_table, read_state
from proxy.database import connect
from proxy.ladder.climb import abort, advance, rollback, start
from proxy.ladder.operator import Operator
from proxy.ladder.partitions import ensure_everywhere
from proxy.preflight import preflight
from rules.ddl.attributes import Kind, attributes
from rules.loader import load_text
from rules.migration import Client
from rules.phases import Phase, Reads, Shape, Writes
from rules.plan import Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Database, Server
from tests.system.ladder_case import Lines, operator_of, schema_dump
from tests.system.partitioned import EVENTS, MIGRATION, PARTITIONS, partitioned
from tests.twin import TABLES, Twin, case_files, open_twins, phases, read_cases

every_server = pytest.mark.parametrize("server", ["18", "16"], indirect=True)
SPEC = load_text(MIGRATION, "events.yaml")

# The ladder


@every_server
async def test_up_and_away_and_up_to_the_end(database: Database) -> None:
    session = database.connect()
    session.execute(EVENTS)
    lines = Lines()
    async with operator_of(database, say=lines) as operator:
        await start(operator, SPEC)
        session.execute("GRANT SELECT (full_name) ON public.events_low TO PUBLIC")
        await advance(operator, "events", "reading_new")
        assert_guarded(session)
        granted = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = %s AND attacl IS NOT NULL"
        assert session.execute(granted, ["_pgjanus_last_name"]).fetchall() == [("events_low",)]
        session.execute("ALTER TABLE public.events DROP CONSTRAINT events_tenant_id_email_key")
        await advance(operator, "events", "new_only")
        session.execute("CREATE TABLE public.events_late PARTITION OF public.events FOR VALUES FROM (100) TO (110)")
        assert_guarded(session)
        assert_indexed(session)
        snapshot = await read_snapshot(operator)
        for sql in NAMES:
            asked = plan(sql, snapshot, Client(Shape.NEW))
            assert isinstance(asked, Rewrite)
            names = session.execute(asked.sql.encode()).fetchall()
            assert len(names) == 3
            assert "_pgjanus" not in str(names)
        session.execute(NEW_WRITES)
        await abort(operator, "events")
        kept = session.execute("SELECT full_name FROM public.events WHERE id > 200 ORDER BY id").fetchall()
        assert kept == [("Only New",), ("Late",)]
        before = schema_dump(database)
        assert "_pgjanus" not in before
        await start(operator, SPEC)
        await advance(operator, "events", "new_only")
        await rollback(operator, "events", "expanded")
        await abort(operator, "events")
        assert schema_dump(database) == before
        await start(operator, SPEC)
        await advance(operator, "events", "contracted")
    after = schema_dump(database)
    assert "_pgjanus" not in after
    for index in ("events_first_name_idx", "events_by_email", "events_low_by_email", "evens_first_name_idx"):
        assert f"INDEX {index} ON" in after
    found = session.execute("SELECT count(*), count(first_name), count(mail) FROM public.events").fetchone()
    assert found == (202, 202, 200)
    assert "it stays a unique index" in lines.text


NAMES = [
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
    " AND conrelid IN ('events_low'::regclass, 'events_late'::regclass, 'events'::regclass)",
    "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON indexrelid = pg_class.oid"
    " WHERE indrelid IN ('events_low'::regclass, 'events_mid'::regclass, 'events_rest'::regclass)"
    " AND indkey[0] <> 0 AND NOT indisprimary AND NOT indisunique",
]


async def read_snapshot(operator: Operator) -> Snapshot:
    """As a proxy has it."""
    catalog = await load_catalog(operator.connection)
    return Snapshot(1, catalog, managed_tables(await read_state(operator.connection), catalog))


NEW_WRITES = """
INSERT INTO public.events (tenant, id, _pgjanus_first_name, _pgjanus_last_name, _pgjanus_state)
    VALUES (21, 201, 'Only', 'New', 6), (101, 202, 'Late', NULL, 7)"""


def assert_guarded(session: psycopg.Connection[Any]) -> None:
    """The same triggers on each partition, also on one made later, and none that a replica would pass by."""
    rows = session.execute(
        "SELECT t.relid::regclass::text, array_agg(g.tgname::text ORDER BY g.tgname), bool_and(g.tgenabled = 'A')"
        " FROM pg_partition_tree('public.events') t LEFT JOIN pg_trigger g ON g.tgrelid = t.relid AND NOT tgisinternal"
        " OR g.tgrelid = t.relid AND tgparentid <> 0 GROUP BY 1"
    ).fetchall()
    assert len({tuple(names) for _, names, _ in rows}) == 1
    assert all(always for _, _, always in rows), rows


def assert_indexed(session: psycopg.Connection[Any]) -> None:
    """Each of the ladder's indexes is valid and is there on each partition."""
    rows = session.execute(
        "SELECT c.relname, i.indisvalid, (SELECT count(*) FROM pg_partition_tree(c.oid)) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'public.events'::regclass AND c.relname ~ '^_pg'"
    ).fetchall()
    assert rows
    assert {(valid, count) for _, valid, count in rows} == {(True, len(PARTITIONS) + 2)}


async def test_an_index_is_finished_where_an_attempt_was_killed(database: Database) -> None:
    session = database.connect()
    session.execute(EVENTS)
    async with operator_of(database) as operator:
        await start(operator, SPEC)
        _, managed = await read_managed_table(operator.connection, "events")
        index = next(a for a in attributes(managed.migration) if a.kind is Kind.INDEX)
        await ensure_everywhere(operator, managed, index)
        children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
        name = f"public.{index.name}"
        first, *_ = session.execute(children, [name]).fetchall()[0]
        # Killed between two partitions: one has none yet, that of another is not attached and never became valid.
        session.execute(f"DROP INDEX {name}")
        session.execute(f'CREATE INDEX "{index.name}" ON ONLY public.events (_pgjanus_first_name)')
        table = "public.events_low"
        session.execute(f"CREATE INDEX {first.removeprefix('public.')} ON {table} (_pgjanus_first_name)")
        session.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [first])
        await ensure_everywhere(operator, managed, index)
        found = session.execute(
            "SELECT bool_and(i.indisvalid), count(*) FROM pg_partition_tree(%s) t JOIN pg_index i"
            " ON i.indexrelid = t.relid",
            [name],
        ).fetchone()
        assert found == (True, len(PARTITIONS) + 1)


# What clients see


POLICIES = [(Writes.OLD, Reads.OLD), (Writes.BOTH, Reads.COALESCE), (Writes.NEW, Reads.NEW)]
RUNS = [
    (p, s) for p in phases() if p.expanded and p.policy for s in Shape if (p.policy.writes, p.policy.reads) in POLICIES
]


@pytest.fixture(scope="module")
def make_twin(server: Server) -> Iterator[Callable[[Phase, Shape], Twin]]:
    with open_twins(server, partitioned, prefix="parts_") as make:
        yield make


@pytest.mark.parametrize(("phase", "shape"), RUNS)
def test_no_statement_can_tell_a_managed_tree_from_its_twin(
    make_twin: Callable[[Phase, Shape], Twin], phase: Phase, shape: Shape
) -> None:
    """Everything that is asked of plain tables is asked in the policy that rewrites most."""
    twin = make_twin(phase, shape)
    assert phase.policy is not None
    everything = phase.policy.reads is Reads.COALESCE and shape is Shape.OLD
    cases = [
        case
        for file in ["partitions/partitions.sql", *(case_files() if everything else [])]
        for case in read_cases(file)
        if shape in case.shapes and case.exception != f"{phase.policy.writes.value}_{phase.policy.reads.value}"
    ]
    different = [f"{case}: {case.sql}\n  {d}" for case in cases for d in twin.run(case, TABLES)]
    assert not different, f"{len(different)} differences in {len(cases)} cases\n" + "\n".join(different)


ALLOWED = [
    "CREATE TABLE late PARTITION OF events FOR VALUES FROM (100) TO (110)",
    "CREATE TABLE late PARTITION OF events (age DEFAULT 3, CHECK (age > 1)) FOR VALUES FROM (100) TO (110)",
    "CREATE TABLE late PARTITION OF events FOR VALUES FROM (100) TO (110) PARTITION BY HASH (id)",
    "CREATE TABLE third PARTITION OF events_high FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "DROP TABLE events_low",
    'DROP TABLE IF EXISTS events_mid, public."events high 0", evens',
    "DROP TABLE events_high CASCADE",
    "TRUNCATE events_mid, events_low",
    "VACUUM events_mid",
]
REFUSED = {
    "ALTER TABLE events ATTACH PARTITION plain FOR VALUES FROM (100) TO (110)": "CREATE TABLE … PARTITION OF",
    "ALTER TABLE events DETACH PARTITION events_low": "DROP TABLE takes",
    "ALTER TABLE events DETACH PARTITION events_low CONCURRENTLY": "DROP TABLE takes",
    "ALTER TABLE plain ATTACH PARTITION events_low DEFAULT": "ATTACH PARTITION cannot",
    "ALTER TABLE plain INHERIT events": "INHERIT cannot",
    "DROP TABLE events": "DROP cannot",
    "DROP TABLE events_low, events": "DROP cannot",
    "ALTER TABLE events_low RENAME TO events_lower": "RENAME cannot",
    "ALTER TABLE events_low SET SCHEMA pg_catalog": "SET SCHEMA cannot",
    "CREATE TABLE late PARTITION OF events (full_name DEFAULT 'x') FOR VALUES FROM (100) TO (110)": "CREATE TABLE",
    "CREATE TABLE late PARTITION OF events (CHECK (first_name > '')) FOR VALUES FROM (100) TO (110)": "CREATE TABLE",
    "CREATE TABLE late PARTITION OF events FOR VALUES FROM (1) TO (2) PARTITION BY LIST (email)": "CREATE TABLE",
    "CREATE TABLE late (LIKE events_low)": "takes its columns",
    "CREATE TABLE late () INHERITS (events_low)": "takes its columns",
    "CREATE FOREIGN TABLE late PARTITION OF events DEFAULT SERVER s": "CreateForeignTable",
    "CREATE VIEW v AS SELECT * FROM events_low": "CREATE VIEW",
    "CREATE INDEX ON events_low (full_name)": "CREATE INDEX",
    "CREATE TRIGGER t BEFORE INSERT ON events_low FOR EACH ROW EXECUTE FUNCTION f()": "CREATE TRIGGER",
    "SELECT NULL::events_low": "row type",
    "ALTER TABLE plain ADD FOREIGN KEY (id) REFERENCES events_low (full_name)": "this ALTER TABLE",
    "SELECT * FROM _pgjanus_x, events_low": "does not exist",
}


async def test_definitions_of_partitions(database: Database) -> None:
    """What passes is carried out, and the partition has what it needs; the rest says why not."""
    session = database.connect()
    session.execute(EVENTS + "CREATE TABLE public.plain (id int)")
    async with operator_of(database) as operator:
        await start(operator, SPEC)
        snapshot = await read_snapshot(operator)
    assert {t.name for t in snapshot.tables} == {"events", *PARTITIONS}
    for sql in ALLOWED:
        assert plan(sql, snapshot, Client()) == Untouched(), sql
    for sql, words in REFUSED.items():
        for shape in Shape:
            found = plan(sql, snapshot, Client(shape))
            assert isinstance(found, Refuse), sql
            assert words in f"{found.refusal} {found.refusal.hint}", sql
    for sql in ALLOWED[:3]:
        session.execute(f"BEGIN; {sql}".encode())
        hidden = session.execute(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'late'::regclass AND attname LIKE '\\_pgjanus%'"
        ).fetchone()
        assert hidden == (4,)
        session.execute("ROLLBACK")


# What cannot be migrated

KEYLESS = "CREATE TABLE {} (tenant int NOT NULL, id int, full_name text) PARTITION BY "
UNFIT = {
    "LIST (full_name)": ("", r"full_name is in the partition key of public\.t\d"),
    "LIST (lower(full_name))": ("", r"full_name is in the partition key of public\.t\d"),
    "LIST (tenant)": (
        "CREATE TABLE {0}a PARTITION OF {0} DEFAULT PARTITION BY LIST (full_name)",
        r"full_name is in the partition key of public\.t\da",
    ),
    "RANGE (tenant)": ("", "has no primary key"),
    "HASH (tenant)": (
        "CREATE TABLE {0}a PARTITION OF {0} (full_name NOT NULL) FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        r"full_name is NOT NULL in public\.t\da and not in",
    ),
}


async def test_what_is_wrong_with_a_tree_is_said_before_anything_is_touched(database: Database) -> None:
    session = database.connect()
    connection = await connect(database.url)

    async def refusals(table: str) -> str:
        definition = MIGRATION.replace("public.events", table).replace(
            "  - rename_column: {column: email, to: mail}\n", ""
        )
        report = await preflight(connection, load_text(definition, "events.yaml"))
        return "; ".join(map(str, report.refusals))

    try:
        for number, (key, (more, message)) in enumerate(UNFIT.items()):
            session.execute((KEYLESS.format(f"t{number}") + key + ";" + more.format(f"t{number}")).encode())
            assert_matches(message, await refusals(f"public.t{number}"))
        session.execute("CREATE TABLE old (id int PRIMARY KEY, full_name text); CREATE TABLE young () INHERITS (old)")
        session.execute("CREATE TABLE t6a PARTITION OF t3 DEFAULT")
        assert_matches(r"public\.young inherit from public\.old.*NO INHERIT", await refusals("public.old"))
        assert_matches(r"public\.young inherits from public\.old.*NO INHERIT", await refusals("public.young"))
        assert_matches(r"t6a is a partition of public\.t3: migrate that table", await refusals("public.t6a"))
    finally:
        await connection.close()


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), f"{pattern} not in {text}"
