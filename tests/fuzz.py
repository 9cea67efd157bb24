"""`python -m tests.fuzz --statements N --seed S`: random statements against twins, in every policy.

Prints every difference, cut down to a statement that still shows it, and what the planner refused, by reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import click
from pglast.parser import ParseError, parse_sql_json, scan

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from rules.errors import FEATURE_NOT_SUPPORTED
from rules.phases import Shape
from rules.plan import Untouched
from tests.random_sql import RandomSql, Statement
from tests.twin import TABLES, Answer, Case, Transcript, Twin, differences, open_twins, phases, policy_name

#: Neither format's NOT NULL can be in force there (see docs/adr).
_WITHOUT_NOT_NULL = "new_coalesce"
_NOT_NULL_VIOLATION = "23502"
#: PostgreSQL gives no position where an ungrouped column is one that a FULL JOIN merged, which we have to write out.
_GROUPING_ERROR = "42803"
#: A MERGE leaves rows whose values must be evaluated once to the guard, where the phase needs the new format. Twins
#: have no guard, and so find out what forgets the other format; tests/system/test_merge.py has one.
_LEFT_TO_THE_GUARD = re.compile(r"WHEN NOT MATCHED.*_pgjanus_gate_old", re.IGNORECASE | re.DOTALL)
#: PostgreSQL refuses to lock the nullable side of an outer join, and finds that a predicate makes it an inner one only
#: where the predicate is strict; the expression that stands for a converted column may not be (README, limits).
_NULLABLE_SIDE = "cannot be applied to the nullable side of an outer join"
_NUMERIC = 1700
#: The type modifier of nested set operations follows from the plan: where PostgreSQL can prove that a branch has no row
#: (`code IS NULL` of a column that is NOT NULL), a simple query says another one than a Describe of the same text.
_NESTED_SET_OPERATIONS = re.compile(
    r"\b(UNION|EXCEPT|INTERSECT)\b.*\b(UNION|EXCEPT|INTERSECT)\b", re.IGNORECASE | re.DOTALL
)
#: In front of a process's report.
_REPORT = "report "


@dataclass(frozen=True)
class Difference:
    """`number` and the run's seed make the statement again."""

    number: int
    policy: str
    statement: Statement
    words: str

    def __str__(self) -> str:
        return (
            f"statement {self.number} in {self.policy}: {self.statement.sql}\n{self.statement.parameters}\n{self.words}"
        )


@dataclass
class Report:
    """What came of a run. `refused` counts by reason what the planner refused although the twin carries it out."""

    compared: int = 0
    valid: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def refused_share(self) -> float:
        return self.refused.total() / max(1, self.valid)

    def __str__(self) -> str:
        reasons = "".join(f"\n  {count:6} {reason}" for reason, count in self.refused.most_common())
        return (
            f"{self.compared} compared, {self.valid} of them valid, {self.refused.total()} refused"
            f" ({self.refused_share:.1%}), {len(self.differences)} differences{reasons}"
        )


