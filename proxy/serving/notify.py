"""What systemd is told: ready, reloading, stopping, alive (sd_notify(3)). Nobody is where no socket is named."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_REPORT: Final = Struct(">HB")
_MICROSECONDS: Final = 1_000_000


class Notice(Enum):
    READY = 1
    RELOADING = 2
    STOPPING = 3
    ALIVE = 4


#: Never fails, and never waits.
Tell = Callable[[Notice], None]


def tell_systemd(notice: Notice) -> None:
    address = os.environ.get(_SOCKET)
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            # An abstract socket's name begins with a zero byte, which no environment can hold.
            sock.sendto(_words(notice), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            pass  # whoever asked is gone; the proxy serves all the same


def _words(notice: Notice) -> bytes:
    match notice:
        case Notice.READY:
            return b"READY=1\n"
        case Notice.RELOADING:
            # systemd takes a READY of an earlier start for an answer unless it knows when this began.
            return b"RELOADING=1\nMONOTONIC_USEC=%d\n" % (time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        case Notice.STOPPING:
            return b"STOPPING=1\n"
        case Notice.ALIVE:
            return b"WATCHDOG=1\n"


def watchdog_s() -> float | None:
    """Within how many seconds systemd wants to hear that this process is alive, again and again; None: it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / _MICROSECONDS if usec.isdigit() and int(usec) else None


def tell_parent(pipe: int, number: int) -> Tell:
    """For worker `number`, whose parent reads the other end of a pipe."""

    def tell(notice: Notice) -> None:
        try:
            os.write(pipe, _REPORT.pack(number, notice.value))
        except OSError:
            pass  # the parent is gone, which the lifeline says as well; or it is stopped and the pipe is full

    return tell


def read_reports(pipe: int) -> list[tuple[int, Notice]]:
    """What workers have said since the last call; `pipe` does not block."""
    data = b""
    try:
        while more := os.read(pipe, _REPORT.size * 1024):
            data += more
    except BlockingIOError:
        pass
    return [(number, Notice(value)) for number, value in _REPORT.iter_unpack(data)]


class Spokesman:
    """Tells systemd of all workers as of one service.

    Args:
        watched: whether it wants to hear that they are alive.
    """

    def __init__(self, numbers: set[int], watched: bool, tell: Tell = tell_systemd) -> None:
        self._numbers, self._watched, self._tell = numbers, watched, tell
        self._awaited = set(numbers)
        self._silent = set(numbers)

    def heard(self, number: int, notice: Notice) -> None:
        self._silent.discard(number)
        if notice is Notice.READY and self._awaited:
            self._awaited.discard(number)
            if not self._awaited:
                self._tell(Notice.READY)
        self._report_life()

    def gone(self, number: int) -> None:
        """A worker has ended; until another one has taken its place, its silence means nothing."""
        self._silent.discard(number)
        self._report_life()

    def reloading(self, *, passed_on: bool) -> None:
        """Until all workers have said that they are ready again. `passed_on`: they know of it."""
        self._tell(Notice.RELOADING)
        if passed_on:
            self._awaited = set(self._numbers)
        elif not self._awaited:
            self._tell(Notice.READY)

    def stopping(self) -> None:
        self._tell(Notice.STOPPING)

    def _report_life(self) -> None:
        if self._watched and not self._silent:
            self._silent = set(self._numbers)
            self._tell(Notice.ALIVE)
