"""`Observation`: one distinct statement, without its constants, and what is to become of it."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from rules.forecast import Forecast, Forecaster, Outlook
from rules.migration import Client
from rules.phases import Shape
from rules.text.fingerprint import UNREADABLE, Fingerprint, fingerprint_of

#: Observations that are remembered.
_KNOWN_LIMIT: Final = 5_000


@dataclass(frozen=True, slots=True)
class Observation:
    """One distinct statement of one shape: texts of one fingerprint and one forecast; `statement` shows one of them."""

    migration: str
    shape: Shape
    fingerprint: str
    statement: str = field(compare=False)
    forecast: Forecast

    @property
    def id(self) -> str:
        """The fingerprint alone would join texts that differ in more than their constants."""
        outlooks = json.dumps([outlook.to_json() for outlook in self.forecast])
        return blake2b(f"{self.shape.value} {self.fingerprint} {outlooks}".encode(), digest_size=6).hexdigest()


class Describer:
    """Makes observations for one migration; texts with the same fingerprint are planned once."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster
        self._known: OrderedDict[tuple[Fingerprint, Client], Observation | None] = OrderedDict()

    def describe(self, sql: str, client: Client) -> Observation | None:
        """None if the text does not name the migration's table."""
        if not self._forecaster.may_concern(sql):
            return None
        fingerprint = fingerprint_of(sql)
        if fingerprint is UNREADABLE:
            return self._describe(sql, client, fingerprint)
        key = (fingerprint, client)
        if key not in self._known:
            self._known[key] = self._describe(sql, client, fingerprint)
            if len(self._known) > _KNOWN_LIMIT:
                self._known.popitem(last=False)
        return self._known[key]

    def _describe(self, sql: str, client: Client, fingerprint: Fingerprint) -> Observation | None:
        if not self._forecaster.concerns(sql, client):
            return None
        forecast = self._forecaster.forecast(sql, client)
        if fingerprint is UNREADABLE:
            # The parser's words quote the text.
            forecast = tuple(Outlook(o.phase, o.treatment, fingerprint.text, sqlstate=o.sqlstate) for o in forecast)
        name = self._forecaster.migration.name
        return Observation(name, client.shape, fingerprint.hash, fingerprint.text, forecast)
