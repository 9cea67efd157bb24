"""COPY into a managed table, message by message: several statements in one text, failures in the middle, pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.wire.messages import message
from rules.phases import Shape
from tests.conftest import Database, RunningProxy, StartProxy
from tests.playbook import RawClient, port_of, query
from tests.system.test_copy import MIGRATION, NAME, TABLE

#: Of each shape: a table that no migration knows, and a row for it.
COLUMNS = {
    Shape.OLD: "users (id int PRIMARY KEY, full_name text, age int DEFAULT 7)",
    Shape.NEW: "users (id int PRIMARY KEY, age int DEFAULT 7, first_name text, last_name text)",
}
COPY = {
    Shape.OLD: "COPY users (id, full_name) FROM STDIN",
    Shape.NEW: "COPY users (id, first_name, last_name) FROM STDIN",
}
LINES = {Shape.OLD: "{0}\tAda Lovelace\n{1}\tPlato\n", Shape.NEW: "{0}\tAda\tLovelace\n{1}\tPlato\t\\N\n"}
COPY_DONE = message(b"c", b"")
#: A function that knows nothing of the migration.
OLD_WAY = """
CREATE FUNCTION old_way(id int) RETURNS int LANGUAGE sql AS
$$ INSERT INTO public.users (id, full_name) VALUES (id, 'By Function') RETURNING 1 $$"""


def lines(shape: Shape, first: int) -> bytes:
    return message(b"d", LINES[shape].format(first, first + 1).encode())


@dataclass
class Scene:
    database: Database
    proxy: RunningProxy
    direct: psycopg.Connection[Any]

    def client(self, shape: Shape) -> RawClient:
        return RawClient(port_of(self.proxy.url(shape.value)), self.database.name)

    def twin(self, shape: Shape) -> RawClient:
        """A client of the server itself whose `users` is a table of its own."""
        schema = f"plain_{shape.value}"
        self.direct.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}".encode())
        self.direct.execute(f"CREATE TABLE {schema}.{COLUMNS[shape]}".encode())
        options = {"options": f"-c search_path={schema}"}
        return RawClient(self.database.server.port, self.database.name, options)

    def stored(self) -> list[tuple[Any, ...]]:
        return self.direct.execute(
            "SELECT id, full_name, _pgjanus_first_name, _pgjanus_last_name, _pgjanus_state FROM users ORDER BY id"
        ).fetchall()


@pytest.fixture
def scene(database: Database, start_proxy: StartProxy, tmp_path: Any) -> Iterator[Scene]:
    """In phase `writing_both`, without a guard: what is converted has been converted for the COPY."""
    direct = database.connect()
    direct.execute(f"{TABLE}; {OLD_WAY}".encode())
    file = tmp_path / "migration.yaml"
    file.write_text(MIGRATION.format(strategy="dual_write", guard="off"))
    proxy = start_proxy(database)
    for command in (["start", str(file)], ["advance", NAME, "--to", "writing_both"]):
        result = CliRunner().invoke(main, [*command, "--database-url", database.url])
        assert result.exit_code == 0, result.output
    yield Scene(database, proxy, direct)
    assert proxy.stop() == 0


def seen(messages: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What the client is told; of errors all but the place in PostgreSQL's source."""
    found = []
    for kind, body in messages:
        if kind in b"EN" and kind:
            body = b"\0".join(field for field in body.split(b"\0") if field[:1] not in (b"F", b"L", b"R", b"s"))
        found.append((kind, body))
    return found


SEVERAL = "SELECT 1; {copy}; SELECT 2; /* again */ {copy} -- and on\n; SELECT count(*) FROM users"


@pytest.mark.parametrize("shape", Shape)
def test_several_statements_in_one_text_are_answered_as_ever(scene: Scene, shape: Shape) -> None:
    found = []
    with scene.twin(shape) as twin, scene.client(shape) as client:
        for end in (twin, client):
            answers = []
            end.send(query(SEVERAL.format(copy=COPY[shape])))
            answers += end.until(b"G")
            end.send(lines(shape, 10), COPY_DONE)
            answers += end.until(b"G")
            end.send(lines(shape, 12), COPY_DONE)
            answers += end.until(b"Z")
            found.append(seen(answers))
    assert found[0] == found[1]
    assert [row[1:] for row in scene.stored()] == [
        ("Ada Lovelace", "Ada", "Lovelace", 4),
        ("Plato", "Plato", None, 4),
    ] * 2
