"""Every kind of statement, from one session of one shape; each answer is compared with the model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rules.phases import Shape
from tests.clients import Row, ServerError, Session
from tests.recipe_rows import Values
from tests.world import World, differences

UNIQUE_VIOLATION = "23505"


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
