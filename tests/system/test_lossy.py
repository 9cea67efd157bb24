"""Lossy changes in every phase: a client's own shape is exact, and the other is rounded only by what really changes.

Each statement runs on a plain table of the client's shape and, rewritten, on the managed one. Beside what the twin
oracle compares (`tests/twin.py`) the other shape is looked at: rows whose value stayed read as before, the others what
`up` or `down` makes of the new value. In a phase that does not write the client's format a statement must be refused
if one of its new values does not come back from there, and else not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from rules.changes import ColumnChange
from rules.phases import LADDERS, Phase, Shape, Strategy
from rules.statements import survival
from tests.conftest import ALL_SERVERS, Database, Server
from tests.system.managed_table import Managed
from tests.twin import phases

_ROWS = 6
REFUSED = "refused"


@dataclass(frozen=True)
class Formats:
    """A table with a lossy change. `words` are what statements are made of, for each shape."""

    definition: str
    setup: str
    refine: str
    words: Mapping[Shape, Mapping[str, str]]


#: The new format says more: hundredths of a cent. Beside it a column that is only renamed.
PRICES = Formats(
    """
migration: prices
table: public.prices
operations:
  - change_columns:
      lossy: true
      old: {cents: "round(price * 100)::int::public.cents"}
      new: {price: {type: "numeric(10,4)", up: "cents::numeric / 100", default: "7"}}
  - rename_column: {column: tag, to: label, default: "'d'"}
""",
    "DROP DOMAIN IF EXISTS cents; CREATE DOMAIN cents AS int CHECK (VALUE < 10000);"
    "CREATE TABLE prices (id int PRIMARY KEY, cents cents DEFAULT 700, tag text DEFAULT 'd', note text);"
    f"INSERT INTO prices SELECT i, nullif(i * 123, 615), 't' || i, 'n' FROM generate_series(1, {_ROWS}) AS i",
    "UPDATE prices SET _pgjanus_price = _pgjanus_price + 0.0034 WHERE _pgjanus_state >= 4",
    {
        Shape.OLD: {"v": "cents", "w": "tag", "a": "250", "f": "251"},
        Shape.NEW: {"v": "price", "w": "label", "a": "2.5", "f": "2.5051"},
    },
)
#: The old format says more: the time of day.
DATES = Formats(
    """
migration: dates
table: public.prices
operations:
  - change_columns:
      lossy: true
      old: {at: "day::timestamp AT TIME ZONE 'UTC'"}
      new: {day: {type: date, up: "(at AT TIME ZONE 'UTC')::date", default: "'2020-01-01'"}}
