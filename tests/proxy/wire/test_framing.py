from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.framing import Framer
from proxy.wire.messages import message

SHOWN = b"Q"
messages = st.lists(st.builds(message, st.sampled_from([b"Q", b"d", b"S", b"P"]), st.binary(max_size=40)), max_size=12)


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


def run(parts: list[bytes], deal: Callable[[Framer], bool]) -> tuple[bytes, list[bytes]]:
    """(what is forwarded, the shown messages that were dealt with)."""
    framer = Framer([SHOWN])
    out, seen = [], []
    for part in parts:
        framer.feed(part)
        while framer.next():
            shown = framer.head(framer.total)
            if not deal(framer):
                break
            seen.append(shown)
        out.append(framer.take())
    return b"".join(out), seen


@given(messages, st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_accepted_passes_as_it_came_however_it_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    def whole(framer: Framer) -> bool:
        if not framer.has(framer.total):
            return False
        framer.accept()
        return True

    data = b"".join(sent)
    forwarded, seen = run(slices(data, cuts), whole)
    assert forwarded == data
    assert seen == [one for one in sent if one[:1] == SHOWN]


@given(messages, st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_replaced_on_its_header_alone_is_gone_to_its_last_byte(sent: list[bytes], cuts: list[int]) -> None:
    def replace(framer: Framer) -> bool:
        framer.replace(b"<>")
        return True

    forwarded, _ = run(slices(b"".join(sent), cuts), replace)
    assert forwarded == b"".join(b"<>" if one[:1] == SHOWN else one for one in sent)


@given(messages, st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_inserted_comes_in_front(sent: list[bytes], cuts: list[int]) -> None:
    def insert(framer: Framer) -> bool:
        framer.insert(b"<>")
        framer.accept()
        return True

    forwarded, _ = run(slices(b"".join(sent), cuts), insert)
    assert forwarded == b"".join(b"<>" + one if one[:1] == SHOWN else one for one in sent)


@given(messages, st.lists(st.integers(0, 10_000), max_size=20), st.integers(5, 20))
def test_a_head_is_shown_when_it_is_there(sent: list[bytes], cuts: list[int], count: int) -> None:
    def head(framer: Framer) -> bool:
        if not framer.has(min(framer.total, count)):
            return False
        assert len(framer.head(count)) == min(framer.total, count)
        framer.accept()
        return True

    forwarded, seen = run(slices(b"".join(sent), cuts), head)
    assert forwarded == b"".join(sent)
    assert len(seen) == sum(one[:1] == SHOWN for one in sent)


def test_a_shown_message_that_nobody_deals_with_is_kept_until_somebody_does() -> None:
    framer = Framer([SHOWN])
    framer.feed(message(b"d", b"1") + message(b"Q", b"2") + message(b"d", b"3"))
    assert framer.next() == ord("Q")
    assert framer.take() == message(b"d", b"1")
    framer.feed(message(b"d", b"4"))
    assert framer.next() == ord("Q")
    framer.accept()
    assert not framer.next()
    assert framer.take() == b"".join(message(k, v) for k, v in [(b"Q", b"2"), (b"d", b"3"), (b"d", b"4")])


@pytest.mark.parametrize("length", [b"\0\0\0\3", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
def test_an_impossible_length_ends_the_framing_and_keeps_the_bytes(length: bytes) -> None:
    framer = Framer([SHOWN])
    good, bad = message(b"d", b"1"), b"d" + length + b"rest"
    framer.feed(good + bad)
    with pytest.raises(ValueError):
        framer.next()
    assert framer.take_all() == good + bad


def test_nothing_is_allocated_by_a_declared_length() -> None:
    framer = Framer([SHOWN])
    framer.feed(b"d\x3f\xff\xff\xff" + b"x" * 10)
    assert not framer.next()
    assert len(framer.take()) == 15
