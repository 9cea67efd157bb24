"""The table itself: whether it is of a kind that can be migrated, and what hangs on it."""

from __future__ import annotations

from proxy.control import fencing
from proxy.control.installation import is_installed
from proxy.control.registry import read_state
from proxy.database import Connection
from proxy.ladder.dependants import survey_dependants
from proxy.preflight.findings import Notes
from proxy.preflight.partitions import check_partitions
from rules.catalog import Relation
from rules.ddl.statements import leaves_old_format, new_columns, old_columns
from rules.migration import ManagedTable, Migration
from rules.phases import ANNOUNCED, CONTRACTED, HIDDEN_PREFIX, LADDERS, STATE_COLUMN

#: https://www.postgresql.org/docs/current/limits.html; dropped columns count too.
_COLUMN_LIMIT = 1600

_TABLE = """
SELECT c.relispartition, c.reloftype <> 0 AS is_typed, c.relpersistence::text AS persistence,
       pg_has_role(c.relowner, 'USAGE') AS is_owner, c.relrowsecurity, row_security_active(c.oid) AS is_filtered,
       c.relhasrules, (SELECT max(attnum) FROM pg_attribute WHERE attrelid = c.oid) AS last_attnum,
       (SELECT string_agg(i.inhparent::regclass::text, ', ') FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
       (SELECT string_agg(i.inhrelid::regclass::text, ', ') FROM pg_inherits i WHERE i.inhparent = c.oid) AS children
  FROM pg_class c WHERE c.oid = $1::int8::oid"""

_TRIGGERS = """
SELECT tgname::text FROM pg_trigger
 WHERE tgrelid = $1::int8::oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 3 = 3
 ORDER BY 1"""

_RULES = "SELECT rulename::text FROM pg_rewrite WHERE ev_class = $1::int8::oid ORDER BY 1"

# They see hidden columns too, and one of those has another value after every write through a proxy.
_WHOLE_ROW_TRIGGERS = """
SELECT tgname::text FROM pg_trigger JOIN pg_class t ON t.oid = tgrelid
 WHERE tgrelid = $1::int8::oid AND NOT tgisinternal AND tgqual LIKE '%:varattno 0 :vartype ' || t.reltype || ' %'
 ORDER BY 1"""

# Bodies that are kept as text are in no dependency; those in standard SQL syntax are in pg_depend. A trigger's function
# and one that takes a row or returns one need not name the table.
_FUNCTIONS = """
SELECT p.oid::regprocedure::text AS function, c.name AS column
  FROM pg_class t, pg_proc p, unnest($2::text[]) c(name)
 WHERE t.oid = $1::int8::oid AND p.prosqlbody IS NULL
   AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
   AND (p.prosrc ~* ('\\y' || regexp_replace(t.relname, '(\\W)', '\\\\\\1', 'g') || '\\y')
     OR p.oid IN (SELECT tgfoid FROM pg_trigger WHERE tgrelid = t.oid)
     OR t.reltype = ANY (p.prorettype || coalesce(p.proallargtypes, p.proargtypes::oid[])))
   AND p.prosrc ~* ('\\y' || regexp_replace(c.name, '(\\W)', '\\\\\\1', 'g') || '\\y')
 ORDER BY 1, 2"""

_COLUMN_GRANTS = """
SELECT string_agg(DISTINCT coalesce(nullif(g.grantee, 0::oid)::regrole::text, 'PUBLIC'), ', ')
  FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = $1::int8::oid AND a.attname = ANY ($2::text[])"""

_PUBLICATIONS = """
SELECT string_agg(pubname::text, ', ' ORDER BY pubname) FROM (
    SELECT p.pubname FROM pg_publication p WHERE p.puballtables
    UNION SELECT p.pubname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
           WHERE r.prrelid = $1::int8::oid) AS s"""


