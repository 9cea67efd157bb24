"""What the command line says, and what follows from it and from the files that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config import Address, ProxyFile, ServerUrl, TlsMode, read_proxy_file, read_server_url
from proxy.errors import SettingsError
from proxy.relay.dialer import Dialer
from proxy.relay.encryption import certificate_hash, client_context, private_hash
from proxy.relay.gateway import Equipment
from proxy.relay.listener import Entrance
from proxy.relay.login import Ending, FindSecret
from proxy.relay.stored_secrets import SecretsInFile, SecretsOfDatabase, read_userlist

#: What is read when the process starts, and kept until it ends.
_FIXED_SECTIONS: Final = ("lease", "observe")
_FIXED_LIMITS: Final = ("plan_cache_bytes",)


@dataclass(frozen=True, slots=True)
class Serving:
    """What the options say. `listen_new` and `admin` may be off; `file` is what `config` holds."""

    server: ServerUrl
    database_url: str | None
    listen: Entrance
    listen_new: Entrance | None
    admin: Address | None
    file: ProxyFile
    config: Path | None = None
    #: Another process may listen on the same addresses, and take over when this one ends.
    shares_ports: bool = False
    #: Of several processes that share the sockets; 0: the only one.
    worker: int = 0
    #: How often the service is expected to say that it is alive.
    watchdog_s: float | None = None

    @property
    def database(self) -> str | None:
        """The managed database: that of the control connection, else the server's."""
        if self.database_url is not None:
            return read_server_url(self.database_url, "--database-url").database
        return self.server.database

    def read_file(self) -> ProxyFile:
        """
        Raises:
            SettingsError: it is wrong.
        """
        return read_proxy_file(self.config) if self.config is not None else ProxyFile()


def check_console(serving: Serving, file: ProxyFile) -> None:
    """
    Raises:
        SettingsError: it would take the place of the managed database, or its users cannot be read.
    """
    if file.console is None:
        return
    if file.console.database == serving.database:
        raise SettingsError(f"console.database: {serving.database} is the managed database: give another name")
    if file.console.auth_file is not None:
        read_userlist(file.console.auth_file, "console.auth_file")


def equipment_of(serving: Serving, file: ProxyFile, stored: SecretsOfDatabase | None) -> Equipment:
    """Everything that a reload makes anew, with certificates and secrets as they are in their files now.

    Raises:
        SettingsError: one of the files cannot be used.
    """
    check_console(serving, file)
    file.admin.token()
    try:
        client_tls = client_context(file.client_tls)
        dialer = Dialer(serving.server.address, file.limits.connect_timeout_s, serving.server.tls)
        return Equipment(file, dialer, client_tls, _ending(serving, file, stored))
    except (OSError, ValueError) as error:  # a file that is replaced while it is read
        raise SettingsError(f"a certificate or key cannot be read: {error}") from error


def _ending(serving: Serving, file: ProxyFile, stored: SecretsOfDatabase | None) -> Ending | None:
    """None if every login is passed on: one side is not encrypted, or nobody says what is stored of a user."""
    tls, auth = file.client_tls, file.auth
    if tls.cert_file is None or TlsMode.DISABLE in (tls.sslmode, serving.server.tls.sslmode):
        return None
    find: FindSecret
    if auth.auth_file is not None:
        find = SecretsInFile(auth.auth_file).find
    elif stored is not None:
        find = stored.asking(auth.auth_query)
    else:
        return None
    return Ending(find, certificate_hash(tls.cert_file), private_hash(tls.key_file or tls.cert_file))


def keep_what_is_fixed(running: ProxyFile, read: ProxyFile) -> tuple[ProxyFile, list[str]]:
    """The new settings as far as a running process can take them, and the names of those that need a restart."""
    sections = {name: getattr(running, name) for name in _FIXED_SECTIONS}
    limits = {name: getattr(running.limits, name) for name in _FIXED_LIMITS}
    waiting = [name for name, value in sections.items() if getattr(read, name) != value]
    waiting += [f"limits.{name}" for name, value in limits.items() if getattr(read.limits, name) != value]
    return read.model_copy(update={**sections, "limits": read.limits.model_copy(update=limits)}), waiting
