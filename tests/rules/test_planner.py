"""What happens to a statement, decided without a server; that it is right is shown by `tests/system/test_twin.py`."""

from __future__ import annotations

import pytest

from rules.migration import Client
from rules.phases import Shape, Strategy
from rules.plan import Refuse, Rewrite, Untouched
from rules.planner import plan
from tests.rules.managed import snapshot
from tests.twin import Case, read_cases

OLD, NEW = Client(Shape.OLD), Client(Shape.NEW)
PHASES = ["expanded", "writing_both", "reading_new", "new_only"]


def rewritten(sql: str, phase: str, client: Client = OLD) -> str:
    found = plan(sql, snapshot(phase), client)
    assert isinstance(found, Rewrite), found
    return found.sql


def refusal(sql: str, phase: str = "writing_both", client: Client = OLD) -> Refuse:
    found = plan(sql, snapshot(phase), client)
    assert isinstance(found, Refuse), found
    return found


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT id, age FROM users WHERE age > 3 ORDER BY id",
        "SELECT count(*) FROM users",
        "UPDATE users SET age = age + 1 WHERE id = $1",
        "DELETE FROM users WHERE id = 7",
        "SELECT * FROM orders",
        "SELECT note AS full_name FROM orders ORDER BY full_name",
        "WITH users AS (SELECT 1 AS full_name) SELECT * FROM users",
        "TRUNCATE users",
        "LOCK TABLE users IN SHARE MODE",
        "ANALYZE users",
        "GRANT SELECT ON users TO postgres",
        "CREATE INDEX ON users (age)",
        "ALTER TABLE users ADD COLUMN shoe_size int",
        "CREATE TABLE t (user_id int REFERENCES users (id))",
        "SELECT 'full_name of users' AS x",
        "COMMENT ON TABLE users IS 'people'",
        "",
        "-- users",
        "BEGIN",
    ],
)
def test_a_statement_that_touches_no_managed_column_is_left_alone(sql: str, phase: str) -> None:
    for client in (OLD, NEW):
        assert plan(sql, snapshot(phase), client) == Untouched()


@pytest.mark.parametrize("case", list(read_cases("refused.sql")), ids=str)
@pytest.mark.parametrize("phase", PHASES)
def test_what_is_not_exact_is_refused_with_a_reason(case: Case, phase: str) -> None:
    for shape in case.shapes:
        found = plan(case.sql, snapshot(phase), Client(shape))
        assert isinstance(found, Refuse), f"{case.sql}: {found}"
        assert found.refusal.sqlstate in ("0A000", "42703", "42601")
        assert "users_name" in found.migration or found.refusal.sqlstate != "0A000"
        assert str(found.refusal)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT full_name FROM (SELECT lower(nick) AS full_name FROM users) b"
        " JOIN (SELECT full_name FROM users) a USING (full_name)",
        "SELECT x.g FROM (SELECT f.*, u.* FROM users u, ROWS FROM (now(), now()) f) x (a, b, c, d, e, f, g)",
        "SELECT 1 FROM (SELECT u.*, f.* FROM users u, ROWS FROM (now(), now()) f) x NATURAL JOIN people",
    ],
)
def test_where_a_column_comes_from_is_never_guessed(sql: str) -> None:
    assert refusal(sql, "reading_new").refusal.sqlstate == "0A000"


def test_comments_hints_and_spacing_survive() -> None:
    sql = "SELECT /*+ SeqScan(u) */ full_name , -- the name\n  age FROM users u"
    changed = rewritten(sql, "reading_new")
    assert changed.startswith("SELECT /*+ SeqScan(u) */ (CASE ")
    assert changed.endswith(""" END) AS "full_name" , -- the name\n  age FROM users u""")


def test_an_update_writes_both_formats_and_a_new_state_code() -> None:
    assert rewritten("UPDATE users SET full_name = $1 WHERE id = $2", "writing_both") == (
        "UPDATE users SET full_name = $1, \"_pgjanus_first_name\" = (split_part((($1)::text), ' ', 1)), "
        "\"_pgjanus_last_name\" = (CASE WHEN strpos((($1)::text), ' ') > 0 THEN "
        "substr((($1)::text), strpos((($1)::text), ' ') + 1) END), "
        '"_pgjanus_state" = 5 - ("users"."_pgjanus_state" & 1) WHERE id = $2'
    )


