"""Migration files: what they mean, and each mistake with its file, line, column and remedy."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.errors import MigrationError, Place
from rules.loader import MAX_FILE_CHARS, load_file, load_text
from rules.operations import OPERATIONS
from rules.operations.base import DefinitionError
from rules.spec import MAX_OPERATIONS, MigrationSpec, json_schema
from tests.rules.migration_files import WHOLE, changed, mistakes

RECIPES = sorted((Path(__file__).parents[2] / "rules/recipes").glob("*.yaml"))


def test_a_file_says_what_it_says() -> None:
    spec = load_text(WHOLE, "m.yaml")
    assert spec.migration == "split_full_name"
    assert str(spec.table) == "public.users"
    assert (spec.strategy, spec.guard, spec.on_unsupported) == ("dual_write", "heal", "refuse")
    assert (spec.backfill.batch_target, spec.backfill.max_lag) == ("100ms", "5s")
    (operation,) = spec.operations
    assert isinstance(operation, OPERATIONS["split_column"])
    assert [part.name for part in operation.new_parts()] == ["first_name", "last_name"]


def test_the_name_is_the_files_by_default_and_the_schema_public() -> None:
    text = changed("migration: split_full_name\n", "").replace("public.users", "Users")
    spec = load_text(text, "migrations/2024-split.v1.yaml")
    assert spec.migration == "2024-split.v1"
    assert (spec.table.schema, spec.table.name) == ("public", "Users")


@pytest.mark.parametrize(
    ("written", "schema", "name"),
    [
        ("public.users", "public", "users"),
        ('\'"odd.schema"."ta""ble"\'', "odd.schema", 'ta"ble'),
        ("Żółw.Öl", "Żółw", "Öl"),
    ],
)
def test_a_table_is_named_as_it_is(written: str, schema: str, name: str) -> None:
    spec = load_text(changed("public.users", written), "m.yaml")
    assert (spec.table.schema, spec.table.name) == (schema, name)
    assert MigrationSpec.from_json(spec.to_json()).table == spec.table


@pytest.mark.parametrize(("written", "guard"), [("off", "off"), ("'off'", "off"), ("reject", "reject")])
def test_a_guard_that_yaml_reads_as_false_is_off(written: str, guard: str) -> None:
    assert load_text(WHOLE + f"guard: {written}\n", "m.yaml").guard == guard


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_definition_survives_the_way_through_the_database(recipe: Path) -> None:
    spec = load_file(recipe)
    stored = json.loads(json.dumps(spec.to_json()))
    assert MigrationSpec.from_json(stored) == spec
    assert MigrationSpec.from_json(stored).to_json() == spec.to_json()
    assert spec != load_text(WHOLE, "m.yaml")


#: Each « stands before the place that the message of the same number names.
MISTAKES_OF_KINDS = [
    (
        "merge_columns: {columns: [a, b, «a], into: {c: {type: text, up: a || b}}, down: «{a: c, «d: c}}",
        "a is listed twice",
        "down has no expression for b: each of the merged columns needs one",
        "d is not one of the merged columns: a, b, a",
    ),
    (
        "merge_columns: {columns: «[a], into: «{c: {type: text, up: a}, d: {type: text, up: a}}, down: {a: c}}",
        "at least 2 wanted, not 1",
        "at most 1 allowed",
    ),
    ("drop_column: {column: a, down: «b}", "down of a names b: there is no column that it could name"),
    (
        "change_columns: «{}",
        "change_columns changes nothing: give old columns, new columns or both",
    ),
    (
        "change_columns: {old: {a: b, c: «x}, new: {b: {type: int, up: a}}}",
        "down of c names x: it may name only b",
    ),
    ("change_type: {column: a, type: int, up: «'b::int'}", "up of a names b: it may name only a"),
    ("rename_column: {column: a, to: b, check: «a > 0}", "check of b names a: it may name only b"),
    ("«rename_column: {column: a}", "to is missing: its new name"),
    (
        "add_column: {column: a, type: int, up: «a + 1}",
        "up of a names a, which belongs to operation 1, add_column: it may name only columns that stay as they are",
    ),
    ("rename_column: {column: a, to: b, lossy: «perhaps}", "true or false is wanted, not text"),
    (
        "rename_column: {column: a, to: b, references: «'public.c(x) NOT VALID'}",
        "'public.c(x) NOT VALID': leave NOT VALID out, pgjanus adds and validates the foreign key in two steps",
    ),
    (
        "rename_column: {column: a, to: b, references: «'public.c(x, y)'}",
        "'public.c(x, y)': a foreign key of one column can reference only one column",
    ),
    (
        "change_type: {column: a, type: «setof int}",
        "'setof int': a column cannot be a set or copy another column's type: name the type",
    ),
    (
        "change_type: {column: «[a], type: «{}}",
        "text is wanted, not a list: put it in quotes",
        "text is wanted, not a mapping: put it in quotes",
    ),
]


@pytest.mark.parametrize("case", MISTAKES_OF_KINDS, ids=lambda case: case[0].replace("«", "")[:40])
def test_each_kind_tells_what_it_needs(case: tuple[str, ...]) -> None:
    marked, *messages = case
    before = "  - "
    columns = [len(before + part) + 1 for part in _all_but_last(marked.split("«"))]
    lines = [f"m.yaml:3:{column}: {message}" for column, message in zip(columns, messages, strict=True)]
    assert mistakes("table: t\noperations:\n" + before + marked.replace("«", "") + "\n") == lines


def _all_but_last(parts: list[str]) -> list[str]:
    """The text before each mark."""
    return ["".join(parts[: at + 1]) for at in range(len(parts) - 1)]


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_the_file() -> None:
    text = textwrap.dedent("""\
        tabel: public.users
        operations:
          - rename_column: {column: a, to: xmax}
          - drop_colum: {column: b}
          - add_column: {column: c, typ: text, up: "(a"}
        guard: hael
        """)
    places = [line.split(": ")[0] for line in mistakes(text)]
    assert places == [
        "m.yaml:1:1",
        "m.yaml:1:1",
        *(f"m.yaml:{at}" for at in ("3:36", "4:5", "5:5", "5:29", "5:44", "6:8")),
    ]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n", "\ufeff"])
def test_an_empty_file_is_told_to_be_empty(text: str) -> None:
    (line,) = mistakes(text)
    assert line.startswith(
        ("m.yaml:1:1: the file is empty: a migration file is a mapping", "m.yaml:1:4: ", "m.yaml:2:1: ")
    )


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "42\n", "true\n"])
def test_what_is_no_mapping_is_told_what_a_migration_is(text: str) -> None:
    (line,) = mistakes(text)
    assert line.startswith("m.yaml:1:1: a migration file is a mapping with the keys table and operations")


def test_too_many_operations_are_refused() -> None:
    renames = "".join(f"  - rename_column: {{column: a{at}, to: b{at}}}\n" for at in range(MAX_OPERATIONS + 1))
    assert mistakes(f"table: t\noperations:\n{renames}") == [f"m.yaml:3:3: at most {MAX_OPERATIONS} allowed"]


def test_a_file_that_is_far_too_long_is_not_even_parsed() -> None:
    (line,) = mistakes("#" * (MAX_FILE_CHARS + 1))
    assert line == f"m.yaml:1:1: the file has {MAX_FILE_CHARS + 1} characters, the limit is {MAX_FILE_CHARS}"


def test_a_file_is_read_with_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "marked.yaml"
    path.write_text("\ufeff" + changed("migration: split_full_name\n", ""))
    assert load_file(path).migration == "marked"


def test_a_file_that_is_missing_or_no_text_is_told_by_its_name(tmp_path: Path) -> None:
    missing, latin = tmp_path / "missing.yaml", tmp_path / "latin.yaml"
    with pytest.raises(MigrationError, match=r"missing\.yaml: cannot be read: No such file or directory"):
        load_file(missing)
    with pytest.raises(MigrationError, match="cannot be read: Is a directory"):
        load_file(tmp_path)
    latin.write_bytes("table: t\nż: ".encode() + b"Gr\xfc\xdfe\n")
    with pytest.raises(MigrationError) as caught:
        load_file(str(latin))
    assert caught.value.place == Place(str(latin), 2, 6)
    assert "save the file as UTF-8" in str(caught.value)


def test_a_stored_definition_that_is_wrong_is_told_by_its_path() -> None:
    stored = load_text(WHOLE, "m.yaml").to_json()
    stored["operations"][0]["split_column"]["into"]["first_name"]["up"] = "a b c"
    stored["guard"] = "perhaps"
    with pytest.raises(DefinitionError) as caught:
        MigrationSpec.from_json(stored)
    lines = str(caught.value).split("\n")
    assert lines[0].startswith("operations[0].split_column.into.first_name.up: ")
    assert lines[1] == "guard: 'perhaps' is not known: one of heal, reject, off"
    assert caught.value.place is None
    shapes: list[object] = [None, [], "text", {}, {"operations": [{}]}, {"operations": {"a": 1}}]
    for nonsense in shapes:
        with pytest.raises(MigrationError):
            MigrationSpec.from_json(nonsense)


_FRAGMENTS = st.sampled_from(
    [
        *(
            "\n",
            "  ",
            "\t",
            "-",
            "- ",
            ":",
            ": ",
            "{",
            "}",
            "[",
            "]",
            '"',
            "'",
            "|",
            ">",
            "#",
            "%",
            "?",
            "? ",
            "=",
            "~",
        ),
        *("&a", "*a", "!x", "<<: ", "!!int a", "!!bool b", "---\n", "...", "no", "null", "1e3", "lossy: true"),
        *("\\", "\0", "\ud800", '"\\ud800"', '"\\U7fffffff"', "ż", "🦊", "\r", "\x85", "\u2028", "x" * 70),
        *("$1", "--", "/*", "(((", ";", "DEFAULT", "public.", "_pgjanus_state", "state"),
    ]
)


@st.composite
def mutated_recipes(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(RECIPES)).read_text()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.integers(0, 12)))
        text = text[:at] + draw(_FRAGMENTS | st.text(max_size=3)) + text[until:]
    return text


@settings(max_examples=200, deadline=None)
@given(mutated_recipes())
def test_a_damaged_file_is_never_answered_with_anything_but_a_migration_error(text: str) -> None:
    try:
        spec = load_text(text, "m.yaml")
    except DefinitionError as error:
        told = error.errors
    else:
        told = ()
        assert MigrationSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    for mistake in told:
        assert mistake.message
        assert mistake.place is not None
        assert 1 <= mistake.place.line <= len(text.splitlines()) + 1


@pytest.mark.parametrize(
    "deep", ["+".join(["1"] * 4900), "upper(" * 1400 + "a" + ")" * 1400, "(" * 4990 + "a" + ")" * 4990 + " " * 30]
)
def test_sql_that_is_far_too_deep_or_long_is_a_short_message_and_no_crash(deep: str) -> None:
    (line,) = mistakes(changed('"substr(full_name, 2)"', f'"{deep}"'))
    assert line.startswith("m.yaml:10:15: ")
    assert len(line) < 700


def test_the_schema_knows_every_key_in_the_files_order_and_explains_it() -> None:
    schema = json_schema()
    assert list(schema["properties"])[:4] == ["migration", "table", "strategy", "operations"]
    assert schema["required"] == ["table", "operations"]
    entries = schema["properties"]["operations"]["items"]["oneOf"]
    kinds = [next(iter(entry["properties"])) for entry in entries]
    assert kinds == list(OPERATIONS)
    for kind, entry in zip(kinds, entries, strict=True):
        assert entry["required"] == [kind] and entry["additionalProperties"] is False
        properties = entry["properties"][kind]["properties"]
        assert list(properties)[-1] == "lossy"
        assert all(value.get("description") for value in properties.values()), kind
    assert list(schema["$defs"]["NewColumn"]["properties"])[:2] == ["type", "up"]
    assert '"null"' not in json.dumps(schema)
