"""A connection that is cut is a lost connection, whatever the driver makes of it."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.backfill.sqlstate import is_worth_a_retry
from proxy.cli.common import describe

#: The last one comes when the connection is cut in the middle of an answer.
LOST = [
    OSError("connection reset"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_the_worker_tries_again_and_an_operator_reads_one_line(error: Exception) -> None:
    assert is_worth_a_retry(error)
    line = describe(error)
    assert line is not None and str(error) in line


def test_a_defect_of_ours_is_no_lost_connection() -> None:
    assert not is_worth_a_retry(KeyError("x"))
    assert describe(KeyError("x")) is None