def test_an_update_in_expanded_says_old() -> None:
    changed = rewritten("UPDATE users SET full_name = 'x'", "expanded")
    assert changed == """UPDATE users SET full_name = 'x', "_pgjanus_state" = 3 - ("users"."_pgjanus_state" & 1)"""


def test_a_volatile_value_is_written_once_in_the_rewritten_text() -> None:
    for sql in (
        "UPDATE users SET full_name = random()::text",
        "INSERT INTO users (id, full_name) VALUES (1, random()::text)",
        "INSERT INTO users (id, full_name) VALUES (1, random()::text), (2, random()::text)",
        "INSERT INTO users (id, full_name) SELECT id, random()::text FROM orders",
        "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET full_name = random()::text",
        "UPDATE users SET (full_name, age) = (SELECT random()::text, 1)",
        "UPDATE users SET (full_name, age) = ROW(random()::text, 1)",
    ):
        for phase in PHASES:
            found = plan(sql, snapshot(phase), OLD)
            text = found.sql if isinstance(found, Rewrite) else sql
            assert text.count("random") == sql.count("random"), text


def test_error_positions_lead_back_to_the_clients_text() -> None:
    sql = "SELECT 'ż', full_name, nosuch FROM users"
    found = plan(sql, snapshot("reading_new"), OLD)
    assert isinstance(found, Rewrite)
    assert found.positions.to_client(found.sql.index("nosuch")) == sql.index("nosuch")
    assert found.positions.to_client(found.sql.index("CASE")) == sql.index("full_name")
    assert found.positions.to_client(found.sql.index("FROM users")) == sql.index("FROM users")
    assert found.positions.to_client(0) == 0


def test_each_statement_of_a_text_is_decided_and_one_refusal_refuses_all() -> None:
    changed = rewritten("SELECT 1; UPDATE users SET full_name = 'a'; SELECT * FROM users", "writing_both")
    assert changed.startswith("SELECT 1; UPDATE users SET full_name = 'a', ")
    assert changed.endswith('; SELECT "users"."id", "users"."full_name", "users"."age" FROM users')
    refusal("SELECT 1; SELECT u::users FROM users u; SELECT * FROM users")


def test_columns_of_the_other_shape_do_not_exist() -> None:
    for client, column in ((OLD, "first_name"), (NEW, "full_name")):
        sql = f"SELECT id, {column} FROM users WHERE age = 1"
        found = plan(sql, snapshot("reading_new"), client)
        if client is OLD:  # it is not physically there either: the server's own error is as good
            assert found == Untouched()
        else:
            assert isinstance(found, Refuse)
            assert (found.refusal.sqlstate, found.refusal.position) == ("42703", sql.index(column))


def test_before_the_table_is_expanded_the_new_shape_is_refused_and_the_old_one_hides_nothing_yet() -> None:
    assert isinstance(plan("SELECT id FROM users", snapshot("announced"), NEW), Refuse)
    assert plan("UPDATE users SET full_name = 'x'", snapshot("announced"), OLD) == Untouched()
    assert rewritten("SELECT * FROM users", "announced") == (
        'SELECT "users"."id", "users"."full_name", "users"."age" FROM users'
    )


def test_an_unqualified_name_is_refused_where_the_schema_cannot_be_told() -> None:
    from dataclasses import replace

    from rules.catalog import TableName

    known = snapshot("writing_both", version=160000)
    twin = TableName("other", "users")
    relations = {
        **known.catalog.relations,
        twin: replace(known.catalog.relations[TableName("public", "orders")], table=twin),
    }
    both = replace(known, catalog=replace(known.catalog, relations=relations))
    found = plan("UPDATE users SET full_name = 'x'", both, OLD)
    assert isinstance(found, Refuse)
    assert "several schemas" in str(found.refusal)
    assert plan("UPDATE users SET full_name = 'x'", both, Client(Shape.OLD, ("other", "public"))) == Untouched()
    assert isinstance(plan("UPDATE users SET full_name = 'x'", both, Client(Shape.OLD, ("public", "other"))), Rewrite)
    assert isinstance(plan("UPDATE public.users SET full_name = 'x'", both, OLD), Rewrite)
    assert plan("UPDATE other.users SET full_name = 'x'", both, OLD) == Untouched()


