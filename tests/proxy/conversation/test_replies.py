"""Errors as clients have to see them."""

from __future__ import annotations

import psycopg
import pytest

from proxy.conversation.replies import translated
from proxy.wire.messages import ErrorFields
from rules.phases import Shape, Strategy
from rules.reads import by_row_state
from tests.conftest import Database
from tests.system.managed_table import Managed

SETUP = """
CREATE TABLE people (id int PRIMARY KEY, tenant int, email text);
INSERT INTO people VALUES (1, 1, 'ada@x');
"""
RENAME = """
migration: rename
table: people
strategy: both
operations:
  - change_type:
      column: email
      type: varchar(40)
      up: "CASE WHEN email <> '' THEN email END"
      down: "CASE WHEN email <> '' THEN email END"
"""


@pytest.mark.parametrize(
    ("keys", "shown"),
    [("({0})", "(email)=(ada@x)"), ("tenant, ({0})", "(tenant, email)=(1, ada@x)"), ("lower({0})", "(lower(email))")],
)
def test_a_duplicate_is_reported_under_the_names_that_the_client_knows(
    database: Database, keys: str, shown: str
) -> None:
    table = Managed(database, SETUP, RENAME, "dual", Strategy.BOTH)
    change = table.snapshot.tables[next(iter(table.snapshot.tables))].migration.changes[0]
    key = keys.format(by_row_state(change, change.old[0], Shape.OLD, ""))
    name = "_pgjanus_ox_people_email_key_0123abcd"
    table.connection.execute(f"CREATE UNIQUE INDEX {name} ON people ({key})".encode())
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        table.run("INSERT INTO people VALUES (2, 1, 'ada@x')")
    diagnosis = caught.value.diag
    sent = {b"M": diagnosis.message_primary, b"D": diagnosis.message_detail, b"n": diagnosis.constraint_name}
    fields = tuple((code[0], str(value).encode()) for code, value in sent.items())
    message, detail, constraint = (value.decode() for _, value in translated(ErrorFields(fields), None).fields)
    assert message == 'duplicate key value violates unique constraint "people_email_key"'
    assert shown in detail and "CASE" not in detail
    assert constraint == "people_email_key"
