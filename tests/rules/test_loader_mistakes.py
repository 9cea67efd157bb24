"""Each mistake in a migration file is told with its line, its column and its remedy."""

from __future__ import annotations

import pytest

from rules.loader import MAX_DEPTH
from rules.operations import OPERATIONS
from tests.rules.migration_files import changed, mistakes

# Each case: what is replaced in WHOLE by what, and the exact lines of the error.
MISTAKES = [
    (
        "unknown key",
        ("table:", "tabel:"),
        [
            "m.yaml:1:1: table is missing: the table, with its schema; the schema is `public` if left out. Case counts",
            "m.yaml:2:1: unknown key 'tabel' (did you mean 'table'?): the keys here are "
            "migration, table, strategy, operations, backfill, guard, on_unsupported, quiet_period",
        ],
    ),
    (
        "unknown key in an operation",
        ("      down:", "      donw:"),
        [
            "m.yaml:4:5: down is missing: computes the old column from the new ones",
            "m.yaml:11:7: unknown key 'donw' (did you mean 'down'?): the keys here are column, into, down, lossy",
        ],
    ),
    (
        "unknown key in a new column",
        ("type: text, up", "type: text, nullable: true, up"),
        [
            "m.yaml:7:34: unknown key 'nullable': the keys here are "
            "type, up, not_null, unique, check, default, references, index"
        ],
    ),
    (
        "unknown operation",
        ("split_column:", "split_colum:"),
        [
            "m.yaml:4:5: unknown operation 'split_colum' (did you mean 'split_column'?): one of "
            + ", ".join(OPERATIONS),
        ],
    ),
    (
        "a second kind in one entry",
        ('last_name"\n', 'last_name"\n    drop_column: {column: a, down: "NULL"}\n'),
        [
            "m.yaml:12:5: a second key, 'drop_column', in one operation: start each operation with its own `-`, "
            "and indent what belongs to it"
        ],
    ),
    (
        "operations is no list",
        ("  - split_column:", "    split_column:"),
        ["m.yaml:4:5: a list is wanted (lines that start with `-`), not a mapping"],
    ),
    (
        "an operation is no mapping",
        ("table: public.users\noperations:", "table: public.users\noperations: [split_column]\nbackfill:"),
        [
            "m.yaml:3:14: an operation is written as `- kind: {…}`; the kinds are " + ", ".join(OPERATIONS),
            "m.yaml:5:3: a mapping is wanted (`key: value` lines, indented), not a list",
        ],
    ),
    (
        "no operation at all",
        ("operations:", "operations: []\nbackfill:"),
        [
            "m.yaml:3:13: at least 1 wanted, not 0",
            "m.yaml:5:3: a mapping is wanted (`key: value` lines, indented), not a list",
        ],
    ),
    (
        "a split into one",
        ('        last_name:\n          type: text\n          up: "substr(full_name, 2)"\n', ""),
        ["m.yaml:7:9: at least 2 wanted, not 1"],
    ),
    (
        "a key for the second time",
        ("          type: text\n", "          type: text\n          type: integer\n"),
        ["m.yaml:10:11: the key 'type' is here for the second time, the first is in line 9: keep one of them"],
    ),
    (
        "YAML's no as a column",
        ("column: full_name", "column: no"),
        ["m.yaml:5:15: text is wanted, and 'no' without quotes means false in YAML: write it in quotes: \"no\""],
    ),
    (
        "YAML's no as a new column",
        ("        last_name:", "        no:"),
        ["m.yaml:8:9: 'no' without quotes means false in YAML: put it in quotes to make it a name: \"no\""],
    ),
    (
        "a number as a new column",
        ("        last_name:", "        2024:"),
        ["m.yaml:8:9: '2024' without quotes means a number in YAML: put it in quotes to make it a name: \"2024\""],
    ),
    (
        "a mapping as a key",
        ("        last_name:", "        ? {a: b}\n        :"),
        ["m.yaml:8:11: a key must be one word"],
    ),
    (
        "a number as a default",
        ("type: text, up", "type: text, default: 0, up"),
        ["m.yaml:7:43: text is wanted, and '0' without quotes means a number in YAML: write it in quotes: \"0\""],
    ),
    (
        "a bare NULL",
        ('"substr(full_name, 2)"', "NULL"),
        ["m.yaml:10:15: 'NULL' without quotes means nothing (null) in YAML: for SQL's NULL write \"NULL\", in quotes"],
    ),
    (
        "no value",
        ('up: "substr(full_name, 2)"', "up:"),
        ["m.yaml:10:14: the value is missing: for SQL's NULL write \"NULL\", in quotes"],
    ),
    (
        "a date",
        ("migration: split_full_name", "migration: 2024-01-01"),
        ["m.yaml:1:12: text is wanted, and '2024-01-01' without quotes means a date in YAML: "
         'write it in quotes: "2024-01-01"'],
    ),
    (
        "a list where text belongs",
        ("column: full_name", "column: [full_name]"),
        ["m.yaml:5:15: text is wanted, not a list: put it in quotes"],
    ),
    (
        "text where a boolean belongs",
        ("type: text, up", "type: text, not_null: yes please, up"),
        ["m.yaml:7:44: true or false is wanted, not text"],
    ),
    (
        "an expression that does not parse",
        ('"first_name || last_name"', '"first_name ||"'),
        ["m.yaml:11:13: the expression 'first_name ||' does not parse: syntax error at end of input"],
    ),
    (
        "an expression that is only in parentheses wrong",
        ('"first_name || last_name"', '"first_name;"'),
        ["m.yaml:11:13: syntax error at or near \";\""],
    ),
    (
        "an empty expression",
        ('"first_name || last_name"', '""'),
        ['m.yaml:11:13: the expression is empty: for "no value" write NULL, in quotes: "NULL"'],
    ),
    (
        "an expression over several lines",
        ('"first_name || last_name"', "|\n        first_name ||\n        lastname"),
        ["m.yaml:11:13: down of full_name names lastname (did you mean 'last_name'?): "
         "it may name only first_name, last_name"],
    ),
    (
        "up names the new side",
        ('"substr(full_name, 2)"', '"first_name"'),
        ["m.yaml:10:15: up of last_name names first_name (did you mean 'full_name'?): it may name only full_name"],
    ),
    (
        "down names the old side",
        ('"first_name || last_name"', '"first_name || email"'),
        ["m.yaml:11:13: down of full_name names email: it may name only first_name, last_name"],
    ),
    (
        "check names the old side",
        ("type: text, up", "check: full_name > '', type: text, up"),
        ["m.yaml:7:29: check of first_name names full_name (did you mean 'last_name'?): "
         "it may name only first_name, last_name"],
    ),
    (
        "a sub-select",
        ('"substr(full_name, 2)"', '"(SELECT full_name)"'),
        ["m.yaml:10:15: '(SELECT full_name)': a sub-select or a parameter cannot be part of an expression here"],
    ),
    (
        "an aggregate",
        ('"substr(full_name, 2)"', '"count(*)::text"'),
        ["m.yaml:10:15: 'count(*)::text': an aggregate or a window function cannot be used, "
         "an expression sees one row"],
    ),
    (
        "the clock",
        ('"substr(full_name, 2)"', '"full_name || CURRENT_DATE"'),
        ["m.yaml:10:15: 'full_name || CURRENT_DATE' reads the clock or the session, so it is not IMMUTABLE: "
         "the same row would convert differently each time"],
    ),
    (
        "DEFAULT in an expression",
        ('"substr(full_name, 2)"', '"DEFAULT"'),
        ["m.yaml:10:15: 'DEFAULT': DEFAULT cannot be part of an expression here"],
    ),
    (
        "a type that is none",
        ("type: text, up", 'type: "text, full_name", up'),
        ["m.yaml:7:28: 'text, full_name' is not a type: give one such as text, integer, numeric(10,2) or public.mood"],
    ),
    (
        "a type that is not built in",
        ("type: text, up", "type: txt, up"),
        ["m.yaml:7:28: txt is not a built-in type (did you mean 'text'?): if it is your own, "
         "write its schema: public.txt"],
    ),
    (
        "serial",
        ("type: text, up", "type: bigserial, up"),
        ["m.yaml:7:28: bigserial is a type with a sequence: write bigint, and give the default apart"],
    ),
    (
        "a default that names a column",
        ("type: text, up", "type: text, default: draft, up"),
        ["m.yaml:7:43: a default cannot name columns, and 'draft' names draft "
         "(text in it needs quotes of its own: \"'text'\")"],
    ),
    (
        "a foreign key to nothing",
        ("type: text, up", 'type: text, references: "to accounts", up'),
        ["m.yaml:7:46: 'to accounts' is not the target of a foreign key: give one such as public.accounts(id)"],
    ),
    (
        "a name that is reserved",
        ("        last_name:", "        _pgjanus_last:"),
        ["m.yaml:8:9: '_pgjanus_last': names that begin with _pgjanus_ are reserved for pgjanus"],
    ),
    (
        "a system column",
        ("column: full_name", "column: xmin"),
        ["m.yaml:5:15: 'xmin' is a system column of PostgreSQL: it cannot be migrated or added"],
    ),
    (
        "an old name that is too long",
        ("column: full_name", f"column: {'ż' * 32}"),
        [f"m.yaml:5:15: '{'ż' * 32}' is longer than 63 bytes, which is PostgreSQL's limit for a name"],
    ),
    (
        "a new name that is too long with its prefix",
        ("        last_name:", f"        {'n' * 55}:"),
        [f"m.yaml:8:9: '{'n' * 55}' is longer than 54 bytes: a new column carries the prefix _pgjanus_ until the "
         "migration is contracted, and PostgreSQL's limit is 63 bytes"],
    ),
    (
        "a name that PostgreSQL cannot store",
        ("column: full_name", 'column: "a\\0b"'),
        [r"m.yaml:5:15: 'a\x00b' has a character that PostgreSQL cannot store"],
    ),
    (
        "a strategy that does not exist",
        ("operations:", "strategy: dual_wriet\noperations:"),
        ["m.yaml:3:11: 'dual_wriet' is not known (did you mean 'dual_write'?): one of dual_write, dual_read, both"],
    ),
    (
        "a guard that yaml reads as true",
        ("operations:", "guard: on\noperations:"),
        ["m.yaml:3:8: one of heal, reject, off is wanted, and 'on' without quotes means true in YAML"],
    ),
    (
        "a duration without a unit",
        ("operations:", "backfill: {max_lag: 5 minutes}\noperations:"),
        ["m.yaml:3:21: '5 minutes' is not a length of time: give a whole number with its unit, "
         "such as 100ms, 5s or 1min"],
    ),
    (
        "a duration of nothing",
        ("operations:", "backfill: {batch_target: 0s}\noperations:"),
        ["m.yaml:3:26: '0s' is not a length of time: give a whole number with its unit, such as 100ms, 5s or 1min"],
    ),
    (
        "a migration's name with a space",
        ("migration: split_full_name", "migration: split full name"),
        ["m.yaml:1:12: 'split full name' cannot name a migration: up to 63 letters, digits and _ . - without spaces, "
         "the first a letter, a digit or _"],
    ),
    (
        "a table in three parts",
        ("public.users", "db.public.users"),
        ["m.yaml:2:8: 'db.public.users' is not a table: give its schema and name, such as public.users "
         '(a name with a dot in it in double quotes: public."odd.name")'],
    ),
    (
        "a system table",
        ("public.users", "pg_catalog.pg_class"),
        ["m.yaml:2:8: pg_catalog.pg_class is a system table: only tables of your own can be migrated"],
    ),
    (
        "a table that is no text",
        ("public.users", "[public, users]"),
        ["m.yaml:2:8: a table is wanted: its schema and name, such as public.users"],
    ),
    (
        "one column in two operations",
        ('last_name"\n', 'last_name"\n  - rename_column: {column: email, to: full_name}\n'),
        ["m.yaml:12:40: full_name already belongs to operation 1, split_column: each column may be in "
         "one operation only (change_columns does several things to a column at once)"],
    ),
    (
        "an added column computed from one that goes",
        ('last_name"\n', 'last_name"\n  - add_column: {column: n, type: int, up: length(full_name)}\n'),
        ["m.yaml:12:44: up of n names full_name, which belongs to operation 1, split_column: "
         "it may name only columns that stay as they are"],
    ),
    (
        "a tab",
        ("      column: full_name", "\tcolumn: full_name"),
        ["m.yaml:5:1: a tab: YAML is indented with spaces, so replace the tab by spaces"],
    ),
    (
        "a quote that is not closed",
        ('last_name"\n', "last_name\n"),
        ["m.yaml:12:1: this is not valid YAML: found unexpected end of stream (while scanning a quoted scalar); "
         "check quotes, brackets and indentation"],
    ),
    (
        "a second document",
        ('last_name"\n', 'last_name"\n---\ntable: x\n'),
        ["m.yaml:12:1: a second document: one file holds one migration, so make it a file of its own"],
    ),
    (
        "an anchor",
        ("type: text, up", "type: &t text, up"),
        ["m.yaml:7:28: anchors and aliases (& and *) are not supported: write the value out"],
    ),
    (
        "a tag",
        ("column: full_name", "column: !secret full_name"),
        ["m.yaml:5:15: the tag !secret is not supported: leave it out"],
    ),
    (
        "a control character",
        ("column: full_name", "column: full\x07name"),
        [r"m.yaml:5:19: the character '\x07' is not allowed in YAML: remove it"],
    ),
    (
        "too deep",
        ("column: full_name", "column: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH),
        [f"m.yaml:5:{15 + MAX_DEPTH - 4}: nested more than {MAX_DEPTH} deep: a migration never is"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("replaced", "lines"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_its_remedy(replaced: tuple[str, str], lines: list[str]) -> None:
    assert mistakes(changed(*replaced)) == lines
