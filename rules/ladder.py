"""A whole ladder as statements, for `pgjanus plan`: what is done to the table on the way up, rung by rung."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rules.attributes import attributes, name_new
from rules.catalog import Relation, TableName
from rules.copying import copying_ddl, copying_drop
from rules.ddl import (
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
from rules.guard import guard_ddl, guard_drop
from rules.migration import ManagedTable, Migration
from rules.phases import LADDERS, Phase, RowState, step_between
from rules.transition import Transition, TransitionIndex, analyze_expressions, drop_in_background

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
) -> tuple[Rung, ...]:
    """The way up, rung by rung, from a table that no migration has touched."""
    table = migration.table
    ladder = LADDERS[migration.strategy]
    announcement = _note("every proxy acknowledges the migration; the table is not touched", Lock.NONE)
    gaps = (_note(f"note: {gap} ({gap.hint})", Lock.NONE) for gap in transition.gaps)
    rungs = [Rung(ladder[0], (announcement, *gaps))]
    made: dict[TransitionIndex, None] = {}
    gates: dict[RowState, bool] = {}
    relaxed = attributed = False
    for before, after in pairwise(ladder):
        done: list[Statement] = []
        if not before.expanded:
            done += [*expand(migration, relation, grants), *_guard(migration, after, relation)]
            done += _make(transition.wanted(after), made, table)
            gates[RowState.NEW] = False
        elif after.policy is None:
            done.append(
                _note("proxies hold new transactions (at most some seconds) while the following commits", Lock.NONE)
            )
            done += [*guard_drop(migration), *copying_drop(migration)]
            done += [*drop_old(migration), *name_new(migration, (), transition.counterparts)]
        else:
            step = step_between(before, after)
            not_null = [c.physical for c in old_columns(migration) if (r := relation.column(c.physical)) and r.not_null]
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
                    done += [a.add, *([a.proof] if a.proof else [])]
                attributed = True
            done += _make(transition.wanted(after), made, table)
            for state in step.drops:
                if gates.pop(state, None) is not None:
                    done.append(drop_constraint(table, gate_name(state)))
            done += _guard(migration, after, relation)
            kept = transition.kept(migration.strategy, after)
            for index in [i for i in made if i not in kept]:
                done.append(drop_in_background(table, index.name))
                del made[index]
        rungs.append(Rung(after, tuple(done)))
    return tuple(rungs)


def _make(wanted: Iterable[TransitionIndex], made: dict[TransitionIndex, None], table: TableName) -> list[Statement]:
    missing = [index for index in wanted if index not in made]
    made.update(dict.fromkeys(missing))
    return [*(index.add for index in missing), *([analyze_expressions(table)] if missing else [])]


def _guard(migration: Migration, phase: Phase, relation: Relation) -> tuple[Statement, ...]:
    managed = ManagedTable(migration, phase, relation)
    return (*guard_ddl(managed), *copying_ddl(managed))


def _note(text: str, lock: Lock) -> Statement:
    return Statement(f"-- {text}", lock)
