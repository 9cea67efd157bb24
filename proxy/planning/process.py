"""The proxy's side of the process that plans long statements."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from proxy.conversation.statements import Question, Verdict, considered
from proxy.planning.child import read, write
from proxy.planning.plans import PlanCache
from rules.errors import Refusal
from rules.plan import Plan, Refuse
from rules.snapshot import Snapshot

#: What is longer takes more than some 20 ms.
LONG_CHARS: Final = 16_384
#: What takes longer is refused: everybody else's long statements wait behind it, and so does its phase.
PATIENCE_S: Final = 60.0
#: More are known only while transactions of several phases run at once.
_SNAPSHOTS: Final = 4

log = structlog.get_logger(__name__)


class PlanningProcess:
    """Plans one question after the other; starts the process with the first one, and again when it has ended."""

    def __init__(self, plans: PlanCache, patience_s: float = PATIENCE_S) -> None:
        self._plans = plans
        self.patience_s = patience_s
        self._thread = ThreadPoolExecutor(1, "planning")  # only waits for the pipes
        self._process: subprocess.Popen[bytes] | None = None
        self._known: OrderedDict[int, Snapshot] = OrderedDict()

    async def answer(self, question: Question) -> Verdict:
        """Never raises on any text: one that ends the process, or takes it too long, is refused."""
        loop = asyncio.get_running_loop()
        planned = self._plans.keep(question, await loop.run_in_executor(self._thread, self._ask, question))
        return await loop.run_in_executor(self._thread, considered, question, planned)

    def close(self) -> None:
        """End the process, also in the middle of a statement."""
        if self._process is not None:
            self._process.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._end()

    def _ask(self, question: Question) -> Plan:
        limit: threading.Timer | None = None
        try:
            process = self._running()
            limit = threading.Timer(self.patience_s, process.kill)
            limit.start()
            assert process.stdin is not None
            assert process.stdout is not None
            key = id(question.snapshot)
            if key not in self._known:
                while len(self._known) >= _SNAPSHOTS:
                    self._send(process, ("forget", self._known.popitem(last=False)[0]))
                self._send(process, ("know", key, question.snapshot))
                self._known[key] = question.snapshot  # kept, so that no other one gets its id
            self._send(process, ("plan", key, question.sql, question.client))
            answer = read(process.stdout)
        except OSError as error:
            log.warning("planning_process_failed", reason=str(error))
            answer = None
        finally:
            if limit is not None:
                limit.cancel()
        if answer is None:
            self._end()
            return Refuse(
                Refusal(
                    "pgjanus: this statement could not be planned: the process that plans long statements has ended,"
                    f" or took more than {self.patience_s:g} s",
                    "Split it into smaller ones.",
                ),
                "",
            )
        plan: Plan = pickle.loads(answer)
        return plan

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            # A session of its own: a signal from the terminal is for the proxy, which lets transactions end.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proxy.planning.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
            )
        return self._process

    @staticmethod
    def _send(process: subprocess.Popen[bytes], message: tuple[Any, ...]) -> None:
        assert process.stdin is not None
        write(process.stdin, pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _end(self) -> None:
        process, self._process = self._process, None
        self._known.clear()
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:  # what was not sent any more
                        pass
            process.wait()
