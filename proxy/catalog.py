"""The catalog as `rules` wants to see it, read over a control connection (`proxy.database.connect`)."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
from pglast.parser import ParseError, parse_sql_json

from proxy.database import Connection, server_version
from rules.catalog import Catalog, Column, Constraint, Relation, TableName, Volatility

_WORST_FIRST: Final = (Volatility.VOLATILE, Volatility.STABLE, Volatility.IMMUTABLE)
#: So many relations are built at a time: no more than a few milliseconds of the event loop's, even with many columns.
_BATCH: Final = 100

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

# What a relation is read from: another text after any change to it.
_VERSIONS = f"""
WITH ours AS MATERIALIZED (
  SELECT c.oid, c.xmin::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND {_OURS}),
columns AS (SELECT attrelid AS oid, concat(count(*), ':', sum(xmin::text::int8)) AS version
              FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 GROUP BY attrelid),
defaults AS (SELECT adrelid AS oid, concat(count(*), ':', sum(xmin::text::int8)) AS version
               FROM pg_attrdef GROUP BY adrelid),
constraints AS (SELECT conrelid AS oid, concat(count(*), ':', sum(xmin::text::int8)) AS version
                  FROM pg_constraint WHERE contype IN ('p', 'u', 'x') GROUP BY conrelid),
indexes AS (SELECT indrelid AS oid, concat(count(*), ':', sum(xmin::text::int8)) AS version
              FROM pg_index WHERE indrelid >= 16384 AND indisprimary GROUP BY indrelid)
