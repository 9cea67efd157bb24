"""A client of a proxy whose control side and planner the test orders about, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.config import Limits, ProxyFile
from proxy.wire.messages import FieldDescription, read_row_description
from rules.errors import Refusal
from rules.plan import Refuse, ResultPatch
from rules.snapshot import Snapshot
from tests.conftest import Database
from tests.playbook import (
    LocalProxy,
    OrderedPins,
    RawClient,
    Scripted,
    described,
    local_proxy,
    managing,
    swap,
)

FIRST, SECOND = managing("users", epoch=1), managing("users", epoch=2)
LIMITS = ProxyFile(limits=Limits(buffer_limit_bytes=1 << 16))


@dataclass
class Scene:
    """One client of a proxy whose control side and planner the test orders about."""

    database: Database
    pins: OrderedPins
    planner: Scripted
    proxy: LocalProxy
    client: RawClient

    def plan(self, snapshot: Snapshot, sql: str, plan: object) -> None:
        self.planner.plans[snapshot.epoch, sql] = plan  # type: ignore[assignment]

    def refuse(self, sql: str, position: int | None = None, snapshot: Snapshot = FIRST) -> None:
        refusal = Refusal('pgjanus: it\'s too "hard"', "Write something else.", position=position)
        self.plan(snapshot, sql, Refuse(refusal, "change_users"))


@contextmanager
def play(database: Database, sliced: bool) -> Iterator[Scene]:
    """Open it, with tables and a client; at the end nothing may be pinned."""
    database.connect().execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text, _pgjanus_first text,"
        " _pgjanus_last text NOT NULL DEFAULT '');"
        "INSERT INTO users VALUES (1, 'Ada King', 'Ada', 'King'), (2, 'Plato', 'Plato', '')"
    )
    pins, planner = OrderedPins(FIRST), Scripted()
    with local_proxy(database.server.port, pins=pins, planner=planner, sliced=sliced, file=LIMITS) as proxy:
        with RawClient(proxy.port, database.name) as client:
            yield Scene(database, pins, planner, proxy, client)
        proxy.wait_until_empty()
        assert pins.pinned == []


def rows(messages: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The first column of each row, as text."""
    return [body[6 : 6 + int.from_bytes(body[2:6], "big")] for kind, body in messages if kind == b"D"]


def columns(messages: list[tuple[bytes, bytes]]) -> list[list[FieldDescription]]:
    return [list(read_row_description(body)) for kind, body in messages if kind == b"T"]


NAME = "SELECT first FROM users WHERE id = 1"
HIDDEN = swap(NAME, "first", "_pgjanus_first", ResultPatch(head=(described("first", typmod=24),)))
