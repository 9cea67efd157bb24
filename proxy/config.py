"""The settings of `serve`: addresses, limits, and which clients see which shape."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proxy.errors import SettingsError
from rules.phases import Shape

_DEFAULT_PORT: Final = 5432
_SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address, or (`port` 0) the path of a unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str, option: str) -> Address:
    """`host:port`, `:port` (all interfaces) or `[::1]:port`.

    Raises:
        SettingsError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{option} {text!r} is not an address: write it as host:port, such as 127.0.0.1:6432")
    return Address(host.strip("[]") or "0.0.0.0", int(port))


class TlsMode(Enum):
    """The six modes of libpq and PgBouncer."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def verifies(self) -> bool:
        """Whether the other side has to have a certificate of an authority that we trust."""
        return self in (TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL)

    @property
    def requires(self) -> bool:
        return self.verifies or self is TlsMode.REQUIRE


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Encryption between the proxy and PostgreSQL, in libpq's words. Nothing is read from a home directory.

    `allow` is `prefer`: PgBouncer, too, does not try without first.
    """

    sslmode: TlsMode = TlsMode.DISABLE
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Where PostgreSQL is, and the database that is managed, if the URL names one."""

    address: Address
    database: str | None
    tls: ServerTls = ServerTls()


def read_server_url(text: str, option: str) -> ServerUrl:
    """`postgresql://host[:port][/database]`; `?host=/directory` for a unix socket. Credentials are not used.

    `sslmode`, `sslrootcert`, `sslcert` and `sslkey` mean what they mean to libpq, but for the default, `disable`.

    Raises:
        SettingsError: it is no such URL.
    """
    wrong = SettingsError(
        f"{option} {_without_password(text)!r} is not a URL of the form postgresql://host:5432/database"
    )
    try:
        url = urlsplit(text)
        port = url.port or _DEFAULT_PORT
        query = parse_qs(url.query)
    except ValueError as error:
        raise wrong from error
    if url.scheme not in ("postgresql", "postgres"):
        raise wrong
    host = unquote(url.hostname or "") or query.get("host", ["localhost"])[0]
    if query.get("port", [""])[0].isdigit():
        port = int(query["port"][0])
    address = Address(f"{host}/.s.PGSQL.{port}", 0) if host.startswith("/") else Address(host, port)
    return ServerUrl(address, unquote(url.path.lstrip("/")) or query.get("dbname", [None])[0], _read_tls(query, option))


def _read_tls(query: dict[str, list[str]], option: str) -> ServerTls:
    files = {name: Path(query[name][0]) for name in ("sslrootcert", "sslcert", "sslkey") if name in query}
    word = query.get("sslmode", ["disable"])[0]
    try:
        mode = TlsMode(word)
    except ValueError:
        known = ", ".join(m.value for m in TlsMode)
        raise SettingsError(f"{option}: sslmode {word!r} is not known; use one of {known}") from None
    return ServerTls(mode, **files)


def _without_password(text: str) -> str:
    head, at, tail = text.rpartition("@")
    if not at:
        return text
    scheme, _, user = head.rpartition("//")
    return f"{scheme}//{user.partition(':')[0]}@{tail}"


class ClientMatch(BaseModel):
    """Clients that see a shape: all patterns that are given must match (`*` and `?` as in file names)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = "*"
    database: str = "*"
    application_name: str = "*"
    shape: Shape

    def matches(self, user: str, database: str, application_name: str) -> bool:
        return (
            fnmatchcase(user, self.user)
            and fnmatchcase(database, self.database)
            and fnmatchcase(application_name, self.application_name)
        )


class Limits(BaseModel):
    """Bounds on what clients may cost. docs/limits.md has what happens beyond each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Of clients that are logged in or about to, in each process.
    max_connections: Annotated[int, Field(ge=1)] = 1000
    #: From accept to the end of the login.
    login_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    #: One message of a login.
    login_message_bytes: Annotated[int, Field(ge=1 << 10)] = 65535
    #: Of a client that asks for nothing, outside of a transaction; 0: for ever.
    idle_timeout_s: Annotated[float, Field(ge=0)] = 0.0
    #: One Query or Parse on a managed database, kept whole to be looked into.
    buffer_limit_bytes: Annotated[int, Field(ge=1 << 16)] = 64 << 20
    #: Rewritten statements that are remembered, by all sessions of the process.
    plan_cache_bytes: Annotated[int, Field(ge=0)] = 64 << 20
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    #: From SIGTERM to the end of transactions that are still running.
    drain_timeout_s: Annotated[float, Field(ge=0)] = 10.0
    #: For a client to read what is left when its server connection has ended.
    linger_timeout_s: Annotated[float, Field(gt=0)] = 60.0


class ClientTls(BaseModel):
    """Encryption between clients and the proxy, in PgBouncer's words. `allow` and `prefer` leave it to the client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sslmode: TlsMode = TlsMode.DISABLE
    #: PEM, the proxy's own; the key may be in the same file.
    cert_file: Path | None = None
    key_file: Path | None = None
    #: Who may have signed the clients' certificates. Asked for in `verify-ca` and `verify-full`, which are the same.
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_files(self) -> Self:
        if self.sslmode is not TlsMode.DISABLE and self.cert_file is None:
            raise ValueError(f"sslmode {self.sslmode.value} needs cert_file, and key_file if the key is not in it")
        if self.sslmode.verifies and self.ca_file is None:
            raise ValueError(f"sslmode {self.sslmode.value} needs ca_file, to check clients' certificates with")
        return self


