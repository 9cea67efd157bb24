"""`pgjanus …` that can be stopped at its worst moment, and may have a mistake planted; the arena's proxies run so.

python -m tests.chaos.wrapped serve …
python -m tests.chaos.wrapped no_guard serve …      with the mistake

SIGUSR1 asks it to stop: it does so (SIGSTOP) when it has next looked at its lease and found that a statement on a
managed table may be sent, before it sends it. SIGCONT takes the question back, if it has not come to that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from proxy.cli import main as pgjanus
from proxy.conversation.judge import Judge
from proxy.conversation.statements import Planned
from tests.chaos.bugs import Bug


def stop_where_asked() -> None:
    """In this process, from now on."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    def take_back(*_: object) -> None:
        nonlocal asked
        asked = False

    def stopping(right: Callable[..., Planned]) -> Callable[..., Planned]:
        def judged(self: Judge, what: Any, snapshot: Any) -> Planned:
            nonlocal asked
            planned = right(self, what, snapshot)
            if asked and planned.migration and planned.refusal is None:
                asked = False
                os.kill(os.getpid(), signal.SIGSTOP)
            return planned

        return judged

    patch = pytest.MonkeyPatch()
    patch.setattr(Judge, "plan", stopping(Judge.plan))
    patch.setattr(Judge, "still", stopping(Judge.still))
    signal.signal(signal.SIGUSR1, ask)
    signal.signal(signal.SIGCONT, take_back)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[0].upper() in Bug.__members__:
        Bug[arguments.pop(0).upper()].plant(pytest.MonkeyPatch())
    stop_where_asked()
    pgjanus(arguments, prog_name="pgjanus")


if __name__ == "__main__":
    main()
