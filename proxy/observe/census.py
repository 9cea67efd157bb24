"""`Census`: the distinct statements on one table among many that somebody else wrote down."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from proxy.observe.observation import Describer, Observation
from rules.migration import Client
from rules.phases import HIDDEN_PREFIX

#: Distinct statements that are kept; what comes after them is counted only.
_LIMIT: Final = 10_000
#: Texts that are known as they are, so that a log that repeats them is read quickly.
_TEXTS_LIMIT: Final = 10_000
_LONGEST_KNOWN_TEXT: Final = 2_000


class Census:
    """Takes constant memory, however long the log.

    Attributes:
        seen: how often each distinct statement on the table was sent.
        read: statements that were looked at, on whatever table.
        rewritten: those that a proxy had rewritten; they are left out, since no client sent them like this.
        left_out: those for which there was no room.
    """

    def __init__(self, describer: Describer, client: Client) -> None:
        self._describer = describer
        self._client = client
        self._known: OrderedDict[str, Observation | None] = OrderedDict()
        self.seen: Counter[Observation] = Counter()
        self.read = self.rewritten = self.left_out = 0

    def add(self, sql: str, times: int = 1) -> None:
        self.read += times
        if HIDDEN_PREFIX in sql:
            self.rewritten += times
            return
        found = self._describe(sql)
        if found is None:
            return
        if found in self.seen or len(self.seen) < _LIMIT:
            self.seen[found] += times
        else:
            self.left_out += times

    def _describe(self, sql: str) -> Observation | None:
        if sql in self._known:
            self._known.move_to_end(sql)
            return self._known[sql]
        found = self._describer.describe(sql, self._client)
        if len(sql) <= _LONGEST_KNOWN_TEXT:
            self._known[sql] = found
            if len(self._known) > _TEXTS_LIMIT:
                self._known.popitem(last=False)
        return found
