"""Control connections, and the catalog as `rules` wants to see it.

Every query runs under an empty search_path, so that the types and expressions that PostgreSQL prints are qualified
and safe to splice anywhere, and so that no object in a user's schema can take the place of a built-in one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import asyncpg
from pglast.parser import ParseError, parse_sql_json

from rules.catalog import Catalog, Column, Constraint, Relation, TableName, Volatility
from rules.errors import PgjanusError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    # Generic in the type stubs only.
    Connection = asyncpg.Connection

CONNECT_TIMEOUT_SECONDS = 10.0
OLDEST_SERVER_VERSION = 140000

_WORST_FIRST = (Volatility.VOLATILE, Volatility.STABLE, Volatility.IMMUTABLE)


class DatabaseUnreachable(PgjanusError):
    """cannot connect to the database: why, and where it was looked for"""


async def connect(
    url: str, application_name: str = "pgjanus", *, timeout: float = CONNECT_TIMEOUT_SECONDS
) -> Connection:
    """Open a control connection with an empty search_path; `timeout` is in seconds.

    Raises:
        DatabaseUnreachable: with the reason and the address in one line (never the password).
    """
    settings = {
        "application_name": application_name[:63],
        "search_path": "",
        # A control connection must never sit in a transaction because its process has been stopped.
        "idle_in_transaction_session_timeout": "60s",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "client_encoding": "UTF8",
        "timezone": "UTC",
        "jit": "off",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
    try:
        connection: Connection = await asyncpg.connect(
            url, timeout=timeout, server_settings=settings, statement_cache_size=0
        )
    except TimeoutError as error:
        raise DatabaseUnreachable(f"the database did not answer within {timeout:g} s: {_where(url)}") from error
    except (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.ClientConfigurationError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatabaseUnreachable(f"cannot connect to the database ({_where(url)}): {reason}") from error
    if server_version(connection) < OLDEST_SERVER_VERSION:
        await connection.close()
        raise DatabaseUnreachable(f"pgjanus needs PostgreSQL 14 or later ({_where(url)} is older)")
    return connection


def _where(url: str) -> str:
    """The address without the password: whatever comes before the last @ is left out."""
    return url.rpartition("@")[2].removeprefix("postgresql://").removeprefix("postgres://") or "default address"


def server_version(connection: Connection) -> int:
    """As `server_version_num`: 180004."""
    version = connection.get_server_version()
    return version.major * 10000 + version.minor


_SYSTEM_SCHEMAS = "('pg_catalog', 'information_schema', 'pg_toast')"
_OURS = rf"n.nspname NOT IN {_SYSTEM_SCHEMAS} AND n.nspname !~ '^pg_(toast_)?temp_'"

_RELATIONS = f"""
SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, c.reltype::int8 AS row_type,
       (SELECT array_agg(a.attname::text ORDER BY k.at)
          FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, at), pg_attribute a
         WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.attnum) AS primary_key,
       (SELECT json_agg(json_build_object(
                 'name', x.conname, 'is_exclusion', x.contype = 'x', 'deferrable', x.condeferrable,
                 'columns', (SELECT json_agg(a.attname ORDER BY k.at)
                               FROM unnest(x.conkey) WITH ORDINALITY k(attnum, at), pg_attribute a
                              WHERE a.attrelid = c.oid AND a.attnum = k.attnum)))
          FROM pg_constraint x WHERE x.conrelid = c.oid AND x.contype IN ('p', 'u', 'x'))::text AS constraints,
       CASE WHEN c.relispartition THEN (SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid) END
         AS parent
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND {_OURS}"""

# A domain's own default applies where the column has none; pg_attrdef does not show it.
_COLUMNS = f"""
SELECT c.oid::int8 AS relation, a.attname::text AS name, a.attnum::int4 AS attnum, a.atttypid::int8 AS type_oid,
       a.atttypmod AS typmod, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       coalesce(pg_get_expr(d.adbin, d.adrelid), CASE WHEN t.typtype = 'd' THEN pg_get_expr(t.typdefaultbin, 0) END)
         AS expression,
       a.attidentity::text AS identity, a.attgenerated::text AS generated,
       CASE WHEN a.attcollation <> t.typcollation
            THEN (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co
                    JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END AS collation
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND {_OURS}"""

# The relations of the system schemas, in the form of the two above; they have no defaults.
_SYSTEM_RELATIONS = """
SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, NULL::text[] AS primary_key, c.reltype::int8 AS row_type,
       NULL::text AS constraints, NULL::int8 AS parent
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('pg_catalog', 'information_schema')"""

_SYSTEM_COLUMNS = """
SELECT c.oid::int8 AS relation, a.attname::text AS name, a.attnum::int4 AS attnum, a.atttypid::int8 AS type_oid,
       a.atttypmod AS typmod, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       NULL::text AS expression, '' AS identity, '' AS generated, NULL::text AS collation
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
   AND n.nspname IN ('pg_catalog', 'information_schema')"""

_FUNCTIONS = """
SELECT proname::text AS name, min(array_position('{v,s,i}'::text[], provolatile::text)) AS worst
  FROM pg_proc GROUP BY proname"""

_AGGREGATES = "SELECT DISTINCT proname::text FROM pg_proc WHERE prokind IN ('a', 'w')"

_SET_RETURNING = "SELECT DISTINCT proname::text FROM pg_proc WHERE proretset"

_VOLATILE_OPERATORS = """
SELECT DISTINCT o.oprname::text FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE p.provolatile = 'v'"""

_FUNCTION_COLUMNS = """
SELECT p.proname::text AS name, p.proargnames[a.at] AS column_name
  FROM pg_proc p, unnest(p.proargmodes) WITH ORDINALITY a(mode, at)
 WHERE a.mode IN ('o', 'b', 't') AND p.proargnames[a.at] <> ''
UNION
SELECT p.proname::text, a.attname::text
  FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype JOIN pg_attribute a ON a.attrelid = t.typrelid
 WHERE t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped"""

# Composite types, record and what stands for any type.
_ROWS = """(SELECT oid FROM pg_type WHERE typtype = 'c' OR typnamespace = 'pg_catalog'::regnamespace
    AND typname IN ('record', 'any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray'))"""

_ROW_TAKERS = f"""
SELECT DISTINCT proname::text FROM pg_proc
 WHERE (pronargs = 1 OR pronargs - pronargdefaults <= 1 AND pronargs > 0) AND proargtypes[0] IN {_ROWS}"""

_OWN_ROW_TAKERS = f"""
SELECT DISTINCT proname::text FROM pg_proc
 WHERE pronamespace <> 'pg_catalog'::regnamespace AND EXISTS (SELECT FROM unnest(proargtypes) a WHERE a IN {_ROWS})
UNION
SELECT oprname::text FROM pg_operator
 WHERE oprnamespace <> 'pg_catalog'::regnamespace AND (oprleft IN {_ROWS} OR oprright IN {_ROWS})"""

# A change to anything that `load_catalog` reads changes a row version here. Statistics are written in place and do
# not count; neither do temporary tables, which come and go all day. `xmin` survives freezing.
_FINGERPRINT = """
SELECT concat_ws(' ',
  (SELECT concat(count(*), ':', sum(c.xmin::text::int8)) FROM pg_class c
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'i')),
  (SELECT concat(count(*), ':', sum(a.xmin::text::int8)) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'f', 'p')),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_attrdef),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_proc WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_operator WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_type WHERE oid >= 16384 AND typtype = 'd'),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'))"""


