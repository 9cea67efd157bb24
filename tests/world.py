"""One migration's table behind a running proxy, and for every row what each shape has to see (`Model`).

What the other shape sees of a value is computed by PostgreSQL itself from `up` and `down`, without a table.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner

from proxy.catalog import load_relation
from proxy.cli import main
from proxy.database import connect
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier
from rules.loader import load_file
from rules.migration import Migration
from rules.phases import CONTRACTED, STATE_COLUMN, Shape
from tests.clients import Row
from tests.conftest import Database, RunningProxy
from tests.recipe_rows import MIGRATION_ROWS, MigrationRows, Values

#: Where a migration's YAML file and the SQL of its table may be.
FOLDERS = (Path(__file__).parents[1] / "rules/recipes", Path(__file__).parent / "cases")


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
