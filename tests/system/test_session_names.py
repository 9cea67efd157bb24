"""Prepared statements and cursors of SQL itself: a session's whole script on an unmigrated twin and through the proxy.

Every message of the server's is compared. Each script runs as simple queries and as extended ones; while the phase
stays, and while it moves to and fro between all transactions, so that whatever is prepared has to follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from proxy.wire.messages import ErrorFields, message, read_row_description
from rules.migration import ManagedTable
from rules.phases import Phase, Shape, Strategy, phase_named
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Server
from tests.playbook import SYNC, LocalProxy, OrderedPins, RawClient, bind, describe, execute, local_proxy, parse
from tests.twin import Twin, open_twins

SCRIPTS = Path(__file__).parents[1] / "scripts"

#: The phase of the databases, the other one that the same rows allow, the shape.
RUNGS = {
    Shape.OLD: (phase_named(Strategy.DUAL_WRITE, "writing_both"), phase_named(Strategy.BOTH, "dual")),
    Shape.NEW: (phase_named(Strategy.DUAL_WRITE, "reading_new"), phase_named(Strategy.BOTH, "dual")),
}


@dataclass(frozen=True)
class Script:
    line: int
    statements: tuple[str, ...]
    options: dict[str, str]


def read_scripts(name: str) -> Iterator[Script]:
    """Blocks apart by blank lines, one message per line; options in front: `-- shape: old`, `-- protocol: simple`."""
    line = 1
    for block in (SCRIPTS / name).read_text().split("\n\n"):
        lines = block.strip().split("\n")
        options = dict(re.findall(r"^-- (shape|protocol): (\w+)$", block, re.MULTILINE))
        yield Script(line, tuple(x for x in lines if not x.startswith("-- ")), options)
        line += block.count("\n") + 2


Messages = list[tuple[str, Any]]


class Ends:
    """The two ends of one shape: an unmigrated database, and the proxy in front of a managed one."""

    def __init__(self, twin: Twin, proxy: LocalProxy, pins: OrderedPins, other: Snapshot) -> None:
        self.twin, self.proxy, self.pins, self.other = twin, proxy, pins, other

    def run(self, script: Script, *, extended: bool, moving: bool) -> list[str]:
        """Differences, in words."""
        shape = self.twin.client.shape
        self.pins.snapshot = self.twin.snapshot
        options = {"options": f"-c pgjanus.shape={shape.value}"}
        direct, managed = self.twin.direct.info, self.twin.managed.info
        found: list[str] = []
        with (
            RawClient(direct.port, direct.dbname) as plain,
            RawClient(self.proxy.port, managed.dbname, options) as proxied,
        ):
            for number, sql in enumerate(script.statements):
                if moving:
                    self.pins.snapshot = self.other if number % 2 else self.twin.snapshot
                expected = self._answers(plain, self.twin.direct, sql, extended)
                seen = self._answers(proxied, self.twin.managed, sql, extended)
                if expected != seen:
                    found.append(f"line {script.line}, {extended=} {moving=}: {sql}\n  {expected}\n  {seen}")
        return found

    def _answers(self, client: RawClient, connection: psycopg.Connection[Any], sql: str, extended: bool) -> Messages:
        if extended:
            client.send(parse("", sql), SYNC)
            answers = client.until(b"Z")
            client.send(bind("", ""), describe("P"), execute(), SYNC)
            if not any(kind == b"E" for kind, _ in answers):
                client.send(describe("S"), SYNC)
                answers += client.until(b"Z", 2)
            else:
                client.until(b"Z")
        else:
            client.send(message(b"Q", sql.encode() + b"\0"))
            answers = client.until(b"Z")
        return [(kind.decode(), self._shown(kind, body, connection)) for kind, body in answers]

    def _origin(self, connection: psycopg.Connection[Any], origin: tuple[int, int]) -> str:
        """A table that the script has made itself has another number on each side."""
        name = self.twin.origin(connection, origin)
        return f"its own.{origin[1]}" if name.startswith(("(", "pg_temp")) else name

    def _shown(self, kind: bytes, body: bytes, connection: psycopg.Connection[Any]) -> Any:
        match kind:
            case b"T":
                return [
                    (f.name, f.type_oid, f.typmod, f.wire_format, self._origin(connection, (f.table_oid, f.attnum)))
                    for f in read_row_description(body)
                ]
            case b"E" | b"N":
                error = ErrorFields.read(body)
                return tuple(error.get(code) for code in (b"C", b"P", b"M"))
            case _:
                return body


@pytest.fixture(scope="module", params=list(Shape), ids=lambda shape: shape.value)
def ends(request: pytest.FixtureRequest, server: Server) -> Iterator[Ends]:
    phase, other = RUNGS[request.param]
    with open_twins(server) as make:
        twin = make(phase, request.param)
        pins = OrderedPins(twin.snapshot)
        with local_proxy(server.port, pins=pins, planner=plan) as proxy:
            yield Ends(twin, proxy, pins, in_phase(twin.snapshot, other))


def in_phase(snapshot: Snapshot, phase: Phase) -> Snapshot:
    tables = {name: ManagedTable(t.migration, phase, t.relation) for name, t in snapshot.tables.items()}
    return Snapshot(snapshot.epoch + 1, snapshot.catalog, tables)


@pytest.mark.parametrize("moving", [False, True], ids=["staying", "moving"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_what_a_session_keeps_is_as_on_the_twin(ends: Ends, extended: bool, moving: bool) -> None:
    shape = ends.twin.client.shape.value
    found: list[str] = []
    before = ends.proxy.tally.prepared_again
    for script in read_scripts("names.sql"):
        if script.options.get("shape", shape) == shape and not (extended and "protocol" in script.options):
            found += ends.run(script, extended=extended, moving=moving)
    assert not found, f"{len(found)} differences\n" + "\n".join(found)
    assert (ends.proxy.tally.prepared_again > before) == moving
