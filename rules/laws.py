"""SQL that asks real rows whether a migration would hold, before any column of it exists.

The new columns are computed beside each row, as the backfill would; every question is then asked of them:

    SELECT … FROM t CROSS JOIN LATERAL (SELECT (<up>)::text AS first_name, …) AS n0
     WHERE key > cursor ORDER BY key LIMIT n

Each question can be asked alone as well: what it does not name is not computed, so where one fails the others answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from rules import reads
from rules.batches import Key, after_key, in_key_order, key_values, last_key, until_key
from rules.changes import ColumnChange, ManagedColumn, parse_expression, quote_identifier, quote_table
from rules.migration import Migration
from rules.phases import Shape

SAMPLE_KEYS = 5

_MODIFIER = re.compile(r"\s*\([^()]*\)")
#: Types that mean a length of one where none is said, and the same without a limit.
_OF_LENGTH_ONE = re.compile(r"(character|char|bit)(\s*\[\])*", re.IGNORECASE)
_PADDED = re.compile(r"\b(pg_catalog\.)?(character|char|bpchar)\b(?!\s+varying)", re.IGNORECASE)
_NUMERIC = re.compile(r"(pg_catalog\.)?(numeric|decimal|dec)\b", re.IGNORECASE)
_BITS = re.compile(r"\b(pg_catalog\.)?bit\b(?!\s+varying)", re.IGNORECASE)


class Ask(Enum):
    """What a question is about.

    `UP`, `DOWN`: whether the value can be computed at all. `FIT`: whether the type's length or precision takes
    something away from it, as an explicit cast does without an error. The rest: whether a condition holds.
    """

    UP = "up"
    DOWN = "down"
    FIT = "fit"
    ROUND_TRIP = "round trip"
    NOT_NULL = "NOT NULL"
    CHECK = "CHECK"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask every row.

    Attributes:
        column: that it is about.
        change: which of the migration's changes that column is in.
        sql: of `UP` and `DOWN` the value as text; of the others a condition that is true for a row that breaks the law.
    """

    ask: Ask
    column: ManagedColumn
    change: ColumnChange
    sql: str

    @property
    def is_conversion(self) -> bool:
        return self.ask in (Ask.UP, Ask.DOWN)


def questions(migration: Migration) -> tuple[Question, ...]:
    """All that a row has to stand: conversions there and back, each new column's type, NOT NULL and CHECK, and that
    `down(up(x)) = x`, to the last blank and digit."""
    return tuple(q for at, change in enumerate(migration.changes) for q in _questions(at, change))


def _questions(at: int, change: ColumnChange) -> Iterator[Question]:
    # All values first: what is asked of one that cannot be computed fails as well.
    for column in change.new:
        yield Question(Ask.UP, column, change, f"{_computed(at)(column.name)}::text")
    for column in change.new:
        value = _computed(at)(column.name)
        unlimited = without_limit(column.type)
        if unlimited is not None:
            yield Question(Ask.FIT, column, change, _loses(change, column, unlimited))
        if column.not_null:
            yield Question(Ask.NOT_NULL, column, change, f"{value} IS NULL")
        if column.check is not None:
            condition = parse_expression(column.check).render(_computed(at))
            yield Question(Ask.CHECK, column, change, f"{condition} IS FALSE")
    for column in change.old:
        back = f"{change.down[column.name].render(_computed(at))}::{column.type}"
        yield Question(Ask.DOWN, column, change, f"{back}::text")
        if change.new:
            stored = f"t.{quote_identifier(column.physical)}"
            yield Question(Ask.ROUND_TRIP, column, change, f"NOT ({same_image(stored, back, column.type)})")


def without_limit(type_: str) -> str | None:
    """The type of values that have no length or precision yet; None for a type without one.

    `varchar(3)` → `varchar`, `numeric(5,2)[]` → `numeric[]`, `char(3)` and `char` → `text`, `bit(3)` → `varbit`.
    """
    if "(" not in type_ and not _OF_LENGTH_ONE.fullmatch(type_.strip()):
        return None
    return _BITS.sub("varbit", _PADDED.sub("text", _MODIFIER.sub("", type_, count=1)))


def _loses(change: ColumnChange, column: ManagedColumn, unlimited: str) -> str:
    names = {c.name: c.physical for c in change.old}
    value = change.up[column.name].render(lambda name: f"t.{quote_identifier(names.get(name, name))}")
    before, after = f"{value}::{unlimited}", f"{value}::{column.type}::{unlimited}"
    if _NUMERIC.match(unlimited):
        # 1 becomes 1.00, which is the same number.
        return f"({before}) IS DISTINCT FROM ({after})"
    if unlimited == "text":
        # Blanks at the end of a padded type are no part of the value.
        before, after = f"rtrim({before}, ' ')", f"rtrim({after}, ' ')"
    return f'({before})::text COLLATE "C" IS DISTINCT FROM ({after})::text COLLATE "C"'


