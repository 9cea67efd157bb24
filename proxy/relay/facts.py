"""What is known of a session, for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.conversation.conversation import Conversation
from proxy.relay.ends import End
from rules.phases import Shape


class Progress(Enum):
    OPENING = auto()
    DIALING = auto()
    CONSOLE = auto()
    RELAYING = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Facts:
    """`phase_pinned` is the epoch of the running transaction; `shape` is empty where nothing is looked into."""

    user: str
    database: str
    application_name: str
    shape: str
    address: str
    encrypted: bool
    state: str
    phase_pinned: int | None
    age_s: float
    has_server: bool
    server_encrypted: bool
    server_pid: int | None


def facts_of(
    progress: Progress,
    who: Mapping[str, str],
    client: End,
    server: End | None,
    conversation: Conversation | None,
    since: float,
) -> Facts:
    """
    Args:
        since: when it began, by `time.monotonic`.
    """
    shape: Shape | None = None
    application_name, user = who.get("application_name", ""), who.get("user", "")
    epoch = process = None
    if conversation is not None:
        shape = None if conversation.elsewhere else conversation.settings.client.shape
        application_name, user = conversation.settings.who
        epoch = conversation.snapshot.epoch if conversation.snapshot is not None else None
        process = conversation.server_pid
    return Facts(
        user,
        who.get("database", ""),
        application_name,
        shape.value if shape is not None else "",
        _address(client),
        client.is_encrypted,
        _state(progress, conversation),
        epoch,
        round(time.monotonic() - since, 1),
        server is not None,
        server is not None and server.is_encrypted,
        process,
    )


_WORDS: Final = {
    Progress.OPENING: "connecting",
    Progress.DIALING: "connecting",
    Progress.CONSOLE: "console",
    Progress.OVER: "ending",
}


def _state(progress: Progress, conversation: Conversation | None) -> str:
    if progress is not Progress.RELAYING:
        return _WORDS[progress]
    if conversation is None:
        return "relayed"
    if not conversation.wants_client_data:
        return "waiting"
    return "idle" if conversation.idle else "in transaction"


def _address(client: End) -> str:
    peer = client.transport.get_extra_info("peername") if client.transport is not None else None
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
