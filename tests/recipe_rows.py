"""The migrations' domains: rows of either shape that survive both conversions, for as much traffic as one likes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rules.phases import Shape

Values = dict[str, Any]
Sample = Callable[[random.Random], Values]

_WORDS = ("Ada", "Żółć", "O'Neil", "a\\b", "日本", "🦊", "x" * 40, "", "%s", "$1", ":p0", '"q"', "--")
_REST = ("Lovelace", "de la Cruz  y ", "", "Gęśla-Jaźń", "it''s", "\\", "a b c", "/* */", "🚀 Ünï")


def _word(rng: random.Random) -> str:
    return rng.choice(_WORDS)


def _text(rng: random.Random) -> str | None:
    return rng.choice([None, "", f"{_word(rng)} {rng.choice(_REST)}", _word(rng), f"n{rng.randrange(10)}"])


def _pair(rng: random.Random) -> tuple[str | None, str | None]:
    """A first word without a space and the rest; without a first word there is no rest."""
    first = rng.choice([None, _word(rng), _word(rng), f"First{rng.randrange(10)}"])
    return first, None if first is None else rng.choice([None, *_REST])


@dataclass(frozen=True)
class MigrationRows:
    """What traffic on one migration's table may write.

    Attributes:
        focus: the columns that each shape's traffic reads and writes: the managed ones, or what they are derived from.
        sample: values of a shape's focus columns.
        kept: values of all other columns but `id`.
        expressions: per shape, a column and SQL that computes its new value from the row.
        volatile: per shape, a column and SQL with a different value at each evaluation.
        fits: whether the values of a shape's managed columns are in the domain when they are written one at a time.
        defaults: per shape, what a column gets that an INSERT leaves out, where that is not NULL.
    """

    focus: Mapping[Shape, tuple[str, ...]]
    sample: Mapping[Shape, Sample]
    kept: Sample
    expressions: Mapping[Shape, tuple[str, str]]
    volatile: Mapping[Shape, tuple[str, str]]
    fits: Callable[[Values], bool] = lambda values: True
    defaults: Mapping[Shape, Values] = field(default_factory=dict)


def _pair_fits(first: str, rest: str) -> Callable[[Values], bool]:
    return lambda values: first not in values or values[first] is not None or values[rest] is None


def _named(columns: tuple[str, str]) -> Sample:
    return lambda rng: dict(zip(columns, _pair(rng), strict=True))


def _joined(column: str) -> Sample:
    def sample(rng: random.Random) -> Values:
        first, rest = _pair(rng)
        return {column: first if rest is None else f"{first} {rest}"}

    return sample


def _slug(rng: random.Random) -> str | None:
    return rng.choice([None, "", f"own-slug-{rng.randrange(10)}", "żółć"])


def _old_payment(rng: random.Random) -> Values:
    return {
        "amount_cents": rng.choice([None, 0, 1, 99, 1999, 2147483647, rng.randrange(10**6)]),
        "is_refund": rng.choice([None, True, False]),
    }


def _new_payment(rng: random.Random) -> Values:
    cents = rng.choice([None, 0, 1, -250, 2147483647, rng.randrange(-(10**6), 10**6)])
    return {
        "amount": None if cents is None else Decimal(cents) / 100,
        "kind": rng.choice([None, "payment", "refund"]),
    }


def _cents(rng: random.Random) -> int | None:
    return rng.choice([None, 0, 1, 250, 100000, 2147483647, rng.randrange(10**6)])


def _price(rng: random.Random) -> Values:
    cents = _cents(rng)
    return {"price": None if cents is None else Decimal(cents) / 100}


def _both(*columns: str) -> dict[Shape, tuple[str, ...]]:
    return {Shape.OLD: columns, Shape.NEW: columns}


_RANDOM_WORD = "md5(random()::text)"
_RANDOM_CENTS = "(random() * 1000)::integer"

MIGRATION_ROWS: dict[str, MigrationRows] = {
    "split_column": MigrationRows(
        focus={Shape.OLD: ("full_name",), Shape.NEW: ("first_name", "last_name")},
        sample={Shape.OLD: _joined("full_name"), Shape.NEW: _named(("first_name", "last_name"))},
        kept=lambda rng: {"email": _text(rng)},
        expressions={
            Shape.OLD: ("full_name", "coalesce(full_name, 'Nobody') || '!'"),
            Shape.NEW: ("first_name", "coalesce(first_name, 'Nobody') || length(last_name)"),
        },
        volatile={Shape.OLD: ("full_name", f"{_RANDOM_WORD} || ' x'"), Shape.NEW: ("first_name", _RANDOM_WORD)},
        fits=_pair_fits("first_name", "last_name"),
    ),
    "merge_columns": MigrationRows(
        focus={Shape.OLD: ("given_name", "family_name"), Shape.NEW: ("display_name",)},
        sample={Shape.OLD: _named(("given_name", "family_name")), Shape.NEW: _joined("display_name")},
        kept=lambda rng: {"phone": _text(rng)},
        expressions={
            Shape.OLD: ("given_name", "coalesce(given_name, '') || '-' || coalesce(length(family_name), -1)"),
            Shape.NEW: ("display_name", "upper(coalesce(display_name, 'nobody'))"),
        },
        volatile={Shape.OLD: ("given_name", _RANDOM_WORD), Shape.NEW: ("display_name", f"{_RANDOM_WORD} || ' x'")},
        fits=_pair_fits("given_name", "family_name"),
    ),
    "rename_column": MigrationRows(
        focus={Shape.OLD: ("note",), Shape.NEW: ("remark",)},
        sample={Shape.OLD: lambda rng: {"note": _text(rng)}, Shape.NEW: lambda rng: {"remark": _text(rng)}},
        kept=lambda rng: {"total_cents": rng.randrange(10**6)},
        expressions={Shape.OLD: ("note", "note || total_cents"), Shape.NEW: ("remark", "coalesce(remark, '') || '.'")},
        volatile={Shape.OLD: ("note", _RANDOM_WORD), Shape.NEW: ("remark", _RANDOM_WORD)},
        defaults={Shape.OLD: {"note": ""}, Shape.NEW: {"remark": ""}},
    ),
    "change_type": MigrationRows(
        focus=_both("price"),
        sample={Shape.OLD: lambda rng: {"price": _cents(rng)}, Shape.NEW: _price},
        kept=lambda rng: {"name": _text(rng) or ""},
        expressions={Shape.OLD: ("price", "price / 2 + 7"), Shape.NEW: ("price", "coalesce(price, 0) / 3 + 0.05")},
        volatile={Shape.OLD: ("price", _RANDOM_CENTS), Shape.NEW: ("price", f"{_RANDOM_CENTS} + 0.25")},
    ),
    "change_columns": MigrationRows(
        focus={Shape.OLD: ("amount_cents", "is_refund"), Shape.NEW: ("amount", "kind")},
        sample={Shape.OLD: _old_payment, Shape.NEW: _new_payment},
        kept=lambda rng: {"reference": _text(rng)},
        expressions={Shape.OLD: ("amount_cents", "amount_cents / 2"), Shape.NEW: ("amount", "-amount / 3")},
        volatile={Shape.OLD: ("amount_cents", _RANDOM_CENTS), Shape.NEW: ("amount", f"{_RANDOM_CENTS} - 0.5")},
    ),
    "add_column": MigrationRows(
        focus={Shape.OLD: ("title",), Shape.NEW: ("slug",)},
        sample={Shape.OLD: lambda rng: {"title": _text(rng)}, Shape.NEW: lambda rng: {"slug": _slug(rng)}},
        kept=lambda rng: {"title": _text(rng), "body": _text(rng) or ""},
        expressions={
            Shape.OLD: ("title", "coalesce(title, body) || '?'"),
            Shape.NEW: ("slug", "replace(coalesce(slug, title, 'none'), ' ', '_')"),
        },
        volatile={Shape.OLD: ("title", f"{_RANDOM_WORD} || ' X'"), Shape.NEW: ("slug", _RANDOM_WORD)},
        defaults={Shape.OLD: {"body": ""}, Shape.NEW: {"body": ""}},
    ),
    "drop_column": MigrationRows(
        focus={Shape.OLD: ("legacy_code",), Shape.NEW: ("name",)},
        sample={
            Shape.OLD: lambda rng: {"legacy_code": _text(rng)},
            Shape.NEW: lambda rng: {"name": _text(rng) or ""},
        },
        kept=lambda rng: {"name": _text(rng) or ""},
        expressions={
            Shape.OLD: ("legacy_code", "coalesce(legacy_code, name) || '+'"),
            Shape.NEW: ("name", "name || '+'"),
        },
        volatile={Shape.OLD: ("legacy_code", _RANDOM_WORD), Shape.NEW: ("name", _RANDOM_WORD)},
    ),
    # tests/cases/several: one migration of five operations.
    "several": MigrationRows(
        focus={
            Shape.OLD: ("full_name", "salary", "note", "legacy_code"),
            Shape.NEW: ("first_name", "last_name", "salary", "remark", "slug"),
        },
        sample={
            Shape.OLD: lambda rng: {
                **_joined("full_name")(rng),
                "salary": _cents(rng),
                "note": _text(rng) or "",
                "legacy_code": _text(rng),
            },
            Shape.NEW: lambda rng: {
                **_named(("first_name", "last_name"))(rng),
                "salary": _price(rng)["price"],
                "remark": _text(rng) or "",
                "slug": _slug(rng),
            },
        },
        kept=lambda rng: {"title": _text(rng)},
        expressions={
            Shape.OLD: ("full_name", "coalesce(full_name, note) || salary || coalesce(legacy_code, '')"),
            Shape.NEW: ("last_name", "first_name || coalesce(remark, '') || coalesce(slug, '')"),
        },
        volatile={Shape.OLD: ("note", _RANDOM_WORD), Shape.NEW: ("salary", f"{_RANDOM_CENTS} + 0.25")},
        fits=_pair_fits("first_name", "last_name"),
        defaults={Shape.OLD: {"note": "none", "salary": 100}, Shape.NEW: {"remark": "new", "salary": Decimal("2.50")}},
    ),
}
