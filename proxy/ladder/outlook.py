"""What was observed, before the first step that changes anything for the applications."""

from __future__ import annotations

from proxy.control.registry import MigrationRow
from proxy.ladder.operator import Operator
from proxy.observe import store
from rules.forecast import is_refused, refused_where
from rules.unsupported import writes_old_only


async def warn_of_refusals(operator: Operator, row: MigrationRow) -> None:
    """Say how many of the observed statements the next phases would refuse. A warning: they may be rare, or gone."""
    if not writes_old_only(row.phase):
        return
    later = {phase.name for phase in row.ladder if not writes_old_only(phase)}
    observed = await store.read(operator.connection, row.name)
    forecasts = [tuple(o for o in found.what.forecast if o.phase in later) for found in observed]
    refused = [forecast for forecast in forecasts if is_refused(forecast)]
    if refused:
        operator.say(
            f"warning: {len(refused)} of {len(forecasts)} observed statements would be refused"
            f" ({refused_where(refused)}): pgjanus observe {row.name} --refused"
        )
