"""Transition indexes: made CONCURRENTLY before the phase that reads what they are over, dropped when none does.

PostgreSQL itself says which can be had: each is made once on an empty copy of the table, in a transaction that is
rolled back. What is there is told by name, which ends in a digest of the definition.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import asyncpg

from proxy.backfill.sqlstate import belongs_to_a_row
from proxy.database import Connection
from proxy.ladder.operator import LadderError, Operator, TableIsBusy
from proxy.ladder.partitions import drop_everywhere, ensure_everywhere
from rules.catalog import Relation, TableName
from rules.changes import quote_identifier, quote_table
from rules.ddl.counterparts import transition
from rules.ddl.index_text import SourceIndex
from rules.ddl.statements import expand
from rules.ddl.transition import (
    FIRST_POLICY,
    Transition,
    TransitionIndex,
    analyze_expressions,
    drop_in_background,
    drop_statistics,
    is_ours,
)
from rules.migration import ManagedTable, Migration
from rules.phases import HIDDEN_PREFIX, STATE_COLUMN, Phase

_ENTRY_TOO_LONG = "54000"
_COPY = TableName("pg_temp", "_pgjanus_trial")

_SOURCES = """
SELECT c.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition, i.indimmediate, i.indisexclusion,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('u', 'p')
                  AND k.conrelid = i.indrelid) AS is_constraint
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = $1::int8::oid AND i.indisvalid AND i.indislive AND NOT starts_with(c.relname, $2)
 ORDER BY i.indexrelid"""

_PRESENT = """
SELECT c.relname::text AS name, i.indisvalid AS is_valid,
       i.indexprs IS NULL OR EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)
         OR EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid JOIN pg_stats s
                      ON s.tablename = l.relname AND s.schemaname = l.relnamespace::regnamespace::text)
         AS has_statistics
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indrelid = $1::int8::oid AND starts_with(c.relname, $2)
 ORDER BY c.relname"""


_STATISTICS = """
SELECT s.stxname::text AS name,
       EXISTS (SELECT FROM pg_stats_ext_exprs e
                WHERE (e.statistics_schemaname, e.statistics_name) = (n.nspname, s.stxname)) AS has_values
  FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
 WHERE s.stxrelid = $1::int8::oid AND starts_with(s.stxname, $2)"""


class IndexCannotBeMade(LadderError):
    """rows that stand against an index which the next phase reads by"""


async def load_sources(connection: Connection, table_oid: int) -> tuple[SourceIndex, ...]:
    """The table's own indexes, in the order in which they were made."""
    return tuple(
        SourceIndex(r["name"], r["definition"], r["is_constraint"], r["indimmediate"], r["indisexclusion"])
        for r in await connection.fetch(_SOURCES, table_oid, HIDDEN_PREFIX)
    )


async def find_transition(
    connection: Connection, migration: Migration, relation: Relation, remembered: tuple[SourceIndex, ...] = ()
) -> Transition:
    """What the migration needs and can have. `remembered` are indexes that may have been dropped since.

    Call it outside of a transaction; it makes a temporary table.
    """
    sources = {s.name: s for s in (*remembered, *await load_sources(connection, relation.oid))}
    found = transition(migration, relation, sources.values())
    if not found.indexes:
        return found
    copy = replace(migration, table=_COPY)
    refused: dict[TransitionIndex, str] = {}
    attempt = connection.transaction()
    await attempt.start()
    try:
        await _make_copy(connection, relation, copy)
        for index, on_copy in zip(found.indexes, transition(copy, relation, sources.values()).indexes, strict=True):
            try:
                async with connection.transaction():
                    await connection.execute(on_copy.trial)
            except asyncpg.PostgresError as error:
                refused[index] = " ".join(str(error).split())
    finally:
        if not connection.is_closed():
            await attempt.rollback()
    return found.without(refused)


async def _make_copy(connection: Connection, relation: Relation, copy: Migration) -> None:
    """An empty table with the columns of a migrating one; no default is evaluated for it."""
    await connection.execute(f"CREATE TEMP TABLE {quote_identifier(_COPY.name)} (LIKE {quote_table(relation.table)})")
    if relation.column(STATE_COLUMN) is None:
        plain = (replace(c, new=tuple(replace(n, default=None) for n in c.new)) for c in copy.changes)
        for statement in expand(replace(copy, changes=tuple(plain)), relation):
            await connection.execute(statement.sql)


async def plan_indexes(operator: Operator, managed: ManagedTable) -> Transition:
    """The transition of a migration that is under way; says what cannot be had.

    Indexes are remembered as they were when a phase first needed them: a unique one over an old column has to go before
    `writes=new`, and what stands for it has to stay.
    """
    connection, migration, relation = operator.connection, managed.migration, managed.relation
    remembered = await _read_remembered(connection, migration.name)
    found = await find_transition(connection, migration, relation, remembered)
    for gap in found.gaps:
        operator.say(f"note: {gap} ({gap.hint})")
    sources = {s.name: s for s in (*remembered, *await load_sources(connection, relation.oid))}
    if tuple(sources.values()) != remembered:
        await _remember(connection, migration.name, tuple(sources.values()))
    return found


