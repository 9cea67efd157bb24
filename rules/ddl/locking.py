"""The last message of a transaction that locks a table: the lock, what needs it, and COMMIT.

    SET LOCAL statement_timeout = 150;  LOCK TABLE "public"."users" IN ACCESS EXCLUSIVE MODE;
    SET LOCAL statement_timeout = 2000; ALTER TABLE …; CREATE TRIGGER …;
    COMMIT

As one message it is carried out and committed without anything from us in between: neither the way to the server nor
an operator that is stopped at the wrong moment makes the lock last. Everything is locked by the first statement, in the
strongest mode that any of them needs, so that none waits for more while it holds something.
"""

from __future__ import annotations

from collections.abc import Iterable

from rules.catalog import TableName
from rules.changes import quote_table
from rules.ddl.statements import Lock, Statement

#: Whoever wants to use the table meanwhile queues behind us that long at most.
LOCK_TIMEOUT_MS = 100
#: The same for a table of many parts, each of which has to be locked.
ALL_LOCKS_TIMEOUT_MS = 150
#: No statement here touches a row. One that does after all is called off rather than endured.
STATEMENT_TIMEOUT_MS = 2000


def strongest(statements: Iterable[Statement]) -> Lock:
    """The mode that covers them all."""
    modes = list(Lock)
    return min((s.lock for s in statements), key=modes.index, default=Lock.NONE)


def lock_table(table: TableName, lock: Lock) -> Statement:
    return Statement(f"LOCK TABLE {quote_table(table)} IN {lock.value} MODE", lock)


def at_once(table: TableName, statements: Iterable[Statement]) -> str:
    """All of `statements` and COMMIT, for a transaction that has begun and set its lock_timeout."""
    statements = tuple(statements)
    lines = []
    lock = strongest(s for s in statements if not s.locks_itself)
    if lock is not Lock.NONE:
        lines.append(f"SET LOCAL statement_timeout = {ALL_LOCKS_TIMEOUT_MS}")
        lines.append(lock_table(table, lock).sql)
        lines.append(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
    return ";\n".join([*lines, *(s.sql for s in statements), "COMMIT"])
