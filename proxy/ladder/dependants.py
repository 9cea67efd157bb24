"""What in the database depends on the old columns: it would act on stale values once nobody writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from proxy.control.rebuilt import Kind, Rebuilt, read_rebuilt
from proxy.control.registry import RelaxedNotNull, save_relaxed
from proxy.database import Connection
from proxy.ladder.operator import LadderError, Operator
from proxy.ladder.rebuilding import CannotBeRebuilt, Reading, Rebuilding, load_rebuilder
from rules.catalog import TableName
from rules.changes import quote_identifier
from rules.ddl.guard import TRIGGER_PREFIX
from rules.ddl.statements import Statement, drop_constraint, old_columns, relax_not_null, restore_not_null
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX


class StillDependedOn(LadderError):
    """objects that would act on stale values of the old columns: drop or move each of them first"""

    def __init__(self, message: str, dependants: tuple[Dependant, ...]) -> None:
        super().__init__(message)
        self.dependants = dependants


@dataclass(frozen=True, slots=True)
class Dependant:
    """One object, in PostgreSQL's own description, and the column it depends on.

    `kind` and `oid` of a view or policy, which may be rebuilt; `reason` is why it cannot.
    """

    column: str
    description: str
    kind: Kind | None = None
    oid: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        reason = f", which cannot be rebuilt: {self.reason}" if self.reason else ""
        return f"{self.description} (column {self.column}){reason}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What depends on the old columns: what is rebuilt, and what has to go before they get stale."""

    rebuilt: tuple[tuple[Reading, Rebuilding], ...]
    in_the_way: tuple[Dependant, ...]

    @property
    def readings(self) -> tuple[Reading, ...]:
        return tuple(reading for reading, _ in self.rebuilt)


# pg_depend has them all, but a whole row is there as the table alone: in the stored tree it is column 0 of the row's
# type, as outVar of nodes/outfuncs.c writes it. What is harmless: the column's own default, its NOT NULL, an index that
# constrains nothing, statistics, and a sequence that the column owns; and, of a partition, what comes from its table.
_DEPENDANTS = """
WITH tree AS (SELECT $1::int8::oid AS oid UNION SELECT relid FROM pg_partition_tree($1::int8::oid))
SELECT DISTINCT a.attname::text AS column, pg_describe_object(d.classid, d.objid, d.objsubid) AS description,
       c.oid::int8 AS check_oid,
       CASE WHEN d.classid = 'pg_policy'::regclass THEN 'policy' WHEN w.oid IS NOT NULL THEN 'view' END AS kind,
       CASE WHEN d.classid = 'pg_policy'::regclass THEN d.objid ELSE w.ev_class END::int8 AS oid
  FROM pg_depend d
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  LEFT JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.contype = 'c'
  LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
 WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM tree) AND a.attname = ANY ($2::text[])
   AND NOT CASE d.classid
       WHEN 'pg_attrdef'::regclass THEN
            EXISTS (SELECT FROM pg_attrdef x
                     WHERE x.oid = d.objid AND x.adrelid = d.refobjid AND x.adnum = d.refobjsubid)
         OR d.refobjid <> $1::int8::oid
       WHEN 'pg_constraint'::regclass THEN
            EXISTS (SELECT FROM pg_constraint x
                     WHERE x.oid = d.objid AND (x.contype = 'n' OR starts_with(x.conname, $3) OR x.conparentid <> 0
                        OR (x.conrelid <> $1::int8::oid AND x.coninhcount > 0 AND NOT x.conislocal)))
       WHEN 'pg_class'::regclass THEN
            EXISTS (SELECT FROM pg_class x WHERE x.oid = d.objid AND x.relkind = 'S')
         OR EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = d.objid AND NOT x.indisunique AND NOT x.indisexclusion)
         OR (d.objid = d.refobjid AND d.objsubid = 0)
         OR EXISTS (SELECT FROM pg_class x
                     WHERE x.oid = d.objid AND (starts_with(x.relname, $3) OR x.relispartition))
       WHEN 'pg_trigger'::regclass THEN
            EXISTS (SELECT FROM pg_trigger x
                     WHERE x.oid = d.objid AND (starts_with(x.tgname, $4) OR x.tgparentid <> 0))
       WHEN 'pg_statistic_ext'::regclass THEN true
       ELSE false END
UNION
SELECT $2[1], pg_describe_object(d.classid, d.objid, d.objsubid) || ' by its whole rows', NULL, NULL, NULL
  FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
 WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM tree) AND cardinality($2) > 0
   AND CASE d.classid
       WHEN 'pg_rewrite'::regclass THEN
            (SELECT concat(x.ev_qual, x.ev_action) FROM pg_rewrite x WHERE x.oid = d.objid)
       WHEN 'pg_proc'::regclass THEN (SELECT x.prosqlbody::text FROM pg_proc x WHERE x.oid = d.objid)
       WHEN 'pg_policy'::regclass THEN
            (SELECT concat(x.polqual, x.polwithcheck) FROM pg_policy x WHERE x.oid = d.objid)
       END LIKE '%:varattno 0 :vartype ' || t.reltype || ' %'
 ORDER BY 1, 2"""


async def find_dependants(connection: Connection, managed: ManagedTable) -> tuple[Dependant, ...]:
    columns = [c.physical for c in old_columns(managed.migration)]
    rows = await connection.fetch(_DEPENDANTS, managed.relation.oid, columns, HIDDEN_PREFIX, TRIGGER_PREFIX)
    found = []
    for r in rows:
        if r["check_oid"] is None or not await _holds_without_old(connection, managed, r["check_oid"]):
            kind = Kind(r["kind"]) if r["kind"] else None
            found.append(Dependant(r["column"], r["description"], kind, r["oid"]))
    return tuple(found)


