"""What tools read of a managed table in the system catalogs is what an unmigrated table of the client's shape tells.

The statements in tests/cases/introspection are what the tools send. Where the new shape's twin has gaps in its column
numbers they are the ones that the managed table will have after `contracted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from rules.attributes import attributes
from rules.ddl import old_columns
from rules.loader import load_file
from rules.migration import ManagedTable
from rules.phases import LADDERS, Phase, Reads, Shape, Strategy, Writes
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
OID, OID_ARRAY = 26, 1028
COMBINATIONS = [(p, s) for p in phases() for s in Shape if p.expanded or s is Shape.OLD]
RUNS = [
    pytest.param(server, combination, id=f"{policy_name(*combination)}-{server}")
    for server in ALL_SERVERS
    for combination in COMBINATIONS
    if server == ALL_SERVERS[0] or combination[0] == LADDERS[Strategy.DUAL_WRITE][3]
]

MakeTwin = Callable[[Phase, Shape], Twin]


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
                connection.execute(attribute.add.sql.encode())
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
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:

        def database(name: str, *scripts: str) -> psycopg.Connection[Any]:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name}".encode())
            connection = psycopg.connect(server.url(name), autocommit=True)
            made.append((name, connection))
            for script in scripts:
                connection.execute((FOLDER / script).read_bytes())
            return connection

        def make(phase: Phase, shape: Shape) -> Twin:
            label = policy_name(phase, shape).replace("-", "_")
            scripts = ["users.sql", *(["schema_new.sql"] if shape is Shape.NEW else [])]
            direct, managed = database(f"tell_{label}", *scripts), database(f"told_{label}", "users.sql")
            snapshot = make_managed(managed, server.url(f"told_{label}"), phase)
            if shape is Shape.NEW and phase.policy and phase.policy.reads is Reads.NEW:
                direct.execute("CREATE INDEX ON users (last_name)")
            return Twin(direct, managed, snapshot, shape)

        yield make
        for name, connection in made:
            connection.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def object_names(connection: psycopg.Connection[Any]) -> dict[bytes, bytes]:
    """OIDs of the database's own objects → names that are the same in its twin."""
    rows = connection.execute(
        "SELECT oid::text, relkind::text || ' ' || replace(relname, '_pgjanus_', '') FROM pg_class WHERE oid >= 16384"
        " UNION ALL SELECT oid::text, 'constraint ' || conname::text FROM pg_constraint WHERE oid >= 16384"
    ).fetchall()
    return {oid.encode(): name.encode() for oid, name in rows}


def with_names(transcript: Transcript, names: dict[bytes, bytes]) -> Transcript:
    """Values of type OID by the names of what they mean, because two databases number their objects apart."""

    def named(answer: Answer) -> Answer:
        types = [c[1] for c in answer.columns]
        rows = [
            tuple(names.get(v, v) if t == OID else v for t, v in zip(types, row, strict=True)) for row in answer.rows
        ]
        return replace(answer, rows=tuple(rows))

    return [(what, named(answer)) for what, answer in transcript]


def run(twin: Twin, case: Case) -> list[str]:
    direct, managed = (twin.transcript(case, ["users"], rewrite=r) for r in (False, True))
    return differences(with_names(direct, object_names(twin.direct)), with_names(managed, object_names(twin.managed)))


@pytest.mark.parametrize(("server", "combination"), RUNS, indirect=["server"])
def test_the_catalogs_tell_the_clients_shape(make_twin: MakeTwin, combination: tuple[Phase, Shape]) -> None:
    twin = make_twin(*combination)
    policy = policy_name(*combination).partition("-")[0]
    cases = [
        case
        for file in FILES
        for case in read_cases(f"introspection/{file}")
        if combination[1] in case.shapes and case.exception != policy
    ]
    different = [f"{case}: {case.sql}\n  {d}" for case in cases for d in run(twin, case)]
    assert not different, f"{len(different)} differences in {len(cases)} cases\n" + "\n".join(different)
