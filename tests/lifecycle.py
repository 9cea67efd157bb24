"""The lifecycle harness: a migration's table walks up and down its ladder while clients of both shapes work on it.

    World     the table behind a running proxy, and for every row what each shape has to see (`Model`)
    Traffic   one session of one driver and one shape: every kind of statement, each answer compared with the model
    walk      start, then rung by rung, up or down, with all traffic on every one

What the other shape sees of a value is computed by PostgreSQL itself from `up` and `down`, without a table.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.database import connect, load_relation
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier
from rules.loader import load_file
from rules.migration import Migration
from rules.phases import CONTRACTED, STATE_COLUMN, Shape
from tests.clients import DRIVERS, PsycopgPrepared, Row, ServerError, Session
from tests.conftest import Database, RunningProxy
from tests.recipe_rows import MIGRATION_ROWS, MigrationRows, Values

#: Where a migration's YAML file and the SQL of its table may be.
FOLDERS = (Path(__file__).parents[1] / "rules/recipes", Path(__file__).parent / "cases")
UNIQUE_VIOLATION, UNDEFINED_COLUMN = "23505", "42703"


class Model:
    """Every row as each shape must see it: id → visible column → value."""

    def __init__(self, scratch: psycopg.Connection[Any], migration: Migration, relation: Relation, rows: MigrationRows):
        self.rows: dict[int, dict[Shape, Values]] = {}
        self._scratch, self._changes, self._defaults = scratch, migration.changes, rows.defaults
        old = tuple(c.name for c in relation.columns)
        added = tuple(c.name for change in self._changes for c in change.new)
        dropped = {c.name for change in self._changes for c in change.old}
        self.columns = {Shape.OLD: old, Shape.NEW: (*(c for c in old if c not in dropped), *added)}
        self._own = {s: {c.name for change in self._changes for c in change.side(s)} for s in Shape}
        self._types = {c.name: c.type for c in relation.columns}
        self._new_types = {c.name: c.type for change in self._changes for c in change.new}
        self._computed: dict[tuple[str, tuple[tuple[str, Any], ...]], Any] = {}
        self._next_id = 1000

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def row(self, shape: Shape, row_id: int) -> Row:
        return tuple(self.rows[row_id][shape][c] for c in self.columns[shape])

    def table(self, shape: Shape) -> list[Row]:
        return [self.row(shape, row_id) for row_id in sorted(self.rows)]

    def insert(self, shape: Shape, row_id: int, values: Values) -> None:
        defaults = self._defaults.get(shape, {})
        row = {c: values.get(c, defaults.get(c)) for c in self.columns[shape]}
        common = {c: v for c, v in row.items() if c not in self._own[shape]}
        self.rows[row_id] = {shape: {**row, "id": row_id}, shape.other: {**common, "id": row_id}}
        self._derive(shape, row_id, written=set(row), inserted=True)

    def update(self, shape: Shape, row_id: int, values: Values) -> None:
        row = self.rows[row_id]
        for column, value in values.items():
            row[shape][column] = value
            if column not in self._own[shape]:
                row[shape.other][column] = value
        self._derive(shape, row_id, written=set(values), inserted=False)

    def forget_new_shape(self) -> None:
        """What an abort does: whatever only the new shape could say is gone."""
        for row_id, row in self.rows.items():
            self.insert(Shape.OLD, row_id, row[Shape.OLD])

    def _derive(self, shape: Shape, row_id: int, *, written: set[str], inserted: bool) -> None:
        """The other side of each change that the write concerns. New clients never derive an added column."""
        row, other = self.rows[row_id], shape.other
        for change in self._changes:
            inputs = {c.name for c in change.side(shape)} or (set(change.sources) if shape is Shape.OLD else set())
            for column in change.side(other) if inserted or inputs & written else ():
                if shape is Shape.NEW and not change.old:
                    continue
                expression = change.into(other)[column.name]
                value = {name: row[shape][name] for name in expression.columns}
                sql = expression.render(lambda name: f"%({name})s::{self._type(shape, name)}")
                row[other][column.name] = self._compute(f"{sql}::{column.type}", value)

    def _type(self, shape: Shape, column: str) -> str:
        return self._new_types[column] if column in self._own[shape] and shape is Shape.NEW else self._types[column]

    def evaluate(self, shape: Shape, row_id: int, column: str, sql: str) -> Any:
        """What an expression over the shape's columns gives for a row, as the column stores it."""
        row = self.rows[row_id][shape]
        columns = ", ".join(f"%({c})s::{self._type(shape, c)} AS {quote_identifier(c)}" for c in row)
        return self._compute(f"(SELECT ({sql})::{self._type(shape, column)} FROM (SELECT {columns}) AS v)", row)

    def _compute(self, sql: str, values: Values) -> Any:
        key = (sql, tuple(sorted(values.items())))
        if key not in self._computed:
            found = self._scratch.execute(f"SELECT {sql}".encode(), values).fetchone()
            assert found is not None
            self._computed[key] = found[0]
        return self._computed[key]


