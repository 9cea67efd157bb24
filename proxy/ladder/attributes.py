"""NOT NULL, CHECK, REFERENCES, UNIQUE, index of the new columns: made in the background, while the old gate stands."""

from __future__ import annotations

import asyncpg

from proxy.database import Connection
from proxy.ladder.gates import constraint_is_valid
from proxy.ladder.operator import LadderError, Operator, TableIsBusy
from proxy.ladder.partitions import ensure_everywhere
from rules.changes import quote_identifier, quote_table
from rules.ddl.attributes import Attribute, Kind, attributes
from rules.ddl.statements import Lock, Statement, new_columns
from rules.migration import ManagedTable

_VIOLATIONS = (
    asyncpg.CheckViolationError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.UniqueViolationError,
    asyncpg.NotNullViolationError,
)


class AttributeViolated(LadderError):
    """rows that do not have what the migration promises of a new column"""


async def ensure_attributes(operator: Operator, managed: ManagedTable) -> None:
    """Every attribute there and proved; statistics of the new columns, so that the first reads are planned well.

    Raises:
        AttributeViolated: says which and shows a row; what was made for it is gone again.
        TableIsBusy: a constraint could not be added.
    """
    for attribute in attributes(managed.migration):
        try:
            if attribute.kind.is_index:
                made = await _ensure_index(operator, managed, attribute)
            else:
                made = await _ensure_constraint(operator, managed, attribute)
        except _VIOLATIONS as error:
            await operator.execute_briefly(f"taking {attribute} back", attribute.table, [attribute.drop])
            detail = f" ({error.detail})" if error.detail else ""
            raise AttributeViolated(f"{attribute} does not hold: {' '.join(str(error).split())}{detail}") from error
        if made:
            operator.say(f"{attribute} holds")
    columns = ", ".join(quote_identifier(c.physical) for c in new_columns(managed.migration))
    if columns:
        analyze = Statement(f"ANALYZE {quote_table(managed.relation.table)} ({columns})", Lock.SHARE_UPDATE_EXCLUSIVE)
        await operator.patiently("statistics of the new columns", managed.relation.table, analyze)


async def _ensure_constraint(operator: Operator, managed: ManagedTable, attribute: Attribute) -> bool:
    connection, oid = operator.connection, managed.relation.oid
    valid = await constraint_is_valid(connection, oid, attribute.name)
    if valid is None and attribute.kind is Kind.NOT_NULL and await _is_not_null(connection, oid, attribute):
        return False
    if valid and not attribute.finish:
        return False
    if valid is None:
        await operator.execute_briefly(str(attribute), attribute.table, [attribute.add])
    if not valid:
        assert attribute.proof is not None
        await operator.patiently(str(attribute), attribute.table, attribute.proof)
    if attribute.finish:
        await operator.execute_briefly(str(attribute), attribute.table, attribute.finish)
    return True


async def _is_not_null(connection: Connection, table_oid: int, attribute: Attribute) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT attnotnull FROM pg_attribute WHERE attrelid = $1::int8::oid AND attname = $2",
            *(table_oid, attribute.column.physical),
        )
    )


async def _ensure_index(operator: Operator, managed: ManagedTable, attribute: Attribute) -> bool:
    if await _index_is_valid(operator.connection, attribute):
        return False
    if managed.relation.is_partitioned:
        await ensure_everywhere(operator, managed, attribute)
        return True
    # What a failed attempt left behind is invalid and still costs every write.
    await operator.patiently(str(attribute), attribute.table, attribute.drop_in_background)
    try:
        await operator.patiently(str(attribute), attribute.table, attribute.add)
    except TableIsBusy:
        await operator.try_once(f"taking {attribute} back", attribute.table, [attribute.drop])
        raise
    return True


async def _index_is_valid(connection: Connection, attribute: Attribute) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
            *(attribute.table.schema, attribute.name),
        )
    )


def constraining(managed: ManagedTable) -> tuple[Statement, ...]:
    """What has to go when reads leave the new format: it would refuse writes that are right for the old one."""
    return tuple(a.drop for a in attributes(managed.migration) if a.kind is not Kind.INDEX)
