"""SQL of our own between the statements of a text that may have been rewritten already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rules.plan import PositionMap


@dataclass(frozen=True, slots=True)
class Splice:
    """`sql` in front of the statement that starts at the client's character `at`.

    `positions` maps it to wherever the client has to look for its mistakes.
    """

    at: int
    sql: str
    positions: PositionMap


def spliced(sql: str, positions: PositionMap, splices: Sequence[Splice]) -> tuple[str, PositionMap]:
    """The text with the splices, which stand in order; none of their statements has been rewritten itself."""
    runs = list(positions.runs)
    for splice in reversed(splices):
        at = positions.to_server(splice.at)
        width = len(splice.sql)
        sql = sql[:at] + splice.sql + sql[at:]
        index = bisect_right(runs, at, key=lambda run: run[0])
        before = [run for run in runs[:index] if run[0] < at]
        runs = [
            *before,
            *((at + start, client, moves) for start, client, moves in splice.positions.runs),
            (at + width, splice.at, True),
            *((start + width, client, moves) for start, client, moves in runs[index:]),
        ]
    return sql, PositionMap(tuple(runs))
