"""COPY without a server: what the text says, and what the triggers do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.ddl.copying import TRIGGERS, copying_ddl, copying_drop
from rules.migration import Client, ManagedTable
from rules.phases import LADDERS, Shape, Strategy
from rules.plan import Refuse, Rewrite
from rules.planner import plan
from tests.rules.managed import USERS, snapshot

NEW = Client(Shape.NEW)


def users(phase: str, *, lossy: bool = False) -> ManagedTable:
    managed = snapshot(phase).tables[USERS]
    changes = tuple(replace(c, lossy=lossy) for c in managed.migration.changes)
    return replace(managed, migration=replace(managed.migration, changes=changes))


def body(managed: ManagedTable, shape: Shape) -> str:
    [sql] = [s.sql for s in copying_ddl(managed) if s.sql.startswith(f'CREATE FUNCTION pgjanus."copy_{shape.value}')]
    return sql


def test_one_statement_is_marked_by_a_comment_and_several_by_a_setting() -> None:
    one = plan("COPY users FROM STDIN", snapshot("writing_both"), NEW)
    assert isinstance(one, Rewrite) and not one.wrapped
    assert one.sql.startswith('/*_pgjanus_copy_new*/COPY users ("id", "age", ')
    several = plan("SELECT 1; COPY users FROM STDIN", snapshot("writing_both"), NEW)
    assert isinstance(several, Rewrite) and several.wrapped == {1}
    assert several.sql.startswith("/*_pgjanus_copies*/SELECT 1; SET LOCAL _pgjanus_.copy = 'new'; COPY users (")
    assert several.sql.endswith("FROM STDIN; SET LOCAL _pgjanus_.copy = ''")


@pytest.mark.parametrize("beginning", ["/*_pgjanus_copy_new*/", "/*_pgjanus_copies*/", "/*_pgjanus_"])
def test_a_client_cannot_say_so_itself(beginning: str) -> None:
    found = plan(f"{beginning}*/SELECT f()", snapshot("writing_both"), NEW)
    assert isinstance(found, Refuse)


def test_old_rows_are_not_marked_where_they_need_no_conversion() -> None:
    found = plan("COPY users FROM STDIN", snapshot("expanded"), Client(Shape.OLD))
    assert isinstance(found, Rewrite) and found.sql.startswith("COPY users (")
    assert not any(TRIGGERS[Shape.OLD] in s.sql for s in copying_ddl(users("expanded")) if "CREATE" in s.sql)


def test_what_a_lossy_change_refuses_is_kept_in_both_formats_for_who_is_a_phase_behind() -> None:
    assert ":= 6;" in body(users("new_only"), Shape.OLD)
    assert ":= 4;" in body(users("new_only", lossy=True), Shape.OLD)
    assert ":= 6;" in body(users("new_only", lossy=True), Shape.NEW)


def test_without_columns_there_are_no_triggers() -> None:
    announced = replace(users("expanded"), phase=LADDERS[Strategy.DUAL_WRITE][0])
    assert copying_ddl(announced) == copying_drop(announced.migration)
