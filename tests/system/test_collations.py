"""Columns with a collation of their own: what is converted is compared, and changed in case, as what is stored is.

`"C"` knows ASCII letters only, the default collation of the tests' servers knows them all: `upper` tells them apart.
"""

from __future__ import annotations

import pytest

from rules.phases import Shape, Strategy
from tests.conftest import Database
from tests.system.managed_table import Managed

SETUP = """
CREATE TABLE words (id int PRIMARY KEY, word text COLLATE "C");
INSERT INTO words SELECT i, 'é-' || i FROM generate_series(1, 6) AS i;
"""
SPLIT = """
migration: split
table: words
strategy: both
operations:
  - split_column:
      column: word
      into:
        head: {type: text, up: "lower(split_part(word, '-', 1))"}
        tail: {type: varchar(10), up: "split_part(word, '-', 2)"}
      down: "head || '-' || tail"
      lossy: true
"""
RENAME = """
migration: rename
table: words
strategy: both
operations:
  - rename_column: {column: word, to: term}
"""
PHASES = ["expanded", "dual", "new_only"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_converted_value_has_the_collation_of_its_column(database: Database, phase: str) -> None:
    table = Managed(database, SETUP, SPLIT, phase, Strategy.BOTH)
    assert table.run("SELECT DISTINCT upper(head) FROM words", Shape.NEW) == [("É",)]
    assert table.run("SELECT count(*) FROM words WHERE head < 'f' AND tail > '3'", Shape.NEW) == [(0,)]
    assert table.run("SELECT count(*) FROM words WHERE head > 'f' AND tail > '3'", Shape.NEW) == [(3,)]
    assert table.run("SELECT upper(word) FROM words ORDER BY word LIMIT 1") == [("é-1",)]


@pytest.mark.parametrize("phase", PHASES)
def test_a_renamed_column_keeps_its_collation(database: Database, phase: str) -> None:
    table = Managed(database, SETUP, RENAME, phase, Strategy.BOTH)
    for shape, name in ((Shape.OLD, "word"), (Shape.NEW, "term")):
        assert table.run(f"SELECT upper({name}) FROM words ORDER BY {name} LIMIT 1", shape) == [("é-1",)]


def test_a_mirror_is_computed_under_the_collation_of_what_is_stored(database: Database) -> None:
    """Or the backfill, which computes it from the stored value, would come to another result than the proxy."""
    table = Managed(database, SETUP, SPLIT, "dual", Strategy.BOTH)
    table.run("UPDATE words SET word = 'É-1' WHERE id = 1")
    table.run("UPDATE words SET word = (SELECT 'É-2' || left(random()::text, 0)) WHERE id = 2")
    table.run("UPDATE words SET (word) = ROW('É-' || left(random()::text, 0)) WHERE id = 3")
    table.run("INSERT INTO words VALUES (7, 'É-3'), (8, 'É-4')")
    table.run("INSERT INTO words VALUES (9, 'É-' || left(random()::text, 0)), (10, 'É-' || left(random()::text, 0))")
    table.run("INSERT INTO words SELECT 11, 'É-5'")
    stored = table.connection.execute(
        "SELECT _pgjanus_head, count(*) FROM words WHERE word LIKE 'É%' GROUP BY 1"
    ).fetchall()
    assert stored == [("É", 8)]