def same_image(left: str, right: str, type_: str) -> str:
    """SQL that is true where two values are written alike, NULL being NULL: 1.0 is not 1.00, 'a' not 'A' in citext.

    PostgreSQL writes every value so that it can be read again as it was, if the session's settings are exact. Only
    `bpchar` without a length loses its blanks on the way to text, so their number is compared as well.
    """
    same = f'({left})::text COLLATE "C" IS NOT DISTINCT FROM ({right})::text COLLATE "C"'
    if type_ == "bpchar":
        same += f" AND octet_length({left}) IS NOT DISTINCT FROM octet_length({right})"
    return same


def _computed(at: int) -> Callable[[str], str]:
    """How the new columns of the change at that place are spelt."""
    return lambda name: f"n{at}.{quote_identifier(name)}"


def _from(migration: Migration) -> str:
    parts = [f"{quote_table(migration.table)} AS t"]
    for at, change in enumerate(migration.changes):
        if change.new:
            values = (
                f"{reads.converted(change, c, Shape.NEW, 't.')} AS {quote_identifier(c.name)}" for c in change.new
            )
            parts.append(f"(SELECT {', '.join(values)}) AS n{at}")
    return " CROSS JOIN LATERAL ".join(parts)


def scan_sql(migration: Migration, key: Key, asked: tuple[Question, ...], *, after: bool, until: bool = False) -> str:
    """Ask one chunk of rows.

    Parameters: $1 how many rows, then the cursor's values if `after`, those of the last key if `until`. Result: one row
    `(rows, last text[], converted)`, then for each question that is no conversion `(broken bigint, keys text[][])` with
    up to `SAMPLE_KEYS` keys. `converted` only makes sure that every conversion is computed.
    """
    conditions = [after_key(key, 2)] if after else []
    if until:
        conditions.append(until_key(key, 2 + (len(key.columns) if after else 0)))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [q.sql for q in asked if q.is_conversion]
    converted = f"cardinality(ARRAY[{', '.join(values)}])" if values else "0"
    laws = [q.sql for q in asked if not q.is_conversion]
    broken = "".join(f", ({sql}) AS broken{i}" for i, sql in enumerate(laws))
    answers = "".join(
        f", count(*) FILTER (WHERE broken{i}),"
        f" (SELECT array_agg(key) FROM (SELECT {key_values(key, 'c')} AS key FROM chunk AS c WHERE broken{i}"
        f" LIMIT {SAMPLE_KEYS}) AS s)"
        for i, _ in enumerate(laws)
    )
    return (
        f"WITH chunk AS MATERIALIZED (SELECT {', '.join(f't.{quote_identifier(c.name)}' for c in key.columns)},"
        f" {converted} AS converted{broken}"
        f" FROM {_from(migration)}{where}{in_key_order(key)} LIMIT $1::int8)"
        f" SELECT count(*), {last_key(key, 'chunk')}, sum(converted){answers} FROM chunk"
    )


def _values(migration: Migration, change: ColumnChange, column: ManagedColumn, key: Key, *, excluding: bool) -> str:
    """Rows of `(value, key text[])` of all rows with a value.

    With `excluding`, $1 is JSON: a list of keys of rows whose value cannot be computed.
    """
    value = reads.converted(change, column, Shape.NEW, "t.") + reads.collation_of(change, column, Shape.NEW)
    if excluding:
        # A condition beside the value might be asked after it has been computed; CASE keeps the order.
        bad = "SELECT ARRAY(SELECT json_array_elements_text(k)) FROM json_array_elements($1::text::json) AS k"
        value = f"CASE WHEN {key_values(key, 't')} IN ({bad}) THEN NULL ELSE {value} END"
    return (
        f"SELECT value, key FROM (SELECT {value} AS value, {key_values(key, 't')} AS key"
        f" FROM {quote_table(migration.table)} AS t) AS s WHERE value IS NOT NULL"
    )


def duplicates_sql(
    migration: Migration, change: ColumnChange, column: ManagedColumn, key: Key, *, excluding: bool = False
) -> str:
    """Values of a unique column that several rows would get.

    Parameters as `_values`. Result: some rows of `(value text, keys text[][], values bigint, rows bigint)`: two of the
    rows with that value, how many such values there are, and how many rows have one.
    """
    return (
        f"SELECT value::text, ARRAY[least, greatest], count(*) OVER (), sum(rows) OVER ()::int8 FROM"
        f" (SELECT value, min(key) AS least, max(key) AS greatest, count(*) AS rows"
        f" FROM ({_values(migration, change, column, key, excluding=excluding)}) AS v"
        f" GROUP BY value HAVING count(*) > 1) AS d LIMIT {SAMPLE_KEYS}"
    )


def orphans_sql(
    migration: Migration,
    change: ColumnChange,
    column: ManagedColumn,
    key: Key,
    referenced: str,
    referenced_column: str,
    *,
    excluding: bool = False,
) -> str:
    """Rows whose new value the referenced column does not have: some rows of `(value text, key text[], rows bigint)`.

    Parameters as `_values`; `rows` is how many such rows there are.
    """
    return (
        f"SELECT value::text, key, count(*) OVER () FROM"
        f" ({_values(migration, change, column, key, excluding=excluding)}) AS s"
        f" WHERE NOT EXISTS (SELECT FROM {referenced} AS r"
        f" WHERE r.{quote_identifier(referenced_column)} = s.value) LIMIT {SAMPLE_KEYS}"
    )
