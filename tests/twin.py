"""The twin oracle: a statement on an unmigrated table and, rewritten, on a managed one must be indistinguishable.

`Twin` builds both databases for one phase and shape. The managed table starts with rows in every state that the
phase allows, and whatever a row state says is not valid is filled with rubbish, so that a statement that reads or
keeps it is found out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

from proxy.catalog import load_catalog
from proxy.database import connect
from proxy.embedded import PostgresServer
from rules.catalog import Catalog
from rules.changes import quote_identifier
from rules.ddl import statements as ddl
from rules.ddl.copying import copying_ddl
from rules.loader import load_file
from rules.migration import Client, ManagedTable
from rules.phases import LADDERS, STATE_COLUMN, Phase, Reads, RowState, Shape, Writes
from rules.plan import FieldPatch, Plan, Refuse, Rewrite, Untouched
from rules.planner import plan
from rules.reads import converted
from rules.snapshot import Snapshot

CASES = Path(__file__).parent / "cases"
_PLANS = 50
_FIRST_USER_OID = 16384
#: Signature, flags, length of the header's extension.
BINARY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TABLES = ["users", "items", "orders", "people"]
_WRITES = re.compile(r"\b(insert|update|delete|merge|copy|truncate|alter|execute|call|nextval)\b", re.IGNORECASE)
#: Files of another kind. `schema_*.sql`, and the tables of a migration file of the same name, are none either.
_NO_CASES = {"refused.sql"}


def case_files() -> list[str]:
    """Every file of statements that a client may send: add one to the folder and it is run."""
    return sorted(
        str(p.relative_to(CASES))
        for p in CASES.rglob("*.sql")
        if p.name not in _NO_CASES
        and not p.name.startswith("schema_")
        and not p.with_suffix(".yaml").exists()
        # Those of other tables are run by tests/system/test_introspection.py and tests/system/test_partitions.py.
        and p.parent.name not in ("introspection", "partitions")
    )


@dataclass(frozen=True)
class Case:
    """One statement of a case file.

    `parameters` are texts for $1, $2, …; `shapes` those that it is written for; `exception` a policy in which it
    differs; `ordered` whether the order of its rows counts (None: if it has an ORDER BY); `data` what a COPY gets.
    """

    file: str
    line: int
    sql: str
    shapes: tuple[Shape, ...]
    parameters: tuple[str | None, ...]
    exception: str = ""
    ordered: bool | None = None
    data: bytes | None = None
    #: Type OIDs that the client declares for its parameters, 0 for one that PostgreSQL shall infer.
    types: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def may_write(self) -> bool:
        """Whether the tables are to be looked at afterwards."""
        return _WRITES.search(self.sql) is not None

    @property
    def is_ordered(self) -> bool:
        return "order by" in self.sql.lower() if self.ordered is None else self.ordered


def read_cases(name: str) -> Iterator[Case]:
    """Blocks apart by blank lines, options in front: `-- shape: old`, `-- params: a | b`, `-- except: policy`.

    Each `-- data:` is one line for COPY … FROM STDIN.
    """
    text = (CASES / name).read_text()
    line = 1
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.split("\n")
        options = dict(re.findall(r"^-- (shape|params|except): ?(.*)$", block, re.MULTILINE))
        sql = "\n".join(x for x in lines if not x.startswith("-- ")).strip()
        shapes = {"old": (Shape.OLD,), "new": (Shape.NEW,), "both": (Shape.OLD, Shape.NEW)}[
            options.get("shape", "both")
        ]
        parameters = (
            tuple(None if p == "NULL" else p for p in options["params"].split(" | ")) if "params" in options else ()
        )
        if sql:
            first = next(i for i, x in enumerate(lines) if x and not x.startswith("-- "))
            sent = re.findall(r"^-- data: ?(.*)$", block, re.MULTILINE)
            data = "".join(f"{x}\n" for x in sent).encode() if sent else None
            exception = options.get("except", "").partition(" ")[0]
            yield Case(name, line + first, sql, shapes, parameters, exception, data=data)
        line += len(lines) + 1


@dataclass(frozen=True)
class Answer:
    """All that a client sees of one statement; `by_planner` says that the server never saw it."""

    status: str
    columns: tuple[tuple[Any, ...], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    sqlstate: str | None = None
    position: int | None = None
    message: str = ""
    parameter_types: tuple[int, ...] = ()
    by_planner: bool = False
    #: Of an error within COPY: which line it was.
    context: str = ""

    def comparable(self) -> tuple[Any, ...]:
        return (self.status, self.columns, self.rows, self.sqlstate, self.position, self.parameter_types, self.context)


Transcript = list[tuple[str, Answer]]


def differences(direct: Transcript, managed: Transcript) -> list[str]:
    """What a client could tell apart, in words."""
    names = ("tag", "columns", "rows", "SQLSTATE", "position", "parameter types", "context")
    return [
        f"{what} ({', '.join(n for n, x, y in zip(names, a.comparable(), b.comparable(), strict=True) if x != y)}):"
        f"\n    direct:  {_shown(a)}\n    managed: {_shown(b)}"
        for (what, a), (_, b) in zip(direct, managed, strict=False)  # after a failure there is nothing more to see
        if a.comparable() != b.comparable()
    ]


class Twin:
    """`direct` has the shape as a plain table; `managed` the expanded one, in `phase`.

    `expected` keeps what `direct` says, for all twins that share it.
    """

    def __init__(
        self,
        direct: psycopg.Connection[Any],
        managed: psycopg.Connection[Any],
        snapshot: Snapshot,
        shape: Shape,
        planner: Callable[[str, Snapshot, Client], Plan] = plan,
        expected: dict[Case, Transcript] | None = None,
    ) -> None:
        self.direct, self.managed, self.snapshot = direct, managed, snapshot
        self._expected = {} if expected is None else expected
        self.client = Client(shape)
        self._planner = planner
        self._names: dict[tuple[int, int, int], str] = {}
        self._plans: dict[str, Plan] = {}

    def run(self, case: Case, tables: list[str]) -> list[str]:
        """Run the case on both sides in a transaction that is rolled back; the differences, in words.

        Always with the same tables: what the plain table says is kept.
        """
        if case not in self._expected:
            self._expected[case] = self.transcript(case, tables, rewrite=False)
        return differences(self._expected[case], self.transcript(case, tables, rewrite=True))

    def transcript(self, case: Case, tables: list[str], *, rewrite: bool) -> Transcript:
        """The answer and the tables afterwards, of one side only: the managed one if `rewrite`."""
        connection = self.managed if rewrite else self.direct
        found: Transcript = []
        # What is drawn from a sequence is not given back at the end.
        again = "SELECT setval('public.users_id_seq', 100);" if case.may_write else ""
        connection.execute(f"BEGIN; SET LOCAL TimeZone = 'UTC'; {again}".encode())
        try:
            answer = self._answer(connection, case.sql, case.parameters, rewrite, case.ordered, case.data, case.types)
            found.append(("answer", answer))
            for table in tables if case.may_write and answer.sqlstate is None else ():
                found.append(
                    (f"table {table}", self._answer(connection, f"SELECT * FROM {table} ORDER BY id", (), rewrite))
                )
        finally:
            connection.execute("ROLLBACK")
        return found

    @property
    def is_expanded(self) -> bool:
        return all(t.phase.expanded for t in self.snapshot.tables.values())

    def forget_plans(self) -> None:
        """For when another planner answers from now on: that of a mutant, or again the whole one."""
        self._plans.clear()

    def planned(self, sql: str) -> Plan:
        """What the planner says, asked once for as long as other texts are not more in demand."""
        if sql not in self._plans:
            if len(self._plans) >= _PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[sql] = self._planner(sql, self.snapshot, self.client)
        else:
            self._plans[sql] = self._plans.pop(sql)
        return self._plans[sql]

    def _answer(
        self,
        connection: psycopg.Connection[Any],
        sql: str,
        parameters: tuple[str | None, ...],
        rewrite: bool,
        ordered: bool | None = None,
        data: bytes | None = None,
        declared: tuple[int, ...] = (),
    ) -> Answer:
        sent, positions = sql, None
        head: tuple[FieldPatch | None, ...] = ()
        tail: tuple[FieldPatch | None, ...] = ()
        if rewrite:
            decided = self.planned(sql)
            match decided:
                case Refuse(refusal=refusal):
                    position = None if refusal.position is None else refusal.position + 1
                    return Answer(
                        "refused", (), (), refusal.sqlstate, position, f"{refusal} [{refusal.hint}]", (), True
                    )
                case Rewrite():
                    sent, positions = decided.sql, decided.positions
                    if decided.results and decided.results[-1]:
                        head, tail = decided.results[-1].head, decided.results[-1].tail
                case Untouched():
                    pass
        pgconn = connection.pgconn
        types: tuple[int, ...] = ()
        if parameters:
            result = pgconn.prepare(b"", sent.encode(), declared or None)
            if result.status == pq.ExecStatus.COMMAND_OK:
                described = pgconn.describe_prepared(b"")
                types = tuple(described.param_type(i) for i in range(described.nparams))
                values: list[Any] = [None if p is None else p.encode() for p in parameters]
                result = pgconn.exec_prepared(b"", values)
        else:
            result = pgconn.exec_(sent.encode())
        lines: list[tuple[Any, ...]] = []
        if result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT):
            result = copy_through(pgconn, result, data or b"", lines)
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
            raw = result.error_field(pq.DiagnosticField.STATEMENT_POSITION)
            position = int(raw) if raw else None
            if position is not None and positions is not None:
                position = positions.to_client(position - 1) + 1
            state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            context = copy_context(state, result.error_field(pq.DiagnosticField.CONTEXT) or b"")
            message = pgconn.error_message.decode() + f"\n    sent: {sent}"
            return Answer("refused", (), (), state, position, message, context=context)
        columns = []
        for i in range(result.nfields):
            patch = head[i] if i < len(head) else None
            if i >= result.nfields - len(tail):
                patch = tail[i - result.nfields + len(tail)]
            name = (result.fname(i) or b"").decode()
            origin = (result.ftable(i), result.ftablecol(i))
            type_oid, typmod = result.ftype(i), result.fmod(i)
            if patch is not None:
                name += "" if patch.name == name else f" (patched as {patch.name})"
                own = patch.describe(type_oid, typmod)
                if own is not None:
                    origin, type_oid, typmod = (own[0], own[1]), own[2], own[3]
            columns.append((name, self._type(connection, type_oid), typmod, self.origin(connection, origin)))
        rows = lines or [tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples)]
        if not ("order by" in sql.lower() if ordered is None else ordered):
            rows.sort(key=repr)
        status = (result.command_status or b"").decode()
        return Answer(status, tuple(columns), tuple(rows), None, None, f"sent: {sent}", types)

    def _type(self, connection: psycopg.Connection[Any], type_oid: int) -> int | str:
        """Row types have another OID in each database, but the same name."""
        if type_oid < _FIRST_USER_OID:
            return type_oid
        key = (id(connection), type_oid, -1)
        if key not in self._names:
            row = connection.execute("SELECT %s::regtype::text", (type_oid,)).fetchone()
            assert row is not None
            self._names[key] = row[0]
        return self._names[key]

    def origin(self, connection: psycopg.Connection[Any], origin: tuple[int, int]) -> str:
        key = (id(connection), *origin)
        if origin[0] == 0:
            return ""
        if key not in self._names:
            row = connection.execute(
                "SELECT c.oid::regclass || '.' || coalesce(replace(attname, '_pgjanus_', ''), 'whole row')"
                " FROM pg_class c LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum = %s WHERE c.oid = %s",
                origin[::-1],
            ).fetchone()
            self._names[key] = row[0] if row else str(origin)
        return self._names[key]


def copied(pgconn: pq.abc.PGconn) -> Iterator[tuple[bytes]]:
    """What a COPY … TO STDOUT that has begun sends, row by row."""
    size, data = pgconn.get_copy_data(0)
    while size > 0:
        line = bytes(data)
        if line.startswith(BINARY_HEADER):  # comes together with the first row
            yield (BINARY_HEADER,)
            line = line.removeprefix(BINARY_HEADER)
        yield (line,)
        size, data = pgconn.get_copy_data(0)


def copy_through(pgconn: pq.abc.PGconn, result: pq.abc.PGresult, data: bytes, rows: list[Any]) -> pq.abc.PGresult:
    """Finish a COPY that has begun: send all data, or append what comes to `rows`."""
    if result.status == pq.ExecStatus.COPY_IN:
        pgconn.put_copy_data(data)
        pgconn.put_copy_end()
    else:
        rows += copied(pgconn)
    last = result
    while (found := pgconn.get_result()) is not None:
        last = found
    return last


def copy_context(sqlstate: str, context: bytes) -> str:
    """The lines of an error's context that speak of COPY.

    PostgreSQL inserts many rows at once where no trigger has to see each of them, and then finds a duplicate key when
    it does not have the text of the line any more.
    """
    lines = [x for x in context.decode().replace("_pgjanus_", "").splitlines() if x.startswith("COPY ")]
    return re.sub(r"(, line \d+): .*", r"\1", "\n".join(lines)) if sqlstate == "23505" else "\n".join(lines)


def _shown(answer: Answer) -> str:
    if answer.sqlstate is not None:
        return f"{answer.sqlstate} at {answer.position}: {answer.message.strip()} {answer.context}"
    return f"{answer.status} {answer.columns} {answer.rows} {answer.parameter_types} {answer.message}"


@contextmanager
def open_twins(
    server: PostgresServer, alter: Callable[[str], str] = lambda schema: schema, *, prefix: str = ""
) -> Iterator[Callable[[Phase, Shape], Twin]]:
    """A factory of twins on `server`; their databases are dropped at the end.

    `alter` makes other tables of the schema's text, in databases whose names begin with `prefix`.
    """
    made: list[tuple[str, psycopg.Connection[Any]]] = []
    directs: dict[Shape, tuple[psycopg.Connection[Any], dict[Case, Transcript]]] = {}
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:

        def open_database(name: str, script: str) -> psycopg.Connection[Any]:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name}".encode())
            connection = psycopg.connect(server.url(name), autocommit=True)
            made.append((name, connection))
            connection.execute(alter((CASES / script).read_text()).encode())
            return connection

        def make(phase: Phase, shape: Shape) -> Twin:
            label = policy_name(phase, shape).replace("-", "_")
            if shape not in directs:
                directs[shape] = (open_database(f"{prefix}twin_{shape.value}", f"schema_{shape.value}.sql"), {})
            direct, expected = directs[shape]
            managed = open_database(f"{prefix}managed_{label}", "schema_old.sql")
            url = server.url(f"{prefix}managed_{label}")
            catalog = read_catalog(url)
            specs = [load_file(CASES / f"{t}.yaml") for t in ("users", "items")]
            if phase.expanded:
                for spec in specs:
                    relation = catalog.relations[spec.table]
                    expand(managed, ManagedTable(spec.compile(relation), phase, relation))
                catalog = read_catalog(url)
            tables = {}
            for spec in specs:
                relation = catalog.relations[spec.table]
                tables[spec.table] = ManagedTable(spec.compile(relation), phase, relation)
                parts = catalog.partitions_of(relation.oid)
                tables |= {part.table: tables[spec.table].partition(part) for part in parts}
            return Twin(direct, managed, Snapshot(1, catalog, tables), shape, expected=expected)

        yield make
        for name, connection in made:
            connection.close()
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())  # made twice: only the first is left


def policy_name(phase: Phase, shape: Shape) -> str:
    """A name such as `both_old-new`: writes, reads, shape."""
    assert phase.policy is not None
    return (
        f"{phase.policy.writes.value}_{phase.policy.reads.value}{'' if phase.expanded else '_announced'}-{shape.value}"
    )


def read_catalog(url: str) -> Catalog:
    """The catalog as a proxy reads it."""

    async def load() -> Catalog:
        connection = await connect(url)
        try:
            return await load_catalog(connection)
        finally:
            await connection.close()

    return asyncio.run(load())


def phases() -> list[Phase]:
    """Every distinct policy of all ladders, and `announced`."""
    seen: dict[object, Phase] = {}
    for ladder in LADDERS.values():
        for phase in ladder:
            if phase.policy is not None:
                seen.setdefault((phase.policy, phase.expanded), phase)
    return list(seen.values())


def expand(connection: psycopg.Connection[Any], table: ManagedTable) -> None:
    """Expand a plain table of the old shape and put its rows into the states that the phase allows, in turn."""
    for statement in ddl.expand(table.migration, table.relation):
        connection.execute(statement.sql.encode())
    spread(connection, table)
    connection.execute("CREATE SCHEMA IF NOT EXISTS pgjanus")
    for statement in copying_ddl(table):
        connection.execute(statement.sql.encode())


def spread(connection: psycopg.Connection[Any], table: ManagedTable) -> None:
    """Put rows that are all in state `old` into the states that the phase allows, in turn, and close its gate."""
    name = f"{quote_identifier(table.relation.table.schema)}.{quote_identifier(table.relation.table.name)}"
    connection.execute(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS _pgjanus_gate_new".encode())
    into_new = [
        (c.physical, converted(change, c, Shape.NEW, "")) for change in table.migration.changes for c in change.new
    ]
    sets = ", ".join(f"{quote_identifier(column)} = {sql}" for column, sql in into_new)
    connection.execute(f"UPDATE {name} SET {sets}, {STATE_COLUMN} = 4 + id % 2".encode())
    reads = table.policy.reads
    allowed = [s for s in RowState if s is not reads.forbids]
    # A phase that only old-format writers and their neighbour have been in cannot have rows in state new yet.
    if reads is Reads.OLD:
        allowed = [RowState.OLD, RowState.BOTH]
    for i, state in enumerate(allowed):
        spoil: list[str] = []
        for change in table.migration.changes:
            if state is RowState.OLD:
                spoil += [f"{quote_identifier(c.physical)} = {_rubbish(c.type)}" for c in change.new if change.old]
                spoil += [f"{quote_identifier(c.physical)} = NULL" for c in change.new if not change.old]
            if state is RowState.NEW and change.new:
                spoil += [f"{quote_identifier(c.physical)} = {_rubbish(c.type)}" for c in change.old]
        rest = "".join(f", {x}" for x in spoil)
        where = f"id % {len(allowed)} = {i}"
        connection.execute(
            f"UPDATE {name} SET {STATE_COLUMN} = {state.lowest} + id / 3 % 2{rest} WHERE {where}".encode()
        )
    if reads is Reads.NEW:
        for column in ddl.new_columns(table.migration):
            if column.not_null:
                connection.execute(f"ALTER TABLE {name} ALTER COLUMN {column.physical} SET NOT NULL".encode())
    if table.policy.writes is Writes.NEW:
        for old in ddl.old_columns(table.migration):
            connection.execute(f"ALTER TABLE {name} ALTER COLUMN {old.physical} DROP NOT NULL".encode())
    forbidden = reads.forbids
    if forbidden is not None:
        connection.execute(ddl.add_gate(table.relation.table, forbidden).sql.encode())


def _rubbish(type_name: str) -> str:
    """A value that no case expects; NULL for types in which '77' is none."""
    return f"'77'::{type_name}" if re.fullmatch(r"text|(char|int|numeric|smallint|bigint)[^[]*", type_name) else "NULL"
