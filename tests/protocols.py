"""`python -m tests.protocols`: the twin oracle on the wire, `make twin`.

Every case of `tests/cases` is sent to an unmigrated table directly and to a managed one through `pgjanus serve`, in
each way in which drivers send statements, in every phase of every strategy, up and down. Nothing of what the proxy says
is mended here: descriptions, errors and positions are compared as they come.

    simple      one Query message, parameters written into the text
    extended    an unnamed statement, parameters and results as text
    prepared    a named one: described, executed twice, and again after the next change of phase
    binary      parameters and results in binary
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum

import click
import psycopg
from psycopg import pq

from proxy.control.installation import install
from proxy.control.registry import CHANNEL
from proxy.database import connect
from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier, quote_literal
from rules.ddl import statements as ddl
from rules.ddl.attributes import attributes
from rules.ddl.copying import copying_ddl, copying_drop
from rules.ddl.guard import guard_ddl, guard_drop
from rules.loader import load_file
from rules.migration import ManagedTable
from rules.phases import CONTRACTED, HIDDEN_PREFIX, LADDERS, STATE_COLUMN, Phase, RowState, Shape, Strategy
from rules.spec import MigrationSpec
from tests.conftest import Database, StartProxy, running_proxies
from tests.twin import (
    CASES,
    TABLES,
    Answer,
    Case,
    Transcript,
    case_files,
    copied,
    copy_context,
    differences,
    read_cases,
    read_catalog,
    spread,
)

_MANAGED = ("users", "items")
_ACKNOWLEDGED_WITHIN_S = 30
_ROW_TYPE = -1
_FORGETS = re.compile(r"\b(discard|deallocate)\b", re.IGNORECASE)
_TAKES_COPY_DATA = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH)
_REGCLASS = 2205
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


_TABLES_AFTERWARDS = "; ".join(f"SELECT * FROM {t} ORDER BY id" for t in TABLES).encode()


class Way(Enum):
    SIMPLE = "simple"
    EXTENDED = "extended"
    PREPARED = "prepared"
    BINARY = "binary"


class Line:
    """One connection, and the statements that it has prepared. `origins` names a column by (table OID, attnum)."""

    def __init__(self, url: str, origins: Mapping[tuple[int, int], str]) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.origins = origins
        self.prepared: dict[Case, bytes] = {}
        self._aside = psycopg.connect(url, autocommit=True)
        self._encoded: dict[tuple[int, str], bytes | None] = {}

    def close(self) -> None:
        self.connection.close()
        self._aside.close()

    def transcript(self, case: Case, way: Way) -> Transcript:
        """What a client sees of the case, and the tables after it, in a transaction that is rolled back."""
        match way:
            case Way.SIMPLE:
                return self._in_transaction(case, lambda: self._simple(case))
            case Way.EXTENDED:
                return self._in_transaction(case, lambda: self._extended(case, binary=False))
            case Way.BINARY:
                return self._in_transaction(case, lambda: self._extended(case, binary=True))
            case Way.PREPARED:
                return self._in_transaction(case, lambda: self._prepared(case))

    def again(self, case: Case) -> Transcript:
        """Execute what an earlier call of `transcript` prepared."""
        return self._in_transaction(case, lambda: [("first", self._execute(self.prepared[case], case))])

    def _in_transaction(self, case: Case, send: Callable[[], Transcript]) -> Transcript:
        writes = case.may_write
        reset = "SELECT setval('public.users_id_seq', 100);" if writes else ""  # sequences are not rolled back
        self._must(f"ROLLBACK; BEGIN; SET LOCAL TimeZone = 'UTC'; {reset} SAVEPOINT before_it")
        found = send()
        status = pq.TransactionStatus(self.connection.pgconn.transaction_status)
        found.append(("transaction", Answer(status.name)))
        if writes:
            if status is pq.TransactionStatus.INERROR:
                self._must("ROLLBACK TO before_it")
            self.connection.pgconn.send_query(_TABLES_AFTERWARDS)
            found += [(f"table {t}", a) for t, a in zip(TABLES, list(self._results(ordered=True)), strict=False)]
        return found

    def rest(self) -> None:
        """End the transaction of the last transcript, which is otherwise ended by the next."""
        self._must("ROLLBACK")

    def _must(self, sql: str) -> None:
        result = self.connection.pgconn.exec_(sql.encode())
        assert result.status not in _FAILED, f"{sql}: {self.connection.pgconn.error_message.decode()}"

    def _simple(self, case: Case) -> Transcript:
        """All results of the text, each by its number."""
        self.connection.pgconn.send_query(inlined(case).encode())
        return [(f"result {i}", answer) for i, answer in enumerate(self._results(case.is_ordered, case.data), 1)]

    def _results(self, ordered: bool, data: bytes | None = None) -> Iterator[Answer]:
        pgconn = self.connection.pgconn
        while (result := pgconn.get_result()) is not None:
            if result.status in _TAKES_COPY_DATA:
                pgconn.put_copy_data(data or b"")
                pgconn.put_copy_end()
                continue
            answer = self._answer(result, ordered)
            if result.status == pq.ExecStatus.COPY_OUT:
                rows = list(copied(pgconn))
                answer = replace(answer, rows=tuple(rows if ordered else sorted(rows)))
            yield answer

    def _extended(self, case: Case, *, binary: bool) -> Transcript:
        pgconn = self.connection.pgconn
        prepared, types = self._prepare(b"", case)
        if prepared.sqlstate is not None:
            return [("parse", prepared)]
        values, formats = self._values(case, types) if binary else (_texts(case), None)
        pgconn.send_query_prepared(b"", values, formats, int(binary))
        results = list(self._results(case.is_ordered, case.data))
        if _is_late_mistake(prepared, results[0]):
            return [("parse", results[0])]
        return [("parse", prepared), *((f"result {i}", a) for i, a in enumerate(results, 1))]

    def _prepared(self, case: Case) -> Transcript:
        if case in self.prepared:
            self._must(f"DEALLOCATE {self.prepared.pop(case).decode()}")
        name = f"case_{abs(hash(case)):x}".encode()
        prepared, _ = self._prepare(name, case)
        if prepared.sqlstate is not None:
            self._must("ROLLBACK TO before_it")
            return [("parse", prepared)]
        found = [("parse", prepared), ("first", self._execute(name, case))]
        if _is_late_mistake(*(answer for _, answer in found)):
            self._must(f"ROLLBACK TO before_it; DEALLOCATE {name.decode()}")
            return [("parse", found[1][1])]
        self.prepared[case] = name
        if found[-1][1].sqlstate is not None:
            self._must("ROLLBACK TO before_it")
        return [*found, ("second", self._execute(name, case))]

    def _prepare(self, name: bytes, case: Case) -> tuple[Answer, list[int]]:
        """ParameterDescription and RowDescription as one answer."""
        pgconn = self.connection.pgconn
        result = pgconn.prepare(name, case.sql.encode())
        if result.status in _FAILED:
            return self._answer(result, ordered=True), []
        result = pgconn.describe_prepared(name)
        types = [result.param_type(i) for i in range(result.nparams)]
        return replace(self._answer(result, ordered=True), parameter_types=tuple(types)), types

    def _execute(self, name: bytes, case: Case) -> Answer:
        pgconn = self.connection.pgconn
        pgconn.send_query_prepared(name, _texts(case))
        answers = list(self._results(case.is_ordered, case.data))
        return answers[-1]

    def _values(self, case: Case, types: Sequence[int]) -> tuple[list[bytes | None], list[int]]:
        """Parameters in binary, as the server itself would write them; as text where they are mistakes."""
        values, formats = [], []
        for text, type_oid in zip(case.parameters, types, strict=False):
            binary = None if text is None else self._binary(type_oid, text)
            values.append(binary if binary is not None else None if text is None else text.encode())
            formats.append(int(binary is not None))
        return values, formats

    def _binary(self, type_oid: int, text: str) -> bytes | None:
        key = (type_oid, text)
        if key not in self._encoded:
            result = self._aside.pgconn.exec_params(b"SELECT $1", [text.encode()], [type_oid], None, 1)
            self._encoded[key] = None if result.status in _FAILED else result.get_value(0, 0)
        return self._encoded[key]

    def _answer(self, result: pq.abc.PGresult, ordered: bool) -> Answer:
        if result.status in _FAILED:
            position = result.error_field(pq.DiagnosticField.STATEMENT_POSITION)
            state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            hint = (result.error_field(pq.DiagnosticField.MESSAGE_HINT) or b"").decode()
            message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
            where = int(position) if position else None
            context = copy_context(state, result.error_field(pq.DiagnosticField.CONTEXT) or b"")
            return Answer("refused", (), (), state, where, f"{message} [{hint}]", context=context)
        fields = range(result.nfields)
        columns = tuple(
            (
                (result.fname(i) or b"").decode(),
                self.origins.get((result.ftype(i), _ROW_TYPE), result.ftype(i)),
                *(result.fmod(i), result.fformat(i)),
                self.origins.get((result.ftable(i), result.ftablecol(i)), ""),
            )
            for i in fields
        )
        rows = [tuple(self._value(result, r, c) for c in fields) for r in range(result.ntuples)]
        if not ordered:
            rows.sort(key=repr)
        return Answer((result.command_status or b"").decode(), columns, tuple(rows))

    def _value(self, result: pq.abc.PGresult, row: int, column: int) -> bytes | str | None:
        """A table's OID in binary says another number in another database, and means the same."""
        value = result.get_value(row, column)
        if value is not None and result.ftype(column) == _REGCLASS and result.fformat(column):
            return self.origins.get((int.from_bytes(value, "big"), 1), "")
        return value