async def survey_dependants(
    connection: Connection, managed: ManagedTable, rebuilt: Mapping[str, Rebuilt] | None = None
) -> Survey:
    """`rebuilt` are those that this migration has rebuilt by now, by key."""
    columns: defaultdict[tuple[Kind, int], list[Dependant]] = defaultdict(list)
    in_the_way: list[Dependant] = []
    for dependant in await find_dependants(connection, managed):
        if dependant.kind is None or dependant.oid is None:
            in_the_way.append(dependant)
        else:
            columns[dependant.kind, dependant.oid].append(dependant)
    done: list[tuple[Reading, Rebuilding]] = []
    if columns:
        rebuilder = await load_rebuilder(connection, managed)
        for (kind, oid), dependants in columns.items():
            reading = Reading(kind, oid, tuple(d.column for d in dependants))
            try:
                done.append((reading, await rebuilder.rebuild(reading, (rebuilt or {}).get(reading.key))))
            except CannotBeRebuilt as error:
                in_the_way += [replace(d, reason=str(error)) for d in dependants]
    return Survey(tuple(done), tuple(in_the_way))


async def _holds_without_old(connection: Connection, managed: ManagedTable, check_oid: int) -> bool:
    """Whether a CHECK over nothing but old columns is content with NULLs: values that are stale were good once."""
    row = await connection.fetchrow(
        "SELECT pg_get_expr(conbin, conrelid) AS condition, ARRAY(SELECT attname::text FROM pg_attribute"
        " WHERE attrelid = conrelid AND attnum = ANY (conkey)) AS columns FROM pg_constraint WHERE oid = $1::int8::oid",
        check_oid,
    )
    if row is None:
        return True
    old = {c.physical for c in old_columns(managed.migration)}
    if not old.issuperset(row["columns"]):
        return False
    nulls = ", ".join(
        f"NULL::{c.type} AS {quote_identifier(c.name)}" for c in managed.relation.columns if c.name in old
    )
    return bool(await connection.fetchval(f"SELECT ({row['condition']}) IS NOT FALSE FROM (SELECT {nulls}) AS t"))


async def require_no_dependants(operator: Operator, managed: ManagedTable, phase: str) -> tuple[Reading, ...]:
    """Before any phase that no longer writes the old columns: nothing depends on them but what is returned, which is to
    be rebuilt.

    Raises:
        StillDependedOn: names them all.
    """
    rebuilt = await read_rebuilt(operator.connection, managed.migration.name)
    survey = await survey_dependants(operator.connection, managed, rebuilt)
    found = survey.in_the_way
    if found:
        listed = "; ".join(map(str, found))
        raise StillDependedOn(
            f"{phase} would leave the old columns of {managed.relation.table} stale, and this still depends on them:"
            f" {listed}. Drop each of them, or move it to the new columns' side, first",
            found,
        )
    return survey.readings


async def relax(operator: Operator, managed: ManagedTable, already: tuple[RelaxedNotNull, ...]) -> None:
    """Lift NOT NULL from the old columns, and remember it where going back will look."""
    names = {c.physical for c in old_columns(managed.migration)}
    columns = [c for c in managed.relation.columns if c.name in names and c.not_null]
    if not columns:
        return

    async def work(connection: Connection) -> Sequence[Statement]:
        constraints = await not_null_names(connection, managed.relation.oid)
        relaxed = {r.column: r for r in already} | {
            c.name: RelaxedNotNull(c.name, constraints.get(c.name)) for c in columns
        }
        await save_relaxed(connection, managed.migration.name, tuple(relaxed.values()))
        return [relax_not_null(managed.relation.table, [c.name for c in columns])]

    await operator.briefly("lifting NOT NULL of the old columns", managed.relation.table, work)
    operator.say(f"NOT NULL lifted from {', '.join(c.name for c in columns)}")


async def restore(operator: Operator, managed: ManagedTable, relaxed: tuple[RelaxedNotNull, ...]) -> None:
    """NOT NULL again, proved by a scan that lets writers write. Every row has its old format by now."""
    connection, table, oid = operator.connection, managed.relation.table, managed.relation.oid
    for column in relaxed:
        await _restore_one(operator, table, oid, column)
    if relaxed:
        await save_relaxed(connection, managed.migration.name, ())
        operator.say(f"NOT NULL restored on {', '.join(r.column for r in relaxed)}")


async def _restore_one(operator: Operator, table: TableName, oid: int, relaxed: RelaxedNotNull) -> None:
    sql = restore_not_null(table, relaxed.column, relaxed.constraint)
    what = f"NOT NULL of {relaxed.column}"
    present = await operator.connection.fetchval(
        "SELECT true FROM pg_constraint WHERE conrelid = $1::int8::oid AND conname = $2", oid, sql.name
    )
    if not present:
        await operator.execute_briefly(what, table, [sql.add])
    try:
        await operator.patiently(what, table, sql.proof)
    except asyncpg.CheckViolationError as error:
        await operator.execute_briefly(what, table, [drop_constraint(table, sql.name)])
        raise LadderError(f"{what} cannot be restored: some rows have NULL there by now, give them a value") from error
    await operator.execute_briefly(what, table, sql.finish)


async def not_null_names(connection: Connection, table_oid: int) -> dict[str, str]:
    """Column → its NOT NULL constraint; empty before PostgreSQL 18."""
    rows = await connection.fetch(
        "SELECT a.attname::text, c.conname::text FROM pg_constraint c JOIN pg_attribute a"
        " ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.conrelid = $1::int8::oid AND c.contype = 'n'",
        table_oid,
    )
    return {r[0]: r[1] for r in rows}
