"""What cannot be computed in the statement leaves the row in the client's own format, or is refused: parts of columns,
and values that PostgreSQL generates."""

from __future__ import annotations

import pytest

from rules.phases import LADDERS, Policy, Reads, Shape, Strategy, Writes
from tests.conftest import ALL_SERVERS, Database
from tests.system.managed_table import Managed

PLACES = """
migration: places
table: public.places
operations:
  - change_columns:
      old: {tags: "string_to_array(tag_list, ',')"}
      new: {tag_list: {type: text, up: "array_to_string(tags, ',')"}}
  - change_columns:
      old: {address: "ROW(city, zip)::public.address"}
      new:
        city: {type: text, up: "(address).city"}
        zip: {type: int, up: "(address).zip"}
  - change_columns: {old: {doc: "info::jsonb"}, new: {info: {type: text, up: "doc::text"}}}
"""
ROWS = (
    "INSERT INTO {0} SELECT g, ARRAY['a' || g, 'b', 'c'], ROW('town ' || g, g)::address, jsonb_build_object('k', g), g"
    " FROM generate_series(1, 9) g"
)
COLUMNS = "(id int PRIMARY KEY, tags text[] DEFAULT '{{d}}', address address, doc jsonb, age int)"
TABLE = "; ".join(
    [
        "CREATE TYPE address AS (city text, zip int)",
        *(f"CREATE TABLE {name} {COLUMNS}; {ROWS}".format(name) for name in ("places", "twin")),
    ]
)
PARTS = [
    "UPDATE {0} SET tags[2] = 'z'",
    "UPDATE {0} SET tags[2] = 'z', tags[1] = upper(tags[1]), age = age + 1 WHERE id < 5",
    "UPDATE {0} SET address.zip = 9, tags[id] = 'n', doc['k'] = to_jsonb(age) WHERE id > 3 RETURNING *",
    "UPDATE {0} SET (tags[3], age) = ('row', 4) WHERE id = 2",
    "UPDATE {0} SET (tags[3], age) = (SELECT 'sub', 4) WHERE id = 2",
    "UPDATE {0} SET tags[1:2] = '{{p,q}}', doc = '{{}}' WHERE id = 2 RETURNING doc, tags",
    "UPDATE {0} SET doc['a']['b'] = '1', address = ROW('new', 1)",
    "UPDATE {0} SET address.nosuch = 1",
    "UPDATE {0} SET tags['x'] = '1'",
    "INSERT INTO {0} (id, tags[1], tags[3]) VALUES (20, 'x', 'y') RETURNING *",
    "INSERT INTO {0} (id, tags[1], address.city) VALUES (20, 'x', 'c'), (21, lower('Y'), DEFAULT)",
    "INSERT INTO {0} (id, address.zip) SELECT id + 20, age FROM {0}",
    "INSERT INTO {0} (id, address.zip) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET tags[2] = 'conflict'",
    "MERGE INTO {0} t USING (VALUES (1), (20)) v (id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET tags[2] = 'm'"
    " WHEN NOT MATCHED THEN INSERT (id, tags[2]) VALUES (v.id, 'i')",
]


@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("phase", ["expanded", "writing_both"])
def test_an_old_client_may_assign_parts_while_rows_may_be_in_the_old_format(
    database: Database, phase: str, guarded: bool
) -> None:
    table = Managed(database, TABLE, PLACES, phase, guarded=guarded)
    for sql in PARTS:
        assert table.answer(sql.format("places"), "places") == table.answer(sql.format("twin"), "twin"), sql
    # What the other shape sees is what `up` makes of it, in every column.
    up = "SELECT id, array_to_string(tags, ','), (address).city, (address).zip, doc::text FROM {} ORDER BY id"
    for sql in PARTS[:1] + PARTS[2:4]:
        table.run(sql.format("places"))
        table.run(sql.format("twin"))
    new = table.run("SELECT id, tag_list, city, zip, info FROM places ORDER BY id", Shape.NEW)
    assert new == table.run(up.format("twin"))


