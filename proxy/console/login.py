"""Who may use the console: users of its own, with SCRAM, or whoever is on this machine if the settings say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import Final

from proxy.config import ConsoleSettings
from proxy.relay.ends import End
from proxy.relay.login import LoginFailed, check_password
from proxy.relay.reading import Reading
from proxy.relay.stored_secrets import read_userlist
from proxy.wire.messages import error_response
from proxy.wire.scram import Secret

_INT32: Final = Struct(">i")
_INVALID_AUTHORIZATION: Final = "28000"


@dataclass(frozen=True, slots=True)
class Users:
    """`secrets` by user. `mock_key`: of it the answers to users are made that there are not."""

    settings: ConsoleSettings
    secrets: Mapping[str, Secret]
    mock_key: bytes

    def may_change(self, user: str) -> bool:
        return user not in self.settings.readers


def read_users(settings: ConsoleSettings, mock_key: bytes) -> Users:
    """
    Raises:
        SettingsError: the file cannot be used.
    """
    found = {} if settings.auth_file is None else read_userlist(settings.auth_file, "console.auth_file")
    secrets = {user: Secret.read(text) or Secret.of_password(text) for user, text in found.items() if _is_usable(text)}
    return Users(settings, secrets, mock_key)


def _is_usable(text: str) -> bool:
    """MD5's are not: they would be taken for passwords."""
    return bool(text) and not (text.startswith("md5") and len(text) == 35)


def is_local(client: End) -> bool:
    """From this machine: by loopback or a unix socket."""
    peer = client.transport.get_extra_info("peername") if client.transport is not None else None
    if not isinstance(peer, tuple):
        return True
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


async def let_in(client: End, reading: Reading, users: Users, user: str) -> None:
    """
    Raises:
        LoginFailed: not this one; what it is told.
        ConnectionError: it is gone.
    """
    local = is_local(client)
    if not local and not users.settings.remote:
        raise _no("the console is for clients on the proxy's own machine", "Set console.remote in pgjanus.yaml.")
    if local and users.settings.trust_local:
        return
    if not users.secrets:
        raise _no("the console has no users", "Set console.auth_file in pgjanus.yaml.")
    await check_password(client, reading, users.secrets.get(user) or Secret.of_nobody(user, users.mock_key), user)


def _no(text: str, hint: str) -> LoginFailed:
    return LoginFailed(error_response("FATAL", _INVALID_AUTHORIZATION, f"pgjanus: {text}", hint=hint), text)
