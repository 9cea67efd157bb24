"""Every case, in every phase, for both shapes: nothing may tell the managed table from an unmigrated one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest

from proxy.database import connect, load_catalog
from rules.catalog import Catalog
from rules.loader import load_file
from rules.migration import ManagedTable
from rules.phases import Phase, Shape
from rules.snapshot import Snapshot
from tests.conftest import ALL_SERVERS, Server
from tests.twin import CASES, Twin, expand, phases, read_cases

TABLES = ["users", "items", "orders", "people"]
COMBINATIONS = [(p, s) for p in phases() for s in Shape if p.expanded or s is Shape.OLD]


def _name(combination: tuple[Phase, Shape]) -> str:
    phase, shape = combination
    assert phase.policy is not None
    return (
        f"{phase.policy.writes.value}_{phase.policy.reads.value}{'' if phase.expanded else '_announced'}-{shape.value}"
    )


@pytest.fixture(scope="module")
def make_twin(server: Server) -> Iterator[Callable[[Phase, Shape], Twin]]:
    """Databases are made once per module and server, and dropped at its end; cases roll back what they do."""
    made: list[tuple[str, psycopg.Connection[object]]] = []
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:

        def open_database(name: str, script: str) -> psycopg.Connection[object]:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name}".encode())
            connection = psycopg.connect(server.url(name), autocommit=True)
            made.append((name, connection))
            connection.execute((CASES / script).read_text().encode())
            return connection

        def make(phase: Phase, shape: Shape) -> Twin:
            label = _name((phase, shape)).replace("-", "_")
            direct = open_database(f"twin_{label}", f"schema_{shape.value}.sql")
            managed = open_database(f"managed_{label}", "schema_old.sql")
            url = server.url(f"managed_{label}")
            catalog = _catalog(url)
            specs = [load_file(CASES / f"{t}.yaml") for t in ("users", "items")]
            if phase.expanded:
                for spec in specs:
                    relation = catalog.relations[spec.table]
                    expand(managed, ManagedTable(spec.compile(relation), phase, relation))
                catalog = _catalog(url)
            tables = {}
            for spec in specs:
                relation = catalog.relations[spec.table]
                tables[spec.table] = ManagedTable(spec.compile(relation), phase, relation)
            return Twin(direct, managed, Snapshot(1, catalog, tables), shape)

        yield make
        for name, connection in made:
            connection.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _catalog(url: str) -> Catalog:
    async def load() -> Catalog:
        connection = await connect(url)
        try:
            return await load_catalog(connection)
        finally:
            await connection.close()

    return asyncio.run(load())


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
@pytest.mark.parametrize("combination", COMBINATIONS, ids=_name)
def test_no_statement_can_tell_a_managed_table_from_its_twin(
    make_twin: Callable[[Phase, Shape], Twin], combination: tuple[Phase, Shape]
) -> None:
    twin = make_twin(*combination)
    policy = _name(combination).partition("-")[0]
    cases = [
        case
        for file in ("select.sql", "write.sql", "more.sql")
        for case in read_cases(file)
        if combination[1] in case.shapes and case.exception != policy
    ]
    different = [f"{case}: {case.sql}\n  {d}" for case in cases for d in twin.run(case, TABLES)]
    assert not different, f"{len(different)} differences in {len(cases)} cases\n" + "\n".join(different)
