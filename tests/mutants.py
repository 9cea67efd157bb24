"""`python -m tests.mutants` (`make mutants`): take one treatment out of the rewriting at a time, and see it found out.

A mutant is a function with a few words of its source replaced. It has to be killed: by a case of the twins, by a
statement of `refused.sql` that is refused no more, or by the test that it names. docs/traps.md says which trap each
of them opens again.

    Mutant("else instead of a second WHEN", "rules.reads:by_row_state", " WHEN {invalid} THEN", " ELSE", test=…)
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import click

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres
from rules.phases import Phase, Shape, Strategy, phase_named
from rules.plan import Refuse
from tests.twin import TABLES, Case, Twin, case_files, open_twins, policy_name, read_cases

#: Names the mutant that the pytest plugin in this file applies.
_VARIABLE = "PGJANUS_MUTANT"
_TEST_TIMEOUT_S = 120
#: A case that still differs with nothing taken out speaks of its twin: that is made anew, and the mutant tried again.
_TWINS_PER_MUTANT = 3
_TRAPS = "tests/system/test_write_traps.py::"


class Stale(Exception):
    """the words that a mutant replaces are not in the function's source any more"""


@dataclass(frozen=True)
class Mutant:
    """`function` is `module:function` or `module:Class.method`; `test` is what kills it, where cases cannot."""

    name: str
    function: str
    words: str
    instead: str
    test: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Every reference to the function sees the mutated code."""
        function = _found(self.function)
        original = function.__code__
        self.apply()
        try:
            yield
        finally:
            function.__code__ = original

    def apply(self) -> None:
        """For good."""
        function = _found(self.function)
        function.__code__ = self._code(function)

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        if self.words not in source:
            raise Stale(f"{self.name}: {self.words!r} is not in {self.function}")
        tree = ast.parse(source.replace(self.words, self.instead, 1))
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        future = ast.parse("from __future__ import annotations").body
        namespace: dict[str, Any] = {}
        module = ast.fix_missing_locations(ast.Module([*future, definition], []))
        exec(compile(module, inspect.getfile(function), "exec"), function.__globals__, namespace)
        code: CodeType = namespace[definition.name].__code__
        return code


def _found(path: str) -> FunctionType:
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod):
        found = found.__func__
    assert isinstance(found, FunctionType), path
    return found


MUTANTS = (
    # Writes
    Mutant(
        "a volatile value is written twice",
        "rules.statements.mirror:is_simple",
        '"ColumnRef"',
        '"ColumnRef", "FuncCall"',
        f"{_TRAPS}test_a_volatile_value_is_evaluated_once_for_each_row",
    ),
    Mutant(
        "the sub-select of a row assignment is not correlated",
        "rules.statements.update:SetList._row",
        " WHERE {self._qualifier}ctid IS NOT NULL",
        "",
        f"{_TRAPS}test_a_volatile_value_is_evaluated_once_for_each_row",
    ),
    Mutant(
        "no row from a sub-select assigns nothing",
        "rules.statements.update:SetList._collect",
        " LEFT JOIN LATERAL ",
        " JOIN LATERAL ",
        f"{_TRAPS}test_no_row_from_a_sub_select_assigns_null_and_converts_null",
    ),
    Mutant(
        "the mirror sees what was written, not what is stored",
        "rules.statements.mirror:Value.typed",
        'f")::{type_name})"',
        '"))"',
    ),
    Mutant(
        "a cast in VALUES keeps the modifier and cuts",
        "rules.statements.insertion:base_type",
        "if opening < 0 or '\"' in type_name:",
        "if True:",
    ),
    Mutant(
        "an INSERT without a column list gets none",
        "rules.statements.insertion:Insertion.edit_list",
        "if layout.columns is None:",
        "if layout.columns is None:\n        return\n    if False:",
    ),
    Mutant(
        "an omitted column's default is not mirrored",
        "rules.statements.mirror:default_value",
        'f"({column.default})"',
        'f"NULL::{column.type}"',
    ),
    Mutant(
        "DEFAULT among values is taken as it stands",
        "rules.statements.insert_values:ValuesRewriting._row_values",
        'if "SetToDefault" in row.nodes[at]:',
        "if False:",
    ),
    Mutant(
        "DO UPDATE is not mirrored",
        "rules.statements.insert:rewrite_insert",
        'if conflict.get("targetList"):',
        "if False:",
    ),
    Mutant(
        "an arbiter names the bare column",
        "rules.statements.arbiter:_key",
        "if found is None else",
        "if True else",
        "tests/system/test_arbiter.py::test_the_arbiter_is_the_unique_index_on_what_the_client_reads",
    ),
    Mutant(
        "the mirror of an UPDATE is computed from the stored values",
        "rules.statements.update:SetList._value",
        "if name in self._values:",
        "if False:",
    ),
    Mutant(
        "the first write of a part leaves the rest of the row's format as it was",
        "rules.statements.update:SetList._mirrored",
        "if self._writes.includes(shape) and not is_stored(self._table, shape):",
        "if False:",
    ),
    Mutant(
        "a write of one change leaves the other changes' format as it was",
        "rules.statements.update:SetList._mirrored",
        "elif not is_stored(self._table, other):",
        "elif False:",
        f"{_TRAPS}test_a_write_of_one_change_makes_the_other_one_whole_too",
    ),
    Mutant(
        "an UPDATE does not say which format is true",
        "rules.statements.update:SetList._mirrors",
        "self._state(self._writes.leaves),",
        "",
    ),
    Mutant(
        "an UPDATE says the wrong format",
        "rules.statements.update:SetList._mirrors",
        "self._writes.leaves",
        "RowState.OLD",
    ),
    Mutant(
        "the stored code of the row state does not change",
        "rules.statements.update:SetList._state",
        "state.next_code(stored)",
        "state.lowest",
        f"{_TRAPS}test_the_state_code_changes_with_each_proxied_write_and_only_then",
    ),
    Mutant(
        "an INSERT does not say which format is true",
        "rules.statements.insertion:Insertion._adds_state",
        "self.table.phase.expanded and",
        "False and",
    ),
    Mutant(
        "a lossy pair is rounded though its source did not change",
        "rules.statements.update:SetList._converted",
        "or not change.lossy",
        "or True",
        f"{_TRAPS}test_an_orm_that_saves_all_columns_does_not_round_the_other_format",
    ),
    Mutant(
        "a lossy value is kept in the other format only",
        "rules.statements.mirror:refuse_lossy",
        "if change.lossy and",
        "if False and",
        f"{_TRAPS}test_a_lossy_value_is_refused_where_only_the_other_format_is_kept",
    ),
    Mutant(
        "MERGE's UPDATE is not mirrored",
        "rules.statements.merge:_rewrite_updates",
        "if not update.concern_us:",
        "if True:",
    ),
    Mutant(
        "MERGE's INSERT is not mirrored",
        "rules.statements.merge:rewrite_merge",
        'elif action.command == "CMD_INSERT":',
        "elif False:",
    ),
    # Reads
    Mutant(
        "every row is read in the client's own format",
        "rules.reads:is_stored",
        "table.policy.reads.is_always_valid(shape)",
        "True",
    ),
    Mutant(
        "NULL stands for a format that is not there",
        "rules.reads:by_row_state",
        'valid, invalid = f"{state} >= {NEW_IS_VALID_FROM}", f"{state} < {NEW_IS_VALID_FROM}"',
        'valid, invalid = f"{own} IS NOT NULL", f"{own} IS NULL"',
    ),
    Mutant(
        "ELSE in place of the second WHEN",
        "rules.reads:by_row_state",
        " WHEN {invalid} THEN {other}{modified} END)",
        " ELSE {other} END)",
        f"{_TRAPS}test_a_missing_row_of_an_outer_join_is_null_and_not_a_converted_null",
    ),
    Mutant(
        "a rewritten output column loses its name",
        "rules.statements.reads:rewrite_reads",
        "for label in analysis.labels:",
        "for label in ():",
    ),
    Mutant(
        "stars reach the server",
        "rules.statements.reads:rewrite_reads",
        "for star in analysis.stars:",
        "for star in ():",
    ),
    Mutant(
        "the description of a rewritten column is the expression's",
        "rules.statements.reads:result_patch",
        "if not any(o and o[1] for o in outputs):",
        "if True:",
    ),
    Mutant(
        "an output name of GROUP BY is taken for a hidden column",
        "rules.statements.reads:rewrite_reads",
        "for place in analysis.places:",
        "for place in ():",
    ),
    Mutant(
        "ORDER BY does not prefer output names",
        "rules.analysis.scope:Analyser._select",
        "if bare_name(body) not in names:",
        "if True:",
    ),
    Mutant(
        "columns of the other shape can be named",
        "rules.analysis.names:Lookup.table_entry",
        "if c.name not in columns and",
        "if False and",
    ),
    Mutant(
        "a hidden column takes another table's name",
        "rules.analysis.names:Lookup.column",
        "return Found(owners[0], captured)",
        "return Found(owners[0], False)",
    ),
    Mutant(
        "a missing row as one value is a row of NULLs",
        "rules.statements.reads:row_sql",
        "if entry.has_ctid else",
        "if False else",
    ),
    Mutant(
        "reserved names can be used",
        "rules.planner:_Planner._check_names",
        "HIDDEN_PREFIX in word.lower()",
        "False",
    ),
    # Text and positions
    Mutant(
        "error positions are the rewritten text's",
        "rules.plan:PositionMap.to_client",
        "if at < 0:",
        "if True:",
    ),
    Mutant(
        "an insertion on the edge of a span is rendered twice",
        "rules.text.fragments:Edits._render",
        "if excluded is not None and edit.start == edit.end and edit.start in (start, end):",
        "if False:",
    ),
    Mutant(
        "definitions that collide with the migration are forwarded",
        "rules.planner:_Planner._other",
        "if table is not None:",
        "if False:",
    ),
)

#: Small ones of each kind, for `make test`: killed within the first phase that is tried.
QUICK = (
    "the first write of a part leaves the rest of the row's format as it was",
    "DO UPDATE is not mirrored",
    "stars reach the server",
    "error positions are the rewritten text's",
    "reserved names can be used",
)


#: Those that rewrite most come first; together they have every policy that a mutant could hide in.
RUNGS = [
    (phase_named(strategy, name), shape)
    for strategy, name in (
        (Strategy.BOTH, "dual"),
        (Strategy.DUAL_WRITE, "writing_both"),
        (Strategy.DUAL_WRITE, "new_only"),
        (Strategy.DUAL_WRITE, "expanded"),
    )
    for shape in Shape
]


class Hunt:
    """Twins of some phases, and what the cases say of them with nothing taken out.

    A kill counts only if its witness (a case, or the mutant's own test) is content as soon as the treatment is back:
    otherwise it speaks of a spoiled twin, or of a test that fails anyway.
    """

    def __init__(
        self,
        make: Callable[[Phase, Shape], Twin],
        rungs: Sequence[tuple[Phase, Shape]] | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        """`rungs` and `files` of cases: all, if they are left out."""
        self._make = make
        self._rungs = RUNGS if rungs is None else rungs
        self._twins: dict[tuple[Phase, Shape], Twin] = {}
        self._sound: set[str] = set()
        chosen = [f for f in case_files() if not f.startswith("orm_")] if files is None else files
        self._cases = [c for f in chosen for c in read_cases(f)]
        self._refused = list(read_cases("refused.sql"))

    def killer(self, mutant: Mutant) -> str:
        """What finds it out; empty if nothing does."""
        if mutant.test:
            self._check_sound(mutant.test)
            return mutant.test if _fails(mutant.test, mutant.name) else ""
        for phase, shape in self._rungs:
            found = self._case_that_kills(mutant, phase, shape)
            if found:
                return f"{found} in {policy_name(phase, shape)}"
        return ""

    def _case_that_kills(self, mutant: Mutant, phase: Phase, shape: Shape) -> Case | None:
        for _ in range(_TWINS_PER_MUTANT):
            twin = self._twin(phase, shape)
            with mutant.applied():
                found = self._differing(twin, phase, shape)
            twin.forget_plans()
            if found is None or not self._differs(twin, found):
                return found
            del self._twins[phase, shape]
        raise RuntimeError(f"{mutant.name} spoils every twin: {found} still differs with nothing taken out")

    def _twin(self, phase: Phase, shape: Shape) -> Twin:
        """A twin whose plain table has been asked; nothing can tell it apart as long as nothing is taken out."""
        if (phase, shape) not in self._twins:
            twin = self._make(phase, shape)
            found = self._differing(twin, phase, shape)
            if found:
                raise RuntimeError(f"{found} differs with nothing taken out")
            self._twins[phase, shape] = twin
        return self._twins[phase, shape]

    def _differing(self, twin: Twin, phase: Phase, shape: Shape) -> Case | None:
        """The first case that can tell the twins apart, as the planner is now."""
        twin.forget_plans()
        policy = policy_name(phase, shape).partition("-")[0]
        ours = [c for c in (*self._refused, *self._cases) if shape in c.shapes and c.exception != policy]
        return next((c for c in ours if self._differs(twin, c)), None)

    @staticmethod
    def _differs(twin: Twin, case: Case) -> bool:
        if case.file == "refused.sql":
            return not isinstance(twin.planned(case.sql), Refuse)
        return bool(twin.run(case, TABLES))

    def _check_sound(self, test: str) -> None:
        if test not in self._sound and _fails(test):
            raise RuntimeError(f"{test} fails with nothing taken out")
        self._sound.add(test)


def _fails(test: str, mutant: str = "") -> bool:
    """Whether a test fails with the mutant: in a process of its own, which applies it as it starts."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutants", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = {**os.environ, _VARIABLE: mutant}
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, timeout=_TEST_TIMEOUT_S)
    if done.returncode not in (0, 1):  # 1: tests failed
        raise RuntimeError(done.stdout.decode())
    return done.returncode == 1


def pytest_configure() -> None:
    """As a plugin: take out what the environment says, for good."""
    name = os.environ.get(_VARIABLE)
    if name:
        mutant = next(m for m in MUTANTS if m.name == name)
        mutant.apply()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    given = parser.parse_args()
    wanted = [m for m in MUTANTS if not given.words or any(w in m.name for w in given.words)]
    survivors = 0
    with EmbeddedPostgres(18, settings=NOT_DURABLE) as server, open_twins(server) as make:
        hunt = Hunt(make)
        for mutant in wanted:
            started = time.monotonic()
            killer = hunt.killer(mutant)
            survivors += not killer
            seconds = time.monotonic() - started
            click.echo(f"{'killed  ' if killer else 'SURVIVES'} {seconds:5.1f} s  {mutant.name:68} {killer}")
    click.echo(f"{len(wanted)} mutants, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
