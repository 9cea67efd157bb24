"""Before the old columns are dropped: nobody has used them for as long as the migration says."""

from __future__ import annotations

from proxy.ladder.operator import LadderError, Operator
from proxy.usage import store
from proxy.usage.store import Used
from rules.migration import Migration
from rules.phases import Shape

_SHOWN = 3
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


async def require_quiet(operator: Operator, migration: Migration, *, force: bool) -> None:
    """Nobody of the old shape was seen within the quiet period.

    Args:
        force: say who was, as a warning.

    Raises:
        LadderError: somebody was: who, how often, when, and how to go on.
    """
    period_s = migration.quiet_period_s
    found = await store.read(operator.connection, migration.name)
    late = [used for used in found if used.sender.shape is Shape.OLD and used.age_s < period_s]
    if not late:
        return
    more = f"; and {len(late) - _SHOWN} more" if len(late) > _SHOWN else ""
    seen = (
        f"the old shape was used within the last {_length(period_s)}, by {'; '.join(map(_told, late[:_SHOWN]))}{more}"
    )
    if not force:
        raise LadderError(
            f"{seen}. They would meet columns that are not there: wait until they are retired, or say --force"
            f" (all of them: pgjanus usage {migration.name})"
        )
    operator.say(f"warning: {seen}: whatever of it still runs will meet columns that are not there")


def _told(used: Used) -> str:
    sender = used.sender
    name = sender.application_name or "(no application_name)"
    return f"{name}{f' as {sender.user}' if sender.user else ''}, last {_length(round(used.age_s))} ago"


def _length(seconds: int) -> str:
    size, unit = next(((s, u) for s, u in _UNITS if seconds >= s), _UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