def _is_late_mistake(prepared: Answer, executed: Answer) -> bool:
    """PostgreSQL looks at DDL only when it is executed; the proxy refuses its Parse, with the same words."""
    return executed.sqlstate is not None and not prepared.columns and not prepared.parameter_types


def _texts(case: Case) -> list[bytes | None]:
    return [None if p is None else p.encode() for p in case.parameters]


def inlined(case: Case) -> str:
    """The text with its parameters as literals."""

    def literal(match: re.Match[str]) -> str:
        value = case.parameters[int(match[1]) - 1]
        return "NULL" if value is None else quote_literal(value)

    return re.sub(r"\$(\d+)", literal, case.sql) if case.parameters else case.sql


@dataclass
class Difference:
    case: Case
    way: str
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.case} {self.way}, {self.where}: {self.case.sql}\n  {self.words}"


class Wire:
    """The managed tables behind a proxy, which `enter` puts into any phase, and their unmigrated twins."""

    def __init__(self, server: PostgresServer, start: StartProxy, stack: ExitStack) -> None:
        self._admin = stack.enter_context(psycopg.connect(server.url("postgres"), autocommit=True))
        self._stack = stack
        self._server = server
        self._expected: dict[tuple[Shape, Case, Way], Transcript] = {}
        self._direct: dict[Shape, Line] = {}
        for shape in Shape:
            plain = self._database(f"wire_{shape.value}", f"schema_{shape.value}.sql")
            self._direct[shape] = self._line(plain.url, plain)
        self._database_of_proxy = self._database("wire_managed", "schema_old.sql")
        self._control = self._database_of_proxy.connect()
        self._control.execute("CREATE SCHEMA kept")
        self._not_null: dict[str, list[str]] = {}
        catalog = read_catalog(self._database_of_proxy.url)
        for table in _MANAGED:
            self._control.execute(f"CREATE TABLE kept.{table}_kept AS TABLE public.{table}".encode())
            relation = catalog.relations[TableName("public", table)]
            self._not_null[table] = [quote_identifier(c.name) for c in relation.columns if c.not_null]
        asyncio.run(_install(self._database_of_proxy.url))
        self._proxy = start(self._database_of_proxy)
        self._lines: dict[Shape, Line] = {}
        self.compared = 0

    def _database(self, name: str, script: str) -> Database:
        self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        self._admin.execute(f"CREATE DATABASE {name}".encode())
        self._stack.callback(self._admin.execute, f"DROP DATABASE {name} WITH (FORCE)".encode())
        database = Database(name, self._server, self._stack)
        database.connect().execute((CASES / script).read_text().encode())
        return database

    def _line(self, url: str, database: Database) -> Line:
        line = Line(url, origins(database))
        self._stack.callback(line.close)
        return line

    # --- phases ----------------------------------------------------------------------------------------------

    def enter(self, strategy: Strategy, phase: Phase) -> None:
        """Put both tables into the phase, their rows as at the beginning, and wait until the proxy knows."""
        connection = self._control
        catalog = read_catalog(self._database_of_proxy.url)
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute("DELETE FROM pgjanus.migrations")
            for spec in (load_file(CASES / f"{table}.yaml") for table in _MANAGED):
                self._enter(spec, catalog.relations[spec.table], strategy, phase)
            epoch = self._raise_epoch()
        self._wait_for(epoch)
        for line in self._lines.values():
            line.origins = origins(self._database_of_proxy)

    def _enter(self, spec: MigrationSpec, relation: Relation, strategy: Strategy, phase: Phase) -> None:
        """From whatever phase the table is in. Its columns stay, as they do on a ladder."""
        connection = self._control
        managed = ManagedTable(replace(spec.compile(relation), strategy=strategy), phase, relation)
        table = relation.table.name
        statements = [s.sql for s in (*guard_drop(managed.migration), *copying_drop(managed.migration))]
        is_expanded = relation.column(STATE_COLUMN) is not None
        if is_expanded:
            statements += [ddl.drop_constraint(relation.table, ddl.gate_name(s)).sql for s in RowState]
            statements += [a.drop.sql for a in attributes(managed.migration)]
            new = [quote_identifier(c.physical) for c in ddl.new_columns(managed.migration)]
            statements += [f"ALTER TABLE {table} ALTER COLUMN {c} DROP NOT NULL" for c in new]
        plain = [c for c in relation.columns if not c.name.startswith(HIDDEN_PREFIX)]
        names = ", ".join(quote_identifier(c.name) for c in plain)
        statements.append(f"DELETE FROM {table}; INSERT INTO {table} ({names}) SELECT {names} FROM kept.{table}_kept")
        statements += [f"ALTER TABLE {table} ALTER COLUMN {c} SET NOT NULL" for c in self._not_null[table]]
        if phase.expanded and not is_expanded:
            statements += [s.sql for s in ddl.expand(managed.migration, relation)]
        elif is_expanded and not phase.expanded:
            statements += [s.sql for s in ddl.collapse(managed.migration)]
        for sql in statements:
            connection.execute(sql.encode())
        if phase.expanded:
            spread(connection, managed)
            for statement in (*guard_ddl(managed), *copying_ddl(managed)):
                connection.execute(statement.sql.encode())
        definition = json.dumps({**spec.to_json(), "strategy": strategy.value})
        connection.execute(
            "INSERT INTO pgjanus.migrations (name, table_schema, table_name, table_oid, definition, strategy, phase)"
            " VALUES (%s, 'public', %s, %s::regclass, %s, %s, %s)",
            (spec.migration, table, table, definition, strategy.value, phase.name),
        )

    def _raise_epoch(self) -> int:
        row = self._control.execute("UPDATE pgjanus.epoch SET epoch = epoch + 1 RETURNING epoch").fetchone()
        assert row is not None
        self._control.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(row[0])))
        return int(row[0])

    def _wait_for(self, epoch: int) -> None:
        deadline = time.monotonic() + _ACKNOWLEDGED_WITHIN_S
        while True:
            row = self._control.execute("SELECT min(epoch_acked), max(closed) FROM pgjanus.proxies").fetchone()
            if row is not None and row[0] is not None and row[0] >= epoch and row[1] is None:
                return
            assert time.monotonic() < deadline, f"the proxy does not follow ({row}); it said:\n{self._proxy.log}"
            time.sleep(0.01)

    # --- comparing -------------------------------------------------------------------------------------------

    def compare(self, cases: Iterable[tuple[Case, Sequence[Way]]], phase: Phase, shape: Shape) -> Iterator[Difference]:
        """The cases of one shape in their ways; first whatever was prepared before the phase changed, once again."""
        assert phase.policy is not None
        policy = f"{phase.policy.writes.value}_{phase.policy.reads.value}"
        if shape not in self._lines:
            self._lines[shape] = self._line(self._proxy.url(shape.value), self._database_of_proxy)
        line = self._lines[shape]
        for case, ways in cases:
            if shape not in case.shapes or case.exception == policy:
                continue
            for way in ways:
                if way is Way.PREPARED and _FORGETS.search(case.sql):
                    continue
                expected = self._expect(shape, case, way)
                if way is Way.PREPARED and case in line.prepared:
                    yield from self._differ(expected[1:2], line.again(case)[:1], case, "prepared before", phase, shape)
                yield from self._differ(expected, line.transcript(case, way), case, way.value, phase, shape)
        line.rest()

    def _expect(self, shape: Shape, case: Case, way: Way) -> Transcript:
        key = (shape, case, way)
        if key not in self._expected:
            self._expected[key] = self._direct[shape].transcript(case, way)
        return self._expected[key]

    def _differ(
        self, expected: Transcript, found: Transcript, case: Case, way: str, phase: Phase, shape: Shape
    ) -> Iterator[Difference]:
        self.compared += 1
        labels = [label for label, _ in expected], [label for label, _ in found]
        width = min(map(len, labels))
        words = differences(expected[:width], found[:width])
        if not words and labels[0] != labels[1]:
            words = [f"the answers are {labels[1]}, not {labels[0]}"]
        for text in words[:1]:
            yield Difference(case, way, f"{shape.value} shape in {phase.name}", text)


