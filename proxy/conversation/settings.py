"""The session's parameters that decide how its SQL is read, as the server reports them (ParameterStatus)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from proxy.wire.encodings import codec_of
from rules.migration import Client

_PATH_ITEM: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s][^",]*?))\s*(?:,|$)')


def read_search_path(value: str, user: str) -> tuple[str, ...] | None:
    """The schemas of a `search_path` as SHOW prints it; None if it cannot be read."""
    found: list[str] = []
    at = 0
    while at < len(value):
        match = _PATH_ITEM.match(value, at)
        if match is None:
            return None
        quoted, bare = match.groups()
        name = quoted.replace('""', '"') if quoted is not None else bare.lower()
        found.append(user if name == "$user" else name)
        at = match.end()
    return tuple(found)


class Settings:
    """Attributes are what is known now; None and False mean "not known", and then a managed statement is refused or
    planned without that knowledge."""

    def __init__(self, client: Client, user: str, application_name: str = "") -> None:
        self.client = client
        #: The same client when something under way may change its search_path.
        self.client_on_the_move = client
        self.codec: str | None = None
        self.standard_strings = True
        #: application_name and user: who this is.
        self.who = (application_name, user)
        self._user = user
        self._search_path: str | None = None

    def update(self, name: str, value: str) -> None:
        match name:
            case "client_encoding":
                self.codec = codec_of(value)
            case "standard_conforming_strings":
                self.standard_strings = value == "on"
            case "search_path":
                self._search_path = value
                self._read_path()
            case "application_name":
                self.who = (value, self._user)
            case "session_authorization":
                self._user = value
                self.who = (self.who[0], value)
                self._read_path()

    def shadow(self, names: frozenset[str]) -> None:
        """A temporary table may have taken these names."""
        if not names <= self.client.shadowed:
            self._set_client(replace(self.client, shadowed=self.client.shadowed | names))

    def unshadow(self) -> None:
        if self.client.shadowed:
            self._set_client(replace(self.client, shadowed=frozenset()))

    def _read_path(self) -> None:
        if self._search_path is not None:
            path = read_search_path(self._search_path, self._user)
            if path != self.client.search_path:
                self._set_client(replace(self.client, search_path=path))

    def _set_client(self, client: Client) -> None:
        self.client = client
        self.client_on_the_move = replace(client, search_path=None)