class Auth(BaseModel):
    """Where stored secrets are found, for logins that have to end at the proxy. PgBouncer's words and formats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: userlist.txt; read instead of asking the database.
    auth_file: Path | None = None
    #: With the user as $1; the second column of its row is the secret. Asked over the control connection.
    auth_query: str = "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1"


class Observing(BaseModel):
    """What is kept of the statements that are sent to tables under migration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Also one text of each distinct statement as a client sent it, with its constants.
    keep_samples: bool = False
    #: From one time that it is written down to the next.
    every_s: Annotated[float, Field(ge=0.1)] = 2.0


class Logging(BaseModel):
    """What is logged beside what happens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Statements that took so long, from their arrival at the proxy to the end of their answer, with the time split
    #: between proxy and server. 0: all. Left out: none. For sessions that begin afterwards.
    min_duration_statement_ms: Annotated[float, Field(ge=0)] | None = None


class ConsoleSettings(BaseModel):
    """The admin console (docs/console.md): a database of the proxy's own. Who asks for it gets no server's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Its name. A real database of that name cannot be reached through the proxy.
    database: Annotated[str, Field(min_length=1)] = "pgjanus"
    #: Its users, in the format of PgBouncer's userlist.txt: passwords, or SCRAM secrets.
    auth_file: Path | None = None
    #: Whoever is on the proxy's own machine is let in, as any user.
    trust_local: bool = False
    #: Whether users may come from elsewhere.
    remote: bool = False
    #: Users who may look, and not touch.
    readers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Self:
        if self.auth_file is None and not self.trust_local:
            raise ValueError("nobody can log in: give auth_file, or say trust_local: true")
        return self


class AdminSettings(BaseModel):
    """The status page at `--admin`. It shows; who has the token may also act."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Holds one word of at least 16 characters. Read at each command, so that another one counts at once.
    token_file: Path | None = None

    def token(self) -> str | None:
        """None: the page only shows.

        Raises:
            SettingsError: the file cannot be read, or is no token.
        """
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"admin.token_file: {self.token_file} cannot be read: {error}") from error
        if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError(
                f"admin.token_file: {self.token_file} must hold one word of at least {_SHORTEST_TOKEN} ASCII"
                " characters, such as openssl rand -hex 32 makes"
            )
        return token


class Lease(BaseModel):
    """How long the others wait for this proxy before they step on without it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: From the last heartbeat on; the last part of it (three seconds, at most 30 %) the proxy serves no managed table.
    seconds: Annotated[float, Field(ge=0.5)] = 10.0
    heartbeat_s: Annotated[float, Field(ge=0.05)] = 1.0

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.heartbeat_s * 3 > self.seconds:
            raise ValueError("heartbeat_s must be at most a third of seconds, so that one may get lost")
        return self


class ProxyFile(BaseModel):
    """pgjanus.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clients: tuple[ClientMatch, ...] = ()
    client_tls: ClientTls = ClientTls()
    auth: Auth = Auth()
    limits: Limits = Limits()
    observe: Observing = Observing()
    log: Logging = Logging()
    #: Left out: there is none.
    console: ConsoleSettings | None = None
    admin: AdminSettings = AdminSettings()
    lease: Lease = Lease()

    def shape_for(self, user: str, database: str, application_name: str) -> Shape | None:
        """The shape of the first match, or None."""
        for match in self.clients:
            if match.matches(user, database, application_name):
                return match.shape
        return None


def read_proxy_file(path: Path) -> ProxyFile:
    """Read pgjanus.yaml.

    Raises:
        SettingsError: it cannot be read, is no YAML, or says something unknown.
    """
    try:
        return ProxyFile.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error