def origins(database: Database) -> dict[tuple[int, int], str]:
    """What a column is called for a client: reserved names without their prefix. A whole row is column 0.

    A table's row type is here as well, by (type OID, `_ROW_TYPE`).
    """
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT attrelid::int8, attnum, attrelid::regclass || '.' || replace(attname, '_pgjanus_', '')"
            " FROM pg_attribute WHERE attnum > 0 AND attrelid >= 16384"
            " UNION ALL SELECT oid::int8, 0, oid::regclass || '.*' FROM pg_class WHERE oid >= 16384"
            " UNION ALL SELECT reltype::int8, %s, oid::regclass || ' type' FROM pg_class WHERE reltype >= 16384",
            (_ROW_TYPE,),
        ).fetchall()
    return {(table, number): name for table, number, name in rows}


async def _install(url: str) -> None:
    connection = await connect(url)
    try:
        await install(connection)
    finally:
        await connection.close()


@contextmanager
def open_wire(server: PostgresServer) -> Iterator[Wire]:
    """Its databases are dropped and its proxy ended when it is closed."""
    with ExitStack() as stack:
        databases = stack.enter_context(ExitStack())
        start = stack.enter_context(running_proxies())
        yield Wire(server, start, databases)


def all_cases() -> list[Case]:
    return [case for file in case_files() for case in read_cases(file)]


