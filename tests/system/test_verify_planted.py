"""Divergences that `=` does not see, one row of each kind, in tables of every kind: all found, all mended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from proxy.backfill.runner import run
from proxy.verify.runner import VerifyResult, verify
from tests.conftest import ALL_SERVERS, Database, Server, fresh_database
from tests.system.expanded import expand

ROWS = 1200

#: Column: (its type, its type when it is new, up, down, what is in all rows, (old, new) of the row that diverges).
Kind = tuple[str, str, str, str, str, tuple[str, str]]
KINDS: dict[str, Kind] = {
    "nothing": ("text", "text", "nothing", "nothing", "'x'", ("NULL", "''")),
    "empty": ("text", "text", "empty", "empty", "'x'", ("''", "NULL")),
    "letters": ("text", "text", "letters", "letters", "'Straße'", ("'Ada'", "'ada'")),
    "blank": ("text", "text", "blank", "blank", "'x'", ("'a'", "'a '")),
    "padded": ("bpchar", "bpchar", "padded", "padded", "'x  '::bpchar", ("'a'", "'a '")),
    "zero": ("float8", "float8", "zero", "zero", "0.1", ("'-0'", "'0'")),
    "no_number": ("float8", "float8", "no_number", "no_number", "'NaN'", ("'NaN'", "NULL")),
    "infinite": ("float4", "float8", "infinite::float8", "infinite::float4", "1.1", ("1.1", "1.1000001")),
    "scale": ("numeric", "numeric", "scale", "scale", "1.50", ("1.0", "1.00")),
    "zone": (
        "timestamptz",
        "timestamp",
        "zone AT TIME ZONE 'UTC'",
        "zone AT TIME ZONE 'UTC'",
        "'2024-03-31 01:30+00'",
        ("'2024-03-31 01:30+00'", "'2024-03-31 03:30'"),
    ),
    "month": ("interval", "interval", "month", "month", "'1 mon -3 days'", ("'1 mon'", "'30 days'")),
    "document": ("json", "json", "document", "document", """'{"a": 1}'""", ("""'{"a":1}'""", """'{"a": 1}'""")),
    "tree": ("jsonb", "json", "tree::json", "tree::jsonb", """'{"a": 1.0}'""", ("""'{"a": 1.0}'""", """'{"a": 1}'""")),
    "area": ("box", "box", "area", "area", "'(1,1),(0,0)'", ("'(1,1),(0,0)'", "'(2,0.5),(0,0)'")),
    "list": ("numeric[]", "numeric[]", "list", "list", "ARRAY[1.0, NULL]", ("ARRAY[1.0]", "ARRAY[1.00]")),
}
#: Where the server has them: the embedded ones have neither extensions nor ICU.
CITEXT: dict[str, Kind] = {"word": ("public.citext", "public.citext", "word", "word", "'Word'", ("'Ada'", "'ada'"))}
ALIKE: dict[str, Kind] = {"alike": ("text COLLATE alike", "text", "alike", "alike", "'Word'", ("'Ada'", "'ada'"))}

#: Table: its own columns, and what makes a row of `i`.
TABLES = {
    "one": ("id int PRIMARY KEY", "i"),
    "none": ("id int", "i"),
    "several": ("id int, tenant text, PRIMARY KEY (tenant, id)", "i, 't' || i % 3"),
    "uuids": ("u uuid PRIMARY KEY, id int", "md5(i::text)::uuid, i"),
    "words": ('w text COLLATE "{collation}" PRIMARY KEY, id int', "chr(196 + i % 40) || i, i"),
    "parts": ("id int, region text, PRIMARY KEY (id, region)", "i, (ARRAY['eu', 'us', 'asia'])[i % 3 + 1]"),
}


@pytest.fixture(scope="module")
def tables(request: pytest.FixtureRequest, _servers: Any) -> Iterator[tuple[Database, dict[str, Kind]]]:
    """All tables, filled, backfilled, in `writing_both`."""
    server: Server = _servers(request.param)
    with fresh_database(server) as database:
        db = database.connect()
        yield database, {**KINDS, **_what_there_is(db)}


def _what_there_is(db: psycopg.Connection[Any]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    if db.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'").fetchone() is not None:
        db.execute("CREATE EXTENSION citext")
        found |= CITEXT
    if db.execute("SELECT FROM pg_collation WHERE collname = 'und-x-icu'").fetchone() is not None:
        db.execute("CREATE COLLATION alike (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        found |= ALIKE
    return found


def _make(database: Database, db: psycopg.Connection[Any], table: str, kinds: dict[str, Kind]) -> None:
    wanted = ["en-x-icu", "en_US.utf8", "C.utf8"]
    collation = db.execute(
        "SELECT collname FROM pg_collation WHERE collname = ANY (%s)"
        " ORDER BY array_position(%s, collname::text) LIMIT 1",
        (wanted, wanted),
    ).fetchone()
    assert collation is not None
    own, values = TABLES[table]
    columns = ", ".join(f"{name} {kind[0]}" for name, kind in kinds.items())
    partitioned = " PARTITION BY LIST (region)" if table == "parts" else ""
    db.execute(f"CREATE TABLE {table} ({own.format(collation=collation[0])}, {columns}){partitioned}".encode())
    if partitioned:
        db.execute("CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')")
        db.execute("CREATE TABLE parts_rest PARTITION OF parts DEFAULT")
    filled = ", ".join(kind[4] for kind in kinds.values())
    db.execute(f"INSERT INTO {table} SELECT {values}, {filled} FROM generate_series(1, {ROWS}) i".encode())
    operations = [
        {"change_type": {"column": name, "type": new, "up": up, "down": down}}
        for name, (_, new, up, down, *_) in kinds.items()
    ]
    expand(database, {"migration": f"m_{table}", "table": f"public.{table}", "operations": operations})


#: A system's own server is here for its ICU and its extensions.
CASES = [(server, table) for server in ALL_SERVERS for table in TABLES if server in ("18", "16") or table == "words"]


@pytest.mark.parametrize(("tables", "table"), CASES, indirect=["tables"])
def test_each_planted_divergence_is_found_and_mended(tables: tuple[Database, dict[str, Kind]], table: str) -> None:
    database, kinds = tables
    db = database.connect()
    _make(database, db, table, kinds)
    asyncio.run(run(database.url, f"m_{table}"))

    def check(**options: Any) -> VerifyResult:
        return asyncio.run(verify(database.url, f"m_{table}", **options))

    assert (check().rows, check().clean) == (ROWS, True)

    planted = {name: 7 + 71 * at for at, name in enumerate(kinds)}
    for name, row in planted.items():
        old, new = kinds[name][5]
        db.execute(f"UPDATE {table} SET {name} = {old}, _pgjanus_{name} = {new} WHERE id = {row}".encode())
    result = check()
    assert sorted(f.reason for f in result.findings) == sorted(f"{name} ↔ {name}" for name in kinds)
    assert (result.divergent, result.rows) == (len(kinds), ROWS)

    mended = check(repair=True)
    assert (mended.clean, mended.repaired, mended.findings) == (True, len(kinds), ())
    assert check().clean
    for name, row in planted.items():
        stayed = db.execute(
            f"SELECT format('%s', {name}) = format('%s', {kinds[name][5][0]}::{kinds[name][0].split(' ')[0]}),"
            f" ({name} IS NULL) = ({kinds[name][5][0]} IS NULL) FROM {table} WHERE id = {row}".encode()
        ).fetchone()
        assert stayed == (True, True), name
