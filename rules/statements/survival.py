"""Values of a lossy change that would be lost: those that a phase could keep in the other format only.

A phase that writes one format takes from a client of the other shape what survives the way there and back. Whether a
value does is not known before it is evaluated, so PostgreSQL is told to fail where it does not:

    UPDATE prices SET price = $1                                                  a client of the new shape, writes: old
    UPDATE prices SET price = $1, cents = …, "_pgjanus_state" =
           CASE WHEN (ROW((($1)::numeric(10,4)))::record OPERATOR(pg_catalog.*<>) ROW(<up of down of it>)::record)
           THEN pg_catalog.concat('_pgjanus_refused:…')::integer ELSE 3 - (…) END

The text is no integer. The proxy knows the error by it and makes a refusal of it (`REFUSED`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from rules.changes import ColumnChange, quote_literal
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX, Shape
from rules.reads import collation_of
from rules.statements.mirror import conversion
from rules.text.fragments import Pieces, images_differ, joined

_MARK = f"{HIDDEN_PREFIX}refused:"
_HINT_MARK = f"{HIDDEN_PREFIX}hint:"
_END = f"{HIDDEN_PREFIX}end"
#: The message and the hint in what PostgreSQL says of the text that is no integer, in any language.
REFUSED: Final = re.compile(rf"{_MARK}(.*){_HINT_MARK}(.*){_END}".encode(), re.DOTALL)


def is_lost(change: ColumnChange, shape: Shape, value: Callable[[str], Pieces]) -> Pieces:
    """SQL: whether the values of that side's columns, typed, come back as others from the other format."""
    there = {
        c.name: (
            "((",
            *conversion(change, shape.other, c, value),
            f")::{c.type}{collation_of(change, c, shape.other)})",
        )
        for c in change.side(shape.other)
    }
    columns = change.side(shape)
    back = [("((", *conversion(change, shape, c, there.__getitem__), f")::{c.type})") for c in columns]
    return images_differ([("(", *value(c.name), f")::{c.type}") for c in columns], back)


def refused_if(lost: Sequence[tuple[ColumnChange, Pieces]], table: ManagedTable, shape: Shape, code: Pieces) -> Pieces:
    """SQL of a row's code, or of an error if one of the conditions holds, each with the change that it is about."""
    if not lost:
        return code
    names = ", ".join(f'"{column.name}"' for change, _ in lost for column in change.side(shape))
    message = (
        f"migration {table.migration.name}: a value of {names} does not survive the conversion to the"
        f" {shape.other.value} format, and phase {table.phase.name} keeps no other"
    )
    hint = "Write such values in a phase that writes both formats, or from the other version of the application."
    # Not a constant: that would be an integer, or an error, before any row is looked at.
    raised = f"pg_catalog.concat({quote_literal(f'{_MARK}{message}{_HINT_MARK}{hint}{_END}')})::integer"
    return ("CASE WHEN ", *joined(" OR ", [condition for _, condition in lost]), f" THEN {raised} ELSE ", *code, " END")
