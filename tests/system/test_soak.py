"""`make soak` in small: what is written in `new_only` is there after a rollback."""

from __future__ import annotations

import asyncio

from tests.conftest import Server
from tests.soak.back import write_and_go_back


def test_a_rollback_loses_nothing_that_was_written_in_new_only(server: Server) -> None:
    said: list[str] = []
    result = asyncio.run(write_and_go_back(server, "both", 600, said.append))
    assert (result.rows, result.lost) == (600, ()), said
