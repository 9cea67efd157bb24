"""COPY into a managed table, message by message: several statements in one text, failures in the middle, pipelines."""

from __future__ import annotations

import re
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
from tests.playbook import SYNC, RawClient, bind, describe, execute, kinds, parse, port_of, query
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
COPY_DONE, COPY_FAIL = message(b"c", b""), message(b"f", b"enough\0")
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
            if b"C23505" in body:  # where no trigger has to see each row, the text of its line is gone by then
                body = re.sub(rb'(WCOPY users, line \d+): "[^"]*"', rb"\1", body)
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


def script(shape: Shape) -> list[tuple[bytes, bytes, int]]:
    """Messages of the client's, and until which of the server's it waits before it goes on."""
    copy = COPY[shape]
    pipeline = parse("", copy) + bind("", "") + describe("P") + execute()
    bad = message(b"d", b"50\tA\tB\tC\tD\n")
    return [
        (query(copy), b"G", 1),  # the client gives up
        (lines(shape, 10) + COPY_FAIL, b"Z", 1),
        (query(copy), b"G", 1),  # a bad line, and more behind it
        (lines(shape, 10) + bad + lines(shape, 12) + COPY_DONE, b"Z", 1),
        (query(copy), b"G", 1),  # a duplicate
        (lines(shape, 10) + lines(shape, 10) + COPY_DONE, b"Z", 1),
        (query("BEGIN"), b"Z", 1),
        (query(copy), b"G", 1),
        (lines(shape, 10) + COPY_DONE, b"Z", 1),
        (query("SAVEPOINT s"), b"Z", 1),
        (query(f"SELECT 1; {copy}; SELECT 2"), b"G", 1),
        (bad + COPY_DONE, b"Z", 1),
        (query(copy), b"Z", 1),  # in a failed transaction
        (query("ROLLBACK TO s"), b"Z", 1),
        (query("COMMIT"), b"Z", 1),
        (pipeline + SYNC, b"G", 1),  # libpq's way
        (lines(shape, 20) + COPY_DONE + SYNC, b"Z", 1),
        (pipeline + SYNC + lines(shape, 30) + SYNC + COPY_DONE + SYNC, b"Z", 1),  # all at once
        (parse("p", copy) + bind("", "p") + execute() + lines(shape, 40) + COPY_DONE + SYNC, b"Z", 1),
        (bind("", "p") + execute() + lines(shape, 50) + COPY_FAIL + SYNC, b"Z", 1),
        (bind("", "p") + execute() + SYNC + bad + COPY_DONE + SYNC, b"Z", 1),
        (query("COPY (SELECT * FROM users ORDER BY id) TO STDOUT"), b"Z", 1),
    ]


@pytest.mark.parametrize("shape", Shape)
def test_every_failure_is_the_one_of_an_unmigrated_table(scene: Scene, shape: Shape) -> None:
    with scene.twin(shape) as twin, scene.client(shape) as client:
        for data, kind, times in script(shape):
            found = []
            for end in (twin, client):
                end.send(data)
                found.append(seen(end.until(kind, times)))
            assert found[0] == found[1], data


def test_a_copy_that_fails_before_it_reads_leaves_the_next_statement_rewritten(scene: Scene) -> None:
    """Then the Sync that was sent with it is answered, and another one ends nothing."""
    copy = COPY[Shape.NEW] + " (FREEZE)"
    with scene.client(Shape.NEW) as client:
        client.send(parse("", copy) + bind("", "") + execute() + SYNC)
        assert kinds(client.until(b"Z")) == "12GEZ"
        assert kinds(client.query("SELECT first_name FROM users")) == "TCZ"
        client.send(COPY_DONE + SYNC)
        assert kinds(client.until(b"Z")) == "Z"
        assert kinds(client.query("SELECT first_name FROM users")) == "TCZ"


def test_who_inserts_in_the_old_way_is_never_taken_for_the_client(scene: Scene) -> None:
    old_way = ("By Function", None, None, 0)
    with scene.client(Shape.NEW) as client:
        client.query("SET _pgjanus_.copy = 'new'")
        client.query("SELECT old_way(1)")
        client.send(query(f"SELECT old_way(2); {COPY[Shape.NEW]}; SELECT old_way(3)"))
        client.until(b"G")
        client.send(lines(Shape.NEW, 10), COPY_DONE)
        assert kinds(client.until(b"Z")) == "CTDCZ"
        client.query("RESET _pgjanus_.copy; BEGIN")
        client.send(query(COPY[Shape.NEW]))
        client.until(b"G")
        client.send(lines(Shape.NEW, 12), COPY_DONE)
        client.until(b"Z")
        client.query("SELECT old_way(4)")
        client.query("COMMIT")
        assert kinds(client.query("/*_pgjanus_copy_new*/SELECT old_way(5)")) == "EZ"
    stored = {row[0]: row[1:] for row in scene.stored()}
    assert stored.keys() == {1, 2, 3, 4, 10, 11, 12, 13}
    assert {stored[i] for i in (1, 3, 4)} == {old_way}
    assert {stored[i] for i in (10, 12)} == {("Ada Lovelace", "Ada", "Lovelace", 4)}


