"""`parse_expression`: what an up or down may be, and that its columns are found and never searched for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pglast.parser import parse_sql_json, scan

from rules.catalog import TableName
from rules.changes import (
    ColumnChange,
    ManagedColumn,
    hidden_name,
    parse_expression,
    quote_identifier,
    quote_literal,
    quote_table,
)
from rules.errors import MigrationError
from rules.phases import Shape


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("", "a", "")),
        ("NULL", ("NULL",)),
        ("upper(a) || b", ("upper(", "a", ") || ", "b", "")),
        ("a || 'a' || a", ("", "a", " || 'a' || ", "a", "")),
        ("'żółw' || a || 'ß' || b", ("'żółw' || ", "a", " || 'ß' || ", "b", "")),
        ('"Mixed ""Case""" || b', ("", 'Mixed "Case"', " || ", "b", "")),
        ("Upper_Case", ("", "upper_case", "")),
        ("żółw", ("", "żółw", "")),
        ("a::text", ("", "a", "::text")),
        ("a[1]", ("", "a", "[1]")),
        ("(a).part", ("(", "a", ").part")),
        ("a->>'b'", ("", "a", "->>'b'")),
        ("extract(year FROM a)", ("extract(year FROM ", "a", ")")),
        ("date_part('year', year)", ("date_part('year', ", "year", ")")),
        ("interval '1 day' * days", ("interval '1 day' * ", "days", "")),
        ("f(a => a)", ("f(a => ", "a", ")")),
        ("CASE a WHEN b THEN c END", ("CASE ", "a", " WHEN ", "b", " THEN ", "c", " END")),
        ("a COLLATE \"C\"", ("", "a", ' COLLATE "C"')),
        ("$$a$$ || a", ("$$a$$ || ", "a", "")),
        ("ARRAY[a, b]", ("ARRAY[", "a", ", ", "b", "]")),
        ("a IS NOT DISTINCT FROM b", ("", "a", " IS NOT DISTINCT FROM ", "b", "")),
    ],
)  # fmt: skip
def test_column_references_are_told_from_everything_that_looks_like_one(text: str, parts: tuple[str, ...]) -> None:
    assert parse_expression(text).parts == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "one SQL expression"),
        ("a, b", "one SQL expression"),
        ("a AS b", "one SQL expression"),
        ("a b", "one SQL expression"),
        ("a FROM t", "one SQL expression"),
        ("a WHERE true", "one SQL expression"),
        ("DISTINCT a", "one SQL expression"),
        ("a UNION SELECT b", "one SQL expression"),
        ("1; DROP TABLE t", "one SQL expression"),
        ("a LIMIT 1", "one SQL expression"),
        ("a ||", "does not parse"),
        ("(a", "does not parse"),
        ("a)", "does not parse"),
        ("'a", "does not parse"),
        ("t.a", "without a table in front"),
        ("*", "without *"),
        ("t.*", "without a table in front"),
        ("(SELECT 1)", "sub-select"),
        ("EXISTS (SELECT 1)", "sub-select"),
        ("a IN (SELECT b)", "sub-select"),
        ("$1", "parameter"),
        ("a -- comment", "comment"),
        ("a /* comment */", "comment"),
    ],
)
def test_what_is_not_one_plain_expression_is_a_migration_error(text: str, said: str) -> None:
    with pytest.raises(MigrationError) as caught:
        parse_expression(text)
    assert said in caught.value.message


def test_rendering_puts_any_sql_in_place_of_a_column_and_parentheses_around_it() -> None:
    expression = parse_expression("a || 'a' || b")
    assert expression.columns == ("a", "b")
    assert expression.render(lambda name: f't."{name}"') == '(t."a" || \'a\' || t."b")'
    assert str(expression) == "a || 'a' || b"


@given(st.lists(st.sampled_from(["a", "ż", '"B c"', "'a'", "'ż'", "1"]), min_size=1, max_size=8))
def test_rendering_each_column_as_itself_gives_the_same_tokens(atoms: list[str]) -> None:
    text = " || ".join(atoms)
    rendered = parse_expression(text).render(quote_identifier)
    expected = [quote_identifier(w.strip('"')) if w[0] not in "'1|" else w for w in _tokens(text)]
    assert _tokens(rendered) == ["(", *expected, ")"]


def _tokens(text: str) -> list[str]:
    return [text[token.start : token.end + 1] for token in scan(text)]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_quoted_name_is_that_name_to_the_parser(name: str) -> None:
    assert parse_expression(quote_identifier(name)).columns == (name,)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_a_quoted_literal_is_one_constant_to_the_parser(text: str) -> None:
    assert parse_expression(quote_literal(text)).columns == ()
    assert parse_sql_json("SELECT" + quote_literal(text) if "\\" in text else "SELECT " + quote_literal(text))


def test_a_table_is_quoted_part_by_part() -> None:
    assert quote_table(TableName("Odd.Schema", 'ta"ble')) == '"Odd.Schema"."ta""ble"'


def test_a_hidden_name_fits_and_stays_valid_text() -> None:
    assert hidden_name("first_name") == "_pgjanus_first_name"
    assert len(hidden_name("ż" * 40).encode()) <= 63
    assert hidden_name("ż" * 40).startswith("_pgjanus_ż")


def test_a_change_knows_its_sides_and_the_sources_of_an_added_column() -> None:
    title, slug = ManagedColumn("title", "title", "text"), ManagedColumn("slug", "_pgjanus_slug", "text")
    up, down = parse_expression("lower(title || body)"), parse_expression("slug")
    table = TableName("public", "articles")
    change = ColumnChange(table, (title,), (slug,), {"slug": up}, {"title": down})
    assert change.side(Shape.OLD) == (title,)
    assert change.side(Shape.NEW) == (slug,)
    assert change.into(Shape.NEW) == {"slug": up}
    assert change.into(Shape.OLD) == {"title": down}
    assert change.sources == ()
    assert ColumnChange(table, (), (slug,), {"slug": up}, {}).sources == ("title", "body")
