from __future__ import annotations

from typing import Any

import pytest

from proxy.conversation.ledger import Change, Expected, Ledger, Step

Steps = list[Step]


def ledger_of(*steps: Step) -> Ledger:
    ledger = Ledger()
    ledger.complete_cycle()
    for step in steps:
        if step is Step.COPY_END:
            ledger.end_copy()
        else:
            ledger.push(Expected(step))
    return ledger


def left(ledger: Ledger) -> Steps:
    found = []
    while (head := ledger.head) is not None:
        found.append(head.step)
        ledger.complete(head.step)
    return found


def test_a_session_begins_with_a_reply_that_nobody_asked_for() -> None:
    ledger = Ledger()
    assert ledger.head is not None
    assert ledger.head.step is Step.STARTUP
    assert ledger.complete_cycle() is not None
    assert len(ledger) == 0


def test_a_reply_completes_only_what_it_belongs_to() -> None:
    ledger = ledger_of(Step.PARSE, Step.BIND)
    assert ledger.complete(Step.BIND) is None
    assert ledger.complete(Step.PARSE) is not None
    assert ledger.complete_cycle() is None
    assert left(ledger) == [Step.BIND]


def test_an_error_skips_to_the_next_sync_queries_included() -> None:
    ledger = ledger_of(Step.PARSE, Step.BIND, Step.QUERY, Step.SYNC, Step.PARSE)
    assert len(ledger.fail()) == 3
    assert not ledger.skipping
    assert left(ledger) == [Step.SYNC, Step.PARSE]


def test_an_error_without_a_sync_makes_the_server_ignore_what_comes() -> None:
    ledger = ledger_of(Step.PARSE, Step.BIND)
    ledger.fail()
    assert ledger.skipping
    assert len(ledger) == 0


@pytest.mark.parametrize("step", [Step.QUERY, Step.SYNC, Step.FUNCTION, Step.STARTUP])
def test_an_error_within_a_cycle_skips_nothing(step: Step) -> None:
    ledger = ledger_of(step, Step.PARSE)
    assert ledger.fail() == []
    assert left(ledger) == [step, Step.PARSE]


def test_syncs_during_a_copy_are_not_answered() -> None:
    ledger = ledger_of(Step.EXECUTE, Step.SYNC, Step.SYNC, Step.COPY_END, Step.SYNC)
    ledger.begin_copy()
    assert not ledger.copying
    assert left(ledger) == [Step.EXECUTE, Step.SYNC]


def test_a_copy_whose_end_is_not_sent_yet_goes_on() -> None:
    ledger = ledger_of(Step.EXECUTE, Step.SYNC)
    ledger.begin_copy()
    assert ledger.copying
    ledger.end_copy()
    assert not ledger.copying
    assert left(ledger) == [Step.EXECUTE]


def test_a_stray_end_of_copy_is_nothing() -> None:
    ledger = ledger_of(Step.QUERY, Step.COPY_END, Step.QUERY)
    ledger.complete_cycle()
    assert left(ledger) == [Step.QUERY]


def change(ledger: Ledger, table: dict[bytes, Any], name: bytes, after: object) -> None:
    step = Step.PARSE if after is not None else Step.CLOSE
    ledger.push(Expected(step, changes=[Change(table, name, after, table.get(name))]))


def test_what_fails_is_undone_in_reverse() -> None:
    table: dict[bytes, Any] = {b"s": "first"}
    ledger = ledger_of()
    change(ledger, table, b"s", None)
    change(ledger, table, b"s", "second")
    change(ledger, table, b"t", "other")
    assert table == {b"s": "second", b"t": "other"}
    ledger.fail()
    assert table == {b"s": "first"}


def test_what_was_sent_behind_the_sync_stands_on_what_is_true_before_it() -> None:
    table: dict[bytes, Any] = {}
    ledger = ledger_of()
    change(ledger, table, b"s", "fails")
    ledger.push(Expected(Step.SYNC))
    change(ledger, table, b"s", "also fails")
    ledger.push(Expected(Step.SYNC))
    ledger.fail()
    assert table == {b"s": "also fails"}
    ledger.complete_cycle()
    ledger.fail()
    assert table == {}


def test_a_name_is_not_settled_while_an_earlier_group_may_change_it() -> None:
    table: dict[bytes, Any] = {}
    ledger = ledger_of()
    assert ledger.is_settled(table, b"s")
    change(ledger, table, b"s", "new")
    assert ledger.is_settled(table, b"s")
    ledger.push(Expected(Step.SYNC))
    assert not ledger.is_settled(table, b"s")
    assert ledger.is_settled({}, b"s")
    ledger.complete(Step.PARSE)
    assert ledger.is_settled(table, b"s")


def test_a_name_that_the_server_forgot_is_forgotten_as_of_then() -> None:
    table: dict[bytes, Any] = {b"s": "old", b"t": "old"}
    ledger = ledger_of(Step.QUERY)
    change(ledger, table, b"s", "sent later")
    for name in (b"s", b"t"):
        ledger.forget(table, name)
    assert table == {b"s": "sent later"}
    ledger.complete_cycle()
    ledger.fail()
    assert table == {}
