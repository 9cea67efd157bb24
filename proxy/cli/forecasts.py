"""How `observe` and `explain` show what is to become of many statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from rules.forecast import Forecast, Outlook, Treatment, is_refused, refused_where


@dataclass(frozen=True, slots=True)
class Line:
    """One distinct statement: how often it was sent, and (`about`) by whom."""

    statement: str
    seen: int
    forecast: Forecast
    about: str = ""

    @property
    def is_refused(self) -> bool:
        return is_refused(self.forecast)


def page(lines: Iterable[Line], *, refused_only: bool = False) -> Iterator[str]:
    """For people: what would be refused soonest comes first, then what is sent most."""
    for line in sorted(lines, key=_order):
        if line.is_refused or not refused_only:
            times = "once" if line.seen == 1 else f"{line.seen:,} times"
            yield f"{line.statement}"
            yield "    " + ", ".join(filter(None, [times, line.about]))
            yield from _reasons(line.forecast)
            yield ""


def summary(lines: Iterable[Line]) -> str:
    """Such as `2 of 7 distinct statements would be refused: 1 in writing_both, 2 in new_only`."""
    found = list(lines)
    refused = [line for line in found if line.is_refused]
    total = f"{len(found)} distinct statement{'' if len(found) == 1 else 's'}"
    if not refused:
        return f"none of {total} would be refused"
    return f"{len(refused)} of {total} would be refused: {refused_where(line.forecast for line in refused)}"


def _order(line: Line) -> tuple[int, int, str]:
    first = next((i for i, outlook in enumerate(line.forecast) if outlook.is_refused), len(line.forecast))
    return first, -line.seen, line.statement


def _reasons(forecast: Forecast) -> Iterator[str]:
    """Neighbouring phases that do the same are shown as one."""
    for _, same in groupby(forecast, key=lambda o: (o.treatment, o.message, o.hint)):
        outlooks = list(same)
        yield f"    {', '.join(o.phase for o in outlooks)}: {_treatment(outlooks[0])}"
        if outlooks[0].hint:
            yield f"        hint: {outlooks[0].hint}"


def _treatment(outlook: Outlook) -> str:
    match outlook.treatment:
        case Treatment.REFUSED:
            return f"refused ({outlook.sqlstate}): {outlook.message}"
        case Treatment.UNTOUCHED if outlook.message:
            return f"untouched, as the migration only observes; it would be refused: {outlook.message}"
        case Treatment.UNTOUCHED | Treatment.REWRITTEN:
            return str(outlook.treatment.value)
