"""ON CONFLICT on managed columns, in every policy, with the unique indexes that a phase has for a shape's reads."""

from __future__ import annotations

import pytest

from rules.phases import LADDERS, Phase, Shape, Strategy
from rules.reads import find_column, read_column
from tests.conftest import ALL_SERVERS, Database
from tests.system.managed_table import Managed
from tests.twin import phases, policy_name

MAIL = """
migration: mail
table: public.accounts
operations:
  - change_columns:
      old: {email: "substr(mail, 6)"}
      new: {mail: {type: "varchar(40)", up: "'mail:' || email"}}
"""
COLUMNS = {
    Shape.OLD: "id serial PRIMARY KEY, tenant int NOT NULL, email varchar(30), active bool DEFAULT true",
    Shape.NEW: "id serial PRIMARY KEY, tenant int NOT NULL, active bool DEFAULT true, mail varchar(40)",
}
ROWS = (
    "INSERT INTO {table} (tenant, {email}, active)"
    " SELECT g % 3, {prefix}'u' || g || '@x', g % 2 = 0 FROM generate_series(1, 12) g"
)
#: The column, and what stands in front of a value of it.
NAMES = {Shape.OLD: ("email", ""), Shape.NEW: ("mail", "'mail:' || ")}
UNIQUE = [  # (keys, predicate, is a constraint)
    ("{email}", "", True),
    ("tenant, {email}", "", True),
    ("lower({email})", "", False),
    ("{email}, tenant", "{email} <> 'x' AND active", False),
]
INSERTS = [
    "({email}) DO UPDATE SET tenant = excluded.tenant + 10, {email} = excluded.{email} || 'y'",
    "({email}) DO NOTHING",
    "(tenant, {email}) DO UPDATE SET active = NULL WHERE {table}.{email} LIKE '%u1@x' RETURNING *",
    "({email}, tenant) DO NOTHING RETURNING {email}",
    "(lower({email})) DO UPDATE SET {email} = {table}.{email} || 'z'",
    "({email}, tenant) WHERE {email} <> 'x' AND active DO NOTHING",
    '({email} COLLATE "default") DO UPDATE SET {email} = DEFAULT',
    "((upper({email}))) DO NOTHING",
    "({table}.{email}) DO NOTHING",
    "(active) DO NOTHING",
    "(nosuch) DO NOTHING",
    "ON CONSTRAINT {table}_{email}_key DO UPDATE SET tenant = 99 RETURNING tenant, {email}",
    "ON CONSTRAINT {table}_tenant_{email}_key DO NOTHING",
    "ON CONSTRAINT {table}_pkey DO NOTHING",
    "ON CONSTRAINT nosuch DO NOTHING",
    "DO NOTHING",
]
VALUES = [
    "INSERT INTO {table} (id, tenant, {email})"
    " VALUES (90, 1, {prefix}'u1@x'), (91, 2, {prefix}'u2@x'), (92, 5, {prefix}'n')",
    "INSERT INTO {table} (id, tenant, {email})"
    " SELECT id + 100, tenant, {email} || repeat('w', id % 2) FROM {table} WHERE id < 4",
]


def setup(table: str, shape: Shape) -> str:
    name, prefix = NAMES[shape]
    return f"CREATE TABLE {table} ({COLUMNS[shape]}); " + ROWS.format(table=table, email=name, prefix=prefix)


def make_indexes(table: Managed, shape: Shape) -> None:
    """The twin's own; for the managed table over what the shape reads. An old constraint stays while it may."""
    name = NAMES[shape][0]
    managed = next(iter(table.snapshot.tables.values()))
    found = find_column(managed, shape, name)
    assert found is not None
    read = read_column(managed, *found, shape, "")
    stale = f"_pgjanus_state {'>= 6' if shape is Shape.OLD else '< 4'}"
    own = found[1].physical
    statements = [f"UPDATE accounts SET {own} = 'stale' || id WHERE {stale}"]
    for keys, predicate, is_constraint in UNIQUE:
        for target, column in (("twin", name), ("accounts", read)):
            where = f" WHERE {predicate.format(email=column)}" if predicate else ""
            if is_constraint and (target == "twin" or read == name):
                statements.append(f"ALTER TABLE {target} ADD UNIQUE ({keys.format(email=column)})")
            else:
                statements.append(f"CREATE UNIQUE INDEX ON {target} ({keys.format(email=column)}){where}")
    if shape is Shape.OLD and read != name:
        statements += ["ALTER TABLE accounts ADD UNIQUE (email)", "ALTER TABLE accounts ADD UNIQUE (tenant, email)"]
    for statement in statements:
        table.connection.execute(statement.encode())


#: Every policy on the newest server, two on the others.
RUNS = [
    pytest.param(server, phase, shape, id=f"{policy_name(phase, shape)}-{server}")
    for server in ALL_SERVERS
    for phase in phases()
    for shape in Shape
    if phase.expanded and (server == ALL_SERVERS[0] or phase in LADDERS[Strategy.DUAL_WRITE][2:4])
]


@pytest.mark.parametrize(("server", "phase", "shape"), RUNS, indirect=["server"])
def test_the_arbiter_is_the_unique_index_on_what_the_client_reads(
    database: Database, phase: Phase, shape: Shape
) -> None:
    strategy = next(s for s, ladder in LADDERS.items() if phase in ladder)
    table = Managed(database, setup("accounts", Shape.OLD), MAIL, phase.name, strategy)
    table.connection.execute(setup("twin", shape).encode())
    make_indexes(table, shape)
    table.reload()
    name, prefix = NAMES[shape]
    for values in VALUES:
        for conflict in INSERTS:
            if shape is Shape.NEW and "{email}_key" in conflict:
                continue  # the new columns have no constraints yet, only indexes
            on_twin, on_managed = (
                table.answer(f"{values} ON CONFLICT {conflict}".format(table=t, email=name, prefix=prefix), t, shape)
                for t in ("twin", "accounts")
            )
            assert on_managed == on_twin, f"{values} ON CONFLICT {conflict}"