SELECT o.oid::int8, concat_ws(' ', o.xmin, a.version, 'd', d.version, 'c', c.version, 'i', i.version) AS version
  FROM ours o LEFT JOIN columns a USING (oid) LEFT JOIN defaults d USING (oid)
  LEFT JOIN constraints c USING (oid) LEFT JOIN indexes i USING (oid)"""

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

# A change to anything that is read here changes a row version in one of these. Statistics are written in place and do
# not count; neither do temporary tables, which come and go all day. `xmin` survives freezing.
_COUNT = "concat(count(*), ':', sum(xmin::text::int8))"
_RELATIONS_FINGERPRINT = """
SELECT concat_ws(' ',
  (SELECT concat(count(*), ':', sum(c.xmin::text::int8)) FROM pg_class c
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'i')),
  (SELECT concat(count(*), ':', sum(a.xmin::text::int8)) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'f', 'p')),
  (SELECT concat(count(*), ':', sum(xmin::text::int8)) FROM pg_attrdef))"""
_FUNCTIONS_FINGERPRINT = f"""
SELECT concat_ws(' ', (SELECT {_COUNT} FROM pg_proc WHERE oid >= 16384),
  (SELECT {_COUNT} FROM pg_operator WHERE oid >= 16384))"""
# The types that are not those of a table, nor arrays: how a column's type is printed, a domain's default.
_NAMES_FINGERPRINT = f"""
SELECT concat_ws(' ',
  (SELECT {_COUNT} FROM pg_type WHERE oid >= 16384 AND typtype <> 'c' AND typcategory <> 'A'),
  (SELECT {_COUNT} FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'))"""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Differs in one of its texts after any change to what is read here.

    Attributes:
        relations: tables, views, their columns and indexes.
        functions: functions and operators.
        names: types and schemas, which all the others are printed with.
    """

    relations: str
    functions: str
    names: str


async def catalog_fingerprint(connection: Connection) -> Fingerprint:
    """As of now. Costs a few milliseconds."""
    row = await connection.fetchrow(
        f"SELECT ({_RELATIONS_FINGERPRINT}), ({_FUNCTIONS_FINGERPRINT}), ({_NAMES_FINGERPRINT})"
    )
    assert row is not None, "a query without FROM has a row"
    return Fingerprint(*row)


async def load_catalog(connection: Connection) -> Catalog:
    """All relations outside the system schemas and other sessions' temporary ones; functions by bare name.

    Call it inside a REPEATABLE READ transaction of a connection made by `connect`.
    """
    return await CatalogLoader().load(connection, await catalog_fingerprint(connection))


@dataclass(frozen=True, slots=True)
class _Functions:
    """What is known of functions and operators by bare name, as in `Catalog`."""

    volatility: Mapping[str, Volatility]
    volatile_operators: frozenset[str]
    aggregates: frozenset[str]
    set_returning: frozenset[str]
    row_takers: frozenset[str]
    own_row_takers: frozenset[str]


class CatalogLoader:
    """Remembers what it has read, and reads again what has changed: after a DDL one table rather than thousands."""

    def __init__(self) -> None:
        self._fingerprint: Fingerprint | None = None
        self._functions: _Functions | None = None
        self._system: Mapping[TableName, Relation] | None = None
        self._versions: dict[int, str] = {}
        self._relations: dict[int, Relation] = {}

    async def load(self, connection: Connection, fingerprint: Fingerprint) -> Catalog:
        """The catalog, which has that fingerprint. Call it inside a REPEATABLE READ transaction.

        Relations that are as they were are the same objects.
        """
        before, self._fingerprint = self._fingerprint, None
        if before is None or before.names != fingerprint.names:
            self._functions = self._system = None
            self._versions, self._relations = {}, {}
        elif before.functions != fingerprint.functions:
            self._functions = None
        if self._system is None:
            system = _build(
                await connection.fetch(_SYSTEM_RELATIONS), await connection.fetch(_SYSTEM_COLUMNS), {}, frozenset()
            )
            self._system = {r.table: r for r in system}
        functions = self._functions
        if functions is None:
            functions = self._functions = await _load_functions(connection)
            self._relations = await _judged(self._relations, functions)
        await self._load_relations(connection, functions)
        # Of functions that return rows of a table, too.
        function_columns: defaultdict[str, set[str]] = defaultdict(set)
        for name, column in await connection.fetch(_FUNCTION_COLUMNS):
            function_columns[name].add(column)
        catalog = Catalog(
            server_version=server_version(connection),
            relations={r.table: r for r in self._relations.values()},
            volatility=functions.volatility,
            function_columns={name: frozenset(found) for name, found in function_columns.items()},
            volatile_operators=functions.volatile_operators,
            system=self._system,
            aggregates=functions.aggregates,
            set_returning=functions.set_returning,
            row_takers=functions.row_takers,
            own_row_takers=functions.own_row_takers,
            database=str(await connection.fetchval("SELECT current_database()")),
        )
        # Only now: what was begun and not ended (a lock, a lost connection) is begun anew.
        self._fingerprint = fingerprint
        return catalog

    async def _load_relations(self, connection: Connection, functions: _Functions) -> None:
        versions = dict(await connection.fetch(_VERSIONS))
        changed = [oid for oid, version in versions.items() if self._versions.get(oid) != version]
        relations = {oid: r for oid, r in self._relations.items() if oid in versions}
        for at in range(0, len(changed), _BATCH):
            oids = changed[at : at + _BATCH]
            built = _build(
                await connection.fetch(f"{_RELATIONS} AND c.oid = ANY ($1::int8[])", oids),
                await connection.fetch(f"{_COLUMNS} AND c.oid = ANY ($1::int8[])", oids),
                functions.volatility,
                functions.volatile_operators,
            )
            relations |= {r.oid: r for r in built}
        self._versions, self._relations = versions, relations


async def _load_functions(connection: Connection) -> _Functions:
    async def names(query: str) -> frozenset[str]:
        return frozenset(r[0] for r in await connection.fetch(query))

    return _Functions(
        await _volatility(connection),
        await names(_VOLATILE_OPERATORS),
        await names(_AGGREGATES),
        await names(_SET_RETURNING),
        await names(_ROW_TAKERS),
        await names(_OWN_ROW_TAKERS),
    )


async def _volatility(connection: Connection) -> dict[str, Volatility]:
    return {r["name"]: _WORST_FIRST[r["worst"] - 1] for r in await connection.fetch(_FUNCTIONS)}


async def _judged(relations: Mapping[int, Relation], functions: _Functions) -> dict[int, Relation]:
    """With the volatility that their defaults have by those functions."""
    known: dict[str | None, Volatility] = {None: Volatility.IMMUTABLE}
    judged = {}
    for number, (oid, relation) in enumerate(relations.items()):
        if not number % _BATCH:
            await asyncio.sleep(0)
        for column in relation.columns:
            if column.default is not None and column.default not in known:
                known[column.default] = expression_volatility(
                    column.default, functions.volatility, functions.volatile_operators
                )
        if any(known[c.default] is not c.default_volatility for c in relation.columns):
            columns = tuple(replace(c, default_volatility=known[c.default]) for c in relation.columns)
            relation = replace(relation, columns=columns)
        judged[oid] = relation
    return judged


async def load_relation(connection: Connection, table: TableName) -> Relation | None:
    """One relation as it is now, or None."""
    relations = await connection.fetch(
        f"{_RELATIONS} AND n.nspname = $1::text AND c.relname = $2::text", table.schema, table.name
    )
    if not relations:
        return None
    columns = await connection.fetch(f"{_COLUMNS} AND c.oid = $1::int8::oid", relations[0]["oid"])
    operators = frozenset(r[0] for r in await connection.fetch(_VOLATILE_OPERATORS))
    return _build(relations, columns, await _volatility(connection), operators)[0]


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
