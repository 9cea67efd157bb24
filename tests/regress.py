"""`make regress`: PostgreSQL's own regression suite through the proxy gives the files that it gives directly.

The suite of the installed server's version (`parallel_schedule`, two hundred files of psql) runs six times, each on a
new cluster: directly, through a proxy and directly again; without a migration, and with one that is active on a table
that the suite does not use. Not the expected files are compared, but what a direct run gave on the same machine: how a
distribution builds PostgreSQL shows in some. The second direct run tells which files vary by themselves (a plan that
depends on what a test beside it holds open): they are named, and the proxy has to give what one of the two gave.

The sources are not ours to ship: `--sources DIRECTORY`, or Debian's source package (`deb-src` in apt's sources), with
`postgresql-server-dev-VERSION` for the headers and for `pg_regress`.
"""

from __future__ import annotations

import difflib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import psycopg

from proxy.embedded import NOT_DURABLE, SystemPostgres
from tests.bench.ways import proxy_before

PROXIED: Final = "proxied"
WAYS: Final = ("direct", PROXIED, "again")
_DATABASE: Final = "regression"
_ACCOUNT: Final = "nobody"
#: As `pg_regress` sets them for a database that it makes itself.
_DATABASE_SETTINGS: Final = (
    *("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'"),
    *("bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"),
)
_BYSTANDER: Final = """
CREATE SCHEMA bystander;
CREATE TABLE bystander.standing_by (id bigint PRIMARY KEY, full_name text);
INSERT INTO bystander.standing_by SELECT g, 'First' || g || ' Last' || g FROM generate_series(1, 1000) g;
"""
_MIGRATION: Final = """
migration: split_full_name
table: bystander.standing_by
operations:
  - split_column:
      column: full_name
      into:
        first_name: {type: text, up: "split_part(full_name, ' ', 1)"}
        last_name: {type: text, up: "split_part(full_name, ' ', 2)"}
      down: "first_name || ' ' || last_name"
"""
#: Where the client connected to, which psql says after `\\c`.
_PORT: Final = re.compile(rb'port "?\d+"?')


@dataclass(frozen=True, slots=True)
class Suite:
    """`inputs`: src/test/regress of the sources; `library`: the folder with its compiled regress.so."""

    version: int
    inputs: Path
    library: Path
    runner: Path


def find_suite(version: int, sources: Path | None, work: Path) -> Suite:
    """The suite, its library compiled.

    Raises:
        click.ClickException: says what is missing, and how to get it.
    """
    runner = Path(f"/usr/lib/postgresql/{version}/lib/pgxs/src/test/regress/pg_regress")
    headers = Path(f"/usr/include/postgresql/{version}/server")
    if not runner.exists() or not headers.exists():
        raise click.ClickException(f"pg_regress is missing: apt-get install postgresql-server-dev-{version}")
    if sources is None:
        package = f"postgresql-{version}"
        installed = _output("dpkg-query", "--show", "--showformat=${Version}", package)
        fetched = subprocess.run(["apt-get", "source", "--quiet", "--quiet", f"{package}={installed}"], cwd=work)
        unpacked = sorted(work.glob(f"{package}-*/src/test/regress"))
        if fetched.returncode or not unpacked:
            raise click.ClickException(
                f"apt has no source package {package}={installed}: add deb-src to its sources, or give --sources"
            )
        inputs = unpacked[0]
    else:
        inputs = sources / "src/test/regress"
    own = work / "inputs"
    # A copy: the tests write there, as the account that the server runs as.
    shutil.copytree(inputs, own)
    subprocess.run(
        [
            *("gcc", "-O2", "-fPIC", "-shared", "-fno-strict-aliasing", "-fwrapv", f"-I{headers}"),
            *("-o", str(own / "regress.so"), str(own / "regress.c")),
        ],
        check=True,
    )
    return Suite(version, own, own, runner)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run_suite(suite: Suite, work: Path, way: str, *, migrating: bool) -> dict[str, bytes]:
    """What each file of the suite printed, by its name; `way` is one of WAYS."""
    name = f"{way}-{'migrating' if migrating else 'idle'}"
    outputs = work / name
    outputs.mkdir()
    shutil.chown(outputs, _ACCOUNT)
    began = time.monotonic()
    settings = {**NOT_DURABLE, "max_connections": "100", "max_prepared_transactions": "2", "autovacuum": "off"}
    with ExitStack() as stack:
        server = stack.enter_context(SystemPostgres(suite.version, settings=settings))
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE template0")
            for setting in _DATABASE_SETTINGS:
                admin.execute(f"ALTER DATABASE {_DATABASE} SET {setting}")
        old, _ = stack.enter_context(proxy_before(server, _DATABASE))
        if migrating:
            _start_migration(server.url(_DATABASE), work)
        account = pwd.getpwnam(_ACCOUNT)
        with (outputs / "log").open("wb") as log:
            subprocess.run(
                [
                    *(str(suite.runner), "--use-existing", f"--dbname={_DATABASE}", f"--bindir={server.bin}"),
                    *(f"--inputdir={suite.inputs}", f"--dlpath={suite.library}", f"--outputdir={outputs}"),
                    *(f"--schedule={suite.inputs / 'parallel_schedule'}", "--max-concurrent-tests=20"),
                    *("--host=127.0.0.1", f"--port={old if way == PROXIED else server.port}", "--user=postgres"),
                ],
                stdout=log,
                stderr=log,
                cwd=outputs,
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                env={"PATH": os.environ["PATH"], "HOME": str(outputs)},
                check=False,
            )
    results = {path.stem: _comparable(path.read_bytes(), name) for path in sorted(outputs.glob("results/*.out"))}
    click.echo(f"-- {name}: {len(results)} files in {time.monotonic() - began:.0f} s", err=True)
    return results


