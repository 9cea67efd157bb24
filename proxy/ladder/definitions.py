"""Views and policies as they are in the database now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.control.rebuilt import FINGERPRINTS, Kind
from proxy.database import Connection
from rules.catalog import TableName


@dataclass(frozen=True, slots=True)
class Definition:
    """`table` is the view, or the table that the policy `name` is on.

    `texts` are a view's query, or a policy's USING and WITH CHECK. Of a view: `columns`, its options as in pg_class,
    and which columns, from 1, can be written through it by what PostgreSQL derives from its query.
    """

    kind: Kind
    oid: int
    table: TableName
    name: str
    texts: tuple[str | None, ...]
    fingerprint: str
    is_ours: bool
    relkind: str = "r"
    is_temporary: bool = False
    extension: str | None = None
    columns: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    writable: frozenset[int] = frozenset()

    def with_texts(self, texts: Sequence[str | None]) -> Definition:
        return replace(self, texts=tuple(texts))

    def __str__(self) -> str:
        if self.kind is Kind.VIEW:
            return f"view {self.table}"
        return f"policy {self.name} on table {self.table}"


# Triggers INSTEAD OF both take all writes of a view's columns; otherwise PostgreSQL derives some of them.
_VIEW = f"""
SELECT n.nspname::text AS schema, c.relname::text AS relation, ''::text AS name, c.relkind::text,
       ARRAY[rtrim(pg_get_viewdef(c.oid), E' \\n;')] AS texts,
       {FINGERPRINTS[Kind.VIEW].format(oid="c.oid")} AS fingerprint,
       pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')
         AND has_schema_privilege(n.oid, 'USAGE') AS is_ours, c.relpersistence = 't' AS is_temporary,
       (SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_extension'::regclass) AS extension,
       ARRAY(SELECT attname::text FROM pg_attribute
              WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) AS columns,
       coalesce(c.reloptions::text[], '{{}}') AS options,
       ARRAY(SELECT attnum::int4 FROM pg_attribute
              WHERE attrelid = c.oid AND attnum > 0 AND pg_column_is_updatable(c.oid, attnum, false)
                AND NOT (SELECT coalesce(bit_or(tgtype) & 20 = 20, false) FROM pg_trigger
                          WHERE tgrelid = c.oid AND tgtype & 64 <> 0)) AS writable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::int8::oid"""

_POLICY = f"""
SELECT n.nspname::text AS schema, c.relname::text AS relation, p.polname::text AS name, c.relkind::text,
       ARRAY[pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)] AS texts,
       {FINGERPRINTS[Kind.POLICY].format(oid="p.oid")} AS fingerprint, pg_has_role(c.relowner, 'USAGE') AS is_ours,
       false AS is_temporary, NULL::text AS extension, '{{}}'::text[] AS columns, '{{}}'::text[] AS options,
       '{{}}'::int4[] AS writable
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE p.oid = $1::int8::oid"""

# Also through views that are built on it: whoever may write those may write what is below them.
_WRITERS = """
WITH RECURSIVE stack(view) AS (
    SELECT $1::int8::oid
    UNION
    SELECT r.ev_class FROM stack JOIN pg_depend d ON d.refobjid = view AND d.refclassid = 'pg_class'::regclass
      JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
), granted(grantee, privilege, owner) AS (
    SELECT g.grantee, g.privilege_type, c.relowner FROM stack JOIN pg_class c ON c.oid = view, aclexplode(c.relacl) g
    UNION
    SELECT g.grantee, g.privilege_type, c.relowner FROM stack JOIN pg_class c ON c.oid = view
      JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) g
)
SELECT string_agg(DISTINCT coalesce(nullif(grantee, 0::oid)::regrole::text, 'PUBLIC'), ', ') FROM granted
 WHERE privilege IN ('INSERT', 'UPDATE') AND grantee <> owner"""


async def load_definition(connection: Connection, kind: Kind, oid: int) -> Definition | None:
    """Under an empty search_path; None if it is gone."""
    row = await connection.fetchrow(_VIEW if kind is Kind.VIEW else _POLICY, oid)
    if row is None:
        return None
    return Definition(
        kind=kind,
        oid=oid,
        table=TableName(row["schema"], row["relation"]),
        name=row["name"],
        texts=tuple(row["texts"]),
        fingerprint=row["fingerprint"],
        is_ours=row["is_ours"],
        relkind=row["relkind"],
        is_temporary=row["is_temporary"],
        extension=row["extension"],
        columns=tuple(row["columns"]),
        options=tuple(row["options"]),
        writable=frozenset(row["writable"]),
    )


def why_not_ours(definition: Definition) -> str | None:
    """Why nobody, or not this operator, can replace it."""
    if definition.relkind == "m":
        return "a materialized view cannot be replaced"
    if definition.is_temporary:
        return "it is temporary and another session's"
    if definition.extension is not None:
        return f"it belongs to extension {definition.extension}"
    if not definition.is_ours:
        return "the user of the control connection is not its owner, or may not create in its schema"
    return None


async def writers_through(connection: Connection, view_oid: int) -> str | None:
    """The roles beside the owner that may write through a view, or through one that is built on it."""
    found: str | None = await connection.fetchval(_WRITERS, view_oid)
    return found