def test_a_temporary_table_may_have_taken_the_name() -> None:
    shadowed = Client(Shape.OLD, None, frozenset({"users"}))
    assert isinstance(plan("SELECT full_name FROM users", snapshot("reading_new"), shadowed), Refuse)
    assert isinstance(plan("SELECT full_name FROM public.users", snapshot("reading_new"), shadowed), Rewrite)


@pytest.mark.parametrize(
    "making",
    [
        "CREATE TEMP TABLE users (a int)",
        "CREATE TABLE pg_temp.users (a int)",
        "CREATE TEMP TABLE users AS SELECT 1 AS a",
        "SELECT 1 AS a INTO TEMP users",
    ],
)
def test_a_temporary_table_shadows_the_managed_one_within_the_same_text(making: str) -> None:
    client, phase = Client(Shape.OLD, ("public",)), snapshot("writing_both")
    assert isinstance(plan(making, phase, client), Untouched)
    assert isinstance(plan(f"{making}; INSERT INTO users VALUES (1)", phase, client), Refuse)
    assert isinstance(plan(f"{making}; INSERT INTO public.users VALUES (1)", phase, client), Rewrite)


def test_no_other_table_can_take_the_name_of_a_managed_one() -> None:
    client = Client(Shape.OLD, ("public",))
    assert isinstance(plan("ALTER TABLE orders RENAME TO users", snapshot("writing_both"), client), Refuse)
    assert isinstance(plan("ALTER TABLE orders RENAME note TO users", snapshot("writing_both"), client), Untouched)


@pytest.mark.parametrize("sql", ['SELECT "full_name" FROM "users"', 'SELECT U&"full\\005fname" FROM U&"\\0075sers"'])
def test_names_are_compared_as_postgresql_folds_them(sql: str) -> None:
    assert "CASE" in rewritten(sql, "reading_new")


def test_quoted_names_of_other_case_are_other_names() -> None:
    assert plan('SELECT "Full_Name" FROM "Users"', snapshot("reading_new"), OLD) == Untouched()


@pytest.mark.parametrize(
    ("sql", "message", "position"),
    [
        ("SELEC * FROM users", 'syntax error at or near "SELEC"', 0),
        ("SELECT id FROM users WHERE", "syntax error at end of input", 26),
    ],
)
def test_what_does_not_parse_is_answered_in_postgresqls_words(sql: str, message: str, position: int) -> None:
    found = refusal(sql).refusal
    assert (found.sqlstate, found.message, found.position) == ("42601", message, position)


def test_a_defect_of_ours_refuses_the_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr("rules.planner.rewrite_reads", broken)
    found = refusal("SELECT full_name FROM users", "reading_new").refusal
    assert (found.sqlstate, "IndexError" in found.message) == ("0A000", True)


def test_deep_and_large_texts_end_in_an_answer() -> None:
    known = snapshot("writing_both")
    deep = "SELECT full_name FROM users WHERE id = " + "+".join(["1"] * 3000)
    assert isinstance(plan(deep, known, OLD), (Refuse, Untouched))
    huge = "SELECT full_name FROM users WHERE id = " + "+".join(["1"] * 30000)
    assert isinstance(plan(huge, known, OLD), Refuse)
    rows = ", ".join(f"({i}, 'a{i} b')" for i in range(5000))
    assert isinstance(plan(f"INSERT INTO users (id, full_name) VALUES {rows}", known, OLD), Rewrite)


def test_dual_read_writes_one_format_and_reads_by_row_state() -> None:
    known = snapshot("reading_both", Strategy.DUAL_READ)
    found = plan("UPDATE users SET first_name = 'x' WHERE id = 1", known, NEW)
    assert isinstance(found, Rewrite)
    assert "\"_pgjanus_first_name\" = 'x'" in found.sql
    assert '"full_name" = ' in found.sql
    assert found.sql.count('_pgjanus_state" = 3 - ') == 1
