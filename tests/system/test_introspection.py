"""What tools read of a managed table in the system catalogs is what an unmigrated table of the client's shape tells.

The statements in tests/cases/introspection are what the tools send. Where the new shape's twin has gaps in its column
numbers they are the ones that the managed table will have after `contracted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from rules.catalog import TableName
from rules.ddl.attributes import attributes
from rules.ddl.statements import old_columns
from rules.loader import load_file
from rules.migration import Client, ManagedTable
from rules.phases import HIDDEN_PREFIX, LADDERS, Phase, Reads, Shape, Strategy, Writes
from rules.plan import Rewrite, Untouched
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import ALL_SERVERS, Server
from tests.twin import (
    CASES,
    Answer,
    Case,
    Transcript,
    Twin,
    differences,
    expand,
    phases,
    policy_name,
    read_cases,
    read_catalog,
)

FOLDER = CASES / "introspection"
FILES = sorted(p.name for p in FOLDER.glob("*.sql") if p.name not in ("users.sql", "schema_new.sql"))
MIGRATION = load_file(FOLDER / "users.yaml")
#: Types of values that are not the same in two databases: name, oid, text; the last for what `current_database()` is.
NAMED = (19, 26, 25)
NOT_NULL = re.compile(rb"(users|orders)_\w+_not_null")
COMBINATIONS = [(p, s) for p in phases() for s in Shape if p.expanded or s is Shape.OLD]
RUNS = [
    pytest.param(server, combination, id=f"{policy_name(*combination)}-{server}")
    for server in ALL_SERVERS
    for combination in COMBINATIONS
    if server == ALL_SERVERS[0] or combination[0] == LADDERS[Strategy.DUAL_WRITE][3]
]


@dataclass
class Told:
    """A twin, what its databases' OIDs mean, and what the plain table has answered; that serves several twins."""

    twin: Twin
    expected: dict[Case, Transcript]
    names: tuple[dict[bytes, bytes], dict[bytes, bytes]]

    def run(self, case: Case) -> list[str]:
        direct_names, managed_names = self.names
        if case not in self.expected:
            self.expected[case] = with_names(self.twin.transcript(case, ["users"], rewrite=False), direct_names)
        managed = self.twin.transcript(case, ["users"], rewrite=True)
        hidden = [what for what, answer in managed if HIDDEN_PREFIX in f"{answer.columns}{answer.rows}"]
        found = differences(self.expected[case], with_names(managed, managed_names))
        return found + [f"{what} shows a reserved name" for what in hidden]


MakeTwin = Callable[[Phase, Shape], Told]


def make_managed(connection: psycopg.Connection[Any], url: str, phase: Phase) -> Snapshot:
    """The migration's table in that phase, as the ladder would have made it."""
    catalog = read_catalog(url)
    relation = catalog.relations[MIGRATION.table]
    relaxed: frozenset[str] = frozenset()
    if phase.expanded:
        migration = MIGRATION.compile(relation)
        if phase.policy and phase.policy.writes is Writes.NEW:
            old = {c.name for c in old_columns(migration)}
            relaxed = frozenset(c.name for c in relation.columns if c.name in old and c.not_null)
        expand(connection, ManagedTable(migration, phase, relation))
        if phase.policy and phase.policy.reads is Reads.NEW:
            for attribute in attributes(migration):
                for statement in (attribute.add, *([attribute.proof] if attribute.proof else []), *attribute.finish):
                    connection.execute(statement.sql.encode())
        connection.execute(
            'CREATE TRIGGER "~_pgjanus_guard_update" BEFORE UPDATE ON users FOR EACH ROW WHEN (false)'
            " EXECUTE FUNCTION touch()"
        )
        catalog = read_catalog(url)
        relation = catalog.relations[MIGRATION.table]
    managed = ManagedTable(MIGRATION.compile(relation), phase, relation, relaxed)
    return Snapshot(1, catalog, {relation.table: managed})


@pytest.fixture(scope="module")
def make_twin(server: Server) -> Iterator[MakeTwin]:
    made: list[tuple[str, psycopg.Connection[Any]]] = []
    directs: dict[tuple[Shape, bool], tuple[psycopg.Connection[Any], dict[Case, Transcript]]] = {}
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:

        def database(name: str, *scripts: str) -> psycopg.Connection[Any]:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name}".encode())
            connection = psycopg.connect(server.url(name), autocommit=True)
            made.append((name, connection))
            for script in scripts:
                connection.execute((FOLDER / script).read_bytes())
            return connection

        def plain(shape: Shape, is_final: bool) -> psycopg.Connection[Any]:
            scripts = ["users.sql", *(["schema_new.sql"] if shape is Shape.NEW else [])]
            direct = database(f"tell_{len(made)}", *scripts)
            if is_final:
                direct.execute("CREATE INDEX ON users (last_name)")
            return direct

        def make(phase: Phase, shape: Shape) -> Told:
            label = f"{policy_name(phase, shape)}_{len(made)}".replace("-", "_")
            is_final = shape is Shape.NEW and phase.policy is not None and phase.policy.reads is Reads.NEW
            if (shape, is_final) not in directs:
                directs[shape, is_final] = (plain(shape, is_final), {})
            direct, expected = directs[shape, is_final]
            managed = database(f"told_{label}", "users.sql")
            snapshot = make_managed(managed, server.url(f"told_{label}"), phase)
            twin = Twin(direct, managed, snapshot, shape)
            return Told(twin, expected, (object_names(direct), object_names(managed)))

        yield make
        for name, connection in made:
            connection.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def object_names(connection: psycopg.Connection[Any]) -> dict[bytes, bytes]:
    """OIDs of the database's own objects → names that are the same in its twin; the database's name → the same."""
    rows = connection.execute(
        "SELECT oid::text, relkind::text || ' ' || replace(relname, '_pgjanus_', '') FROM pg_class WHERE oid >= 16384"
        " UNION ALL SELECT oid::text, 'constraint ' || conname::text FROM pg_constraint WHERE oid >= 16384"
        " UNION ALL SELECT oid::text, 'type ' || typname::text FROM pg_type WHERE oid >= 16384"
    ).fetchall()
    return {oid.encode(): name.encode() for oid, name in rows} | {connection.info.dbname.encode(): b"this database"}