async def catalog_fingerprint(connection: Connection) -> str:
    """A text that differs after any change to what `load_catalog` reads. Costs a few milliseconds."""
    return str(await connection.fetchval(_FINGERPRINT))


async def load_catalog(connection: Connection) -> Catalog:
    """All relations outside the system schemas and other sessions' temporary ones; functions by bare name.

    Call it inside a REPEATABLE READ transaction of a connection made by `connect`.
    """
    relations = await connection.fetch(_RELATIONS)
    columns = await connection.fetch(_COLUMNS)
    system = _build(await connection.fetch(_SYSTEM_RELATIONS), await connection.fetch(_SYSTEM_COLUMNS), {}, frozenset())
    functions = {r["name"]: _WORST_FIRST[r["worst"] - 1] for r in await connection.fetch(_FUNCTIONS)}
    operators = frozenset(r[0] for r in await connection.fetch(_VOLATILE_OPERATORS))
    function_columns: defaultdict[str, set[str]] = defaultdict(set)
    for name, column in await connection.fetch(_FUNCTION_COLUMNS):
        function_columns[name].add(column)
    return Catalog(
        server_version=server_version(connection),
        relations={r.table: r for r in _build(relations, columns, functions, operators)},
        volatility=functions,
        function_columns={name: frozenset(found) for name, found in function_columns.items()},
        volatile_operators=operators,
        system={r.table: r for r in system},
        aggregates=frozenset(r[0] for r in await connection.fetch(_AGGREGATES)),
        set_returning=frozenset(r[0] for r in await connection.fetch(_SET_RETURNING)),
        row_takers=frozenset(r[0] for r in await connection.fetch(_ROW_TAKERS)),
        own_row_takers=frozenset(r[0] for r in await connection.fetch(_OWN_ROW_TAKERS)),
        database=str(await connection.fetchval("SELECT current_database()")),
    )


