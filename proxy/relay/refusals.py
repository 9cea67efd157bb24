"""The latest refusals of a process, for its operator: in memory only, because their texts are somebody's data."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from proxy.conversation.actions import Refused

_LIMIT: Final = 200
_TEXT_LIMIT: Final = 1 << 16


@dataclass(slots=True)
class RefusedTexts:
    """One reason, to one application; `text` is the latest one, constants and all, or empty if it is too long."""

    migration: str
    sqlstate: str
    reason: str
    application_name: str
    user: str
    text: str = ""
    times: int = 0
    last_at: str = ""


class Refusals:
    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str, str, str, str], RefusedTexts] = OrderedDict()
        #: All that there ever were, by migration and SQLSTATE.
        self.counts: Counter[tuple[str, str]] = Counter()

    def note(self, refused: Refused, who: Mapping[str, str]) -> None:
        names = who.get("application_name", ""), who.get("user", "")
        key = (refused.migration, refused.refusal.sqlstate, refused.refusal.message, *names)
        self.counts[refused.migration, refused.refusal.sqlstate] += 1
        found = self._found.pop(key, None) or RefusedTexts(*key)
        found.text = refused.text if len(refused.text) <= _TEXT_LIMIT else ""
        found.times += 1
        found.last_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._found[key] = found
        if len(self._found) > _LIMIT:
            self._found.popitem(last=False)

    def latest(self) -> list[RefusedTexts]:
        """The latest first."""
        return list(reversed(self._found.values()))
