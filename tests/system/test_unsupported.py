"""`on_unsupported: observe`, against unmigrated twins: what it would forward does what it did before the migration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from pglast.parser import ParseError

from rules.changes import quote_table
from rules.migration import Client, ManagedTable, OnUnsupported
from rules.phases import NEW_IS_VALID_FROM, STATE_COLUMN, Shape, Strategy, phase_named
from rules.plan import Plan, Untouched
from rules.planner import plan
from rules.reads import converted
from rules.snapshot import Snapshot
from rules.text.source import SourceText
from rules.unsupported import forbidden
from tests.conftest import ALL_SERVERS, Server
from tests.twin import TABLES, Case, Twin, case_files, open_twins, read_cases

#: Forwarded in `expanded`, whether or not the planner knows how to rewrite them.
ODD = """
SELECT full_name FROM users, pg_stat_activity WHERE pid = pg_backend_pid()
SELECT users.full_name, max(o.total) FROM users JOIN orders o USING (id) GROUP BY users.id
SELECT id FROM users x WHERE EXISTS (SELECT 1 FROM orders x WHERE note = full_name)
SELECT full_name FROM users TABLESAMPLE SYSTEM (100) FOR UPDATE
SELECT u.ctid IS NOT NULL, u.tableoid::regclass, full_name FROM ONLY users u
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND u.full_name LIKE 'A%' THEN DELETE
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET age = o.id
MERGE INTO users u USING orders o ON o.id + 8 = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (99, 'M')
INSERT INTO users (id, full_name) SELECT id + 200, note FROM orders ON CONFLICT DO NOTHING RETURNING full_name
INSERT INTO users (id, age) VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET age = excluded.age RETURNING full_name
WITH gone AS (DELETE FROM users WHERE full_name IS NULL RETURNING id, age) SELECT sum(age), count(*) FROM gone
UPDATE orders SET note = u.full_name FROM users u WHERE u.id = user_id RETURNING note
UPDATE items SET qty = qty + 1 WHERE price_cents > 5
SELECT string_agg(full_name, ',' ORDER BY id) FILTER (WHERE age > 40) OVER (PARTITION BY age) FROM users
"""


@pytest.fixture
def twin(server: Server) -> Iterator[Twin]:
    """In `expanded`, everything that may be forwarded is, and the rest is planned as always."""
    with open_twins(server) as make:
        made = make(phase_named(Strategy.DUAL_WRITE, "expanded"), Shape.OLD)
        tables = {
            name: replace(table, migration=replace(table.migration, on_unsupported=OnUnsupported.OBSERVE))
            for name, table in made.snapshot.tables.items()
        }
        snapshot = Snapshot(1, made.snapshot.catalog, tables)

        def forward(sql: str, snapshot: Snapshot, client: Client) -> Plan:
            return Untouched() if is_forwarded(sql, snapshot) else plan(sql, snapshot, client)

        yield Twin(made.direct, made.managed, snapshot, Shape.OLD, forward)


def is_forwarded(sql: str, snapshot: Snapshot) -> bool:
    try:
        return forbidden(SourceText(sql).statements, snapshot, Client(Shape.OLD)) is None
    except ParseError:
        return False


def stale_rows(twin: Twin, table: ManagedTable) -> int:
    """Rows whose state says that the new format is valid although it is not what the old one converts to."""
    differ = " OR ".join(
        f"{c.physical} IS DISTINCT FROM {converted(change, c, Shape.NEW, '')}"
        for change in table.migration.changes
        for c in change.new
    )
    found = twin.managed.execute(
        f"SELECT count(*) FROM {quote_table(table.relation.table)}"
        f" WHERE {STATE_COLUMN} >= {NEW_IS_VALID_FROM} AND ({differ})".encode()
    ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_what_may_be_forwarded_is_not_to_be_told_from_an_unmigrated_table(twin: Twin) -> None:
    cases = [Case("odd", i, sql, (Shape.OLD,), ()) for i, sql in enumerate(ODD.strip().splitlines())]
    assert all(is_forwarded(case.sql, twin.snapshot) for case in cases)
    cases += [
        case
        for file in (*case_files(), "refused.sql")
        for case in read_cases(file)
        if Shape.OLD in case.shapes
        and is_forwarded(case.sql, twin.snapshot)
        and not re.search(r"\bcopy\b", case.sql, re.IGNORECASE)
    ]
    assert len(cases) > 100
    before = {name: stale_rows(twin, table) for name, table in twin.snapshot.tables.items()}
    wrong = []
    for case in cases:
        wrong += [f"{case}: {case.sql}\n  {difference}" for difference in twin.run(case, TABLES)]
    for case in cases:  # afterwards, because sequences move on
        with twin.managed.transaction(force_rollback=True):
            try:
                with twin.managed.transaction():
                    psycopg.RawCursor(twin.managed).execute(case.sql.encode(), case.parameters or None)
            except psycopg.Error:
                continue
            stale = {name: stale_rows(twin, table) for name, table in twin.snapshot.tables.items()}
            if stale != before:
                wrong.append(f"{case}: {case.sql}\n  leaves rows whose new format is stale")
    assert not wrong, "\n".join(wrong)
