"""Before a step lets clients read a format that they did not read: the two of every row agree, as of now."""

from __future__ import annotations

import time

from proxy.control.registry import MigrationRow
from proxy.ladder.operator import LadderError, Operator
from proxy.verify.runner import VerifyProgress, prove

_SAY_EVERY_SECONDS = 2.0


async def require_proof(operator: Operator, row: MigrationRow) -> float:
    """Bring the proof up to date, or make one. Returns when that was, by `time.monotonic`.

    Raises:
        LadderError: rows differ; which command lists and which one mends them.
    """
    said, waiting = time.monotonic(), ""

    def progress(report: VerifyProgress) -> None:
        nonlocal said, waiting
        why = "" if report.state in ("comparing", "done") else report.state
        if time.monotonic() - said < _SAY_EVERY_SECONDS / (1 if why == waiting else 2):
            return
        said, waiting = time.monotonic(), why
        operator.say(
            f"verify: {report.rows:,} of about {report.rows_total:,} rows, {report.rate:,.0f} rows/s"
            + (f", {why}" if why else "")
        )

    result = await prove(operator.url, row.name, on_progress=progress)
    if result.divergent:
        raise LadderError(
            f"the two formats differ in {result.divergent} rows: pgjanus verify {row.name} lists them,"
            " with --repair mends them"
        )
    operator.say("verified: both formats of every row agree")
    return time.monotonic()
