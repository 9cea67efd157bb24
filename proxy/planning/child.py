"""The process that plans long statements: questions on stdin, answers on stdout, each a length and a pickle.

    ("know", key, snapshot)      remember it
    ("forget", key)
    ("plan", key, sql, client)   → the plan

It ends with its stdin, and after a statement that made it large.
"""

from __future__ import annotations

import gc
import pickle
import resource
import sys
from struct import Struct
from typing import IO, Final

from rules.planner import plan
from rules.snapshot import Snapshot

LENGTH: Final = Struct(">Q")
_LARGE_KIB: Final = 1 << 20


def read(stream: IO[bytes]) -> bytes | None:
    """The next message; None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def write(stream: IO[bytes], body: bytes) -> None:
    stream.write(LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def main() -> None:
    gc.disable()  # trees have no cycles, and looking for some in a million nodes takes longer than planning
    known: dict[int, Snapshot] = {}
    while (body := read(sys.stdin.buffer)) is not None:
        match pickle.loads(body):
            case "know", int(key), Snapshot() as snapshot:
                known[key] = snapshot
            case "forget", int(key):
                del known[key]
            case "plan", int(key), str(sql), client:
                write(sys.stdout.buffer, pickle.dumps(plan(sql, known[key], client), pickle.HIGHEST_PROTOCOL))
                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _LARGE_KIB:
                    return
                gc.collect()


if __name__ == "__main__":
    main()