def walk(strategy: Strategy) -> list[Phase]:
    """Every rung up to the last one with a policy, and down again."""
    up = [p for p in LADDERS[strategy] if p is not CONTRACTED]
    return [*up, *reversed(up[:-1])]


def shapes_in(phase: Phase) -> list[Shape]:
    return list(Shape) if phase.expanded else [Shape.OLD]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=int, default=18, help="PostgreSQL version of the wheel (16 or 18)")
    parser.add_argument("--strategy", choices=[s.value for s in Strategy], action="append")
    parser.add_argument("--way", choices=[w.value for w in Way], action="append")
    parser.add_argument("--file", action="append", help="cases of this file only")
    parser.add_argument("--up", action="store_true", help="do not walk down again")
    given = parser.parse_args()
    ways = [Way(w) for w in given.way or [w.value for w in Way]]
    cases = [c for c in all_cases() if not given.file or c.file in given.file]
    found = 0
    started = time.monotonic()
    with EmbeddedPostgres(given.server, settings=NOT_DURABLE) as server, open_wire(server) as wire:
        for strategy in [Strategy(s) for s in given.strategy or [s.value for s in Strategy]]:
            for phase in walk(strategy)[: len(LADDERS[strategy]) - 1 if given.up else None]:
                wire.enter(strategy, phase)
                for shape in shapes_in(phase):
                    before, compared = found, wire.compared
                    for difference in wire.compare([(c, ways) for c in cases], phase, shape):
                        found += 1
                        click.echo(f"\n{difference}")
                    done = f"{wire.compared - compared} compared, {found - before} differences"
                    click.echo(f"{strategy.value:10} {phase.name:13} {shape.value}  {done}")
    seconds = time.monotonic() - started
    click.echo(f"{len(cases)} cases, {wire.compared} comparisons, {found} differences in {seconds:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