def _comparable(text: bytes, name: str) -> bytes:
    return _PORT.sub(b"port N", text).replace(name.encode(), b"RUN")


def _start_migration(url: str, work: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_BYSTANDER)
    file = work / "split.yaml"
    file.write_text(_MIGRATION)
    for command in (("start", str(file)), ("advance", "split_full_name", "--to", "writing_both")):
        subprocess.run(
            [sys.executable, "-m", "proxy", *command, "--database-url", url], check=True, capture_output=True
        )


def differing(proxied: dict[str, bytes], *direct: dict[str, bytes]) -> dict[str, list[str]]:
    """The files that are as in none of the direct runs, with the lines that differ from the first."""
    found = {}
    for name in sorted(proxied.keys() | direct[0].keys()):
        other = proxied.get(name, b"")
        if other not in [run.get(name, b"") for run in direct]:
            lines, others = (text.decode(errors="replace").splitlines() for text in (direct[0].get(name, b""), other))
            found[name] = list(difflib.unified_diff(lines, others, "direct", "other", lineterm="", n=2))
    return found


@click.command()
@click.option("--version", default=None, type=int, help="Of the system's PostgreSQL; the newest without it.")
@click.option("--sources", type=click.Path(exists=True, path_type=Path), help="PostgreSQL's, of that very version.")
@click.option("--lines", default=40, show_default=True, help="How much of each difference is shown.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for all results; it must not exist.")
def main(version: int | None, sources: Path | None, lines: int, keep: Path | None) -> None:
    """PostgreSQL's regression suite, directly and through the proxy."""
    installed = SystemPostgres.versions()
    if not installed:
        raise click.ClickException("there is no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
    work = Path(tempfile.mkdtemp(prefix="pgjanus-regress-"))
    work.chmod(0o755)
    count = 0
    try:
        suite = find_suite(version or installed[-1], sources, work)
        for path in (suite.inputs, *suite.inputs.rglob("*")):
            shutil.chown(path, _ACCOUNT)
        for migrating in (False, True):
            runs = {way: run_suite(suite, work, way, migrating=migrating) for way in WAYS}
            direct = [results for way, results in runs.items() if way != PROXIED]
            if not all(runs.values()):
                raise click.ClickException(next(work.glob("*/log")).read_text()[-2000:])
            found = differing(runs[PROXIED], *direct)
            count += len(found)
            for name, diff in found.items():
                click.echo(f"== {name}: {len(diff)} lines")
                click.echo("\n".join(diff[:lines]))
            vary = ", ".join(differing(*direct)) or "none"
            state = "a migration" if migrating else "no migration"
            click.echo(f"{state}: {len(direct[0])} files, {len(found)} differ; between two direct runs: {vary}")
    finally:
        if keep is not None:
            shutil.copytree(work, keep)
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
