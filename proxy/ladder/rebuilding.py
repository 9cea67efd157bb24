"""Views and policies on old columns are rebuilt, and made what they were again on the way back.

    before the first phase that leaves the old columns alone    read by row state: right in every phase
    before `contracted`, the gate against row state `old` shut  read the new columns: nothing needs the old ones
    before a phase in which everybody reads the old columns     as they were

Each in a transaction of its own, with a short exclusive lock on the view, or on the policy's table. In between both
texts are right, so it does not matter where an operator dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg

from proxy.catalog import load_catalog
from proxy.control.rebuilt import Kind, Rebuilt, forget_rebuilt, read_rebuilt, remember
from proxy.database import Connection
from proxy.ladder.definitions import Definition, load_definition, why_not_ours, writers_through
from proxy.ladder.operator import LadderError, Operator, Work
from rules.catalog import Catalog, TableName
from rules.changes import quote_table
from rules.ddl.statements import Statement
from rules.dependants import (
    Form,
    Query,
    alter_policy,
    condition_names_old,
    down_of_nothing,
    has_outer_join,
    rebuild_condition,
    rebuild_query,
    replace_view,
    why_inexact,
)
from rules.dependencies import used_objects
from rules.errors import Refusal
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX


class CannotBeRebuilt(LadderError):
    """a view or policy whose old columns cannot be had from the new ones without anybody noticing, and why"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A view or policy, and the old columns that it reads."""

    kind: Kind
    oid: int
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.kind.value} {self.oid}"


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What would be done about one view or policy. `note`: what will be different all the same."""

    definition: Definition
    statements: dict[Form, Statement]
    note: str = ""


class Rebuilder:
    """Of one migration, with the catalog as it is now."""

    def __init__(self, connection: Connection, managed: ManagedTable, catalog: Catalog) -> None:
        self._connection = connection
        self._managed = managed
        self._catalog = catalog

    async def rebuild(self, reading: Reading, before: Rebuilt | None) -> Rebuilding:
        """Both forms of a definition that reads old columns; from what it was `before` we changed it, if we did.

        Raises:
            CannotBeRebuilt: why not.
        """
        present = await load_definition(self._connection, reading.kind, reading.oid)
        if present is None:
            raise CannotBeRebuilt("it is gone")
        reason = why_not_ours(present) or await self._why_inexact(reading.columns)
        if reason is not None:
            raise CannotBeRebuilt(reason)
        texts = present.texts if before is None or before.fingerprint != present.fingerprint else before.texts
        definition = present.with_texts(texts)
        try:
            if reading.kind is Kind.VIEW:
                return await self._view(definition, reading.columns)
            return await self._policy(definition, reading.columns)
        except Refusal as refusal:
            raise CannotBeRebuilt(refusal.message) from refusal

    async def _why_inexact(self, columns: Iterable[str]) -> str | None:
        for column in columns:
            reason = why_inexact(self._managed, column)
            if reason is not None:
                return reason
        for used in used_objects(self._managed):
            guarded = await self._connection.fetchval(
                "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                " WHERE n.nspname = $1 AND p.proname = $2 AND NOT has_function_privilege('public', p.oid, 'EXECUTE')",
                *(used.schema, used.name),
            )
            if guarded is not None:
                return f"not everybody who reads it may call {guarded}, which the migration uses"
        return None

    async def _view(self, view: Definition, columns: Iterable[str]) -> Rebuilding:
        (sql,) = view.texts
        assert sql is not None
        await self._require_outer_joins(sql, columns)
        queries = {form: rebuild_query(sql, self._managed, self._catalog, form) for form in Form}
        statements = {form: self._replace(view, query) for form, query in queries.items()}
        note = ""
        writable = [view.columns[at - 1] for at in queries[Form.FROM_NEW].old_outputs if at in view.writable]
        if writable:
            writers = await writers_through(self._connection, view.oid)
            names = ", ".join(writable)
            if writers:
                raise CannotBeRebuilt(f"{writers} may write {names} through it, which nobody can afterwards")
            note = f"{names} can no longer be written through it"
        return Rebuilding(view, statements, note)

    @staticmethod
    def _replace(view: Definition, query: Query) -> Statement:
        return replace_view(view.table, view.columns, view.options, query.sql)

    async def _policy(self, policy: Definition, columns: Iterable[str]) -> Rebuilding:
        statements = {}
        for text in policy.texts:
            if text is not None:
                await self._require_outer_joins(f"SELECT 1 WHERE ({text})", columns)
        for form in Form:
            using, check = (self._condition(policy.table, text, form) for text in policy.texts)
            statements[form] = alter_policy(policy.name, policy.table, using, check)
        return Rebuilding(policy, statements)

    def _condition(self, on: TableName, text: str | None, form: Form) -> str | None:
        if text is None or not condition_names_old(text, on, self._managed, self._catalog):
            return text
        return rebuild_condition(text, on, self._managed, self._catalog, form)

    async def _require_outer_joins(self, sql: str, columns: Iterable[str]) -> None:
        if not has_outer_join(sql):
            return
        for column in columns:
            if not await self._connection.fetchval(down_of_nothing(self._managed, column)):
                raise CannotBeRebuilt(f"`down` of {column} makes a value of nothing, and an outer join would show it")


async def load_rebuilder(connection: Connection, managed: ManagedTable) -> Rebuilder:
    return Rebuilder(connection, managed, await load_catalog(connection))


async def rebuild_all(operator: Operator, managed: ManagedTable, readings: Iterable[Reading], form: Form) -> None:
    """Bring what reads old columns into that form.

    Raises:
        CannotBeRebuilt: one of them, and why; those before it are done.
        TableIsBusy: not within the timeout.
    """
    for reading in readings:
        present = await load_definition(operator.connection, reading.kind, reading.oid)
        before = (await read_rebuilt(operator.connection, managed.migration.name)).get(reading.key)
        if present is None or (before and (before.form, before.fingerprint) == (form, present.fingerprint)):
            continue
        await _put(operator, present, partial(_rebuild, managed, reading, form, present))
        operator.say(f"{present} is rebuilt: it reads {form.value}")


async def _rebuild(
    managed: ManagedTable, reading: Reading, form: Form, present: Definition, connection: Connection
) -> Sequence[Statement]:
    name = managed.migration.name
    await _hold_still(connection, present)
    before = (await read_rebuilt(connection, name)).get(reading.key)
    rebuilding = await (await load_rebuilder(connection, managed)).rebuild(reading, before)
    definition = rebuilding.definition
    kept = Rebuilt(reading.kind, reading.oid, str(definition), definition.texts, reading.columns, form)
    return [rebuilding.statements[form], remember(name, kept)]


async def return_to_row_state(operator: Operator, managed: ManagedTable) -> None:
    """Before the way back: rows in state `old` will be there again, and the new columns alone do not tell of them."""
    saved = await read_rebuilt(operator.connection, managed.migration.name)
    readings = [Reading(r.kind, r.oid, r.columns) for r in saved.values() if r.form is Form.FROM_NEW]
    await rebuild_all(operator, managed, readings, Form.BY_ROW_STATE)


async def restore_all(operator: Operator, managed: ManagedTable) -> None:
    """As they were. What somebody else has changed since then is left alone, and has to do without the new columns."""
    name = managed.migration.name
    for rebuilt in (await read_rebuilt(operator.connection, name)).values():
        present = await load_definition(operator.connection, rebuilt.kind, rebuilt.oid)
        if present is None or present.fingerprint != rebuilt.fingerprint:
            if present is not None and any(HIDDEN_PREFIX in (text or "") for text in present.texts):
                raise CannotBeRebuilt(
                    f"{present} was changed since it was rebuilt, and reads columns of pgjanus that are about to go:"
                    " drop it, and create it again afterwards"
                )
            what = "is gone" if present is None else "was changed by somebody else"
            await operator.connection.execute(forget_rebuilt(name, rebuilt).sql)
            operator.say(f"note: {rebuilt.description} {what} since it was rebuilt, and stays like that")
            continue
        await _put(operator, present, partial(_restore, name, rebuilt, present))
        operator.say(f"{present} is what it was")


async def _restore(name: str, rebuilt: Rebuilt, present: Definition, connection: Connection) -> Sequence[Statement]:
    await _hold_still(connection, present)
    if rebuilt.kind is Kind.VIEW:
        statement = replace_view(present.table, present.columns, present.options, rebuilt.texts[0] or "")
    else:
        statement = alter_policy(present.name, present.table, *rebuilt.texts)
    return [statement, forget_rebuilt(name, rebuilt)]


async def _put(operator: Operator, present: Definition, work: Work) -> None:
    try:
        await operator.briefly(f"rebuilding {present}", present.table, work)
    except asyncpg.PostgresError as error:
        raise CannotBeRebuilt(f"{present}: {error}. Drop it, and create it again afterwards") from error


async def _hold_still(connection: Connection, present: Definition) -> None:
    """Nobody else may replace a view between our reading and writing it. Needs no privilege, unlike LOCK TABLE."""
    if present.kind is Kind.VIEW:
        await connection.prepare(f"SELECT FROM {quote_table(present.table)}")
