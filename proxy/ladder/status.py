"""What `pgjanus status` shows, read in one go."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from proxy.backfill.report import BackfillReport, read_backfills
from proxy.control import leases, registry
from proxy.control.installation import is_installed, require_installed
from proxy.control.leases import ProxyRow
from proxy.control.rebuilt import read_rebuilt
from proxy.control.registry import MigrationRow
from proxy.database import Connection
from proxy.ladder.dependants import survey_dependants
from proxy.ladder.gates import constraint_is_valid
from proxy.verify.report import VerificationReport, read_verification
from rules.batches import in_state
from rules.changes import quote_identifier, quote_table
from rules.ddl.statements import gate_name
from rules.errors import PgjanusError
from rules.phases import HIDDEN_PREFIX, STATE_COLUMN, RowState

#: Up to that size rows are counted; a larger table is sampled.
_COUNT_UP_TO_BYTES = 64 * 1024 * 1024
_SAMPLE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """One index that the ladder made. `state`: `ready`, `building` or `invalid`; `percent` of a build, where known."""

    name: str
    definition: str
    state: str
    bytes: int
    percent: float | None


@dataclass(frozen=True, slots=True)
class DependantStatus:
    """What depends on an old column. `state`: `will be rebuilt`, `rebuilt: reads …`, or `has to go: …`."""

    description: str
    state: str


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """`gates`: by forbidden row state, `absent`, `not validated` or `validated`. `rows`: by row state; None where there
    are no states to count. `held`: new transactions are waiting for the outcome of `contracted`."""

    name: str
    table: str
    strategy: str
    phase: str
    ladder: tuple[str, ...]
    gates: dict[str, str]
    rows: dict[str, int] | None
    rows_are_exact: bool
    backfills: tuple[BackfillReport, ...]
    held: bool
    verification: VerificationReport | None = None
    indexes: tuple[IndexStatus, ...] = ()
    dependants: tuple[DependantStatus, ...] = ()

    @property
    def next_phase(self) -> str | None:
        at = self.ladder.index(self.phase) + 1
        return self.ladder[at] if at < len(self.ladder) else None


@dataclass(frozen=True, slots=True)
class Status:
    epoch: int | None
    migrations: tuple[MigrationStatus, ...]
    proxies: tuple[ProxyRow, ...]

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        for shown, migration in zip(found["migrations"], self.migrations, strict=True):
            shown["next_phase"] = migration.next_phase
            for backfill, kept in zip(shown["backfills"], migration.backfills, strict=True):
                backfill["percent"] = kept.percent
            if migration.verification is not None:
                shown["verification"]["percent"] = migration.verification.percent
        for proxy in found["proxies"]:
            proxy["heartbeat_age_s"] = round(proxy["heartbeat_age_s"], 3)
        return found


async def read_status(connection: Connection, name: str | None = None) -> Status:
    """All migrations, or that one.

    Raises:
        UnknownMigration: there is none of that name.
    """
    if not await is_installed(connection):
        if name is not None:
            await require_installed(connection)
        return Status(None, (), ())
    state = await registry.read_state(connection)
    rows = state.migrations if name is None else (await registry.read_migration(connection, name),)
    return Status(
        state.epoch,
        tuple([await _migration(connection, row) for row in rows]),
        await leases.read_proxies(connection),
    )


async def _migration(connection: Connection, row: MigrationRow) -> MigrationStatus:
    gates: dict[str, str] = {}
    counts: dict[str, int] | None = None
    exact = True
    if row.phase.expanded:
        words = {None: "absent", False: "not validated", True: "validated"}
        for state in (RowState.OLD, RowState.NEW):
            valid = await constraint_is_valid(connection, row.table_oid, gate_name(state))
            gates[state.value] = words[valid]
        counts, exact = await _count_rows(connection, row)
    return MigrationStatus(
        name=row.name,
        table=str(row.table),
        strategy=row.strategy.value,
        phase=row.phase.name,
        ladder=tuple(p.name for p in row.ladder),
        gates=gates,
        rows=counts,
        rows_are_exact=exact,
        backfills=await read_backfills(connection, row.name),
        held=row.hold_until is not None,
        verification=await read_verification(connection, row.name) if row.is_active else None,
        indexes=await _indexes(connection, row) if row.is_active else (),
        dependants=await _dependants(connection, row) if row.is_active else (),
    )


async def _dependants(connection: Connection, row: MigrationRow) -> tuple[DependantStatus, ...]:
    try:
        _, managed = await registry.read_managed_table(connection, row.name)
    except PgjanusError:  # its table is gone or has another name now, and everything else is still worth showing
        return ()
    rebuilt = await read_rebuilt(connection, row.name)
    survey = await survey_dependants(connection, managed, rebuilt)
    found = {r.key: DependantStatus(r.description, f"rebuilt: reads {r.form.value}") for r in rebuilt.values()}
    for reading, rebuilding in survey.rebuilt:
        note = f"; {rebuilding.note}" if rebuilding.note else ""
        found.setdefault(reading.key, DependantStatus(str(rebuilding.definition), f"will be rebuilt{note}"))
    going = [
        DependantStatus(f"{d.description} (column {d.column})", f"has to go{f': {d.reason}' if d.reason else ''}")
        for d in survey.in_the_way
    ]
    return (*found.values(), *going)


# While it reads the table a build counts blocks; it sorts and waits for older transactions without counting.
_INDEXES = """
SELECT c.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition, pg_relation_size(i.indexrelid) AS bytes,
       CASE WHEN i.indisvalid THEN 'ready' WHEN p.pid IS NOT NULL THEN 'building' ELSE 'invalid' END AS state,
       CASE WHEN NOT i.indisvalid AND p.blocks_total > 0 THEN 100.0 * p.blocks_done / p.blocks_total END::float8
         AS percent
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid
 WHERE i.indrelid = $1::int8::oid AND starts_with(c.relname, $2)
 ORDER BY i.indexrelid"""


async def _indexes(connection: Connection, row: MigrationRow) -> tuple[IndexStatus, ...]:
    rows = await connection.fetch(_INDEXES, row.table_oid, HIDDEN_PREFIX)
    return tuple(IndexStatus(r["name"], r["definition"], r["state"], r["bytes"], r["percent"]) for r in rows)


async def _count_rows(connection: Connection, row: MigrationRow) -> tuple[dict[str, int] | None, bool]:
    """Rows by row state, and whether they were counted rather than extrapolated from a sample of the pages."""
    size = await connection.fetchval(
        "SELECT coalesce((SELECT sum(pg_relation_size(relid))::int8 FROM pg_partition_tree(a.attrelid)),"
        " pg_relation_size(a.attrelid)) FROM pg_attribute a"
        " WHERE a.attrelid = $1::int8::oid AND a.attname = $2 AND NOT a.attisdropped",
        *(row.table_oid, STATE_COLUMN),
    )
    if size is None:
        return None, True
    exact = size <= _COUNT_UP_TO_BYTES
    percent = 100.0 if exact else 100.0 * _SAMPLE_BYTES / size
    sample = "" if exact else f" TABLESAMPLE SYSTEM ({percent:.6f})"
    code = f"t.{quote_identifier(STATE_COLUMN)}"
    counts = ", ".join(f"count(*) FILTER (WHERE {in_state(state, code)})" for state in RowState)
    found = await connection.fetchrow(f"SELECT {counts} FROM {quote_table(row.table)} AS t{sample}")
    assert found is not None
    return {state.value: round(n * 100 / percent) for state, n in zip(RowState, found, strict=True)}, exact
