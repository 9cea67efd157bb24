"""Who is told of a statement: what observes it, and what counts who uses which shape."""

from __future__ import annotations

from proxy.conversation.statements import Watch, Who
from proxy.observe.sightings import Sightings
from proxy.planning.plans import Watcher
from proxy.usage.counting import Usage
from rules.migration import Client
from rules.plan import Plan
from rules.snapshot import Snapshot


class Both:
    """Two who want to know."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Watch, second: Watch) -> None:
        self._first = first
        self._second = second

    def saw(self, who: Who) -> None:
        self._first.saw(who)
        self._second.saw(who)


def watched_by(sightings: Sightings, usage: Usage) -> Watcher:
    """For the plan cache."""

    def watch(sql: str, snapshot: Snapshot, client: Client, plan: Plan) -> Watch | None:
        sighting, used = sightings.watch(sql, snapshot, client), usage.watch(sql, snapshot, client, plan)
        return Both(sighting, used) if sighting and used else sighting or used

    return watch
