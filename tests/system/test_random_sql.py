"""Random statements on twins, in every policy: a short run of `python -m tests.fuzz` with a fixed seed."""

from __future__ import annotations

import random

import pytest
from pglast.parser import ParseError, parse_sql_json

from rules.phases import Shape
from tests.conftest import Server
from tests.fuzz import fuzzer, statement
from tests.random_sql import RandomSql

SEED, STATEMENTS = 7, 300


@pytest.mark.timeout(400)
def test_random_statements_cannot_tell_managed_tables_from_their_twins(server: Server) -> None:
    with fuzzer(server) as fuzz:
        report = fuzz.run(range(STATEMENTS), SEED)
        assert not report.differences, fuzz.reduced(report.differences[0])
    assert report.valid > report.compared / 2, f"too many mistakes to say anything: {report}"
    assert report.refused_share < 0.1, str(report)


def test_a_number_makes_the_same_statement_again() -> None:
    assert [statement(SEED, n) for n in range(50)] == [statement(SEED, n) for n in range(50)]


def test_almost_every_random_statement_is_grammatical() -> None:
    wrong = 0
    for number in range(400):
        made = RandomSql(tuple(Shape)[number % 2], random.Random(number)).statement()
        try:
            parse_sql_json(made.sql)
        except ParseError:
            wrong += 1
    assert wrong < 8
