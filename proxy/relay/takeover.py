"""Letting another process take over an address, with no client that is turned away in between.

Both listen with SO_REUSEPORT, and the kernel gives each new connection to one of them when its first packet (SYN)
comes. What waits in the queue of a socket that is closed is reset, so the queue has to be empty, and stay so:

    1. SYNs are not taken any more (a filter in the kernel drops them; their clients send them again after a second)
    2. handshakes that have begun are completed, and what waits is accepted
    3. the socket is closed; SYNs that come again find the other process
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

#: For a handshake that has begun. Less than the second after which a dropped SYN comes again: it shall find us gone.
HANDSHAKE_SECONDS: Final = 0.5

#: include/uapi/asm-generic/socket.h; Python does not name it.
_SO_ATTACH_FILTER: Final = 26
_FLAGS_OFFSET: Final = 13  # in the TCP header
_SYN: Final = 0x02
_ALL: Final = 0xFFFFFFFF
#: Classic BPF, include/uapi/linux/filter.h: (code, jump if true, jump if false, operand).
_DROP_SYN: Final = (
    (0x30, 0, 0, _FLAGS_OFFSET),  # A = flags
    (0x45, 0, 1, _SYN),  # A & SYN?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, _ALL),  # keep
)


def take_no_more(sock: socket.socket) -> bool:
    """Drop each new SYN; False where the system cannot do that: then a connection can be lost when it is closed."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _DROP_SYN))
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
        )
    except OSError:
        return False
    return True