""",
    "CREATE TABLE prices (id int PRIMARY KEY, at timestamptz DEFAULT '2020-01-01 00:00+00', tag text, note text);"
    "INSERT INTO prices SELECT i, nullif('2024-05-01 10:11+00'::timestamptz + i * interval '30 hours',"
    f" '2024-05-07 16:11+00'), 't' || i, 'n' FROM generate_series(1, {_ROWS}) AS i",
    "SELECT 1",
    {
        Shape.OLD: {"v": "at", "w": "tag", "a": "'2024-06-01 00:00+00'", "f": "'2024-05-01 12:34+00'"},
        Shape.NEW: {"v": "day", "w": "tag", "a": "'2024-06-01'", "f": "'2024-05-01'"},
    },
)

STATEMENTS = [
    "UPDATE {t} SET {v} = {v}",
    "UPDATE {t} SET note = 'x'",
    "UPDATE {t} SET {v} = {v}, {w} = {w}, note = note || '!' WHERE id < 5 RETURNING *",
    "UPDATE {t} SET {v} = {known}, note = 'saved' WHERE id = 2",
    "UPDATE {t} SET {v} = {known}, {w} = 'z' WHERE id IN (2, 3)",
    "UPDATE {t} SET {v} = {a}",
    "UPDATE {t} SET {v} = {a}, {w} = {w} WHERE id > 2",
    "UPDATE {t} SET {v} = {f} WHERE id = 3 RETURNING id, {v}",
    "UPDATE {t} SET {w} = 'z' || id",
    "UPDATE {t} SET {v} = CASE WHEN id % 2 = 0 THEN {v} ELSE {a} END",
    "UPDATE {t} SET {v} = coalesce({v}, {f})",
    "UPDATE {t} SET {v} = DEFAULT",
    "UPDATE {t} SET {v} = NULL, {w} = DEFAULT",
    "UPDATE {t} SET ({v}, note) = ({v}, 'r')",
    "UPDATE {t} SET ({v}, {w}) = ROW({a}, {w})",
    "UPDATE {t} SET ({v}, note) = (SELECT {v}, 's')",
    "UPDATE {t} SET ({v}) = (SELECT s.{v} FROM {t} s WHERE s.id = {t}.id)",
    "UPDATE {t} SET ({v}, {w}) = (SELECT s.{v}, s.{w} FROM {t} s WHERE s.id = {t}.id + 1)",
    "UPDATE {t} SET {v} = (SELECT {v} WHERE random() < 2), note = 'once'",
    "UPDATE {t} x SET {v} = y.{v} FROM {t} y WHERE y.id = x.id",
    "UPDATE {t} x SET {v} = y.{v}, {w} = y.{w} FROM {t} y WHERE y.id = 7 - x.id RETURNING x.*",
    "INSERT INTO {t} (id, {v}) SELECT id, {v} FROM {t} ON CONFLICT (id) DO UPDATE SET {v} = excluded.{v}, note = 'up'",
    "INSERT INTO {t} (id, {v}) VALUES (1, {a}), (9, {a}) ON CONFLICT (id) DO UPDATE SET {v} = {t}.{v} RETURNING *",
    "INSERT INTO {t} AS c (id, {v}) VALUES (1, {a}), (2, {f}) ON CONFLICT (id) DO UPDATE SET {v} = excluded.{v}",
    "INSERT INTO {t} AS c (id, {v}) SELECT id, {v} FROM {t}"
    " ON CONFLICT (id) DO UPDATE SET ({v}, note) = (SELECT excluded.{v}, c.note || '?')",
    "INSERT INTO {t} (id, {v}, note) VALUES (20, {a}, 'a'), (21, {f}, 'f'), (22, NULL, 'n')",
    "INSERT INTO {t} (id, {v}) VALUES (20, (SELECT {a} WHERE random() < 2)) RETURNING *",
    "INSERT INTO {t} (id, note) VALUES (23, 'default')",
    "INSERT INTO {t} (id, {v}) SELECT id + 100, {v} FROM {t}",
    "MERGE INTO {t} d USING (SELECT id, {v} FROM {t}) s ON s.id = d.id"
    " WHEN MATCHED AND d.id < 3 THEN UPDATE SET {v} = s.{v}, note = 'same'"
    " WHEN MATCHED AND d.id < 5 THEN UPDATE SET {v} = {a}, {w} = d.{w}"
    " WHEN MATCHED THEN UPDATE SET {w} = 'm'",
    "MERGE INTO {t} d USING (SELECT id * 4 AS id, {v} FROM {t}) s ON s.id = d.id"
    " WHEN MATCHED THEN UPDATE SET {v} = (SELECT d.{v} WHERE random() < 2)"
    " WHEN NOT MATCHED THEN INSERT (id, {v}) VALUES (s.id, s.{v})",
    "WITH w AS (UPDATE {t} SET {v} = {v} RETURNING *) SELECT count(*), max({v}) FROM w",
    "DELETE FROM {t} WHERE {v} IS NULL RETURNING *",
]

Row = tuple[Any, ...]


class Oracle:
    """The managed table `prices` in one phase, and `twin`: a plain table of one shape with what that shape reads."""

    def __init__(self, database: Database, formats: Formats, phase: Phase, shape: Shape) -> None:
        strategy = next(s for s in Strategy if phase in LADDERS[s])
        self.table = Managed(database, formats.setup, formats.definition, phase.name, strategy)
        self.phase, self.shape = phase, shape
        (managed,) = self.table.snapshot.tables.values()
        self.changes = managed.migration.changes
        connection = self.table.connection
        connection.execute(formats.refine.encode())
        self.own, self.other = self.view(shape), self.view(shape.other)
        columns = {c.name: c for change in self.changes for c in change.side(shape)}
        self.names, self.other_names = ([n for n, _ in managed.visible(s)] for s in (shape, shape.other))
        plain = {"id": "int PRIMARY KEY", "note": "text", "tag": "text"}
        defaults = {"cents": "700", "price": "7", "tag": "'d'", "label": "'d'"}
        defaults |= {"at": "'2020-01-01 00:00+00'", "day": "'2020-01-01'"}
        if "at" in self.names or "day" in self.names:
            del defaults["tag"]
        parts = [
            f"{n} {columns[n].type if n in columns else plain[n]}"
            + (f" DEFAULT {defaults[n]}" if n in defaults else "")
            for n in self.names
        ]
        connection.execute(f"DROP TABLE IF EXISTS twin; CREATE TABLE twin ({', '.join(parts)})".encode())
        holes = ", ".join(["%s"] * len(self.names))
        for row in self.own.values():
            connection.execute(f"INSERT INTO twin VALUES ({holes})", row)
        known = self.own[2][self.names.index(formats.words[shape]["v"])]
        self.words = {**formats.words[shape], "known": f"'{known}'"}

    def view(self, shape: Shape) -> dict[int, Row]:
        return {row[0]: row for row in self.table.run("SELECT * FROM prices ORDER BY id", shape)}

    def differences(self, template: str) -> Iterator[str]:
        """What is not as it should be after the statement, which is rolled back."""
        connection = self.table.connection
        sql = template.format(t="prices", **self.words)
        with connection.transaction(force_rollback=True):
            expected = self._answer(template.format(t="twin", **self.words))
            own = {row[0]: row for row in connection.execute("SELECT * FROM twin ORDER BY id").fetchall()}
            other = self._other(own)
            lost = self._loses(own)
        with connection.transaction(force_rollback=True):
            answer = self._answer(self.table.rewritten(sql, self.shape))
            if lost or answer == REFUSED:
                # What an upsert brings has to survive, whether or not there is a row to update.
                if answer != REFUSED or not (lost or "ON CONFLICT" in sql):
                    yield f"{answer}, lost are {lost}"
                return
            if answer != expected:
                yield f"{answer}, expected {expected}"
            for shape, wanted in ((self.shape, own), (self.shape.other, other)):
                found = self.view(shape)
                if repr(found) != repr(wanted):
                    yield f"{shape.value} shape reads {list(found.values())}, expected {list(wanted.values())}"

    def _answer(self, sql: str) -> object:
        try:
            with self.table.connection.transaction():
                cursor = self.table.connection.execute(sql.encode())
                return cursor.statusmessage, sorted(map(repr, cursor.fetchall() if cursor.description else []))
        except psycopg.Error as error:
            return REFUSED if survival.REFUSED.search(str(error).encode()) else error.sqlstate

    def _changed(self, row: Row, change: ColumnChange) -> bool:
        at = [self.names.index(c.name) for c in change.side(self.shape)]
        before = self.own.get(row[0])
        return before is None or repr([row[i] for i in at]) != repr([before[i] for i in at])

    def _other(self, own: dict[int, Row]) -> dict[int, Row]:
        """What the other shape has to read when the twin holds these rows."""
        found = {}
        for key, row in own.items():
            values = dict(zip(self.names, row, strict=True))
            for change in self.changes:
                columns = [c.name for c in change.side(self.shape.other)]
                if self._changed(row, change):
                    values |= dict(zip(columns, self._converted(change, key)[0], strict=True))
                else:
                    values |= {n: self.other[key][self.other_names.index(n)] for n in columns}
            found[key] = tuple(values[n] for n in self.other_names)
        return found

    def _loses(self, own: dict[int, Row]) -> list[Row]:
        """The rows of the twin with a value that this phase cannot keep."""
        assert self.phase.policy is not None
        if self.phase.policy.writes.includes(self.shape):
            return []
        lossy = [change for change in self.changes if change.lossy]
        lost = []
        for key, row in own.items():
            for change in lossy:
                given = [row[self.names.index(c.name)] for c in change.side(self.shape)]
                if self._changed(row, change) and repr(self._converted(change, key)[1]) != repr(given):
                    lost.append(row)
        return lost

    def _converted(self, change: ColumnChange, key: int) -> tuple[list[Any], list[Any]]:
        """The other shape's values of a row of the twin, and what they come back as."""
        there, back = (
            ", ".join(f"({change.into(shape)[c.name]})::{c.type} AS {c.name}" for c in change.side(shape))
            for shape in (self.shape.other, self.shape)
        )
        connection = self.table.connection
        query = f"SELECT {there} FROM twin WHERE id = {key}"
        rows = (connection.execute(sql.encode()).fetchone() for sql in (query, f"SELECT {back} FROM ({query}) AS t"))
        values, returned = (list(row or ()) for row in rows)
        return values, returned