async def load_relation(connection: Connection, table: TableName) -> Relation | None:
    """One relation as it is now, or None."""
    relations = await connection.fetch(
        f"{_RELATIONS} AND n.nspname = $1::text AND c.relname = $2::text", table.schema, table.name
    )
    if not relations:
        return None
    columns = await connection.fetch(f"{_COLUMNS} AND c.oid = $1::int8::oid", relations[0]["oid"])
    functions = {r["name"]: _WORST_FIRST[r["worst"] - 1] for r in await connection.fetch(_FUNCTIONS)}
    operators = frozenset(r[0] for r in await connection.fetch(_VOLATILE_OPERATORS))
    return _build(relations, columns, functions, operators)[0]


def _build(
    relations: Iterable[asyncpg.Record],
    columns: Iterable[asyncpg.Record],
    functions: Mapping[str, Volatility],
    operators: frozenset[str],
) -> list[Relation]:
    by_relation: defaultdict[int, list[Column]] = defaultdict(list)
    volatility: dict[str | None, Volatility] = {None: Volatility.IMMUTABLE}
    for c in columns:
        expression = c["expression"]
        if expression not in volatility:
            volatility[expression] = expression_volatility(expression, functions, operators)
        by_relation[c["relation"]].append(
            Column(
                name=c["name"],
                attnum=c["attnum"],
                type_oid=c["type_oid"],
                typmod=c["typmod"],
                type=c["type"],
                not_null=c["not_null"],
                default=expression,
                default_volatility=volatility[expression],
                identity=c["identity"],
                generated=c["generated"],
                collation=c["collation"],
            )
        )
    return [
        Relation(
            oid=r["oid"],
            table=TableName(r["nspname"], r["relname"]),
            kind=r["relkind"],
            columns=tuple(sorted(by_relation[r["oid"]], key=lambda c: c.attnum)),
            primary_key=tuple(r["primary_key"] or ()),
            row_type=r["row_type"],
            parent=r["parent"],
            constraints=tuple(
                Constraint(**{**c, "columns": tuple(c["columns"] or ())}) for c in json.loads(r["constraints"] or "[]")
            ),
        )
        for r in relations
    ]


# Their input depends on the session's settings or on the clock ('now'::timestamptz).
_SETTINGS_MATTER = frozenset(
    {"date", "time", "timetz", "timestamp", "timestamptz", "interval", "money", "regclass", "regproc", "regtype"}
)


def expression_volatility(
    expression: str, functions: Mapping[str, Volatility], operators: frozenset[str]
) -> Volatility:
    """The worst volatility of anything in an SQL expression; what cannot be judged is volatile."""
    try:
        tree = json.loads(parse_sql_json(f"SELECT {expression}"))
    except (ParseError, RecursionError):
        return Volatility.VOLATILE
    found = {Volatility.IMMUTABLE}
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
            continue
        if not isinstance(node, dict):
            continue
        stack += node.values()
        match node:
            case {"FuncCall": {"funcname": [*_, {"String": {"sval": name}}]}}:
                found.add(functions.get(name, Volatility.VOLATILE))
            case {"A_Expr": {"name": [*_, {"String": {"sval": name}}]}} if name in operators:
                found.add(Volatility.VOLATILE)
            case {"SQLValueFunction": _}:
                found.add(Volatility.STABLE)
            case {"TypeCast": {"typeName": {"names": [*_, {"String": {"sval": name}}]}}} if name in _SETTINGS_MATTER:
                found.add(Volatility.STABLE)
            case {"SubLink": _}:
                found.add(Volatility.VOLATILE)
    return next(v for v in _WORST_FIRST if v in found)
