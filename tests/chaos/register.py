"""The table of one history: some rows, each a register whose every write has a version of its own.

    id | version | writer | full_name   | code            what an old-shape client sees
    id | version | writer | first_name | last_name | code  what a new-shape client sees; its code is a text

A write adds one to `version` and names itself in `writer`, both of which no migration touches; so a read says which
write it must have seen, whatever became of the columns that move. A trigger keeps the list of all committed versions,
which settles what became of a COMMIT whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from rules.migration import Guard
from rules.phases import Shape, Strategy

#: Rows that are there from the beginning to the end; `None` as last name is no missing value, but a name without one.
HOT_ROWS = 24
COLUMNS: Mapping[Shape, tuple[str, ...]] = {
    Shape.OLD: ("full_name", "code"),
    Shape.NEW: ("first_name", "last_name", "code"),
}


class Register(NamedTuple):
    """What a row says. Both shapes can say all of it, so nothing is rounded on the way."""

    first: str
    last: str | None
    code: int

    def seen_by(self, shape: Shape) -> tuple[str | int | None, ...]:
        """The values of `COLUMNS[shape]`."""
        if shape is Shape.OLD:
            return (self.first if self.last is None else f"{self.first} {self.last}", self.code)
        return (self.first, self.last, str(self.code))

    @classmethod
    def said_by(cls, shape: Shape, values: tuple[str | int | None, ...]) -> Register:
        """The reverse of `seen_by`."""
        if shape is Shape.NEW:
            first, last, code = values
        else:
            first, _, rest = str(values[0]).partition(" ")
            last, code = (rest or None), values[1]
        return cls(str(first), None if last is None else str(last), int(code or 0))


class How(Enum):
    """What is assigned to a column."""

    VALUE = "{value}"
    #: For names: what is there, and the value behind it.
    APPEND = "{column} || {value}::text"
    #: For `code`: one more than what is there.
    INCREMENT = "{column} + {value}::int"


@dataclass(frozen=True, slots=True)
class Assignment:
    column: str
    how: How
    value: str | int | None

    def sql(self, shape: Shape, column: str) -> str:
        """With `%s` for the value; `column` is how it is called on the right side."""
        if self.how is How.INCREMENT and shape is Shape.NEW:
            return f"{self.column} = ({column}::int + %s::int)::text"
        return f"{self.column} = " + self.how.value.format(column=column, value="%s")


@dataclass(frozen=True, slots=True)
class Write:
    """Some columns of one shape. `expected`: what the row had to look like for the statement to find it (its WHERE)."""

    shape: Shape
    assignments: tuple[Assignment, ...]
    expected: tuple[str | int | None, ...] | None = None

    @classmethod
    def whole(cls, shape: Shape, register: Register) -> Write:
        """A write of every column."""
        pairs = zip(COLUMNS[shape], register.seen_by(shape), strict=True)
        return cls(shape, tuple(Assignment(column, How.VALUE, value) for column, value in pairs))

    def apply(self, before: Register | None) -> Register:
        """What the row says afterwards; `before` is None for an INSERT, which assigns every column."""
        columns = COLUMNS[self.shape]
        values = dict(zip(columns, before.seen_by(self.shape) if before else (None,) * len(columns), strict=True))
        for assignment in self.assignments:
            stored = values[assignment.column]
            match assignment.how:
                case How.VALUE:
                    values[assignment.column] = assignment.value
                case How.APPEND:
                    values[assignment.column] = None if stored is None else f"{stored}{assignment.value}"
                case How.INCREMENT:
                    values[assignment.column] = int(stored or 0) + int(assignment.value or 0)
        return Register.said_by(self.shape, tuple(values[c] for c in columns))


def first_register(row_id: int) -> Register:
    """What a hot row says before anybody has written it: version 0."""
    return Register(f"r{row_id}", None if row_id % 5 == 0 else f"s{row_id}", row_id)


def table_sql(name: str) -> str:
    """The table of a history with its rows, and the list of committed versions."""
    rows = ", ".join(
        "({}, 0, 'nobody', '{}', {})".format(i, *first_register(i).seen_by(Shape.OLD)) for i in range(HOT_ROWS)
    )
    insert = f"INSERT INTO {name}_versions (id, version, writer) VALUES"
    return f"""
CREATE TABLE {name} (id int PRIMARY KEY, version int NOT NULL, writer text NOT NULL, full_name text, code int NOT NULL);
INSERT INTO {name} VALUES {rows};
CREATE TABLE {name}_versions (at bigint GENERATED ALWAYS AS IDENTITY, id int, version int, writer text);
CREATE FUNCTION {name}_kept() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    {insert} (NEW.id, NEW.version, NEW.writer);
    RETURN NULL;
END$$;
CREATE FUNCTION {name}_deleted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    {insert} (OLD.id, OLD.version + 1, '');
    RETURN NULL;
END$$;
CREATE TRIGGER inserted AFTER INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_kept();
CREATE TRIGGER updated AFTER UPDATE ON {name} FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version)
    EXECUTE FUNCTION {name}_kept();
CREATE TRIGGER deleted AFTER DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_deleted();
"""


def migration_yaml(name: str, strategy: Strategy, guard: Guard) -> str:
    """A split, and a change of type that keeps the column's name."""
    return f"""
migration: {name}
table: public.{name}
strategy: {strategy.value}
guard: {guard.value}
quiet_period: 0s
operations:
  - split_column:
      column: full_name
      into:
        first_name: {{type: text, up: "split_part(full_name, ' ', 1)"}}
        last_name:
          type: text
          up: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END"
      down: "first_name || coalesce(' ' || last_name, '')"
  - change_type: {{column: code, type: text, up: "code::text", down: "code::int"}}
"""
