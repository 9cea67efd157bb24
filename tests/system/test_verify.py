"""Comparison of the two formats against real servers: planted divergences, repair, types of every kind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from proxy.backfill.runner import run
from proxy.verify.runner import VerifyResult, verify
from rules.errors import PgjanusError
from tests.conftest import ALL_SERVERS, Database
from tests.system.expanded import SPLIT, USERS, change_type, expand

every_server = pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)


def check(database: Database, name: str = "split_name", **options: Any) -> VerifyResult:
    return asyncio.run(verify(database.url, name, **options))


def filled(database: Database, phase: str = "writing_both", rows: int = 12_000) -> Any:
    db = database.connect()
    db.execute(USERS)
    db.execute("INSERT INTO users (id, full_name) SELECT i, 'F' || i || ' L' FROM generate_series(1, %s) i", (rows,))
    expand(database, SPLIT, "writing_both")
    asyncio.run(run(database.url, "split_name"))
    db.execute("UPDATE pgjanus.migrations SET phase = %s", (phase,))
    return db


@every_server
def test_planted_divergences_are_found_and_kept(database: Database) -> None:
    db = filled(database)
    assert check(database).clean
    db.execute("UPDATE users SET full_name = 'Psql Was Here' WHERE id IN (7, 6001, 11999)")
    db.execute("UPDATE users SET _pgjanus_last_name = NULL WHERE id = 8000")

    result = check(database)

    assert (result.rows, result.divergent, result.forbidden) == (12_000, 4, 0)
    assert result.keys == ("id=7", "id=6001", "id=8000", "id=11999")
    assert result.findings[0].old == {"full_name": "Psql Was Here"}
    assert result.findings[0].new == {"first_name": "F7", "last_name": "L"}
    assert result.findings[0].reason.startswith("full_name ↔ ")
    kept = db.execute("SELECT key->>'id' FROM pgjanus.divergences ORDER BY 1").fetchall()
    assert kept == [("11999",), ("6001",), ("7",), ("8000",)]


@pytest.mark.parametrize(
    ("phase", "full_name", "first_name"),
    [("writing_both", "Psql Was Here", "Psql"), ("reading_new", "F7 L", "F7")],
)
def test_repair_believes_the_format_that_clients_read(
    database: Database, phase: str, full_name: str, first_name: str
) -> None:
    db = filled(database, phase, rows=100)
    db.execute("UPDATE users SET full_name = 'Psql Was Here' WHERE id = 7")
    before = db.execute("SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u WHERE id <> 7").fetchone()

    result = check(database, repair=True)

    assert (result.clean, result.repaired) == (True, 1)
    row = db.execute("SELECT full_name, _pgjanus_first_name FROM users WHERE id = 7").fetchone()
    assert row == (full_name, first_name)
    assert before == db.execute("SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u WHERE id <> 7").fetchone()
    assert db.execute("SELECT count(*) FROM pgjanus.divergences").fetchone() == (0,)


def test_rows_in_a_single_format_are_not_compared(database: Database) -> None:
    db = filled(database, rows=10)
    db.execute("UPDATE users SET full_name = 'only old', _pgjanus_state = 2 WHERE id = 3")
    assert check(database).clean


def test_a_row_state_that_the_gate_forbids_is_reported(database: Database) -> None:
    db = filled(database, "reading_new", rows=10)
    db.execute("UPDATE users SET _pgjanus_state = 2 WHERE id = 3")
    result = check(database)
    assert (result.divergent, result.forbidden, result.keys) == (0, 1, ("id=3",))
    assert result.findings[0].reason == "row state old, which phase reading_new forbids"


def test_rows_that_cannot_be_converted_are_findings_and_do_not_stop_the_rest(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 3000) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    asyncio.run(run(database.url, "retype_v"))
    db.execute("UPDATE t SET v = 'n/a' WHERE id IN (1, 1500, 3000)")
    db.execute("UPDATE t SET v = '9' WHERE id = 2000")

    result = check(database, "retype_v", repair=True)

    assert (result.rows, result.divergent, result.repaired) == (3000, 3, 1)
    assert result.keys == ("id=1", "id=1500", "id=3000")
    assert 'invalid input syntax for type integer: "n/a"' in result.findings[0].reason
    assert db.execute("SELECT _pgjanus_v FROM t WHERE id = 2000").fetchone() == (9,)


TYPES = {
    "json": ("json", "text", "v::text", "v::json", """'{"a": 1}'""", "'{}'"),
    "xml-like point": ("point", "text", "v::text", "v::point", "'(1,2)'", "'(3,4)'"),
    "box, whose = compares areas": ("box", "text", "v::text", "v::box", "'(1,1),(0,0)'", "'(3,3),(2,2)'"),
    "json array": ("json[]", "text", "v::text", "v::json[]", "ARRAY['1']::json[]", "ARRAY['2']::json[]"),
    "collations that differ": ('text COLLATE "C"', "varchar(20)", "upper(v)", "lower(v)", "'a'", "'b'"),
    "numeric of another scale": ("numeric", "text", "v::text", "v::numeric", "1.50", "2"),
    "null": ("int", "text", "v::text", "v::int", "NULL", "2"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_every_kind_can_be_compared(database: Database, kind: str) -> None:
    old, new, up, down, value, other = TYPES[kind]
    db = database.connect()
    db.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {old})")
    db.execute(f"INSERT INTO t VALUES (1, {value}), (2, {value})")
    expand(database, change_type("public.t", "v", new, up, down))
    asyncio.run(run(database.url, "retype_v"))
    assert check(database, "retype_v").clean
    db.execute(f"UPDATE t SET v = {other} WHERE id = 2")
    assert check(database, "retype_v").keys == ("id=2",)


def test_a_table_without_a_key(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (v text)")
    db.execute("INSERT INTO t SELECT i::text FROM generate_series(1, 9000) i")
    expand(database, change_type("public.t", "v", "integer", "v::int", "v::text"))
    asyncio.run(run(database.url, "retype_v"))
    db.execute("UPDATE t SET v = '0' WHERE v IN ('5', '8999')")
    result = check(database, "retype_v", repair=True)
    assert (result.clean, result.repaired) == (True, 2)


def test_a_column_that_only_one_side_has_is_not_compared(database: Database) -> None:
    db = database.connect()
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.execute("INSERT INTO t VALUES (1, 'a')")
    operation = {"add_column": {"column": "w", "type": "text", "up": "upper(v)"}}
    expand(database, {"migration": "add_w", "table": "public.t", "operations": [operation]})
    asyncio.run(run(database.url, "add_w"))
    assert db.execute("SELECT _pgjanus_w FROM t").fetchone() == ("A",)
    db.execute("UPDATE t SET _pgjanus_w = 'what a new application wrote'")
    assert check(database, "add_w").clean


def test_before_the_columns_are_there_it_says_so(database: Database) -> None:
    filled(database, "announced", rows=1)
    with pytest.raises(PgjanusError, match="nothing to compare"):
        check(database)


def test_the_command_line(database: Database) -> None:
    db = filled(database, rows=10)
    command = [sys.executable, "-m", "proxy", "verify", "split_name", "--database-url", database.url]
    clean = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.startswith("split_name: 10 rows, 0 divergent (")

    db.execute("UPDATE users SET full_name = 'x' WHERE id = 3")
    dirty = subprocess.run(command, capture_output=True, text=True, check=False)
    assert dirty.returncode == 1
    assert "  id=3: full_name ↔ " in dirty.stdout
    assert "old full_name='x'; new " in dirty.stdout

    repaired = subprocess.run([*command, "--repair", "--json"], capture_output=True, text=True, check=False)
    assert repaired.returncode == 0
    assert json.loads(repaired.stdout)["repaired"] == 1