NEW_PARTS = """
migration: places
table: public.places
operations:
  - change_columns:
      old: {tag_list: "array_to_string(tags, ',')"}
      new: {tags: {type: "text[]", up: "string_to_array(tag_list, ',')"}}
"""
NEW_TABLE = "; ".join(
    [
        "CREATE TABLE places (id int PRIMARY KEY, tag_list text)",
        "INSERT INTO places SELECT g, 'a,b' FROM generate_series(1, 9) g",
        "CREATE TABLE twin (id int PRIMARY KEY, tags text[])",
        "INSERT INTO twin SELECT g, '{a,b}' FROM generate_series(1, 9) g",
    ]
)
NEW_WRITES = ["UPDATE {0} SET tags[2] = 'z' WHERE id < 5", "INSERT INTO {0} (id, tags[1]) VALUES (20, 'x') RETURNING *"]


def test_a_new_client_may_assign_parts_where_only_the_new_format_is_written(database: Database) -> None:
    table = Managed(database, NEW_TABLE, NEW_PARTS, "new_only")
    for sql in NEW_WRITES:
        twin = table.answer(sql.format("twin"), "twin", Shape.NEW)
        assert table.answer(sql.format("places"), "places", Shape.NEW) == twin, sql


@pytest.mark.parametrize("strategy", list(Strategy))
def test_parts_are_refused_where_the_row_needs_both_formats(database: Database, strategy: Strategy) -> None:
    for phase in (p for p in LADDERS[strategy] if p.policy is not None and p.expanded):
        table = Managed(database, NEW_TABLE, NEW_PARTS, phase.name, strategy)
        assert phase.policy is not None
        allowed = phase.policy == Policy(Writes.NEW, Reads.NEW)
        refused = "" if allowed else f"phase {phase.name}"
        assert refused in table.refusal(NEW_WRITES[0].format("places"), Shape.NEW)
        assert (table.refusal(NEW_WRITES[0].format("places"), Shape.NEW) == "") is allowed
        table.connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


LOSSY = """
migration: lists
table: public.lists
operations:
  - change_columns:
      lossy: true
      old: {total: "round(price)::int"}
      new: {price: {type: numeric, up: "total::numeric"}}
  - change_columns:
      old: {tags: "string_to_array(list, ',')"}
      new: {list: {type: text, up: "array_to_string(tags, ',')"}}
"""


def test_a_part_is_refused_where_the_other_format_of_another_column_would_be_lost(database: Database) -> None:
    setup = "CREATE TABLE lists (id int PRIMARY KEY, total int, tags text[]); INSERT INTO lists VALUES (1, 2, '{a}')"
    table = Managed(database, setup, LOSSY, "writing_both")
    assert "only the other format holds the value" in table.refusal("UPDATE lists SET tags[1] = 'x'")
    table.run("INSERT INTO lists (id, total, tags[1]) VALUES (2, 5, 'x')")
    assert table.run("SELECT list FROM lists WHERE id = 2", Shape.NEW) == [("x",)]


LABELLED = """
migration: labelled
table: public.things
operations:
  - add_column: {column: label, type: text, up: "'L' || id || name"}
"""
IDENTITY = "CREATE TABLE things (id int GENERATED BY DEFAULT AS IDENTITY, name text)"
IDENTITY_WRITES = [
    "INSERT INTO things (name) VALUES ('a') RETURNING id",
    "INSERT INTO things (name) VALUES ('a'), ('b') RETURNING id",
    "INSERT INTO things VALUES (DEFAULT, 'c') RETURNING id",
    "INSERT INTO things (name) SELECT 'd' FROM generate_series(1, 3) RETURNING id",
    "INSERT INTO things (id, name) OVERRIDING USER VALUE VALUES (77, 'e') RETURNING id",
    "INSERT INTO things (id, name) VALUES (100, 'f') RETURNING id",
    "MERGE INTO things USING (VALUES (1), (2)) v (n) ON false WHEN NOT MATCHED THEN INSERT (name) VALUES ('m' || n)",
]


@pytest.mark.parametrize("phase", ["expanded", "writing_both", "reading_new", "new_only"])
def test_an_identity_that_an_added_column_is_computed_from_is_left_to_postgresql(
    database: Database, phase: str
) -> None:
    table = Managed(database, IDENTITY, LABELLED, phase, guarded=True)
    for sql in IDENTITY_WRITES:
        table.run(sql)
    old = table.run("SELECT id, name FROM things ORDER BY id")
    assert [i for i, _ in old] == [*range(1, 9), 9, 10, 100]
    new = table.run("SELECT id, name, label FROM things ORDER BY id", Shape.NEW)
    assert new == [(i, name, f"L{i}{name}") for i, name in old]