def with_names(transcript: Transcript, names: dict[bytes, bytes]) -> Transcript:
    """Values of type OID by the names of what they mean, because two databases number their objects apart.

    Without the rows of NOT NULL constraints: those of a new column are not there before `contracted` (ADR 0011).
    """

    def named(answer: Answer) -> Answer:
        types = [c[1] for c in answer.columns]
        rows = [
            tuple(names.get(v, v) if t in NAMED else v for t, v in zip(types, row, strict=True)) for row in answer.rows
        ]
        kept = tuple(row for row in rows if not any(isinstance(v, bytes) and NOT_NULL.fullmatch(v) for v in row))
        status = answer.status if len(kept) == len(rows) else f"SELECT {len(kept)}"
        return replace(answer, rows=kept, status=status)

    return [(what, named(answer)) for what, answer in transcript]


@pytest.mark.parametrize(("server", "combination"), RUNS, indirect=["server"])
def test_the_catalogs_tell_the_clients_shape(make_twin: MakeTwin, combination: tuple[Phase, Shape]) -> None:
    told = make_twin(*combination)
    policy = policy_name(*combination).partition("-")[0]
    cases = [
        case
        for file in FILES
        for case in read_cases(f"introspection/{file}")
        if combination[1] in case.shapes and case.exception != policy
    ]
    different = [f"{case}: {case.sql}\n  {d}" for case in cases for d in told.run(case)]
    assert not different, f"{len(different)} differences in {len(cases)} cases\n" + "\n".join(different)


ON_NEWEST = pytest.mark.parametrize("server", ALL_SERVERS[:1], indirect=True)
ON_THE_PATH = (
    "SELECT column_name FROM columns WHERE table_name = 'users' ORDER BY ordinal_position",
    "SELECT \"columns\".* FROM COLUMNS WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
    "SELECT c.column_name FROM ONLY columns c NATURAL JOIN tables t WHERE table_name = 'users' ORDER BY 1",
    "SELECT * FROM (TABLE key_column_usage) AS k WHERE table_schema = 'public' ORDER BY constraint_name",
    "SELECT u.id, (SELECT count(*) FROM columns WHERE table_name = 'users') FROM public.users u ORDER BY 1",
    "WITH columns AS (SELECT 1 AS column_name) SELECT column_name FROM columns",
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 0 ORDER BY attnum",
)


@pytest.mark.parametrize("path", [("information_schema",), ("public", "information_schema", "pg_catalog")])
@ON_NEWEST
def test_a_bare_name_means_what_search_path_makes_of_it(make_twin: MakeTwin, path: tuple[str, ...]) -> None:
    told = make_twin(LADDERS[Strategy.DUAL_WRITE][1], Shape.NEW)
    twin = told.twin
    twin.client = Client(Shape.NEW, search_path=path)
    for connection in (twin.direct, twin.managed):
        connection.execute(f"SET search_path = {', '.join(path)}".encode())
    cases = [Case(f"search_path {path}", i, sql, (Shape.NEW,), ()) for i, sql in enumerate(ON_THE_PATH)]
    try:
        assert [d for case in cases for d in told.run(case)] == []
    finally:
        twin.direct.execute("RESET search_path")  # it serves others


@ON_NEWEST
def test_a_users_relation_that_comes_first_is_no_catalog(make_twin: MakeTwin) -> None:
    snapshot = make_twin(LADDERS[Strategy.DUAL_WRITE][1], Shape.NEW).twin.snapshot
    orders = snapshot.catalog.relations[TableName("public", "orders")]
    mine = {TableName("public", name): orders for name in ("columns", "pg_class")}
    catalog = replace(snapshot.catalog, relations={**snapshot.catalog.relations, **mine})
    snapshot = replace(snapshot, catalog=catalog)
    client = Client(Shape.NEW, search_path=("public", "information_schema", "pg_catalog"))
    for name in ("columns", "pg_class"):
        assert isinstance(plan(f"SELECT * FROM {name}", snapshot, client), Untouched)
    standard = replace(client, search_path=("information_schema", "public"))
    assert isinstance(plan("SELECT * FROM columns", snapshot, standard), Rewrite)
    assert isinstance(plan("SELECT * FROM pg_class", snapshot, standard), Rewrite)