class Fuzzer:
    """Twins of every policy. A statement's direct answer is asked once and compared with each policy's."""

    def __init__(self, make: Callable[..., Twin]) -> None:
        self._twins = {
            shape: [(policy_name(p, shape), make(p, shape)) for p in phases() if p.expanded or shape is Shape.OLD]
            for shape in Shape
        }

    def run(self, numbers: range, seed: int, report: Report | None = None) -> Report:
        """Compare the statements of these numbers; adds to `report` if there is one."""
        report = report or Report()
        for number in numbers:
            shape = (Shape.OLD, Shape.NEW)[number % 2]
            self._one(number, shape, statement(seed, number), report)
        return report

    def _one(self, number: int, shape: Shape, made: Statement, report: Report) -> None:
        direct = self._transcript(self._twins[shape][0][1], made, rewrite=False)
        untouched = False
        for policy, twin in self._twins[shape]:
            report.compared += 1
            report.valid += direct[0][1].sqlstate is None
            if isinstance(twin.planned(made.sql), Untouched):
                if untouched:
                    continue  # the same text reads the same columns that no migration changes
                untouched = twin.is_expanded
            managed = self._transcript(twin, made, rewrite=True)
            if _refused(managed[0][1]):
                if direct[0][1].sqlstate is None:
                    report.refused[_reason(managed[0][1])] += 1
                continue
            if managed[0][1].by_planner and direct[0][1].sqlstate is not None:
                continue  # of several mistakes each side names the one that it meets first
            words = _different(policy, made.sql, direct, managed)
            if words:
                report.differences.append(Difference(number, policy, made, words))

    def reduced(self, difference: Difference) -> Difference:
        """A shorter statement with a difference of the same kind: tokens are left out as long as there is one."""
        shape = Shape(difference.policy.partition("-")[2])
        twin = next(t for p, t in self._twins[shape] if p == difference.policy)

        def words_of(sql: str) -> str:
            try:
                parse_sql_json(sql)
            except ParseError:
                return ""
            made = Statement(sql, difference.statement.parameters, difference.statement.ordered, True)
            managed = self._transcript(twin, made, rewrite=True)
            direct = self._transcript(twin, made, rewrite=False)
            mistaken = managed[0][1].by_planner and direct[0][1].sqlstate is not None
            if mistaken or _refused(managed[0][1]):
                return ""
            return _different(difference.policy, sql, direct, managed)

        kind = _kind(difference.words)
        sql = difference.statement.sql
        size = max(1, len(scan(sql)) // 2)
        deadline = time.monotonic() + 20
        while size and time.monotonic() < deadline:
            at, smaller = 0, False
            while True:
                tokens = scan(sql)
                if at >= len(tokens):
                    break
                last = min(at + size, len(tokens)) - 1
                candidate = (sql[: tokens[at].start] + " " + sql[tokens[last].end + 1 :]).strip()
                if _kind(words_of(candidate)) == kind:
                    sql, smaller = candidate, True
                else:
                    at += max(1, size // 2)
            if not smaller or size > 1:
                size //= 2
        made = Statement(sql, difference.statement.parameters, difference.statement.ordered, True)
        return Difference(difference.number, difference.policy, made, words_of(sql) or difference.words)

    @staticmethod
    def _transcript(twin: Twin, made: Statement, *, rewrite: bool) -> Transcript:
        case = Case("random", 0, made.sql, tuple(Shape), made.parameters, ordered=made.ordered)
        return twin.transcript(case, TABLES if made.writes else [], rewrite=rewrite)


def statement(seed: int, number: int) -> Statement:
    """The statement of that number; even ones are of the old shape."""
    return RandomSql((Shape.OLD, Shape.NEW)[number % 2], random.Random(f"{seed} {number}")).statement()


def _different(policy: str, sql: str, direct: Transcript, managed: Transcript) -> str:
    if policy.startswith(_WITHOUT_NOT_NULL) and direct[0][1].sqlstate == _NOT_NULL_VIOLATION:
        return ""
    answer, ours = direct[0][1], managed[0][1]
    if answer.sqlstate == ours.sqlstate == _GROUPING_ERROR and answer.position is None:
        return ""
    if policy in ("both_new-old", "new_new-old") and _LEFT_TO_THE_GUARD.search(f"{_words(sql)} {ours.message}"):
        return ""
    if answer.rows != ours.rows and Counter(answer.rows) == Counter(ours.rows) and _values(answer) == _values(ours):
        managed = [(managed[0][0], replace(ours, rows=answer.rows)), *managed[1:]]
        ours = managed[0][1]
    if (
        answer.columns != ours.columns
        and _NESTED_SET_OPERATIONS.search(sql)
        and _unmodified(answer) == _unmodified(ours)
    ):
        managed = [(managed[0][0], replace(ours, columns=answer.columns)), *managed[1:]]
    return "\n".join(differences(direct, managed))


def _unmodified(answer: Answer) -> list[tuple[Any, ...]]:
    """Its columns without type modifiers."""
    return [(name, oid, origin) for name, oid, _, origin in answer.columns]


def _words(sql: str) -> str:
    """A text without its comments and line breaks."""
    return " ".join(sql[t.start : t.end + 1] for t in scan(sql) if not t.name.endswith("_COMMENT"))


def _values(answer: Answer) -> list[list[object]]:
    """The rows as ORDER BY compares them, which puts 10 and 10.0 in any order."""
    numbers = [kind == _NUMERIC for _, kind, *_ in answer.columns]
    return [
        [
            Decimal(value.decode()) if is_number and value is not None else value
            for value, is_number in zip(row, numbers, strict=True)
        ]
        for row in answer.rows
    ]


def _refused(answer: Answer) -> bool:
    """Whether nothing happened, with a reason, instead of something exact."""
    unsupported = answer.sqlstate == FEATURE_NOT_SUPPORTED
    return unsupported and (answer.by_planner or _NULLABLE_SIDE in answer.message)


def _reason(answer: Answer) -> str:
    """Why a statement was refused, without the names in it."""
    return re.sub(r'^migration [^:]*: |"[^"]*"|\(\w+\)\.\S+', "…", answer.message.partition("\n")[0])


def _kind(words: str) -> tuple[str, ...]:
    """What has to stay the same while a statement is cut down: SQLSTATEs, or that there are none."""
    return tuple(re.findall(r"^(?:\w.*\):|    \w+: +(?:\w{5} at|[A-Z]+))", words, re.MULTILINE))[:3]


@contextmanager
def fuzzer(server: PostgresServer) -> Iterator[Fuzzer]:
    with open_twins(server) as make:
        yield Fuzzer(make)


def _share(given: argparse.Namespace) -> int:
    """One process's numbers, on a server of its own; the last line is its report, to be added up."""
    with EmbeddedPostgres(given.server, settings=NOT_DURABLE) as server, fuzzer(server) as fuzz:
        report = Report()
        for number in range(given.first, given.first + given.statements):
            known = len(report.differences)
            fuzz.run(range(number, number + 1), given.seed, report)
            if report.differences[known:]:
                first = report.differences[known]
                click.echo(f"\n{first if given.keep else fuzz.reduced(first)}")
    counts = {"compared": report.compared, "valid": report.valid, "refused": report.refused}
    click.echo(_REPORT + json.dumps({**counts, "differences": len(report.differences)}))
    return 1 if report.differences else 0


def _shares(given: argparse.Namespace) -> int:
    """The numbers in as many parts as there are processes; each process's words as they come."""
    processes = max(1, min(given.processes, given.statements))
    bounds = [given.first + given.statements * i // processes for i in range(processes + 1)]
    running = []
    for first, end in pairwise(bounds):
        share = ["--first", str(first), "--statements", str(end - first), "--seed", str(given.seed), "--share"]
        share += ["--server", str(given.server), *(["--keep"] if given.keep else [])]
        running.append(
            subprocess.Popen([sys.executable, "-m", "tests.fuzz", *share], stdout=subprocess.PIPE, text=True)
        )
    total, found, failed = Report(), 0, False
    with ThreadPoolExecutor(processes) as pool:
        for counts in pool.map(_listen, running):
            failed = failed or not counts
            total.compared += counts.get("compared", 0)
            total.valid += counts.get("valid", 0)
            total.refused.update(counts.get("refused", {}))
            found += counts.get("differences", 0)
    click.echo(f"\n{total}".replace(" 0 differences", f" {found} differences"))
    return 1 if found or failed else 0


def _listen(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Pass on what a process says, and return its report; empty if it ended without one."""
    counts: dict[str, Any] = {}
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(_REPORT):
            counts = json.loads(line.removeprefix(_REPORT))
        else:
            click.echo(line, nl=False)
    process.wait()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="number of the first statement")
    parser.add_argument("--server", type=int, default=18, help="PostgreSQL version of the wheel (16 or 18)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="do not cut differing statements down")
    parser.add_argument("--share", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.share:
        return _share(given)
    click.echo(f"seed {given.seed}")
    started = time.monotonic()
    outcome = _shares(given)
    click.echo(f"  in {time.monotonic() - started:.0f} s")
    return outcome


if __name__ == "__main__":
    sys.exit(main())
