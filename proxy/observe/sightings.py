"""How often each statement is sent, and by whom: plain counting, for the path that every statement takes."""

from __future__ import annotations

from typing import Final

from proxy.conversation.statements import Who
from rules.migration import Client
from rules.snapshot import Snapshot
from rules.unsupported import writes_old_only

#: Texts that wait for the recorder; more of them, between two of its rounds, are not counted.
SIGHTINGS_LIMIT: Final = 5_000
#: Applications and users of one text between two rounds; the rest is counted as one.
_WHO_LIMIT: Final = 50
OTHERS: Final[Who] = ("(others)", "")
#: A longer text is not looked at: its forecast would keep the recorder, and so the process, busy for seconds.
TEXT_LIMIT: Final = 1 << 16


class Sighting:
    """One text of one kind of client against one snapshot, as its plan is remembered. `counts` is reset when taken."""

    __slots__ = ("_all", "client", "counts", "snapshot", "sql")

    def __init__(self, all_: Sightings, sql: str, snapshot: Snapshot, client: Client) -> None:
        self._all = all_
        self.sql = sql
        self.snapshot = snapshot
        self.client = client
        self.counts: dict[Who, int] = {}

    def saw(self, who: Who) -> None:
        counts = self.counts
        if not counts and not self._all.wait(self):
            return
        if who not in counts and len(counts) >= _WHO_LIMIT:
            who = OTHERS
        counts[who] = counts.get(who, 0) + 1


class Sightings:
    """All of a process. `missed` counts those for which there was no room."""

    def __init__(self) -> None:
        self._waiting: list[Sighting] = []
        self.missed = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def watch(self, sql: str, snapshot: Snapshot, client: Client) -> Sighting | None:
        """For a text that is planned; None if nothing is observed now."""
        if len(sql) > TEXT_LIMIT or not any(writes_old_only(t.phase) for t in snapshot.tables.values()):
            return None
        return Sighting(self, sql, snapshot, client)

    def wait(self, sighting: Sighting) -> bool:
        if len(self._waiting) >= SIGHTINGS_LIMIT:
            self.missed += 1
            return False
        self._waiting.append(sighting)
        return True

    def take(self) -> list[tuple[Sighting, dict[Who, int]]]:
        """Everything that was counted since the last time."""
        taken, self._waiting = self._waiting, []
        found = [(sighting, sighting.counts) for sighting in taken]
        for sighting in taken:
            sighting.counts = {}
        return found
