"""Who kills a mutant."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rules.phases import Phase, Shape, Strategy, phase_named
from rules.plan import Refuse
from tests.mutants.mutant import Mutant
from tests.mutants.plugin import VARIABLE
from tests.twin import TABLES, Case, Twin, case_files, policy_name, read_cases

_TEST_TIMEOUT_S = 120
#: A case that still differs with nothing taken out speaks of its twin: that is made anew, and the mutant tried again.
_TWINS_PER_MUTANT = 3

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
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutants.plugin", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = {**os.environ, VARIABLE: mutant}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, timeout=_TEST_TIMEOUT_S)
    if done.returncode not in (0, 1):  # 1: tests failed
        raise RuntimeError(done.stdout.decode())
    return done.returncode == 1
