"""Room for recursion: statements are nested as deeply as PostgreSQL accepts, which is deeper than Python likes.

The server gives up at `max_stack_depth`, by default after about 5,000 terms of `1+1+…`; the JSON of such a tree is
20,000 levels deep, and json.loads and the analysis go down all of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: Reserved, not used: only what recursion touches becomes memory. The C frames of json.loads take some 500 bytes a
#: level.
_STACK_BYTES: Final = 512 << 20
_RECURSION_LIMIT: Final = 400_000
_alone: Final = threading.Lock()


def with_room(function: Callable[[], T]) -> T:
    """Call a function with a stack that is hundreds of times as large; the caller waits.

    Raises:
        RecursionError: even that is not enough.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            failed.append(error)

    with _alone:  # both settings are the whole process's
        limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
        try:
            sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
            thread = threading.Thread(target=run, name="deep statement")
            thread.start()
            thread.join()
        finally:
            sys.setrecursionlimit(limit)
            threading.stack_size(size)
    if failed:
        raise failed[0]
    return found[0]
