"""What the answers of rows amount to: one finding for each question that some rows do not stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from proxy.backfill.drive import Cursor
from proxy.preflight.findings import Notes, Severity
from rules.batches import Key
from rules.laws import SAMPLE_KEYS, Ask, Question
from rules.migration import Migration
from rules.pace import OnError

#: A string that is too long, a number, a date or an interval out of range.
_DOES_NOT_FIT = frozenset({"22001", "22003", "22008", "22015"})


class Manner(Enum):
    """How a row does not stand a question: its law is broken, PostgreSQL fails on it, or a value does not fit."""

    BROKEN = "broken"
    FAILED = "failed"
    UNFIT = "unfit"


@dataclass(slots=True)
class Tally:
    """Rows that do not stand one question in one manner; `samples` are the first of them, with PostgreSQL's error."""

    count: int = 0
    samples: list[tuple[Cursor, str]] = field(default_factory=list)

    def add(self, count: int, keys: list[Cursor], error: str = "") -> None:
        self.count += count
        room = SAMPLE_KEYS - len(self.samples)
        self.samples += [(key, error) for key in keys[:room]]


@dataclass(slots=True)
class Tallies:
    """Of all questions, each of which is known by its identity: it is made once."""

    _of: dict[tuple[int, Manner], Tally] = field(default_factory=dict)
    _failing: dict[int, list[Cursor]] = field(default_factory=dict)
    _partial: set[int] = field(default_factory=set)

    def broken(self, question: Question, count: int, keys: list[Cursor]) -> None:
        if count:
            self._tally(question, Manner.BROKEN).add(count, keys)

    def failed(self, question: Question, key: Cursor, sqlstate: str, error: str) -> None:
        manner = Manner.UNFIT if sqlstate in _DOES_NOT_FIT else Manner.FAILED
        self._tally(question, manner).add(1, [key], error)
        self._failing.setdefault(id(question), []).append(key)

    def not_counted(self, question: Question) -> None:
        """There are more such rows, or may be, that nobody looks at one by one."""
        self._partial.add(id(question))

    def failing(self, question: Question) -> list[Cursor]:
        """Rows on which it fails: those that were looked at one by one."""
        return self._failing.get(id(question), [])

    def is_partial(self, question: Question) -> bool:
        return id(question) in self._partial

    def _tally(self, question: Question, manner: Manner) -> Tally:
        return self._of.setdefault((id(question), manner), Tally())

    def report(self, migration: Migration, key: Key, asked: tuple[Question, ...], among: str, notes: Notes) -> None:
        """`among` says of how many rows these are, if not of all."""
        for question in asked:
            for manner in Manner:
                tally = self._of.get((id(question), manner))
                if tally is not None:
                    least = "at least " if self.is_partial(question) else ""
                    count = f"{least}{tally.count:,} rows{among}"
                    _Verdict(migration, key, question, manner, tally, count, notes).give()


@dataclass(frozen=True, slots=True)
class _Verdict:
    migration: Migration
    key: Key
    question: Question
    manner: Manner
    tally: Tally
    count: str
    notes: Notes

    def give(self) -> None:
        unfit = self.manner is Manner.UNFIT
        column, name = self.question.column, self.question.column.name
        match self.question.ask:
            case Ask.UP if unfit:
                self._failing(f"do not fit into {name} {column.type}", (name, "up"))
            case Ask.UP:
                self._failing(f"cannot be converted by up of {name}", (name, "up"))
            case Ask.DOWN if unfit:
                self._failing(f"do not fit back into {name} {column.type}", (name, "down"))
            case Ask.DOWN:
                self._failing(f"cannot be converted back by down of {name}", (name, "down"))
            case Ask.FIT:
                self._lossy(
                    f"would be cut short or rounded in {name} {column.type}",
                    "give it room, or correct up",
                    (name, "up"),
                )
            case Ask.ROUND_TRIP:
                self._lossy(
                    f"do not come back as they were: {name} is something else after up and down",
                    "correct up or down",
                    (name, "down"),
                )
            case Ask.NOT_NULL:
                self._say(Severity.REFUSAL, f"would have NULL in {name}", "give them a value in up", (name, "not_null"))
            case Ask.CHECK:
                self._say(
                    Severity.REFUSAL,
                    f"would {'violate' if self.manner is Manner.BROKEN else 'fail'} CHECK ({column.check}) of {name}",
                    "mend them, or the condition",
                    (name, "check"),
                )

    def _failing(self, what: str, at: tuple[str, str]) -> None:
        match self.migration.backfill.on_error:
            case OnError.SKIP_AND_REPORT:
                hint = "the backfill leaves them as they are, and the gate shut, until they are mended"
                self._say(Severity.WARNING, what, hint, at)
            case OnError.DEFAULT:
                columns = ", ".join(self.migration.backfill.defaults)
                hint = f"the backfill gives them a default for {columns}; until then new-shape reads of them fail"
                self._say(Severity.WARNING, what, hint, at)
            case OnError.FAIL | None:
                hint = "mend them, or make the expression cope with them, or say what on_error is"
                self._say(Severity.REFUSAL, what, hint, at)

    def _lossy(self, what: str, hint: str, at: tuple[str, str]) -> None:
        if self.question.change.lossy:
            self._say(Severity.WARNING, what, "which lossy: true says is meant", at)
        else:
            self._say(Severity.REFUSAL, what, f"{hint}, or say lossy: true if that is meant", at)

    def _say(self, severity: Severity, what: str, hint: str, at: tuple[str, str]) -> None:
        tally = self.tally
        keys = tuple(self.key.describe(key) for key, _ in tally.samples)
        more = f"; and {tally.count - len(keys):,} more" if tally.count > len(keys) else ""
        if self.manner is not Manner.BROKEN:
            errors = (f"{key} ({error})" for key, (_, error) in zip(keys, tally.samples, strict=True))
            listed = f": {'; '.join(errors)}{more}"
        else:
            listed = f" ({'; '.join(keys)}{more})"
        self.notes.add_rows(severity, f"{self.count} {what}{listed}", hint, at, count=tally.count, keys=keys)
