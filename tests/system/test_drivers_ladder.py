"""Every driver and tool at hand, with TLS and SCRAM; what was prepared before a phase change goes on working after it.

One table, one migration. Of each driver there is an application of the old shape and one of the new, connected
before the first step and never again; in each phase, up and down again, both write their row and read it back.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import ssl
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import pg8000.native
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from django.conf import settings as django_settings
from django.db import connections as django_connections
from django.db import models, transaction
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer, SystemPostgres
from proxy.ladder.climb import advance, rollback, start
from rules.phases import Shape
from tests.conftest import Database, RunningProxy, fresh_database, running_proxies
from tests.system.ladder_case import NAME, USERS, operator_of, spec
from tests.system.test_tls import Certificates

#: In one process, so that there is one server.
pytestmark = pytest.mark.xdist_group("drivers")

PASSWORD: Final = "correct horse"
#: Where a test may find the driver of node; `npm install pg` in tests/node is one way, Debian's node-pg another.
_NODE_MODULES: Final = (Path(__file__).parents[1] / "node", Path("/usr/share/nodejs"))
WALK: Final = ("writing_both", "reading_new", "new_only", "reading_new", "writing_both", "expanded")


@dataclass(frozen=True)
class Where:
    """One way through the proxy: a shape's port, and the row that belongs to this client alone."""

    shape: Shape
    port: int
    database: str
    row: int

    @property
    def columns(self) -> tuple[str, ...]:
        return ("full_name",) if self.shape is Shape.OLD else ("first_name", "last_name")

    def values(self, name: str) -> list[str]:
        return [name] if self.shape is Shape.OLD else name.split(" ", 1)

    def sql(self, place: Callable[[int], str]) -> tuple[str, str]:
        """To write and to read; `place` makes the n-th parameter."""
        assignments = ", ".join(f"{c} = {place(n)}" for n, c in enumerate(self.columns, 1))
        write = f"UPDATE users SET {assignments} WHERE id = {place(len(self.columns) + 1)}"
        return write, f"SELECT {', '.join(self.columns)} FROM users WHERE id = {place(1)}"


class Application(ABC):
    """One driver with one connection, which is made at once and closed by `close`."""

    def __init__(self, where: Where) -> None:
        self.where = where

    @abstractmethod
    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        """Write these into the row, with something prepared, and read them back, with something prepared."""

    @abstractmethod
    def close(self) -> None: ...


class Psycopg(Application):
    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._connection = psycopg.connect(_dsn(where), autocommit=True)

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        write, read = self.where.sql(lambda n: "%s")
        with self._connection.pipeline():
            self._connection.execute(write.encode(), (*values, self.where.row), prepare=True)
            found = self._connection.execute(read.encode(), (self.where.row,), prepare=True, binary=True)
        with self._connection.transaction(), self._connection.cursor("held") as cursor:
            cursor.execute(read.encode(), (self.where.row,))
            assert cursor.fetchall() == found.fetchall()
        with self._connection.cursor().copy(f"COPY users ({', '.join(self.where.columns)}) TO STDOUT".encode()) as copy:
            assert "\t".join(values).encode() in b"".join(bytes(part) for part in copy).splitlines()
        again = self._connection.execute(read.encode(), (self.where.row,), prepare=True).fetchone()
        assert again is not None
        return again

    def close(self) -> None:
        self._connection.close()


