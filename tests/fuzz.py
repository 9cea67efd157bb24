"""`python -m tests.fuzz --statements N --seed S`: random statements against twins, in every policy.

Prints every difference, cut down to a statement that still shows it, and what the planner refused, by reason.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from pglast.parser import ParseError, parse_sql_json, scan

from proxy.embedded import NOT_DURABLE, EmbeddedPostgres, PostgresServer
from rules.errors import FEATURE_NOT_SUPPORTED
from rules.phases import Shape
from tests.random_sql import RandomSql, Statement
from tests.twin import TABLES, Case, Transcript, Twin, differences, open_twins, phases, policy_name

#: Neither format's NOT NULL can be in force there (see docs/adr).
_WITHOUT_NOT_NULL = "new_coalesce"
_NOT_NULL_VIOLATION = "23502"


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
        for policy, twin in self._twins[shape]:
            report.compared += 1
            report.valid += direct[0][1].sqlstate is None
            managed = self._transcript(twin, made, rewrite=True)
            if managed[0][1].by_planner and managed[0][1].sqlstate == FEATURE_NOT_SUPPORTED:
                if direct[0][1].sqlstate is None:
                    report.refused[re.sub(r'^migration [^:]*: |"[^"]*"|\(\w+\)\.\S+', "…", managed[0][1].message)] += 1
                continue
            if managed[0][1].by_planner and direct[0][1].sqlstate is not None:
                continue  # of several mistakes each side names the one that it meets first
            words = _different(policy, direct, managed)
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
            mistaken = managed[0][1].sqlstate == FEATURE_NOT_SUPPORTED or direct[0][1].sqlstate is not None
            if managed[0][1].by_planner and mistaken:
                return ""
            return _different(difference.policy, direct, managed)

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
        if made.writes:  # sequences are not rolled back
            (twin.managed if rewrite else twin.direct).execute("SELECT setval('users_id_seq', 100)")
        case = Case("random", 0, made.sql, tuple(Shape), made.parameters, ordered=made.ordered)
        return twin.transcript(case, TABLES if made.writes else [], rewrite=rewrite)


def statement(seed: int, number: int) -> Statement:
    """The statement of that number; even ones are of the old shape."""
    return RandomSql((Shape.OLD, Shape.NEW)[number % 2], random.Random(f"{seed} {number}")).statement()


def _different(policy: str, direct: Transcript, managed: Transcript) -> str:
    if policy.startswith(_WITHOUT_NOT_NULL) and direct[0][1].sqlstate == _NOT_NULL_VIOLATION:
        return ""
    return "\n".join(differences(direct, managed))


def _kind(words: str) -> tuple[str, ...]:
    """What has to stay the same while a statement is cut down: SQLSTATEs, or that there are none."""
    return tuple(re.findall(r"^(?:\w.*\):|    \w+: +(?:\w{5} at|[A-Z]+))", words, re.MULTILINE))[:3]


@contextmanager
def fuzzer(server: PostgresServer) -> Iterator[Fuzzer]:
    with open_twins(server) as make:
        yield Fuzzer(make)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="number of the first statement")
    parser.add_argument("--server", type=int, default=18, help="PostgreSQL version of the wheel (16 or 18)")
    parser.add_argument("--keep", action="store_true", help="do not cut differing statements down")
    given = parser.parse_args()
    click.echo(f"seed {given.seed}")
    started = time.monotonic()
    with EmbeddedPostgres(given.server, settings=NOT_DURABLE) as server, fuzzer(server) as fuzz:
        report = Report()
        for number in range(given.first, given.first + given.statements):
            known = len(report.differences)
            fuzz.run(range(number, number + 1), given.seed, report)
            if report.differences[known:]:
                first = report.differences[known]
                click.echo(f"\n{first if given.keep else fuzz.reduced(first)}")
        click.echo(f"\n{report}\n  in {time.monotonic() - started:.0f} s")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
