"""What a preflight says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rules.errors import MigrationError, Place
from rules.operations import OPERATIONS
from rules.operations.base import Path
from rules.spec import MigrationSpec


class Severity(Enum):
    REFUSAL = "refusal"
    QUESTION = "question"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands against the migration (`REFUSAL`: `start` does not begin), that `start` asks about
    (`QUESTION`), or that one should know. `rows` is how many rows are concerned, `keys` are those of some of them."""

    severity: Severity
    message: str
    hint: str = ""
    place: Place | None = None
    rows: int | None = None
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}{f': {self.hint}' if self.hint else ''}"


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` that were asked; if these were a sample, `of_rows` is about how many the table has."""

    findings: tuple[Finding, ...]
    rows: int = 0
    of_rows: int | None = None

    @property
    def looked_at(self) -> str:
        """`all 12 rows checked`, or which part of them."""
        if self.of_rows is None:
            return f"all {self.rows:,} rows checked"
        return f"a sample of {self.rows:,} of about {self.of_rows:,} rows checked"

    @property
    def refusals(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.REFUSAL)

    @property
    def questions(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.QUESTION)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)


class Notes:
    """Collects findings, and knows where in the file each part of the migration is written."""

    def __init__(self, spec: MigrationSpec) -> None:
        self._spec = spec
        self._paths = dict(_paths(spec))
        self.findings: list[Finding] = []

    def refuse(self, message: str, hint: str = "", *, at: tuple[str, str] | None = None) -> None:
        """`at` is (column, what): what is `up`, `down`, `name` or the key of an attribute."""
        self._add(Severity.REFUSAL, message, hint, at)

    def ask(self, message: str, hint: str = "") -> None:
        """`start` goes on only if somebody says that this is all right."""
        self._add(Severity.QUESTION, message, hint, None)

    def warn(self, message: str, hint: str = "", *, at: tuple[str, str] | None = None) -> None:
        self._add(Severity.WARNING, message, hint, at)

    def refuse_error(self, error: MigrationError) -> None:
        """A mistake that `compile` found: one finding for each."""
        for single in getattr(error, "errors", (error,)):
            self.findings.append(Finding(Severity.REFUSAL, single.message, "", single.place))

    def _add(
        self,
        severity: Severity,
        message: str,
        hint: str,
        at: tuple[str, str] | None,
        rows: int | None = None,
        keys: tuple[str, ...] = (),
    ) -> None:
        path = ("table",) if at is None else self._paths.get(at, ("table",))
        place = self._spec.error_at(path, message).place
        self.findings.append(Finding(severity, message, hint, place, rows, keys))

    def add_rows(
        self, severity: Severity, message: str, hint: str, at: tuple[str, str], *, count: int, keys: tuple[str, ...]
    ) -> None:
        """A finding about so many rows, with the keys of some of them."""
        self._add(severity, message, hint, at, count, keys)

    def report(self, rows: int, of_rows: int | None = None) -> Report:
        # A row that breaks a law is often met by several questions in the same words.
        return Report(tuple(dict.fromkeys(self.findings)), rows, of_rows)


def _paths(spec: MigrationSpec) -> list[tuple[tuple[str, str], Path]]:
    kinds = {model: kind for kind, model in OPERATIONS.items()}
    found: list[tuple[tuple[str, str], Path]] = []
    for at, operation in enumerate(spec.operations):
        start: Path = ("operations", at, kinds[type(operation)])
        for old in operation.old_parts():
            found += [((old.name, "name"), (*start, *old.name_path)), ((old.name, "down"), (*start, *old.down_path))]
        for new in operation.new_parts():
            found += [((new.name, "up"), (*start, *new.up_path))]
            found += [((new.name, a), (*start, *new.attributes_path, a)) for a in type(new.attributes).model_fields]
            found += [((new.name, "new name"), (*start, *new.name_path))]
    return found
