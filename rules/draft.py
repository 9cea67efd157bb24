"""A first version of a migration file, for its author to go on from: YAML with comments, made of a few words.

The expressions are the usual ones for what was asked: a cast, or parts that a space separates. They are a beginning,
and `pgjanus check` says which rows they do not fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pglast.keywords import COL_NAME_KEYWORDS, RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

from rules.catalog import Relation
from rules.changes import quote_identifier

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
#: What YAML 1.1 does not take for text.
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_KEYWORDS = frozenset({*RESERVED_KEYWORDS, *TYPE_FUNC_NAME_KEYWORDS, *COL_NAME_KEYWORDS})
_TEXT_TYPES = re.compile(r"text|character varying(\(\d+\))?")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new migration should do.

    Attributes:
        table: as a migration file names it.
        relation: the same, as it is in the database.
        columns: those that change; of `add_column` the new one.
        into: the new names, where the operation has any.
        type: of the new columns, where they have one of their own.
    """

    migration: str
    table: str
    relation: Relation
    strategy: str
    operation: str
    columns: tuple[str, ...]
    into: tuple[str, ...] = ()
    type: str = "text"

    def text(self) -> str:
        """The file."""
        shown = ", ".join(f"{c.name} {c.type}{' NOT NULL' if c.not_null else ''}" for c in self.relation.columns)
        return "\n".join(
            [
                f"# {self.table}: {' '.join(shown.split())}",
                "# Look at up and down, then: pgjanus check FILE, pgjanus plan FILE, pgjanus start FILE.",
                f"migration: {_scalar(self.migration)}",
                f"table: {_scalar(self.table)}",
                f"strategy: {self.strategy}            # dual_write | dual_read | both",
                "operations:",
                f"  - {self.operation}:",
                *(f"      {line}" for line in _BODIES[self.operation](self)),
                "      # lossy: true                 # if some values do not survive the way there and back",
                "# backfill: {batch_target: 100ms, max_lag: 5s}",
                "# guard: heal                      # writes that do not come through the proxy: heal | reject | off",
                "",
            ]
        )

    def old_type(self, name: str) -> str:
        column = self.relation.column(name)
        return column.type if column else "text"


def _rename_column(draft: Draft) -> Iterator[str]:
    yield f"column: {_scalar(draft.columns[0])}"
    yield f"to: {_scalar(draft.into[0])}"


def _change_type(draft: Draft) -> Iterator[str]:
    name = _identifier(draft.columns[0])
    yield f"column: {_scalar(draft.columns[0])}"
    yield f"type: {_scalar(draft.type)}"
    yield f"up: {_quoted(_cast(name, draft.type))}        # here the name means the old column"
    yield f"down: {_quoted(_cast(name, draft.old_type(draft.columns[0])))}      # and here the new one"
    yield "# not_null: true"


def _add_column(draft: Draft) -> Iterator[str]:
    yield f"column: {_scalar(draft.columns[0])}"
    yield f"type: {_scalar(draft.type)}"
    yield f"up: {_quoted(_cast('NULL', draft.type))}        # may name any columns that stay"
    yield "# not_null: true"
    yield "# unique: true"


def _drop_column(draft: Draft) -> Iterator[str]:
    yield f"column: {_scalar(draft.columns[0])}"
    yield 'down: "NULL"                  # what the old shape sees in rows that new clients insert'


def _split_column(draft: Draft) -> Iterator[str]:
    old = draft.columns[0]
    yield f"column: {_scalar(old)}"
    yield "into:"
    yield from (f"  {line}" for line in _new_columns(draft, _parts(old, draft.old_type(old), len(draft.into))))
    yield f"down: {_quoted(_typed(_joined(draft.into, [draft.type] * len(draft.into)), draft.old_type(old)))}"


def _merge_columns(draft: Draft) -> Iterator[str]:
    types = [draft.old_type(name) for name in draft.columns]
    yield f"columns: [{', '.join(map(_scalar, draft.columns))}]"
    yield "into:"
    yield from (f"  {line}" for line in _new_columns(draft, [_joined(draft.columns, types)]))
    yield "down:"
    parts = _parts(draft.into[0], draft.type, len(draft.columns))
    for name, part, type_ in zip(draft.columns, parts, types, strict=True):
        yield f"  {_scalar(name)}: {_quoted(_typed(part, type_))}"


def _change_columns(draft: Draft) -> Iterator[str]:
    first_new, first_old = _identifier(draft.into[0]), _identifier(draft.columns[0])
    yield "old:                          # each with its down: what it is, computed from the new ones"
    for name in draft.columns:
        yield f"  {_scalar(name)}: {_quoted(_cast(first_new, draft.old_type(name)))}"
    yield "new:                          # each up: computed from the old ones"
    yield from (f"  {line}" for line in _new_columns(draft, [first_old] * len(draft.into)))


_BODIES: dict[str, Callable[[Draft], Iterator[str]]] = {
    "rename_column": _rename_column,
    "change_type": _change_type,
    "split_column": _split_column,
    "merge_columns": _merge_columns,
    "add_column": _add_column,
    "drop_column": _drop_column,
    "change_columns": _change_columns,
}


def _new_columns(draft: Draft, ups: Sequence[str]) -> Iterator[str]:
    for name, up in zip(draft.into, ups, strict=True):
        yield f"{_scalar(name)}: {{type: {_quoted(draft.type)}, up: {_quoted(_typed(up, draft.type))}}}"


def _parts(name: str, type_: str, count: int) -> list[str]:
    """What spaces separate; of two parts the second is all the rest."""
    whole = _identifier(name) if _TEXT_TYPES.fullmatch(type_) else f"{_identifier(name)}::text"
    if count != 2:
        return [f"split_part({whole}, ' ', {number})" for number in range(1, count + 1)]
    at = f"strpos({whole}, ' ')"
    return [f"split_part({whole}, ' ', 1)", f"CASE WHEN {at} > 0 THEN substr({whole}, {at} + 1) END"]


def _joined(names: Sequence[str], types: Sequence[str]) -> str:
    texts = [
        _identifier(name) if _TEXT_TYPES.fullmatch(type_) else f"{_identifier(name)}::text"
        for name, type_ in zip(names, types, strict=True)
    ]
    return " || ".join([texts[0], *(f"coalesce(' ' || {text}, '')" for text in texts[1:])])


def _typed(expression: str, type_: str) -> str:
    if type_ == "text":
        return expression
    return f"{expression}::{type_}" if _PLAIN.fullmatch(expression) else f"({expression})::{type_}"


def _identifier(name: str) -> str:
    """As a person would write it: in quotes only where PostgreSQL needs them."""
    return name if _PLAIN.fullmatch(name) and name not in _KEYWORDS else quote_identifier(name)


def _cast(expression: str, type_: str) -> str:
    return f"{expression}::{type_}"


def _scalar(text: str) -> str:
    """Text as YAML, in quotes only where it needs them."""
    plain = all(_PLAIN.fullmatch(part) for part in text.split(".")) and text not in _YAML_WORDS
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
