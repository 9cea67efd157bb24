"""Which transition indexes a migration needs: as text. That PostgreSQL uses them is shown in `tests.plans`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.ddl.counterparts import transition
from rules.ddl.index_text import SourceIndex
from rules.ddl.transition import Transition, TransitionIndex, Use
from rules.migration import Migration
from rules.phases import LADDERS, Phase, Shape, Strategy, phase_named
from rules.reads import by_row_state
from tests.rules.test_ddl import RELATION, RENAME, SPLIT, compiled

TO_INTEGER = {
    "change_type": {"column": "full_name", "type": "integer", "up": "full_name::integer", "down": "full_name::text"}
}
UPPER = {
    "change_columns": {
        "old": {"full_name": "lower(name)"},
        "new": {"name": {"type": "text", "up": "upper(full_name)"}},
    }
}
DROP = {"drop_column": {"column": "full_name", "down": "'n/a'"}}

PLAIN = SourceIndex("users_full_name_idx", "CREATE INDEX users_full_name_idx ON public.users USING btree (full_name)")
UNIQUE = SourceIndex(
    "users_full_name_key",
    "CREATE UNIQUE INDEX users_full_name_key ON public.users USING btree (full_name)",
    is_constraint=True,
)
LOWER = SourceIndex("by_lower", "CREATE INDEX by_lower ON public.users USING btree (lower(full_name) text_pattern_ops)")


def without_collation(*sources: SourceIndex, operation: object = RENAME, strategy: str = "dual_write") -> Transition:
    columns = tuple(replace(c, collation=None) for c in RELATION.columns)
    return transition(compiled(operation, strategy=strategy), replace(RELATION, columns=columns), sources)


def bodies(found: Transition, use: Use) -> list[str]:
    return [i.body.removeprefix('ON "public"."users" USING ') for i in found.indexes if i.use is use]


def expression(migration: Migration, shape: Shape) -> str:
    change = migration.changes[0]
    return by_row_state(change, change.side(shape)[0], shape, "")


OLD, NEW = expression(compiled(RENAME), Shape.OLD), expression(compiled(RENAME), Shape.NEW)


def test_an_index_is_over_exactly_the_expression_that_is_read() -> None:
    found = without_collation(PLAIN)
    assert bodies(found, Use.OLD_BY_ROW_STATE) == [f"btree (({OLD}))"]
    assert bodies(found, Use.NEW_BY_ROW_STATE) == [f"btree (({NEW}))"]
    assert bodies(found, Use.NEW) == ['btree ("_pgjanus_name")']


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("btree (full_name DESC NULLS LAST)", f"btree (({OLD}) DESC NULLS LAST)"),
        ("btree (full_name text_pattern_ops, age DESC)", f"btree (({OLD}) text_pattern_ops, age DESC)"),
        ('btree (age, full_name COLLATE "de-DE-x-icu")', f'btree (age, ({OLD}) COLLATE "de-DE-x-icu")'),
        ("hash (full_name)", f"hash (({OLD}))"),
        ("gin (full_name public.gin_trgm_ops)", f"gin (({OLD}) public.gin_trgm_ops)"),
        (
            "gist (full_name public.gist_trgm_ops (siglen='32'))",
            f"gist (({OLD}) public.gist_trgm_ops (siglen='32'))",
        ),
        ("btree (lower(full_name))", f"btree (lower({OLD}))"),
        ("btree (((full_name || ' '::text) || age))", f"btree ((({OLD} || ' '::text) || age))"),
        (
            "btree (full_name, age) WHERE ((full_name IS NOT NULL) AND (age > 3))",
            f"btree (({OLD}), age) WHERE (({OLD} IS NOT NULL) AND (age > 3))",
        ),
        ("btree (age) WHERE (full_name = 'full_name'::text)", f"btree (age) WHERE ({OLD} = 'full_name'::text)"),
        (
            "btree (full_name) INCLUDE (age, full_name) WITH (fillfactor='70')",
            f'btree (({OLD})) INCLUDE (age, "full_name", "_pgjanus_state", "_pgjanus_name") WITH (fillfactor=\'70\')',
        ),
        ("btree (full_name) NULLS NOT DISTINCT", f"btree (({OLD})) NULLS NOT DISTINCT"),
    ],
)
def test_everything_else_of_a_definition_stays(definition: str, expected: str) -> None:
    source = SourceIndex("i", f"CREATE INDEX i ON public.users USING {definition}")
    assert bodies(without_collation(source), Use.OLD_BY_ROW_STATE) == [expected]


def test_a_columns_own_collation_is_said_where_the_index_does_not_say_one() -> None:
    found = transition(compiled(RENAME), RELATION, [PLAIN])
    assert bodies(found, Use.OLD_BY_ROW_STATE) == [f'btree (({OLD}) COLLATE pg_catalog."C")']
    assert bodies(found, Use.NEW_BY_ROW_STATE) == [f'btree (({NEW}) COLLATE pg_catalog."C")']


@pytest.mark.parametrize("definition", ["btree (age)", "btree (id, age) WHERE (age > 3)"])
def test_an_index_without_a_managed_column_is_left_alone(definition: str) -> None:
    found = without_collation(SourceIndex("i", f"CREATE INDEX i ON public.users USING {definition}"))
    assert (found.indexes, found.gaps) == ((), ())


def test_a_column_that_is_only_included_matters_when_the_old_column_goes() -> None:
    found = without_collation(SourceIndex("i", "CREATE INDEX i ON public.users USING btree (age) INCLUDE (full_name)"))
    assert {i.use for i in found.indexes} == {Use.NEW}


def test_new_columns_attributes_are_served_before_the_columns_themselves_are_read() -> None:
    found = without_collation(operation=SPLIT)
    first, last = bodies(found, Use.NEW_BY_ROW_STATE)
    assert '"_pgjanus_first_name" WHEN "_pgjanus_state" < 4 THEN ((split_part("full_name", \' \', 1)))::text' in first
    assert '"_pgjanus_last_name"' in last
    assert not any(i.is_unique for i in found.indexes), "a promise of the new shape must not refuse old writes"
    assert bodies(found, Use.NEW) == [], "those are made as attributes"


def test_an_attribute_that_makes_the_same_index_is_enough() -> None:
    rename = {"rename_column": {"column": "full_name", "to": "name", "index": True}}
    assert bodies(without_collation(PLAIN, operation=rename), Use.NEW) == []
    assert bodies(without_collation(UNIQUE, operation=rename), Use.NEW) == ['btree ("_pgjanus_name")']


def names(found: Transition, strategy: Strategy) -> dict[str, list[tuple[str, bool]]]:
    return {phase.name: [(i.use.value, i.is_unique) for i in found.wanted(phase)] for phase in LADDERS[strategy]}


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_index_is_there_in_the_phases_that_read_it(strategy: Strategy) -> None:
    found = without_collation(PLAIN, strategy=strategy.value)
    wanted = names(found, strategy)
    for phase in LADDERS[strategy]:
        uses = {use for use, _ in wanted[phase.name]}
        if phase.policy is None or not phase.expanded:
            assert uses == set()
            continue
        reads = phase.policy.reads.value
        assert uses == {"old": {"nx"}, "coalesce": {"ox", "nx"}, "new": {"ox", "cx"}}[reads], phase.name


def test_what_may_refuse_a_write_comes_only_after_the_first_phase() -> None:
    unique = names(without_collation(UNIQUE), Strategy.DUAL_WRITE)
    assert unique["expanded"] == [("nx", False)]
    assert unique["writing_both"] == [("nx", True)]
    assert unique["new_only"] == [("ox", True), ("cx", True)]
    failing = names(without_collation(PLAIN, operation=TO_INTEGER), Strategy.DUAL_WRITE)
    assert failing["expanded"] == []
    assert failing["writing_both"] == [("nx", False)]
    both = names(without_collation(replace(UNIQUE), operation=TO_INTEGER), Strategy.DUAL_WRITE)
    assert both["expanded"] == []
    assert both["writing_both"] == [("nx", True)]


def kept(found: Transition, strategy: Strategy, name: str) -> set[str]:
    return {i.use.value for i in found.kept(strategy, phase_named(strategy, name))}


def test_what_a_neighbour_reads_is_kept() -> None:
    found = without_collation(PLAIN)
    assert kept(found, Strategy.DUAL_WRITE, "expanded") == {"nx"}
    assert kept(found, Strategy.DUAL_WRITE, "writing_both") == {"nx", "ox", "cx"}
    assert kept(found, Strategy.DUAL_WRITE, "reading_new") == {"nx", "ox", "cx"}
    assert kept(found, Strategy.DUAL_WRITE, "new_only") == {"ox", "cx"}


def test_of_two_that_differ_in_being_unique_only_one_is_kept() -> None:
    found = without_collation(UNIQUE)
    phase: Phase = phase_named(Strategy.DUAL_WRITE, "writing_both")
    assert [i.is_unique for i in found.kept(Strategy.DUAL_WRITE, phase) if i.use is Use.NEW_BY_ROW_STATE] == [True]


def counterpart(found: Transition) -> TransitionIndex:
    (index,) = found.counterparts
    return index


@pytest.mark.parametrize(
    ("source", "final", "constraint"),
    [
        (PLAIN, "users_name_idx", False),
        (UNIQUE, "users_name_key", True),
        (replace(UNIQUE, is_constraint=False), "users_name_key", False),
        (LOWER, "by_lower", False),
        (replace(PLAIN, name="users_full_name_idx1"), "users_name_idx", False),
        (replace(PLAIN, name="my_name"), "my_name", False),
    ],
)
def test_a_counterpart_gets_the_name_that_it_would_have(source: SourceIndex, final: str, constraint: bool) -> None:
    index = counterpart(without_collation(source))
    assert (index.final, index.is_constraint) == (final, constraint)


def gaps(operation: object, *sources: SourceIndex) -> list[str]:
    return [str(gap) for gap in without_collation(*sources, operation=operation).gaps]


def test_what_cannot_be_had_is_said() -> None:
    exclusion = SourceIndex("x", "CREATE INDEX x ON public.users USING gist (full_name)", True, is_exclusion=True)
    assert len(gaps(RENAME, exclusion)) == 2
    deferrable = replace(UNIQUE, is_immediate=False)
    assert all("deferrable" in gap for gap in gaps(RENAME, deferrable))
    assert not any(i.is_unique for i in without_collation(deferrable).indexes)
    (values,) = gaps(UPPER, LOWER)
    assert "values of full_name, which change" in values
    (lossy,) = gaps({"change_columns": {**UPPER["change_columns"], "lossy": True}}, UNIQUE)
    assert "lossy" in lossy
    several = SourceIndex("several", "CREATE INDEX several ON public.users USING btree (age, full_name)")
    (parting,) = gaps(SPLIT, several)
    assert "full_name becomes first_name, last_name" in parting
    assert gaps(SPLIT, PLAIN) == [], "the new columns have indexes of their own"
    assert gaps(DROP, PLAIN) == []
    (going,) = gaps(DROP, several)
    assert "full_name goes" in going


def test_a_dropped_columns_unique_index_does_not_forbid_the_value_that_all_new_rows_have() -> None:
    (index,) = without_collation(UNIQUE, operation=DROP).indexes
    assert (index.use, index.is_unique) == (Use.OLD_BY_ROW_STATE, False)
    drop = {"drop_column": {"column": "full_name", "down": "NULL"}}
    (index,) = without_collation(UNIQUE, operation=drop).indexes
    assert index.is_unique


def test_a_name_says_which_definition_it_is_and_fits() -> None:
    long = replace(PLAIN, name="ż" * 63)
    indexes = without_collation(long, UNIQUE, LOWER).indexes
    assert len({i.name for i in indexes}) == len(indexes)
    assert all(len(i.name.encode()) <= 63 for i in indexes)
    others = [i for i in without_collation(long, operation=UPPER).indexes if i.use is not Use.NEW]
    assert {i.name for i in indexes}.isdisjoint(i.name for i in others), "another expression, another name"