class Psycopg2(Application):
    """Which prepares with SQL only."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._connection = psycopg2.connect(_dsn(where))
        self._connection.autocommit = True
        write, read = where.sql(lambda n: f"${n}")
        with self._connection.cursor() as cursor:
            cursor.execute(f"PREPARE write AS {write}")
            cursor.execute(f"PREPARE read (int) AS {read}")

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        with self._connection.cursor() as cursor:
            places = ", ".join(["%s"] * (len(values) + 1))
            cursor.execute(f"EXECUTE write ({places})", (*values, self.where.row))
            assert cursor.rowcount == 1
            cursor.execute("EXECUTE read (%s)", (self.where.row,))
            (found,) = cursor.fetchall()
            return tuple(found)

    def close(self) -> None:
        self._connection.close()


class Asyncpg(Application):
    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._loop = asyncio.new_event_loop()
        self._run(self._open())

    def _run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    async def _open(self) -> None:
        where = self.where
        self._connection = await asyncpg.connect(
            host="127.0.0.1", port=where.port, database=where.database, user="ada", password=PASSWORD, ssl="require"
        )
        write, read = where.sql(lambda n: f"${n}")
        self._write, self._read = await self._connection.prepare(write), await self._connection.prepare(read)

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        self._run(self._write.fetch(*values, self.where.row))
        return tuple(self._run(self._read.fetchrow(self.where.row)))

    def close(self) -> None:
        self._run(self._connection.close())
        self._loop.close()


class Pg8000(Application):
    def __init__(self, where: Where) -> None:
        super().__init__(where)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._connection = pg8000.native.Connection(
            "ada", "127.0.0.1", where.database, where.port, PASSWORD, ssl_context=context
        )
        write, read = where.sql(lambda n: f":p{n}")
        self._write, self._read = self._connection.prepare(write), self._connection.prepare(read)

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        self._write.run(**{f"p{n}": value for n, value in enumerate((*values, self.where.row), 1)})
        (found,) = self._read.run(p1=self.where.row)
        return tuple(found)

    def close(self) -> None:
        self._connection.close()


class SqlAlchemy(Application):
    """Its ORM, which psycopg prepares for."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)

        class Base(DeclarativeBase):
            pass

        fields = {"id": mapped_column(sa.Integer, primary_key=True)}
        fields |= {column: mapped_column(sa.Text) for column in where.columns}
        self._model: Any = type("User", (Base,), {"__tablename__": "users", **fields})
        url = sa.URL.create("postgresql+psycopg", "ada", PASSWORD, "127.0.0.1", where.port, where.database)
        arguments = {"sslmode": "require", "prepare_threshold": 0}
        self._engine = sa.create_engine(url, pool_size=1, max_overflow=0, connect_args=arguments)

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        columns = self.where.columns
        with Session(self._engine) as session, session.begin():
            row = session.get_one(self._model, self.where.row)
            for column, value in zip(columns, values, strict=True):
                setattr(row, column, value)
        with Session(self._engine) as session:
            chosen = sa.select(*(getattr(self._model, c) for c in columns)).where(self._model.id == self.where.row)
            return tuple(session.execute(chosen).one())

    def close(self) -> None:
        self._engine.dispose()