async def ensure_indexes(operator: Operator, managed: ManagedTable, found: Transition, phase: Phase) -> None:
    """Every index that `phase` wants, valid and with statistics.

    Raises:
        IndexCannotBeMade: shows the duplicate, or the value that cannot be converted; what was made for it is gone.
        TableIsBusy: a build waited too long for older transactions.
    """
    connection, oid, table = operator.connection, managed.relation.oid, managed.relation.table
    present = {r["name"]: r["is_valid"] for r in await connection.fetch(_PRESENT, oid, HIDDEN_PREFIX)}
    wanted = found.wanted(phase)
    for index in wanted:
        if not present.get(index.name):
            await _make(operator, managed, index, is_left_over=index.name in present)
    measured = {r["name"]: r["has_values"] for r in await connection.fetch(_STATISTICS, oid, HIDDEN_PREFIX)}
    statistics = [s for s in found.statistics if s.is_wanted(phase)]
    for expression in statistics:
        if expression.name not in measured:
            await operator.patiently(f"statistics of {expression.column}", table, expression.add)
    bare = {r["name"] for r in await connection.fetch(_PRESENT, oid, HIDDEN_PREFIX) if not r["has_statistics"]}
    if any(i.name in bare for i in wanted) or not all(measured.get(s.name) for s in statistics):
        await operator.patiently("statistics of the indexes", table, analyze_expressions(table))


async def _make(operator: Operator, managed: ManagedTable, index: TransitionIndex, *, is_left_over: bool) -> None:
    operator.say(f"building the {index}")
    # Of a failed attempt: invalid, and still a cost to every write.
    if is_left_over and not managed.relation.is_partitioned:
        await operator.patiently(str(index), index.table, drop_in_background(index.table, index.name))
    try:
        if managed.relation.is_partitioned:
            await ensure_everywhere(operator, managed, index)
        else:
            await operator.patiently(str(index), index.table, index.add)
    except TableIsBusy:
        if not managed.relation.is_partitioned:
            await operator.try_once(f"taking the {index} back", index.table, [index.drop])
        raise
    except asyncpg.PostgresError as error:
        if operator.connection.is_closed():
            raise
        if managed.relation.is_partitioned:
            await drop_everywhere(operator, managed, index.name)
        else:
            await operator.execute_briefly(f"taking the {index} back", index.table, [index.drop])
        reason = " ".join(str(error).split())
        detail = f" ({_shortened(error.detail)})" if getattr(error, "detail", None) else ""
        if not index.is_unique and (belongs_to_a_row(error) or error.sqlstate == _ENTRY_TOO_LONG):
            # Reads are slower without it; which rows cannot be converted is for the backfill to say.
            operator.say(f"note: no {index}: {reason}{detail}")
            return
        raise IndexCannotBeMade(f"{index} cannot be made: {reason}{detail}") from error


def _shortened(detail: str | None) -> str:
    """`Key ((CASE WHEN …)=(x) is duplicated.` without the expression."""
    text = str(detail)
    at = text.rfind(")=(")
    return f"value {text[at + 2 :]}" if at > 0 else text


async def drop_indexes(operator: Operator, managed: ManagedTable, found: Transition, phase: Phase) -> None:
    """Drop those that neither `phase` nor a neighbour of it wants, and what failed attempts left.

    What is not wanted is only a cost: where a lock is not to be had, the next step tries again.
    """
    connection, migration, relation = operator.connection, managed.migration, managed.relation
    kept = {i.name for i in found.kept(migration.strategy, phase)}
    rows = await connection.fetch(_PRESENT, relation.oid, HIDDEN_PREFIX)
    going = [r["name"] for r in rows if is_ours(r["name"]) and not (r["is_valid"] and r["name"] in kept)]
    for name in going:
        try:
            if relation.is_partitioned:
                await drop_everywhere(operator, managed, name)
            else:
                await operator.patiently(f"dropping {name}", relation.table, drop_in_background(relation.table, name))
        except TableIsBusy as error:
            operator.say(f"note: an index that is not needed any more is still there, the next step drops it: {error}")
            return
    kept_statistics = {s.name for s in found.kept_statistics(migration.strategy, phase)}
    for row in await connection.fetch(_STATISTICS, relation.oid, HIDDEN_PREFIX):
        if row["name"] not in kept_statistics:
            drop = drop_statistics(relation.table, row["name"])
            await operator.patiently("dropping statistics", relation.table, drop)
    if going:
        operator.say(f"dropped {len(going)} indexes that no phase near {phase.name} reads by")
    if phase.policy == FIRST_POLICY:
        await _remember(connection, migration.name, ())


async def find_counterparts(
    operator: Operator, managed: ManagedTable, found: Transition
) -> tuple[TransitionIndex, ...]:
    """The indexes that stay when the migration is over, of those that are there and valid."""
    rows = await operator.connection.fetch(_PRESENT, managed.relation.oid, HIDDEN_PREFIX)
    present = {r["name"] for r in rows if r["is_valid"]}
    return tuple(i for i in found.counterparts if i.name in present)


async def _read_remembered(connection: Connection, name: str) -> tuple[SourceIndex, ...]:
    saved = await connection.fetchval("SELECT saved ->> 'indexes' FROM pgjanus.migrations WHERE name = $1", name)
    return tuple(SourceIndex(**found) for found in json.loads(saved or "[]"))


async def _remember(connection: Connection, name: str, indexes: tuple[SourceIndex, ...]) -> None:
    await connection.execute(
        "UPDATE pgjanus.migrations SET saved = jsonb_set(saved, '{indexes}', $2::text::jsonb) WHERE name = $1",
        *(name, json.dumps([asdict(i) for i in indexes])),
    )
