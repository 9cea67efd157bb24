"""What each phase would make of a statement, and how a statement is shown without its values."""

from __future__ import annotations

import pytest

from rules.forecast import Forecaster, Outlook, Treatment, is_refused, refused_where
from rules.loader import load_file
from rules.migration import Client
from rules.phases import Shape
from rules.text.fingerprint import UNREADABLE, fingerprint_of
from tests.rules.managed import CASES, USERS, snapshot

OLD, NEW = Client(Shape.OLD), Client(Shape.NEW)


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    """Of a migration that is not started."""
    catalog = snapshot("announced").catalog
    return Forecaster(load_file(CASES / "users.yaml").compile(catalog.relations[USERS]), catalog)


def treatments(forecaster: Forecaster, sql: str, client: Client) -> dict[str, str]:
    return {o.phase: o.treatment.value for o in forecaster.forecast(sql, client)}


def test_every_phase_that_serves_the_shape_is_told(forecaster: Forecaster) -> None:
    assert treatments(forecaster, "SELECT full_name FROM users", OLD) == {
        "announced": "untouched",
        "expanded": "untouched",
        "writing_both": "untouched",
        "reading_new": "rewritten",
        "new_only": "rewritten",
    }
    assert treatments(forecaster, "SELECT first_name FROM users", NEW) == dict.fromkeys(
        ("expanded", "writing_both", "reading_new", "new_only"), "rewritten"
    )


def test_a_refusal_says_why_without_the_migrations_name(forecaster: Forecaster) -> None:
    found = forecaster.forecast("CREATE VIEW v AS SELECT id FROM users", OLD)
    assert is_refused(found)
    assert {o.treatment for o in found} == {Treatment.REFUSED}
    assert all(o.hint and o.sqlstate == "0A000" and "migration users_name" not in o.message for o in found)
    assert refused_where([found, found]) == (
        "2 in announced, 2 in expanded, 2 in writing_both, 2 in reading_new, 2 in new_only"
    )
    assert tuple(Outlook.from_json(o.to_json()) for o in found) == found


@pytest.mark.parametrize(
    ("sql", "concerned"),
    [
        ("SELECT 1 FROM users", True),
        ("SELECT 1 FROM public.users", True),
        ("WITH w AS (DELETE FROM users RETURNING id) SELECT 1", True),
        ("TRUNCATE users", True),
        ("DROP TABLE public.users", True),
        ("SELECT FROM users users users", True),
        ("SELECT 'users'", False),
        ("SELECT users FROM orders", False),
        ("SELECT 1 FROM archive.users", False),
        ("SELECT 1 FROM users_archive", False),
        ("SELECT FROM orders orders orders", False),
    ],
)
def test_only_what_names_the_table_concerns_it(forecaster: Forecaster, sql: str, concerned: bool) -> None:
    assert forecaster.concerns(sql, OLD) is concerned


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        (
            "SELECT  a /* x */ FROM t -- y\nWHERE b = 'x' AND c IN (1, 2.5)",
            "SELECT a FROM t WHERE b = $1 AND c IN ($2, $3)",
        ),
        ("SELECT a FROM t WHERE b = $1 AND c = 7", "SELECT a FROM t WHERE b = $1 AND c = $2"),
        ("SELECT now() - interval '1 day', E'a\\'b', U&'\\0061', $$x$$", "SELECT now() - interval $1, $2, $3, $4"),
        ("SELECT 'ü', \"Größe\" FROM t", 'SELECT $1, "Größe" FROM t'),
        ("PREPARE p AS SELECT 'x' FROM t WHERE n = 4711", "PREPARE p AS SELECT '…' FROM t WHERE n = 0"),
        ("CREATE TABLE x AS SELECT 'x', 4711 FROM t", "CREATE TABLE x AS SELECT '…', 0 FROM t"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT ON TABLE t IS '…'"),
        ("COPY t FROM '/x' (DELIMITER ';')", "COPY t FROM '…' (DELIMITER '…')"),
        ("SELECT a FROM t ORDER BY 1", "SELECT a FROM t ORDER BY 1"),
        ("SELECT 'x", UNREADABLE.text),
        ("SELECT a FROM t WHERE b = '\ud800'", UNREADABLE.text),
    ],
)
def test_a_statement_is_shown_without_values_and_comments(sql: str, shown: str) -> None:
    assert fingerprint_of(sql).text == shown


def test_texts_that_differ_in_constants_comments_and_layout_are_one() -> None:
    assert fingerprint_of("select a from t where b=1").hash == fingerprint_of("SELECT a\nFROM t WHERE b = 2 --").hash
    assert fingerprint_of("select a from t where b=1").hash != fingerprint_of("select a from t where c=1").hash


def test_a_long_statement_is_cut() -> None:
    text = fingerprint_of("SELECT " + ", ".join(f"column_{i}" for i in range(2_000))).text
    assert len(text) == 4_000
    assert text.endswith("…")