async def check_kind(connection: Connection, relation: Relation, migration: Migration, notes: Notes) -> bool:
    """Refuse tables that cannot be migrated at all; False if there is no point in asking more."""
    table = relation.table
    row = await connection.fetchrow(_TABLE, relation.oid)
    assert row is not None
    before = len(notes.findings)
    if row["relispartition"]:
        notes.refuse(f"{table} is a partition of {row['parents']}", "migrate that table: its partitions come with it")
    elif row["parents"]:
        notes.refuse(
            f"{table} inherits from {row['parents']}",
            "a migration needs a table of its own: ALTER TABLE … NO INHERIT, or declarative partitioning",
        )
    if relation.is_partitioned:
        await check_partitions(connection, relation, migration, notes)
    elif row["children"]:
        notes.refuse(
            f"{row['children']} inherit from {table}",
            "their rows are rows of it, too: ALTER TABLE … NO INHERIT, or declarative partitioning",
        )
    if row["is_typed"]:
        notes.refuse(f"{table} is a typed table", "ALTER TABLE … NOT OF makes it a plain one")
    if row["persistence"] == "t":
        notes.refuse(f"{table} is a temporary table", "other sessions do not see it")
    if not row["is_owner"]:
        notes.refuse(
            f"the user of the control connection does not own {table}", "connect as its owner or as a superuser"
        )
    if row["is_filtered"]:
        notes.refuse(
            f"row security hides rows of {table} from the user of the control connection",
            "the backfill would not see them: connect as a user with BYPASSRLS",
        )
    added = len(new_columns(migration)) + 1
    if row["last_attnum"] + added > _COLUMN_LIMIT:
        notes.refuse(
            f"{table} has had {row['last_attnum']} columns, dropped ones included, and the limit is {_COLUMN_LIMIT}",
            "copy the table",
        )
    for column in relation.columns:
        if column.name in {c.physical for c in new_columns(migration)} and relation.column(STATE_COLUMN) is None:
            notes.refuse(
                f"{table} has a column {column.name} already", f"names with {HIDDEN_PREFIX} are reserved: drop it"
            )
    if relation.column(STATE_COLUMN) is not None:
        notes.warn(f"{table} has columns that an earlier migration left behind", "start drops them and makes new ones")
    return len(notes.findings) == before or row["is_owner"]


async def check_other_migrations(connection: Connection, migration: Migration, notes: Notes) -> None:
    if not await is_installed(connection):
        return
    for row in (await read_state(connection)).migrations:
        if row.name == migration.name and row.phase is CONTRACTED:
            notes.refuse(f"migration {row.name!r} has been carried out already", "give this one another name")
        elif row.table == migration.table and row.is_active and row.phase is not ANNOUNCED:
            notes.refuse(
                f"table {row.table} already has migration {row.name!r} in phase {row.phase.name}",
                "one at a time, finish or abort that one first",
            )


async def check_surroundings(
    connection: Connection, relation: Relation, migration: Migration, notes: Notes, *, has_key: bool
) -> None:
    """Warnings: what acts on the table beside its clients, and what has to go before the old columns get stale."""
    table = relation.table
    if not await fencing.may_end_sessions(connection):
        notes.warn(
            "the user of the control connection may not end the sessions of a proxy that does not answer any more:"
            " no step is made until they are gone by themselves",
            await fencing.grant_needed(connection),
        )
    triggers = [r[0] for r in await connection.fetch(_TRIGGERS, relation.oid)]
    if triggers:
        notes.warn(
            f"BEFORE triggers of {table} may change what a statement writes: {', '.join(triggers)}",
            "where one changes a migrated column after the proxy has written both formats, verify finds the row",
        )
    comparing = [r[0] for r in await connection.fetch(_WHOLE_ROW_TRIGGERS, relation.oid)]
    if comparing:
        notes.warn(
            f"triggers of {table} look at whole rows in WHEN, which have columns of pgjanus meanwhile:"
            f" {', '.join(comparing)}",
            "every UPDATE of a migrated column looks like a change to them: name the columns",
        )
    rules = [r[0] for r in await connection.fetch(_RULES, relation.oid)]
    if rules:
        notes.warn(f"rules on {table} rewrite statements once more: {', '.join(rules)}", "a trigger is the safer way")
    managed = ManagedTable(migration, ANNOUNCED, relation)
    survey = await survey_dependants(connection, managed)
    leaves = next(p.name for p in LADDERS[migration.strategy] if leaves_old_format(p))
    for reading, rebuilding in survey.rebuilt:
        notes.warn(
            f"{rebuilding.definition} depends on an old column",
            f"it is rebuilt before {leaves}{f'; {rebuilding.note} from then on' if rebuilding.note else ''}",
            at=(reading.columns[0], "name"),
        )
    for dependant in survey.in_the_way:
        reason = f" ({dependant.reason}, so it is not rebuilt)" if dependant.reason else ""
        notes.warn(
            f"{dependant.description} (column {dependant.column}) depends on an old column",
            f"drop or move it before {leaves}{reason}",
            at=(dependant.column, "name"),
        )
    old = [c.physical for c in old_columns(migration)]
    for function, column in await connection.fetch(_FUNCTIONS, relation.oid, old):
        notes.warn(
            f"function {function} seems to use {column} of {table.name}",
            f"nobody rewrites it: it has to be changed before {leaves}",
            at=(column, "name"),
        )
    grantees = await connection.fetchval(_COLUMN_GRANTS, relation.oid, old)
    if grantees:
        notes.warn(
            f"{grantees}: privileges on single columns",
            "start copies them to the new columns; what is granted or revoked later, each step does",
        )
    publications = await connection.fetchval(_PUBLICATIONS, relation.oid)
    if publications:
        notes.warn(
            f"{table} is published in {publications}",
            f"subscribers need the columns {HIDDEN_PREFIX}… too, or a column list in the publication",
        )
    if not has_key:
        notes.warn(
            f"{table} has no primary key, nor a unique index over NOT NULL columns that stay",
            "the backfill walks it by the place of its rows and names bad rows by it",
        )
