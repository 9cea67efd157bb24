"""Ports for servers that the demo and the tests start."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import Final

# Below the range from which systems take the ports of outgoing connections: one of those could have the port by the
# time the server wants it.
_RANGE: Final = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports on 127.0.0.1 that nobody listens on right now."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", random.choice(_RANGE)))
            except OSError:
                continue
            found.append(probe.getsockname()[1])
        return found