@dataclass
class World:
    """One migration's table on one server. `pgjanus(…)` runs a command as the user would type it.

    `file` is the migration in place of the one that is kept with the table of that kind.
    """

    kind: str
    database: Database
    proxy: RunningProxy
    file: Path | None = None
    rows: MigrationRows = field(init=False)
    migration: Migration = field(init=False)
    model: Model = field(init=False)
    direct: psycopg.Connection[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = MIGRATION_ROWS[self.kind]
        shipped = migration_file(self.kind)
        self.file = self.file or shipped
        self.direct = self.database.connect()
        self.direct.execute(shipped.with_suffix(".sql").read_bytes())
        spec = load_file(self.file)
        relation = asyncio.run(_relation(self.database.url, spec.table))
        self.migration = spec.compile(relation)
        self.model = Model(self.direct, self.migration, relation, self.rows)
        names = self.model.columns[Shape.OLD]
        for row in self.direct.execute(f"SELECT * FROM {self.table}".encode()).fetchall():
            self.model.insert(Shape.OLD, row[0], dict(zip(names, row, strict=True)))

    @property
    def table(self) -> str:
        return str(self.migration.table)

    def fill(self, count: int, rng: random.Random) -> None:
        """Rows that nobody touches before the backfill does."""
        names = self.model.columns[Shape.OLD]
        new = []
        for row_id in range(100, 100 + count):
            values = {"id": row_id, **self.rows.kept(rng), **self.rows.sample[Shape.OLD](rng)}
            self.model.insert(Shape.OLD, row_id, values)
            new.append([values[c] for c in names])
        marks = ", ".join(["%s"] * len(names))
        self.direct.cursor().executemany(f"INSERT INTO {self.table} VALUES ({marks})".encode(), new)

    def pgjanus(self, *arguments: str) -> str:
        """The command's output; fails the test if the command failed."""
        result = CliRunner().invoke(main, [*arguments, "--database-url", self.database.url])
        assert result.exit_code == 0, f"pgjanus {' '.join(arguments)}: {result.output} {result.exception!r}"
        return result.output

    def check_table(self, phase: str) -> None:
        """Both shapes see what the model says, on connections that were opened just now."""
        for shape in Shape:
            if phase in ("before", "after an abort") and shape is Shape.NEW:
                continue
            if phase == CONTRACTED.name and shape is Shape.OLD:
                continue
            with psycopg.connect(self.proxy.url(shape.value), autocommit=True) as fresh:
                cursor = fresh.execute(f"SELECT * FROM {self.table} ORDER BY id".encode())
                assert cursor.description is not None
                assert tuple(c.name for c in cursor.description) == self.model.columns[shape]
                assert differences(self.model.table(shape), cursor.fetchall()) == []

    def row_states(self) -> set[int]:
        return {r[0] for r in self.direct.execute(f"SELECT DISTINCT {STATE_COLUMN} FROM {self.table}".encode())}

    def schema(self) -> str:
        """`pg_dump --schema-only` without our own schema, and without what differs between any two runs of it."""
        command = [
            str(self.database.server.bin / "pg_dump"),
            "--schema-only",
            "--exclude-schema=pgjanus",
            self.database.url,
        ]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return re.sub(r"(?m)^\\(un)?restrict .*\n", "", text)


def migration_file(kind: str) -> Path:
    return next(f / f"{kind}.yaml" for f in FOLDERS if (f / f"{kind}.yaml").exists())


async def _relation(url: str, table: TableName) -> Relation:
    connection = await connect(url)
    try:
        relation = await load_relation(connection, table)
    finally:
        await connection.close()
    assert relation is not None
    return relation


def differences(expected: list[Row], found: list[Row]) -> list[str]:
    left, right = Counter(expected), Counter(found)
    return [f"missing {row}" for row in left - right] + [f"unexpected {row}" for row in right - left]


class Traffic:
    """Every kind of statement, from one session of one shape. The texts are the same in all phases."""

    def __init__(self, world: World, session: Session, shape: Shape, seed: str) -> None:
        self.world, self.session, self.shape = world, session, shape
        self.model, self.rows, self.rng = world.model, world.rows, random.Random(seed)
        self.table, self.columns = world.table, world.model.columns[shape]
        self.focus = world.rows.focus[shape]
        self.first = self.focus[0]

    def __str__(self) -> str:
        return f"{self.shape.value} shape by {self.session.driver}"

    def everything(self, phase: str) -> None:
        self._run(phase, PIECES)

    def half(self, phase: str) -> None:
        """For a rung on which everything has been done before: any half of it."""
        self._run(phase, self.rng.sample(PIECES, len(PIECES) // 2))

    def _run(self, phase: str, pieces: Sequence[Callable[[Traffic], None]]) -> None:
        for piece in pieces:
            try:
                piece(self)
            except (AssertionError, ServerError) as error:
                raise AssertionError(f"{self.world.kind}, {phase}, {self}: {piece.__name__}: {error}") from error

    # What they are made of

    def _expect(self, sql: str, arguments: tuple[object, ...], rows: list[Row], columns: tuple[str, ...] = ()) -> None:
        result = self.session.run(sql, *arguments)
        assert not columns or result.columns in (None, columns), f"{sql} {arguments}: columns {result.columns}"
        wrong = differences(rows, result.rows)
        assert not wrong, f"{sql} {arguments}: {wrong}"

    def _some_id(self) -> int:
        return self.rng.choice(sorted(self.model.rows))

    def _new_row(self) -> tuple[int, Values]:
        row_id = self.model.new_id()
        return row_id, {"id": row_id, **self.rows.kept(self.rng), **self.rows.sample[self.shape](self.rng)}

    def _values(self, values: Values) -> tuple[object, ...]:
        return tuple(values[c] for c in self.columns)

    def _value(self, row_id: int, column: str) -> Any:
        return self.model.rows[row_id][self.shape][column]

    def _where(self, column: str, value: object) -> tuple[str, tuple[object, ...]]:
        return (f"{column} IS NULL", ()) if value is None else (f"{column} = %s", (value,))

    # Reading

    def read_whole_row(self) -> None:
        row_id = self._some_id()
        sql = f"SELECT * FROM {self.table} WHERE id = %s"
        self._expect(sql, (row_id,), [self.model.row(self.shape, row_id)], self.columns)

    def read_nothing(self) -> None:
        self._expect(f"SELECT * FROM {self.table} WHERE id = %s", (-1,), [], self.columns)

    def read_columns(self) -> None:
        ids = [i for i in sorted(self.model.rows) if 100 <= i < 110]
        sql = f"SELECT x.{self.first}, x.id FROM {self.table} AS x WHERE x.id >= %s AND x.id < %s ORDER BY x.id"
        self._expect(sql, (100, 110), [(self._value(i, self.first), i) for i in ids], (self.first, "id"))

    def find_by_value(self) -> None:
        for column in self.focus:
            value = self._value(self._some_id(), column)
            where, arguments = self._where(column, value)
            found = [(i,) for i in self.model.rows if self._value(i, column) == value]
            self._expect(f"SELECT id FROM {self.table} WHERE {where}", arguments, found)

    def count(self) -> None:
        values = [self._value(i, self.first) for i in self.model.rows]
        counts = (len(values), sum(v is not None for v in values))
        self._expect(f"SELECT count(*), count({self.first}) FROM {self.table}", (), [counts])

    def group(self) -> None:
        groups = Counter(self._value(i, self.first) for i in self.model.rows)
        sql = f"SELECT {self.first}, count(*) FROM {self.table} GROUP BY {self.first}"
        self._expect(sql, (), list(groups.items()), (self.first, "count"))

    def join(self) -> None:
        row_id = self._some_id()
        next_value = self._value(row_id + 1, self.first) if row_id + 1 in self.model.rows else None
        sql = (
            f"SELECT a.id, b.{self.first} FROM {self.table} a LEFT JOIN {self.table} b"
            f" ON b.id = a.id + 1 AND b.{self.first} IS NOT NULL WHERE a.id = %s"
        )
        self._expect(sql, (row_id,), [(row_id, next_value)])

    def sub_select(self) -> None:
        few = {self._value(i, self.first) for i in self.model.rows if i < 105} - {None}
        found = sum(self._value(i, self.first) in few for i in self.model.rows)
        inner = f"SELECT {self.first} FROM {self.table} WHERE id < %s"
        sql = f"SELECT count(*) FROM {self.table} WHERE {self.first} IN ({inner})"
        self._expect(sql, (105,), [(found,)])

    # Writing

    def insert_returning(self) -> None:
        row_id, values = self._new_row()
        names, marks = ", ".join(self.columns), ", ".join(["%s"] * len(self.columns))
        self.model.insert(self.shape, row_id, values)
        sql = f"INSERT INTO {self.table} ({names}) VALUES ({marks}) RETURNING *"
        self._expect(sql, self._values(values), [self.model.row(self.shape, row_id)], self.columns)

    def insert_rows_without_column_list(self) -> None:
        (one, first), (two, second) = self._new_row(), self._new_row()
        marks = ", ".join(["%s"] * len(self.columns))
        self.model.insert(self.shape, one, first)
        self.model.insert(self.shape, two, second)
        sql = f"INSERT INTO {self.table} VALUES ({marks}), ({marks}) RETURNING id"
        self._expect(sql, self._values(first) + self._values(second), [(one,), (two,)], ("id",))

    def insert_without_managed_columns(self) -> None:
        row_id = self.model.new_id()
        values = {"id": row_id, **self.rows.kept(self.rng)}
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        self.model.insert(self.shape, row_id, values)
        sql = f"INSERT INTO {self.table} ({names}) VALUES ({marks}) RETURNING *"
        self._expect(sql, tuple(values.values()), [self.model.row(self.shape, row_id)], self.columns)

    def insert_from_select(self) -> None:
        source, row_id = self._some_id(), self.model.new_id()
        rest = ", ".join(c for c in self.columns if c != "id")
        self.model.insert(self.shape, row_id, {**self.model.rows[source][self.shape], "id": row_id})
        sql = (
            f"INSERT INTO {self.table} (id, {rest}) SELECT id + %s, {rest} FROM {self.table} WHERE id = %s RETURNING *"
        )
        self._expect(sql, (row_id - source, source), [self.model.row(self.shape, row_id)], self.columns)

    def insert_that_fails(self) -> None:
        row_id = self._some_id()
        _, values = self._new_row()
        names, marks = ", ".join(self.columns), ", ".join(["%s"] * len(self.columns))
        sql = f"INSERT INTO {self.table} ({names}) VALUES ({marks}) RETURNING *"
        with pytest.raises(ServerError) as caught:
            self.session.run(sql, *self._values({**values, "id": row_id}))
        assert caught.value.sqlstate == UNIQUE_VIOLATION, caught.value

    def update_returning(self) -> None:
        row_id, values = self._some_id(), self.rows.sample[self.shape](self.rng)
        sets = ", ".join(f"{c} = %s" for c in values)
        self.model.update(self.shape, row_id, values)
        sql = f"UPDATE {self.table} SET {sets} WHERE id = %s RETURNING *"
        self._expect(sql, (*values.values(), row_id), [self.model.row(self.shape, row_id)], self.columns)

    def update_one_column(self) -> None:
        for column, value in self.rows.sample[self.shape](self.rng).items():
            row_id = self._some_id()
            if self.rows.fits({**self.model.rows[row_id][self.shape], column: value}):
                self.session.run(f"UPDATE {self.table} SET {column} = %s WHERE id = %s", value, row_id)
                self.model.update(self.shape, row_id, {column: value})
                self._expect(f"SELECT {column} FROM {self.table} WHERE id = %s", (row_id,), [(value,)])

    def update_by_expression(self) -> None:
        row_id, (column, sql) = self._some_id(), self.rows.expressions[self.shape]
        value = self.model.evaluate(self.shape, row_id, column, sql)
        self.model.update(self.shape, row_id, {column: value})
        self._expect(
            f"UPDATE {self.table} SET {column} = {sql} WHERE id = %s RETURNING {column}", (row_id,), [(value,)]
        )

    def update_by_volatile_expression(self) -> None:
        row_id, (column, sql) = self._some_id(), self.rows.volatile[self.shape]
        result = self.session.run(f"UPDATE {self.table} SET {column} = {sql} WHERE id = %s RETURNING {column}", row_id)
        assert len(result.rows) == 1, result
        self.model.update(self.shape, row_id, {column: result.rows[0][0]})

    def update_another_column(self) -> None:
        for column, value in self.rows.kept(self.rng).items():
            row_id = self._some_id()
            self.session.run(f"UPDATE {self.table} SET {column} = %s WHERE id = %s", value, row_id)
            self.model.update(self.shape, row_id, {column: value})

    def update_by_value(self) -> None:
        new = self.rows.sample[self.shape](self.rng)
        ids = [i for i in self.model.rows if 100 <= i < 140]
        old = self._value(self.rng.choice(ids), self.first)
        where, arguments = self._where(f"u.{self.first}", old)
        ids = [i for i in ids if self._value(i, self.first) == old]
        for row_id in ids:
            self.model.update(self.shape, row_id, new)
        sets = ", ".join(f"{c} = %s" for c in new)
        sql = f"UPDATE {self.table} AS u SET {sets} WHERE u.id >= %s AND u.id < %s AND {where} RETURNING u.id"
        self._expect(sql, (*new.values(), 100, 140, *arguments), [(i,) for i in ids])

    def upsert(self) -> None:
        for row_id in (self._some_id(), self.model.new_id()):
            values = {**self._new_row()[1], "id": row_id}
            if row_id in self.model.rows:
                self.model.update(self.shape, row_id, {c: values[c] for c in self.focus})
            else:
                self.model.insert(self.shape, row_id, values)
            names, marks = ", ".join(self.columns), ", ".join(["%s"] * len(self.columns))
            sets = ", ".join(f"{c} = excluded.{c}" for c in self.focus)
            sql = (
                f"INSERT INTO {self.table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {sets} RETURNING *"
            )
            self._expect(sql, self._values(values), [self.model.row(self.shape, row_id)], self.columns)

    def insert_unless_there(self) -> None:
        values = {**self._new_row()[1], "id": self._some_id()}
        names, marks = ", ".join(self.columns), ", ".join(["%s"] * len(self.columns))
        sql = f"INSERT INTO {self.table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING RETURNING *"
        self._expect(sql, self._values(values), [])

    def update_in_a_cte(self) -> None:
        row_id, values = self._some_id(), self.rows.sample[self.shape](self.rng)
        sets, names = ", ".join(f"{c} = %s" for c in values), ", ".join(values)
        self.model.update(self.shape, row_id, values)
        sql = f"WITH w AS (UPDATE {self.table} SET {sets} WHERE id = %s RETURNING id, {names}) SELECT * FROM w"
        self._expect(sql, (*values.values(), row_id), [(row_id, *values.values())], ("id", *values))

    def transaction(self) -> None:
        """The first is rolled back and leaves nothing, the second stays."""
        row_id, values = self._some_id(), self.rows.sample[self.shape](self.rng)
        sets, names = ", ".join(f"{c} = %s" for c in values), ", ".join(values)
        before = tuple(self._value(row_id, c) for c in values)
        read = f"SELECT {names} FROM {self.table} WHERE id = %s FOR UPDATE"
        for end in ("ROLLBACK", "COMMIT"):
            self.session.run("BEGIN")
            self._expect(read, (row_id,), [before])
            self.session.run(f"UPDATE {self.table} SET {sets} WHERE id = %s", *values.values(), row_id)
            self._expect(read, (row_id,), [tuple(values.values())])
            self.session.run(end)
        self.model.update(self.shape, row_id, values)

    def delete(self) -> None:
        for row_id in self.rng.sample(sorted(i for i in self.model.rows if i > 1000), 4):
            row = self.model.row(self.shape, row_id)
            where, arguments = self._where(self.first, self._value(row_id, self.first))
            sql = f"DELETE FROM {self.table} WHERE id = %s AND {where} RETURNING *"
            self._expect(sql, (row_id, *arguments), [row], self.columns)
            del self.model.rows[row_id]


PIECES: tuple[Callable[[Traffic], None], ...] = (
    Traffic.read_whole_row,
    Traffic.read_nothing,
    Traffic.read_columns,
    Traffic.find_by_value,
    Traffic.count,
    Traffic.group,
    Traffic.join,
    Traffic.sub_select,
    Traffic.insert_returning,
    Traffic.insert_rows_without_column_list,
    Traffic.insert_without_managed_columns,
    Traffic.insert_from_select,
    Traffic.insert_that_fails,
    Traffic.update_returning,
    Traffic.update_one_column,
    Traffic.update_by_expression,
    Traffic.update_by_volatile_expression,
    Traffic.update_another_column,
    Traffic.update_by_value,
    Traffic.upsert,
    Traffic.insert_unless_there,
    Traffic.update_in_a_cte,
    Traffic.transaction,
    Traffic.delete,
)


class Clients:
    """A session of each driver per shape, kept open; each does everything on every rung."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self._world, self._stack = world, stack
        self._traffic: dict[Shape, list[Traffic]] = {}

    def join(self, shape: Shape) -> None:
        self._traffic[shape] = []
        for driver in DRIVERS:
            session = driver(self._world.proxy.url(shape.value))
            self._stack.callback(session.close)
            seed = f"{self._world.kind} {shape} {session.driver}"
            self._traffic[shape].append(Traffic(self._world, session, shape, seed))

    def leave(self, shape: Shape) -> list[Traffic]:
        return self._traffic.pop(shape)

    def work(self, phase: str, *, again: bool = False) -> None:
        """The shapes take turns, driver by driver, so that each finds rows that the other has just written."""
        do = Traffic.half if again else Traffic.everything
        for traffic in [t for pair in zip(*self._traffic.values(), strict=True) for t in pair]:
            do(traffic, phase)
        for shape in self._traffic:
            # A connection opened now has to find the same as one that has been there since the beginning.
            session = PsycopgPrepared(self._world.proxy.url(shape.value))
            try:
                Traffic(self._world, session, shape, f"{phase} {shape}").half(f"{phase}, opened now")
            finally:
                session.close()
        self._world.check_table(phase)
