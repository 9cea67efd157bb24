"""A whole ladder as statements, for `pgjanus plan`: what is done to the table on the way up, rung by rung."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from rules.catalog import Relation, TableName
from rules.ddl.attributes import attributes, name_new, not_null_names
from rules.ddl.copying import copying_ddl, copying_drop
from rules.ddl.guard import guard_ddl, guard_drop
from rules.ddl.partitions import Part, make_everywhere
from rules.ddl.statements import (
    ColumnGrant,
    Lock,
    Statement,
    add_gate,
    drop_constraint,
    drop_old,
    expand,
    gate_name,
    leaves_old_format,
    old_columns,
    reads_new_format,
    relax_not_null,
    validate,
)
from rules.ddl.transition import Transition, analyze_expressions, drop_in_background, drop_statistics
from rules.dependants import Form
from rules.migration import ManagedTable, Migration
from rules.phases import LADDERS, Phase, RowState, step_between

_NO_INDEXES = Transition()


@dataclass(frozen=True, slots=True)
class Rung:
    """What is done to enter a phase from the one below: SQL comments stand for what is not one statement."""

    phase: Phase
    statements: tuple[Statement, ...]


def climb(
    migration: Migration,
    relation: Relation,
    grants: Iterable[ColumnGrant] = (),
    transition: Transition = _NO_INDEXES,
    *,
    names_not_null: bool = False,
    tree: tuple[Part, ...] = (),
    rebuilt: Iterable[Mapping[Form, Statement]] = (),
    in_the_way: Iterable[str] = (),
) -> tuple[Rung, ...]:
    """The way up, rung by rung, from a table that no migration has touched.

    `rebuilt` are the views and policies that read old columns, `in_the_way` is what has to go before these get stale.
    `tree` are a partitioned table and its partitions. `names_not_null`: a NOT NULL is a constraint with a name, as
    since PostgreSQL 18.
    """
    table = migration.table
    ladder = LADDERS[migration.strategy]
    announcement = _note("every proxy acknowledges the migration; the table is not touched", Lock.NONE)
    gaps = (_note(f"note: {gap} ({gap.hint})", Lock.NONE) for gap in transition.gaps)
    rungs = [Rung(ladder[0], (announcement, *gaps))]
    made: dict[str, None] = {}
    gates: dict[RowState, bool] = {}
    relaxed = attributed = False
    rebuilt, in_the_way = tuple(rebuilt), tuple(in_the_way)
    for before, after in pairwise(ladder):
        done: list[Statement] = []
        if not before.expanded:
            done += [*expand(migration, relation, grants), *_guard(migration, after, relation)]
            done += _make(transition, after, made, table, tree)
            gates[RowState.NEW] = False
        elif after.policy is None:
            done += [forms[Form.FROM_NEW] for forms in rebuilt]
            done.append(
                _note("proxies hold new transactions (at most some seconds) while the following commits", Lock.NONE)
            )
            done += [*guard_drop(migration), *copying_drop(migration)]
            not_nulls = not_null_names(migration) if names_not_null else {}
            done += [*drop_old(migration), *name_new(migration, (), transition.counterparts, not_nulls)]
        else:
            step = step_between(before, after)
            not_null = [c.physical for c in old_columns(migration) if (r := relation.column(c.physical)) and r.not_null]
            if leaves_old_format(after) and not leaves_old_format(before):
                done += [_note(f"has to go before: {what}", Lock.NONE) for what in in_the_way]
                done += [forms[Form.BY_ROW_STATE] for forms in rebuilt]
            if leaves_old_format(after) and not relaxed and not_null:
                done.append(relax_not_null(table, not_null))
                relaxed = True
            if step.empties is not None and not gates.get(step.empties):
                if step.empties not in gates:
                    done.append(_note(f"backfill until no row is in state {step.empties.value}", Lock.ROW_EXCLUSIVE))
                    done.append(add_gate(table, step.empties))
                done.append(validate(table, gate_name(step.empties)))
                done.append(_note("verify that both formats of every row agree", Lock.ACCESS_SHARE))
                gates[step.empties] = True
            if reads_new_format(after) and not attributed:
                for a in attributes(migration):
                    add = make_everywhere(a, tree) if tree and a.kind.is_index else (a.add,)
                    done += [*add, *([a.proof] if a.proof else []), *a.finish]
                attributed = True
            done += _make(transition, after, made, table, tree)
            for state in step.drops:
                if gates.pop(state, None) is not None:
                    done.append(drop_constraint(table, gate_name(state)))
            done += _guard(migration, after, relation)
            done += _drop(transition, migration, after, made, tree)
        rungs.append(Rung(after, tuple(done)))
    return tuple(rungs)


def _make(
    transition: Transition, phase: Phase, made: dict[str, None], table: TableName, tree: tuple[Part, ...]
) -> list[Statement]:
    wanted = [(i.name, make_everywhere(i, tree) if tree else (i.add,)) for i in transition.wanted(phase)]
    wanted += [(s.name, (s.add,)) for s in transition.statistics if s.is_wanted(phase)]
    missing = {name: adds for name, adds in wanted if name not in made}
    made.update(dict.fromkeys(missing))
    return [*(add for adds in missing.values() for add in adds), *([analyze_expressions(table)] if missing else [])]


def _drop(
    transition: Transition, migration: Migration, phase: Phase, made: dict[str, None], tree: tuple[Part, ...]
) -> list[Statement]:
    """Once every proxy is in the phase."""
    table, strategy = migration.table, migration.strategy
    kept = {i.name for i in transition.kept(strategy, phase)}
    kept |= {s.name for s in transition.kept_statistics(strategy, phase)}
    drops = {i.name: i.drop if tree else drop_in_background(table, i.name) for i in transition.indexes}
    drops |= {s.name: drop_statistics(table, s.name) for s in transition.statistics}
    going = [name for name in made if name not in kept]
    for name in going:
        del made[name]
    return [drops[name] for name in going]


def _guard(migration: Migration, phase: Phase, relation: Relation) -> tuple[Statement, ...]:
    managed = ManagedTable(migration, phase, relation)
    return (*guard_ddl(managed), *copying_ddl(managed))


def _note(text: str, lock: Lock) -> Statement:
    return Statement(f"-- {text}", lock)
