"""Fixtures of the system tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Database
from tests.system.scene import Scene, play


@pytest.fixture(params=[False, True], ids=["whole", "sliced"])
def scene(request: pytest.FixtureRequest, database: Database) -> Iterator[Scene]:
    """One client of a proxy in this process; once with data as it comes, once byte by byte."""
    with play(database, request.param) as opened:
        yield opened
