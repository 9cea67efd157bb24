"""A pytest plugin (`-p tests.mutants.plugin`): takes out what the environment says, for good."""

from __future__ import annotations

import os

from tests.mutants import MUTANTS

#: Names the mutant; empty: nothing is taken out.
VARIABLE = "PGJANUS_MUTANT"


def pytest_configure() -> None:
    name = os.environ.get(VARIABLE)
    if name:
        next(m for m in MUTANTS if m.name == name).apply()