class Django(Application):
    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._alias = where.shape.value
        django_connections.databases[self._alias] = django_connections.configure_settings(
            {
                "default": {},
                self._alias: {
                    "ENGINE": "django.db.backends.postgresql",
                    "HOST": "127.0.0.1",
                    "PORT": where.port,
                    "NAME": where.database,
                    "USER": "ada",
                    "PASSWORD": PASSWORD,
                    "OPTIONS": {"sslmode": "require", "prepare_threshold": 0},
                },
            }
        )[self._alias]
        fields = {column: models.TextField() for column in where.columns}
        meta = type("Meta", (), {"app_label": f"shop_{self._alias}", "managed": False, "db_table": "users"})
        self._model: Any = type("User", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        rows = self._model.objects.using(self._alias)
        with transaction.atomic(using=self._alias):
            row = rows.select_for_update().get(pk=self.where.row)
            for column, value in zip(self.where.columns, values, strict=True):
                setattr(row, column, value)
            row.save()
        # A cursor of the server's.
        (found,) = rows.filter(pk=self.where.row).values_list(*self.where.columns).iterator(chunk_size=10)
        return tuple(found)

    def close(self) -> None:
        django_connections[self._alias].close()


class Node(Application):
    """node-postgres, in a process of its own."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        directory = node_modules()
        assert directory is not None
        write, read = where.sql(lambda n: f"${n}")
        environment = {"ROW": str(where.row), "WRITE": write, "READ": read, "HOST": "127.0.0.1", "SSL": "1"}
        environment |= {"PORT": str(where.port), "DATABASE": where.database, "PASSWORD": PASSWORD}
        script = Path(__file__).parents[1] / "node" / "walk.mjs"
        self._process = subprocess.Popen(
            ["node", script],
            cwd=directory,
            env={**os.environ, **environment, "NODE_PATH": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def exchange(self, values: Sequence[str]) -> Sequence[str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(values)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        assert answer["count"] == 1
        return tuple(answer["row"])

    def close(self) -> None:
        assert self._process.stdin is not None
        with self._process:  # which closes its pipes, at which it ends, and waits
            self._process.stdin.close()
        assert self._process.returncode == 0


def node_modules() -> Path | None:
    """The directory from which node finds the driver."""
    given = os.environ.get("NODE_PATH")
    for directory in (*([Path(given)] if given else []), *_NODE_MODULES):
        command = ["node", "-e", "require('module').createRequire(process.cwd() + '/')('pg')"]
        if shutil.which("node") and directory.is_dir():
            if subprocess.run(command, cwd=directory, capture_output=True, timeout=30, check=False).returncode == 0:
                return directory
    return None


def _dsn(where: Where) -> str:
    return (
        f"host=127.0.0.1 port={where.port} dbname={where.database} user=ada password='{PASSWORD}' sslmode=require"
        " connect_timeout=20"
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[PostgresServer]:
    """It wants SCRAM, and encrypts if it can: the embedded ones are built without OpenSSL."""
    versions, settings = SystemPostgres.versions(), {**NOT_DURABLE, "wal_level": "logical"}
    made: PostgresServer
    if versions:
        made = SystemPostgres(versions[-1], settings=settings, auth="scram-sha-256")
    else:
        made = EmbeddedPostgres(18, settings=settings, auth="scram-sha-256")
    made.start()
    try:
        with psycopg.connect(made.url(), autocommit=True) as admin:
            if versions:
                key = made.directory / "server.pem"
                shutil.copy(certificates.server, key)
                key.chmod(0o600)
                if os.geteuid() == 0:
                    os.chown(key, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
                for name in ("ssl_cert_file", "ssl_key_file"):
                    admin.execute(f"ALTER SYSTEM SET {name} = '{key}'".encode())
                admin.execute("ALTER SYSTEM SET ssl = on")
                admin.execute("SELECT pg_reload_conf()")
            admin.execute(f"CREATE ROLE ada LOGIN REPLICATION PASSWORD '{PASSWORD}'".encode())
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def proxy(
    server: PostgresServer, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    config = tmp_path_factory.mktemp("proxy") / "pgjanus.yaml"
    config.write_text(f"client_tls: {{sslmode: require, cert_file: {certificates.proxy}}}")
    tls = f"?sslmode=verify-full&sslrootcert={certificates.ca[1]}" if SystemPostgres.versions() else ""
    with fresh_database(server) as database, running_proxies() as start_proxy:
        with database.connect() as direct:
            direct.execute(f"{USERS}; GRANT ALL ON users TO ada; GRANT CREATE ON SCHEMA public TO ada".encode())
        yield start_proxy(
            *(database, "--config", str(config), "--server", f"postgresql://127.0.0.1:{server.port}{tls}")
        )


DRIVERS: Final = (Psycopg, Psycopg2, Asyncpg, Pg8000, SqlAlchemy, Django)


def test_what_was_prepared_before_a_step_works_after_it(proxy: RunningProxy) -> None:
    if not django_settings.configured:
        django_settings.configure(DATABASES={}, USE_TZ=True)
        __import__("django").setup()
    database = proxy.database
    drivers = (*DRIVERS, *((Node,) if node_modules() else ()))
    asyncio.run(_step(database, "start"))
    with ExitStack() as stack:
        ports = {Shape.OLD: proxy.old_port, Shape.NEW: proxy.new_port}
        applications: list[Application] = []
        for number, (driver, shape) in enumerate((d, s) for d in drivers for s in Shape):
            application = driver(Where(shape, ports[shape], database.name, number + 1))
            stack.callback(application.close)
            applications.append(application)
        before = _exchange(database, applications, "expanded")
        for turn, phase in enumerate(WALK):
            asyncio.run(_step(database, phase))
            assert _exchange(database, applications, f"{phase}{turn}") == before, "nobody has connected again"


def test_node_is_among_them() -> None:
    if node_modules() is None:
        pytest.skip("no node-postgres: npm install --prefix tests/node (or Debian's nodejs and node-pg)")


def test_postgresqls_own_tools(proxy: RunningProxy, tmp_path: Path) -> None:
    dsn = f"host=127.0.0.1 port={proxy.old_port} dbname={proxy.database.name} user=ada sslmode=require"
    if not SystemPostgres.versions():
        pytest.skip("no PostgreSQL of the system: the tools of the wheel are built without OpenSSL (see test_tools.py)")

    def run(tool: str, *arguments: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            [proxy.database.server.bin / tool, *arguments], input=stdin, capture_output=True, timeout=60, check=False,
            env={**os.environ, "PGPASSWORD": PASSWORD},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    script = b"CREATE TABLE t (id int PRIMARY KEY, v text);\nCOPY t FROM STDIN;\n1\tone\n2\t\\N\n\\.\n"
    script += b"SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid();\n\\conninfo\n\\d t\n"
    said = run("psql", "-XAt", "-v", "ON_ERROR_STOP=1", dsn, stdin=script).decode()
    assert "t|TLSv1.3" in said and "SSL connection" in said and "id|integer||not null|" in said

    archive = run("pg_dump", "-Fc", "-t", "t", "-d", dsn)
    run("psql", "-X", dsn, "-c", "DROP TABLE t")
    run("pg_restore", "-d", dsn, stdin=archive)
    assert run("psql", "-XAt", dsn, "-c", "TABLE t") == b"1|one\n2|\n"

    pipeline = tmp_path / "pipeline.sql"
    pipeline.write_text("\\startpipeline\nSELECT 1;\nSELECT v FROM t;\n\\endpipeline\n")
    run("pgbench", "-i", "-q", dsn)
    for arguments in (("simple",), ("extended",), ("prepared",), ("prepared", "-f", str(pipeline))):
        text = run("pgbench", "-n", "-c", "2", "-t", "20", "-M", *arguments, dsn).decode()
        assert "transactions actually processed: 40/40" in text and "failed transactions: 0" in text

    run("pg_recvlogical", "-d", dsn, "--slot=s", "--create-slot", "-P", "test_decoding")
    run("psql", "-X", dsn, "-c", "INSERT INTO t VALUES (3, 'three')")
    end = run("psql", "-XAt", dsn, "-c", "SELECT pg_current_wal_insert_lsn()").decode().strip()
    changes = run("pg_recvlogical", "-d", dsn, "--slot=s", "--start", f"--endpos={end}", "--no-loop", "-f", "-")
    assert b"table public.t: INSERT: id[integer]:3 v[text]:'three'" in changes
    run("pg_recvlogical", "-d", dsn, "--slot=s", "--drop-slot")


def _exchange(database: Database, applications: Sequence[Application], name: str) -> int:
    """All of them; how many connections clients had made by then, as the server counts its processes."""
    for application in applications:
        where = application.where
        values = where.values(f"{name} {type(application).__name__}")
        assert tuple(application.exchange(values)) == tuple(values), (type(application).__name__, where, name)
    with database.connect() as direct:
        ((count,),) = direct.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ada'").fetchall()
    return int(count)


async def _step(database: Database, to: str) -> None:
    async with operator_of(database) as operator:
        if to == "start":
            await start(operator, spec())
            return
        (row,) = await operator.connection.fetch("SELECT phase FROM pgjanus.migrations")
        ladder = ("expanded", *WALK[:3])
        if ladder.index(to) > ladder.index(row["phase"]):
            await advance(operator, NAME, to)
        else:
            await rollback(operator, NAME, to)