def test_a_text_wakes_the_triggers_if_it_begins_with_the_mark_and_if_it_sorts_beside_it_not(scene: Scene) -> None:
    mark = "/*_pgjanus_copy_{}*"
    asleep = ["", "-- ", " ", "/*_pgjanus_copies*/", "/*_pgjanus_copz*/", "/*_pgjanus_copy_*/", "/*_pgjanus_copy_olf*/"]
    asleep += [f"{mark.format(shape.value)}{end}*/" for shape in Shape for end in (".", "0", "", " ")]
    awake = [f"{mark.format('old')}/", f"{mark.format('old')}/ "]
    for number, beginning in enumerate([*asleep, *awake]):
        scene.direct.execute(f"{beginning}\nINSERT INTO users (id, full_name) VALUES ({number}, 'A B')".encode())
    states = [row[-1] for row in scene.stored()]
    assert states == [0] * len(asleep) + [4] * len(awake)


def test_a_client_that_dies_in_the_middle_leaves_nothing(scene: Scene) -> None:
    for shape in Shape:
        with scene.client(shape) as client:
            client.send(query(COPY[shape]))
            client.until(b"G")
            client.send(lines(shape, 10) * 1000 + lines(shape, 10)[:9])
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%COPY users%' AND pid <> pg_backend_pid()"
        while scene.direct.execute(running).fetchone() != (0,):
            pass  # the test's timeout ends it
    assert scene.stored() == []


TRIGGERS = """
ALTER TABLE users ADD COLUMN search text;
CREATE FUNCTION index_it() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.search := lower(NEW.full_name); RETURN NEW; END $$;
CREATE FUNCTION trim_it() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.full_name := trim(NEW.full_name); RETURN NEW; END $$;
CREATE TRIGGER a BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION trim_it();
CREATE TRIGGER b BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION index_it();
ALTER TABLE users ENABLE ALWAYS TRIGGER a; ALTER TABLE users ENABLE ALWAYS TRIGGER b;
CREATE ROLE {role} LOGIN; GRANT INSERT (id, full_name, _pgjanus_first_name, _pgjanus_last_name) ON users TO {role};
"""


def test_the_tables_own_triggers_see_what_they_see_in_an_insert(scene: Scene) -> None:
    """And for a role that may do no more than insert, and one that loads data as a replica."""
    role = f"copier_{scene.database.name}"
    scene.direct.execute(TRIGGERS.format(role=role).encode())
    try:
        for number, shape in enumerate(Shape):
            url = scene.proxy.url(shape.value).replace("postgres@", f"{role}@")
            with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
                with cursor.copy(COPY[shape].encode()) as copy:
                    copy.write(
                        LINES[shape].replace("Ada", " Ada" if shape is Shape.OLD else "Ada").format(number, number + 5)
                    )
            with psycopg.connect(scene.proxy.url(shape.value), autocommit=True) as connection:
                connection.execute("SET session_replication_role = replica")
                with connection.cursor().copy(COPY[shape].encode()) as copy:
                    copy.write(LINES[shape].format(number + 10, number + 15))
        found = scene.direct.execute("SELECT search, _pgjanus_first_name, _pgjanus_state FROM users").fetchall()
        assert sorted(found) == [("ada lovelace", "Ada", 4)] * 4 + [("plato", "Plato", 4)] * 4
    finally:
        scene.direct.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_an_error_of_the_conversion_shows_nothing_of_ours(scene: Scene) -> None:
    scene.direct.execute("ALTER TABLE users ADD CHECK (_pgjanus_first_name <> 'Plato')")
    with scene.client(Shape.OLD) as client:
        client.send(query(COPY[Shape.OLD]))
        client.until(b"G")
        client.send(lines(Shape.OLD, 10), COPY_DONE)
        [error] = [body for kind, body in client.until(b"Z") if kind == b"E"]
    assert b"_pgjanus_" not in error
    assert b'COPY users, line 2: "11\tPlato"' in error