@pytest.mark.parametrize("formats", [PRICES, DATES], ids=["prices", "dates"])
@pytest.mark.parametrize("server", ALL_SERVERS, indirect=True)
def test_only_what_changes_is_rounded(database: Database, server: Server, formats: Formats) -> None:
    wrong = []
    for phase in phases():
        # On an older server the policies in which most is rewritten: it differs only in how it answers.
        newest = f"{server.version}" == ALL_SERVERS[0]
        for shape in Shape if phase.expanded and (newest or phase in LADDERS[Strategy.DUAL_READ][2:4]) else ():
            oracle = Oracle(database, formats, phase, shape)
            for statement in STATEMENTS:
                for what in oracle.differences(statement):
                    wrong.append(f"{phase.name} {phase.policy}, {shape.value} shape: {statement}\n  {what}")
            oracle.table.connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong)


#: Types of which PostgreSQL calls different values equal, or cannot compare them: a value, and another such one.
_COARSE = {
    "numeric": ("1.00", "1.0"),
    "float8": ("0", "-0"),
    "json": ('{"a": 1}', '{"a":1}'),
    "bpchar": ("x", "x "),
    "interval": ("1 mon", "30 days"),
    "numeric[]": ("{1.0}", "{1.00}"),
    "jsonb": ('{"a": 1.0}', '{"a": 1.00}'),
    "point": ("(1,2)", "(2,1)"),
}
_COARSE_SETUP = (
    "CREATE FUNCTION show(anyelement) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1::text';"
    f"CREATE TABLE things (id int PRIMARY KEY, {', '.join(f'c{i} {t}' for i, t in enumerate(_COARSE))});"
)
_COARSE_DEFINITION = "migration: things\ntable: public.things\noperations:\n" + "".join(
    f"""
  - change_columns:
      lossy: true
      old: {{c{i}: "split_part(t{i}, '|', 1)::{type_}"}}
      new: {{t{i}: {{type: text, up: "public.show(c{i})"}}}}
"""
    for i, type_ in enumerate(_COARSE)
)


