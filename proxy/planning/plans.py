"""The plan cache: what the planner said about a text, kept for as long as it is asked for."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from proxy.conversation.statements import Planned, Question, Unplanned, Watch
from proxy.planning.durations import Durations
from rules.errors import Refusal
from rules.migration import Client
from rules.plan import Plan, Refuse, Rewrite, Untouched
from rules.snapshot import Snapshot

_INTERNAL_ERROR: Final = "XX000"
#: What an entry takes besides its texts: key, plan, runs and patches, roughly.
_ENTRY_BYTES: Final = 2_000
_RUN_BYTES: Final = 17
#: A text that would take more than this part of the cache is planned each time.
_LARGEST_PART: Final = 16

log = structlog.get_logger(__name__)

RawPlanner = Callable[[str, Snapshot, Client], Plan]
#: Who is told how often a text with that plan is sent, if anybody wants to know.
Watcher = Callable[[str, Snapshot, Client, Plan], Watch | None]


class PlanCache:
    """Call it like the planner. Least recently used plans go first; one per process, for all sessions.

    Args:
        away_from: a text of that many characters is not planned here: `Unplanned` says so, and `keep` takes the plan.
    """

    def __init__(
        self,
        planner: RawPlanner,
        limit_bytes: int,
        watcher: Watcher = lambda *_: None,
        *,
        away_from: int = sys.maxsize,
    ) -> None:
        self._planner = planner
        self._away_from = away_from
        self._watcher = watcher
        self._limit_bytes = limit_bytes
        # The snapshot is kept in the value: as long as the entry lives, no other can have its id.
        self._plans: OrderedDict[tuple[str, int, Client], tuple[Snapshot, Planned, int]] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        #: Of what is planned here; what is planned elsewhere does not count.
        self.took = Durations()

    def __len__(self) -> int:
        return len(self._plans)

    def __call__(self, sql: str, snapshot: Snapshot, client: Client) -> Planned:
        key = (sql, id(snapshot), client)
        found = self._plans.get(key)
        if found is not None:
            self.hits += 1
            self._plans.move_to_end(key)
            return found[1]
        question = Question(sql, snapshot, client)
        if len(sql) >= self._away_from:
            raise Unplanned(question)
        before = time.perf_counter()
        plan = self._plan(question)
        self.took.note(time.perf_counter() - before)
        return self.keep(question, plan)

    def keep(self, question: Question, plan: Plan) -> Planned:
        """A plan that was just made, here or elsewhere, as sessions want it."""
        self.misses += 1
        planned = self._planned(question, plan)
        size = _ENTRY_BYTES + sys.getsizeof(question.sql)
        if planned.rewrite is not None:
            size += sys.getsizeof(planned.rewrite.sql) + _RUN_BYTES * len(planned.rewrite.positions)
        if size <= self._limit_bytes // _LARGEST_PART and question.key not in self._plans:
            self._plans[question.key] = (question.snapshot, planned, size)
            self.bytes += size
            while self.bytes > self._limit_bytes:
                self.bytes -= self._plans.popitem(last=False)[1][2]
        return planned

    def _plan(self, question: Question) -> Plan:
        try:
            return self._planner(question.sql, question.snapshot, question.client)
        except Refusal as refusal:
            return Refuse(refusal, "")
        except Exception:
            # A defect of ours must not become a statement that is forwarded in hope, nor the end of the session.
            log.exception("planner_failed", epoch=question.snapshot.epoch)
            defect = Refusal(
                "pgjanus: this statement could not be analysed (a defect of pgjanus)",
                "The proxy's log has the details.",
                sqlstate=_INTERNAL_ERROR,
            )
            return Refuse(defect, "")

    def _planned(self, question: Question, plan: Plan) -> Planned:
        sql, snapshot = question.sql, question.snapshot
        watch = self._watcher(sql, snapshot, question.client, plan)
        match plan:
            case Refuse(migration=migration) | Untouched(despite=Refusal(), migration=migration):
                return Planned(plan, migration, watch)
            case Rewrite() | _:
                return Planned(plan, mentioned_migrations(sql, snapshot), watch)


def mentioned_migrations(sql: str, snapshot: Snapshot) -> str:
    """The migrations of the managed tables whose names occur in the text, joined by commas; all of them for a text
    that may name one in another way."""
    if not snapshot.may_name_managed(sql):
        return ""
    lowered = sql.lower()
    named = {t.migration.name for name, t in snapshot.tables.items() if name.name.lower() in lowered}
    return ",".join(sorted(named or {t.migration.name for t in snapshot.tables.values()}))
