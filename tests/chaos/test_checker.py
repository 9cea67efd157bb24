"""The checker on histories made by hand: what is right passes, and each wrong turn is told."""

from __future__ import annotations

import itertools

import pytest

from rules.phases import Shape
from tests.chaos.checker import check
from tests.chaos.records import Found, Isolation, Outcome, Records, Seen, SeenRow, Transaction, Written, Wrong
from tests.chaos.register import HOT_ROWS, Assignment, How, Register, Write, first_register

ADA = Register("Ada", "Lovelace", 7)
PLATO = Register("Plato", None, 8)


class Scene:
    """Writes a history down, one statement a second."""

    def __init__(self) -> None:
        self.records = Records()
        self._clock = itertools.count(1)

    def now(self) -> float:
        return float(next(self._clock))

    def transaction(
        self, *written: Written, outcome: Outcome = Outcome.DONE, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> Transaction:
        made = Transaction("a client", isolation, outcome, self.now(), written=list(written))
        made.ended = self.now()
        self.records.transactions.append(made)
        return made

    def write(self, version: int, write: Write, *, row_id: int = 0, outcome: Outcome = Outcome.DONE) -> Written:
        """Alone in a transaction, and in the table's list of versions if it was not undone."""
        written = Written(f"w{version}", row_id, write, version=version)
        self.transaction(written, outcome=outcome)
        if outcome is not Outcome.UNDONE:
            self.commit(written)
        return written

    def commit(self, *written: Written) -> None:
        self.records.versions += [(w.row_id, w.version or 0, w.writer) for w in written]

    def read(
        self,
        rows: dict[int, SeenRow],
        *,
        by: Transaction | None = None,
        shape: Shape = Shape.OLD,
        at: float | None = None,
    ) -> Transaction:
        by = by or self.transaction()
        by.snapshot_at = by.snapshot_at or by.began
        by.seen.append(Seen(self.now() if at is None else at, self.now(), shape, tuple(rows), rows, by.own()))
        return by

    def wrongs(self) -> list[Wrong]:
        return [v.wrong for v in check(self.records)]


def seen(version: int, register: Register, *, writer: str = "", shape: Shape = Shape.OLD) -> SeenRow:
    return SeenRow(version, writer or (f"w{version}" if version else "nobody"), register.seen_by(shape))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def whole(register: Register, shape: Shape = Shape.OLD) -> Write:
    return Write.whole(shape, register)


@pytest.mark.parametrize("register", [ADA, PLATO, Register("Ada", "King of Lovelace", 0)])
@pytest.mark.parametrize("shape", Shape)
def test_both_shapes_can_say_everything(register: Register, shape: Shape) -> None:
    assert Register.said_by(shape, register.seen_by(shape)) == register
    assert whole(register, shape).apply(ADA) == register


def test_what_is_done_to_a_column_rests_on_what_is_there() -> None:
    on_top = Write(Shape.OLD, (Assignment("full_name", How.APPEND, "+1"), Assignment("code", How.INCREMENT, 1)))
    assert on_top.apply(ADA) == Register("Ada", "Lovelace+1", 8)
    assert on_top.apply(PLATO) == Register("Plato+1", None, 9)
    assert Write(Shape.NEW, (Assignment("last_name", How.APPEND, "+1"),)).apply(PLATO) == PLATO


def test_a_right_history_passes(scene: Scene) -> None:
    scene.write(1, whole(ADA))
    scene.read({0: seen(1, ADA, shape=Shape.NEW)}, shape=Shape.NEW)
    scene.write(2, Write(Shape.NEW, (Assignment("last_name", How.VALUE, None),)))
    now = Register("Ada", None, 7)
    scene.read({0: seen(2, now), 1: seen(0, first_register(1))})
    rows = {i: seen(0, first_register(i)) for i in range(1, HOT_ROWS)}
    scene.records.found.append(Found("in the table", Shape.OLD, {0: seen(2, now), **rows}))
    assert scene.wrongs() == []


def test_an_unknown_outcome_may_be_both(scene: Scene) -> None:
    scene.write(1, whole(ADA), outcome=Outcome.UNKNOWN)
    scene.transaction(Written("w2", 0, whole(PLATO)), outcome=Outcome.UNKNOWN)
    scene.read({0: seen(1, ADA)})
    assert scene.wrongs() == []


def test_an_acknowledged_write_that_is_not_there_is_lost(scene: Scene) -> None:
    scene.transaction(Written("w1", 0, whole(ADA), version=1))
    assert scene.wrongs() == [Wrong.LOST]


def test_a_write_that_was_undone_and_is_there_is_found(scene: Scene) -> None:
    written = scene.write(1, whole(ADA), outcome=Outcome.UNDONE)
    scene.commit(written)
    assert scene.wrongs() == [Wrong.LOST]


def test_two_writes_of_the_same_version_are_a_lost_update(scene: Scene) -> None:
    one, two = Written("w1", 0, whole(ADA), version=1), Written("w2", 0, whole(PLATO), version=1)
    scene.transaction(one)
    scene.transaction(two)
    scene.commit(one, two)
    assert set(scene.wrongs()) == {Wrong.LOST}


@pytest.mark.parametrize(
    "row",
    [seen(2, ADA), seen(1, ADA), seen(2, PLATO, writer="w1"), seen(3, PLATO)],
    ids=["the value before", "the version before", "another writer", "a version that nobody made"],
)
def test_a_read_of_anything_but_the_last_version_is_stale(scene: Scene, row: SeenRow) -> None:
    scene.write(1, whole(ADA))
    scene.write(2, whole(PLATO))
    scene.read({0: row})
    assert scene.wrongs() == [Wrong.STALE]


def test_a_read_that_began_before_the_acknowledgement_may_be_older(scene: Scene) -> None:
    scene.write(1, whole(ADA))
    early = scene.now()
    scene.write(2, whole(PLATO))
    scene.read({0: seen(1, ADA)}, at=early)
    assert scene.wrongs() == []


def test_a_snapshot_does_not_move(scene: Scene) -> None:
    reader = scene.transaction(isolation=Isolation.REPEATABLE_READ)
    scene.read({0: seen(0, first_register(0))}, by=reader)
    scene.write(1, whole(ADA))
    scene.read({0: seen(0, first_register(0))}, by=reader)
    assert scene.wrongs() == []
    scene.read({0: seen(1, ADA)}, by=reader)
    assert scene.wrongs() == [Wrong.STALE]


def test_a_transaction_reads_its_own_writes_also_if_they_are_undone(scene: Scene) -> None:
    written = Written("w1", 0, whole(ADA), version=1)
    undone = scene.transaction(written, outcome=Outcome.UNDONE)
    scene.read({0: seen(1, ADA)}, by=undone)
    assert scene.wrongs() == []
    scene.read({0: seen(0, first_register(0))}, by=undone)
    assert scene.wrongs() == [Wrong.STALE]


def test_half_of_a_transaction_is_never_read(scene: Scene) -> None:
    both = Written("w1", 0, whole(ADA), version=1), Written("w1", 1, whole(ADA), version=1)
    scene.commit(*both)
    reader = scene.transaction(isolation=Isolation.READ_COMMITTED)
    writer = scene.transaction(*both)
    scene.read({0: seen(1, ADA), 1: seen(0, first_register(1))}, by=reader, at=writer.began)
    assert scene.wrongs() == [Wrong.STALE]


def test_what_returning_says_is_compared(scene: Scene) -> None:
    written = scene.write(1, Write(Shape.OLD, (Assignment("code", How.VALUE, 5),)))
    written.returned = first_register(0)._replace(code=5).seen_by(Shape.OLD)
    assert scene.wrongs() == []
    written.returned = ADA.seen_by(Shape.OLD)
    assert scene.wrongs() == [Wrong.STALE]


def test_an_update_that_found_a_row_by_what_it_did_not_say_is_stale(scene: Scene) -> None:
    scene.write(1, whole(ADA))
    scene.write(2, Write(Shape.OLD, whole(PLATO).assignments, expected=first_register(0).seen_by(Shape.OLD)))
    assert scene.wrongs() == [Wrong.STALE]


def test_a_row_that_was_deleted_stays_away(scene: Scene) -> None:
    inserted = Written("w1", 1000, whole(ADA), inserted=True, version=1)
    scene.transaction(inserted)
    scene.commit(inserted)
    deleted = Written("", 1000, None, version=2)
    scene.transaction(deleted)
    scene.commit(deleted)
    assert scene.wrongs() == []
    scene.read({1000: seen(1, ADA)})
    assert scene.wrongs() == [Wrong.STALE]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [(seen(1, PLATO), Wrong.DIVERGENT), (seen(0, first_register(0)), Wrong.LOST)],
    ids=["another value", "an older version"],
)
def test_the_table_at_the_end_is_compared(scene: Scene, row: SeenRow, wrong: Wrong) -> None:
    scene.write(1, whole(ADA))
    scene.records.found.append(Found("the old format", Shape.OLD, {0: row}, is_whole=False))
    assert scene.wrongs() == [wrong]


def test_a_row_that_is_missing_at_the_end_is_lost(scene: Scene) -> None:
    rows = {i: seen(0, first_register(i)) for i in range(HOT_ROWS - 1)}
    scene.records.found.append(Found("the table", Shape.OLD, rows))
    assert scene.wrongs() == [Wrong.LOST]