@pytest.mark.parametrize("phase", ["expanded", "writing_both"])
def test_a_value_changes_with_its_image_and_not_only_where_it_is_unequal(database: Database, phase: str) -> None:
    table = Managed(database, _COARSE_SETUP, _COARSE_DEFINITION, phase)
    shown = [f"t{i}" for i in range(len(_COARSE))]
    values = ", ".join(f"'{value}', '{value}|fine'" for value, _ in _COARSE.values())
    columns = ", ".join(f"c{i}, _pgjanus_t{i}" for i in range(len(_COARSE)))
    table.connection.execute(f"INSERT INTO things (id, _pgjanus_state, {columns}) VALUES (1, 4, {values})".encode())
    same = ", ".join(f"c{i} = '{value}'" for i, (value, _) in enumerate(_COARSE.values()))
    table.run(f"UPDATE things SET {same}")
    kept = [f"{value}|fine" for value, _ in _COARSE.values()]
    assert table.run(f"SELECT {', '.join(shown)} FROM things", Shape.NEW) == [tuple(kept)]
    for i, (_, other) in enumerate(_COARSE.values()):
        table.run(f"UPDATE things SET c{i} = '{other}'")
        (found,) = table.run(f"SELECT {', '.join(shown)} FROM things", Shape.NEW)
        kept[i] = other.rstrip()  # as a character's blanks go when it becomes text
        assert list(found) == kept
