"""`Observation`: one distinct statement, without its constants, and what is to become of it."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from rules.fingerprint import UNREADABLE, Fingerprint, fingerprint_of
from rules.forecast import Forecast, Forecaster, Outlook
from rules.migration import Client
from rules.phases import Shape

#: Forecasts that are remembered, for texts that differ in their constants only.
_FORECASTS_LIMIT: Final = 5_000


@dataclass(frozen=True, slots=True)
class Observation:
    """One distinct statement of one shape: the same but for its constants, with the same forecast."""

    migration: str
    shape: Shape
    fingerprint: str
    statement: str
    forecast: Forecast

    @property
    def id(self) -> str:
        """The fingerprint alone would join texts that differ in more than their constants."""
        outlooks = json.dumps([outlook.to_json() for outlook in self.forecast])
        return blake2b(f"{self.shape.value} {self.fingerprint} {outlooks}".encode(), digest_size=6).hexdigest()


class Describer:
    """Makes observations for one migration; each distinct text is planned once."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster
        self._forecasts: OrderedDict[tuple[str, Client], Forecast] = OrderedDict()

    def describe(self, sql: str, client: Client) -> Observation | None:
        """None if the text does not name the migration's table."""
        if not self._forecaster.concerns(sql, client):
            return None
        fingerprint = fingerprint_of(sql)
        forecast = self._forecast(sql, client, fingerprint)
        name = self._forecaster.migration.name
        return Observation(name, client.shape, fingerprint.hash, fingerprint.text, forecast)

    def _forecast(self, sql: str, client: Client, fingerprint: Fingerprint) -> Forecast:
        if fingerprint is UNREADABLE:
            # The parser's words quote the text.
            found = self._forecaster.forecast(sql, client)
            return tuple(Outlook(o.phase, o.treatment, fingerprint.text, sqlstate=o.sqlstate) for o in found)
        key = (fingerprint.text, client)
        known = self._forecasts.get(key)
        if known is None:
            known = self._forecasts[key] = self._forecaster.forecast(sql, client)
            if len(self._forecasts) > _FORECASTS_LIMIT:
                self._forecasts.popitem(last=False)
        return known
