"""`serve --workers N`: processes that share the listening sockets. Each is a proxy of its own, with its own lease.

    parent: binds, forks ──► worker 1 … worker N: accept, serve
       SIGTERM, SIGINT   ──► stops listening, passes the signal on; again: the second one, too
       SIGHUP            ──► reads the settings; if they are in order, passes the signal on
       a worker dies     ──► another one takes its place
       the parent dies   ──► the workers stop as after SIGTERM (their end of a pipe says so)

Workers say through a pipe when they are ready and that they are alive; the parent speaks to systemd for all of them.
A connection that waits to be accepted belongs to no worker, so none is lost with one.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from proxy.errors import EXIT_REFUSED
from proxy.serving.notify import Spokesman, Tell, read_reports, tell_parent

#: SIGIO: a worker has written into the pipe.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGIO)
_EXIT_CRASHED = 70
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_IN_GOOD_HEALTH_SECONDS = 10.0

#: Runs worker number n until it is told to stop, or until there is something to read from the file descriptor (its end:
#: the parent is gone). Exits as a command does that is refused. SIGHUP is blocked until it can deal with it.
Work = Callable[[int, int, Tell], None]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Worker:
    """`starts_at`: when to start it again, while it does not run (`pid` 0)."""

    number: int
    pid: int = 0
    started_at: float = 0.0
    starts_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_SECONDS
    restarts: int = 0


def supervise(
    count: int, work: Work, stop_listening: Callable[[], None], reload: Callable[[], bool], *, watched: bool = False
) -> int:
    """Run `count` workers until a signal; returns the exit code. To be called on the only thread, before any loop.

    Args:
        stop_listening: closes the parent's copies of the sockets.
        reload: reads the settings for workers that are started from now on; False if the others shall not.
        watched: whether systemd wants to hear that all of them are alive.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    return _Supervisor(count, work, stop_listening, reload, watched).run()


class _Supervisor:
    def __init__(
        self,
        count: int,
        work: Work,
        stop_listening: Callable[[], None],
        reload: Callable[[], bool],
        watched: bool,
    ) -> None:
        self._work = work
        self._stop_listening = stop_listening
        self._reload = reload
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._lifeline = os.pipe()
        self._reports, self._reporting = os.pipe()
        for end in (self._reports, self._reporting):
            os.set_blocking(end, False)
        fcntl.fcntl(self._reports, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._reports, fcntl.F_SETFL, fcntl.fcntl(self._reports, fcntl.F_GETFL) | os.O_ASYNC)
        self._spokesman = Spokesman({worker.number for worker in self._workers}, watched)
        self._stopping = False
        self._code = 0

    def run(self) -> int:
        while True:
            if not self._stopping:
                for worker in self._workers:
                    if not worker.pid and worker.starts_at <= time.monotonic():
                        self._start(worker)
            elif not any(worker.pid for worker in self._workers):
                return self._code
            received = signal.sigtimedwait(_SIGNALS, self._next_start_s())
            match received and received.si_signo:
                case signal.SIGTERM | signal.SIGINT as number:
                    self._stop(signal.Signals(number))
                case signal.SIGHUP if not self._stopping:
                    self._pass_on_reload()
            for number, notice in read_reports(self._reports):
                self._spokesman.heard(number, notice)
            self._reap()

    def _next_start_s(self) -> float:
        waits = [w.starts_at - time.monotonic() for w in self._workers if not w.pid]
        return _LONGEST_PAUSE_SECONDS if self._stopping or not waits else max(0.0, min(waits))

    def _start(self, worker: _Worker) -> None:
        worker.started_at = time.monotonic()
        worker.pid = os.fork()
        if worker.pid == 0:
            self._be(worker.number)
        log.info("worker_started", worker=worker.number, pid=worker.pid, restarts=worker.restarts)

    def _be(self, number: int) -> None:
        """Never returns: this is the worker."""
        code = _EXIT_CRASHED
        try:
            os.setpgid(0, 0)  # what a terminal sends to all of us is the parent's to pass on
            os.close(self._lifeline[1])
            os.close(self._reports)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_SIGNALS) - {signal.SIGHUP})
            structlog.contextvars.bind_contextvars(worker=number)
            self._work(number, self._lifeline[0], tell_parent(self._reporting, number))
            code = 0
        except SystemExit as refused:
            code = refused.code if isinstance(refused.code, int) else _EXIT_CRASHED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _pass_on_reload(self) -> None:
        in_order = self._reload()
        self._spokesman.reloading(passed_on=in_order)
        if in_order:
            for worker in self._workers:
                if worker.pid:
                    os.kill(worker.pid, signal.SIGHUP)

    def _stop(self, number: signal.Signals) -> None:
        if not self._stopping:
            self._stopping = True
            self._spokesman.stopping()
            self._stop_listening()
            log.info("stopping_workers", signal=number.name)
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGTERM)

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        """A negative code is the number of the signal that ended it."""
        pid, worker.pid = worker.pid, 0
        self._spokesman.gone(worker.number)
        if self._stopping:
            self._code = self._code or abs(code)
            return
        if code == EXIT_REFUSED and not worker.restarts:
            # It has said why; the next one would say the same.
            self._code = EXIT_REFUSED
            self._stop(signal.SIGTERM)
            return
        log.error("worker_died", worker=worker.number, pid=pid, exit_code=code)
        now = time.monotonic()
        healthy = now - worker.started_at >= _IN_GOOD_HEALTH_SECONDS
        worker.pause_s = _FIRST_PAUSE_SECONDS if healthy else min(worker.pause_s * 2, _LONGEST_PAUSE_SECONDS)
        worker.starts_at = now + worker.pause_s
        worker.restarts += 1
