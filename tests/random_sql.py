"""Random statements over the tables of tests/cases/schema_*.sql, as a client of one shape may write them.

    RandomSql(Shape.OLD, random.Random(7)).statement()

Most of them are valid; some name a column that does not exist or belongs to the other shape. What they write obeys
the laws of the two migrations (tests/cases/*.yaml), and their results do not depend on the order of rows: LIMIT has a
total order, aggregates and windows do not see which of two peers comes first, and no function is volatile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pglast.parser import scan

from rules.phases import Shape

INT, TEXT, NUM, BOOL, TIME = "int", "text", "numeric", "bool", "timestamptz"
Columns = list[tuple[str | None, str]]

_PLAIN: dict[str, Columns] = {
    "orders": [("id", INT), ("user_id", INT), ("total", NUM), ("note", TEXT)],
    "people": [("id", INT), ("full_name", TEXT), ("first_name", TEXT)],
}
TABLES: dict[Shape, dict[str, Columns]] = {
    Shape.OLD: {
        "users": [("id", INT), ("full_name", TEXT), ("age", INT), ("nick", TEXT), ("created", TIME)],
        "items": [("id", INT), ("user_id", INT), ("price_cents", INT), ("sku", TEXT), ("qty", INT)],
        **_PLAIN,
    },
    Shape.NEW: {
        "users": [
            ("id", INT),
            ("age", INT),
            ("nick", TEXT),
            ("created", TIME),
            ("first_name", TEXT),
            ("last_name", TEXT),
        ],
        "items": [("id", INT), ("user_id", INT), ("qty", INT), ("price", NUM), ("code", TEXT)],
        **_PLAIN,
    },
}
_OTHERS = {Shape.OLD: ["first_name", "last_name", "price", "code"], Shape.NEW: ["full_name", "price_cents", "sku"]}
_WORDS = ["Plato", "Ada Lovelace", "Grace", "sku:B-2", "A-1", "Ada", "x", "Żółć Jaźń", "from", "a, b) FROM users --"]
_LABELS = ["n", "full_name", "first_name", "age", "sku", "price", "id", '"Full Name"', "żółw", "x1", "value"]
_BARE_LABELS = ["end", "case", "when", "select", "distinct", "then", "asc", "table", "value", "excluded", "between"]
_KEYWORD_LABELS = [*_BARE_LABELS, "from", "for", "order", "into", "group", "as", "on", "where", "returning", "union"]
_ALIASES = ["u", "o", "t", "s", "x", "users", "items", "orders", "full_name", "first_name", '"U"', "excluded", "value"]


@dataclass(frozen=True)
class Statement:
    """`ordered`: the rows come in an order that the statement decides. `parameters` are texts for $1, $2, …"""

    sql: str
    parameters: tuple[str | None, ...]
    ordered: bool
    writes: bool


@dataclass
class _Source:
    name: str
    columns: Columns
    schema: str | None = None
    #: A table, of which the whole row can be named.
    is_table: bool = False

    def reachable(self) -> Iterator[tuple[str, str]]:
        """Columns that can be named: those with a name of their own."""
        names = [n for n, _ in self.columns]
        return ((n, t) for n, t in self.columns if n is not None and names.count(n) == 1)


@dataclass
class _Scope:
    parent: _Scope | None = None
    sources: list[_Source] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    merges: dict[str, int] = field(default_factory=dict)

    def references(self) -> Iterator[tuple[str, str, int]]:
        """(SQL, type, level) of everything that can be named from here, in both ways."""
        hidden_names: set[str] = set()
        hidden_sources: set[str] = set()
        scope: _Scope | None = self
        level = 0
        while scope is not None:
            names = [n for s in scope.sources for n, _ in s.columns if n is not None]
            for source in scope.sources:
                for name, kind in source.reachable():
                    if source.name not in hidden_sources:
                        yield f"{source.name}.{name}", kind, level
                        if source.schema:
                            yield f"{source.schema}.{source.name}.{name}", kind, level
                    if name not in hidden_names and name not in scope.merged and names.count(name) == 1:
                        if name not in hidden_sources and name not in {s.name for s in scope.sources}:
                            yield name, kind, level
            for name, kind in scope.merged.items():
                if name not in hidden_names and names.count(name) == scope.merges[name] + 1:
                    yield name, kind, level
            hidden_names |= set(names)
            hidden_sources |= {s.name for s in scope.sources}
            scope, level = scope.parent, level + 1

    def rows(self) -> list[str]:
        """Tables of this scope whose name alone is their row: no column that can be seen here is called so."""
        columns: set[str | None] = set()
        scope: _Scope | None = self
        while scope is not None:
            columns |= {n for s in scope.sources for n, _ in s.columns} | set(scope.merged)
            scope = scope.parent
        return [s.name for s in self.sources if s.is_table and s.name.strip('"') not in columns]


@dataclass(frozen=True)
class _Query:
    sql: str
    columns: Columns
    ordered: bool = False


class RandomSql:
    """One statement: make a new one for the next."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.shape, self.rng = shape, rng
        self._tables = TABLES[shape]
        self._parameters: list[str | None] = []
        self._ctes: list[dict[str, Columns]] = [{}]
        self._written: set[str] = set()
        self._takes_parameters = rng.random() < 0.3
        self._mistakes = 0.004 if rng.random() < 0.5 else 0.0
        self._ids = 200

    def statement(self) -> Statement:
        kind = self.rng.choices(["select", "insert", "update", "delete", "merge"], [48, 20, 20, 6, 6])[0]
        query = self._with(kind, None, 3)
        sql = _decorated(query.sql, self.rng) if self.rng.random() < 0.5 else query.sql
        return Statement(sql, tuple(self._parameters), query.ordered, bool(self._written))

    # --- small choices ---------------------------------------------------------------------------------------

    def _maybe(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _one(self, *makers: Callable[[], str]) -> str:
        return self.rng.choice(makers)()

    def _literal(self, kind: str) -> str:
        rng = self.rng
        if self._takes_parameters and len(self._parameters) < 5 and self._maybe(0.3):
            value = {INT: "3", TEXT: rng.choice(_WORDS), NUM: "2.50", BOOL: "t", TIME: "2026-01-02 00:00:00+00"}[kind]
            self._parameters.append(None if self._maybe(0.1) else value)
            return f"${len(self._parameters)}::{kind}"
        if self._maybe(0.04):
            return f"NULL::{kind}"
        match kind:
            case "int":
                return rng.choice(["1", "2", "3", "7", "41", "100", "0", "(-5)", "int '4'", "'8'::int"])
            case "text":
                word = rng.choice(_WORDS)
                return rng.choice(
                    [f"'{word}'", f"'{word}'::text", f"$q${word}$q$", f"E'{word}\\t'", f"text '{word}'", "U&'\\0041da'"]
                )
            case "numeric":
                return rng.choice(["2.50", "0.05", "10.5", "numeric '7.25'", "3::numeric(5,2)", "1e1"])
            case "bool":
                return rng.choice(["true", "false"])
            case _:
                return rng.choice(["timestamptz '2026-01-02 03:04:05+00'", "'2025-05-05 00:00:00+00'::timestamptz"])

    def _reference(self, kind: str, scope: _Scope) -> str | None:
        if self._maybe(self._mistakes):
            return self.rng.choice([*_OTHERS[self.shape], "nosuch", "users.nosuch", "users." + _OTHERS[self.shape][0]])
        found = [(sql, level) for sql, type_, level in scope.references() if type_ == kind]
        if not found:
            return None
        nearest = [sql for sql, level in found if level == min(x for _, x in found)]
        return self.rng.choice(nearest if self._maybe(0.6) else [sql for sql, _ in found])

    # --- expressions -----------------------------------------------------------------------------------------

    def _expr(self, kind: str, scope: _Scope, depth: int) -> str:
        reference = self._reference(kind, scope)
        if depth <= 0 or self._maybe(0.35):
            return reference if reference is not None and self._maybe(0.85) else self._literal(kind)

        def e(k: str) -> str:
            return self._expr(k, scope, depth - 1)

        common: list[Callable[[], str]] = [
            lambda: f"coalesce({e(kind)}, {self._literal(kind)})",
            lambda: f"CASE WHEN {e(BOOL)} THEN {e(kind)} ELSE {e(kind)} END",
            lambda: f"CASE WHEN {e(BOOL)} THEN {e(kind)} WHEN {e(BOOL)} THEN {e(kind)} END",
            lambda: f"CASE {e(TEXT)} WHEN {e(TEXT)} THEN {e(kind)} END",
            lambda: f"nullif({e(kind)}, {e(kind)})",
            lambda: f"CAST({e(kind)} AS {kind})",
            lambda: f"({e(kind)})",
            lambda: f"(ARRAY[{e(kind)}, {e(kind)}])[{self.rng.choice(['1', '2'])}]",
            lambda: f"((ARRAY[{e(kind)}, {e(kind)}])[1:1])[1]",
            lambda: self._scalar(kind, scope, depth),
            lambda: self._scalar(kind, scope, depth),
            *self._of_row(kind, scope),
        ]
        own: dict[str, list[Callable[[], str]]] = {
            INT: [
                lambda: f"{e(INT)} + {e(INT)}",
                lambda: f"{e(INT)} - 1",
                lambda: f"{e(INT)} OPERATOR(pg_catalog.+) 1",
                lambda: f"length({e(TEXT)})",
                lambda: f"position('a' IN {e(TEXT)})",
                lambda: f"extract(year FROM {e(TIME)})::int",
                lambda: f"greatest({e(INT)}, {e(INT)})",
                lambda: f"cardinality(ARRAY[{e(TEXT)}])",
                lambda: f"strpos({e(TEXT)}, 'a')",
                lambda: f"round({e(NUM)})::int",
            ],
            TEXT: [
                lambda: f"lower({e(TEXT)})",
                lambda: f"upper({e(TEXT)})",
                lambda: f"({e(TEXT)} || {e(TEXT)})",
                lambda: f"substring({e(TEXT)} FROM 1 FOR 3)",
                lambda: f"trim(BOTH 'a' FROM {e(TEXT)})",
                lambda: f"overlay({e(TEXT)} PLACING 'zz' FROM 2 FOR 1)",
                lambda: f"{e(TEXT)}::varchar(3)",
                lambda: f"CAST({e(TEXT)} AS character varying(5))::text",
                lambda: f'({e(TEXT)} COLLATE "C")',
                lambda: f"concat({e(TEXT)}, {e(INT)})",
                lambda: f"left({e(TEXT)}, 4)",
                lambda: f"({e(INT)})::text",
                lambda: f"jsonb_build_object('from', {e(TEXT)}) ->> 'from'",
                lambda: f"(ROW({e(TEXT)}, {e(INT)}))::text",
                lambda: f"array_to_string((ARRAY[{e(TEXT)}, 'b', {e(TEXT)}])[1:2], ',')",
                lambda: f"least({e(TEXT)}, {e(TEXT)})",
                lambda: f"split_part({e(TEXT)}, ' ', 1)",
            ],
            NUM: [
                lambda: f"({e(NUM)} + {e(INT)})",
                lambda: f"round({e(NUM)}, 1)",
                lambda: f"({e(INT)})::numeric(12,2)",
                lambda: f"-({e(NUM)})",
            ],
            TIME: [
                lambda: f"({e(TIME)} + INTERVAL '1' DAY)",
                lambda: f"({e(TIME)} AT TIME ZONE 'UTC' AT TIME ZONE 'UTC')",
                lambda: f"date_trunc('month', {e(TIME)})",
                lambda: f"least({e(TIME)}, {e(TIME)})",
            ],
            BOOL: self._conditions(scope, depth),
        }
        return self.rng.choice([*(common if kind != BOOL or self._maybe(0.2) else []), *own[kind], *own[kind]])()

    def _of_row(self, kind: str, scope: _Scope) -> list[Callable[[], str]]:
        """What is made of a whole row."""
        rows = scope.rows()
        if not rows:
            return []
        row = self.rng.choice(rows)
        source = next(s for s in scope.sources if s.name == row)
        found: list[Callable[[], str]] = [
            lambda n=n: f"({row}).{n}"  # type: ignore[misc]
            for n, t in source.reachable()
            if t == kind
        ]
        match kind:
            case "text":
                column = self.rng.choice([n for n, _ in source.columns])
                found += [
                    lambda: f"{row}::text",
                    lambda: f"row_to_json({row}) ->> '{column}'",
                    lambda: f"(to_jsonb({row}) - 'id')::text",
                    lambda: f"concat({row}, 'x')",
                ]
            case "bool":
                found += [lambda: f"{row} IS NULL", lambda: f"{row} IS NOT NULL", lambda: f"{row} = {row}"]
            case "int":
                found.append(lambda: f"length(({row})::text)")
        return found

    def _conditions(self, scope: _Scope, depth: int) -> list[Callable[[], str]]:
        def e(k: str) -> str:
            return self._expr(k, scope, depth - 1)

        kind = self.rng.choice([INT, TEXT, TEXT, NUM])
        return [
            lambda: f"{e(kind)} {self.rng.choice(['=', '<>', '<', '>=', '!='])} {e(kind)}",
            lambda: f"{e(kind)} = {e(kind)}",
            lambda: f"{e(kind)} IS NOT NULL",
            lambda: f"{e(kind)} IS NULL",
            lambda: f"{e(kind)} IS NOT DISTINCT FROM {e(kind)}",
            lambda: f"{e(kind)} IN ({self._literal(kind)}, {e(kind)})",
            lambda: f"{e(kind)} NOT IN (SELECT {kind} '1' WHERE {e(BOOL)})",
            lambda: f"{e(kind)} IN ({self._select(scope, depth - 1, [kind]).sql})",
            lambda: f"{e(kind)} = ANY (ARRAY[{e(kind)}, {e(kind)}])",
            lambda: f"{e(kind)} > ALL ({self._select(scope, depth - 1, [kind]).sql})",
            lambda: f"EXISTS ({self._select(scope, depth - 1).sql})",
            lambda: f"NOT EXISTS ({self._select(scope, depth - 1).sql})",
            lambda: f"{e(kind)} BETWEEN SYMMETRIC {e(kind)} AND {e(kind)}",
            lambda: f"{e(TEXT)} LIKE 'A%' ESCAPE '!'",
            lambda: f"{e(TEXT)} SIMILAR TO '%a%'",
            lambda: f"({e(BOOL)}) AND ({e(BOOL)})",
            lambda: f"({e(BOOL)} OR {e(BOOL)})",
            lambda: f"NOT ({e(BOOL)})",
            lambda: f"({e(TEXT)}, {e(INT)}) = ({e(TEXT)}, {e(INT)})",
            lambda: f"ROW({e(INT)}, {e(TEXT)}) IS DISTINCT FROM ROW(1, {e(TEXT)})",
            lambda: f"({e(BOOL)}) IS NOT TRUE",
            lambda: f"{e(TEXT)} ~ '^[A-P]'",
        ]

    def _scalar(self, kind: str, scope: _Scope, depth: int) -> str:
        """A sub-select with one row."""
        inner = _Scope(scope)
        from_sql = self._from(inner, depth - 1, 1)
        value = self._expr(kind, inner, depth - 1)
        if kind == BOOL:
            aggregate = f"bool_or({value})"
        elif kind == TEXT and self._maybe(0.3):
            aggregate = f"string_agg({value}, ',' ORDER BY {value})"
        elif kind == INT and self._maybe(0.4):
            aggregate = f"count({value})"
        else:
            aggregate = f"{self.rng.choice(['min', 'max'])}({value})"
        if self._maybe(0.15) and kind != BOOL:
            aggregate += f" FILTER (WHERE {self._expr(BOOL, inner, 1)})"
        if aggregate.startswith("count"):
            aggregate = f"({aggregate})::int"
        label = f" AS {self.rng.choice(_LABELS)}" if self._maybe(0.2) else ""
        where = f" WHERE {self._expr(BOOL, inner, depth - 1)}" if self._maybe(0.6) else ""
        return f"(SELECT {aggregate}{label} FROM {from_sql}{where})"

    # --- FROM ------------------------------------------------------------------------------------------------

    def _from(self, scope: _Scope, depth: int, most: int = 3) -> str:
        count = self.rng.choices(range(1, most + 1), [10, 6, 2][:most])[0]
        sql = ""
        for i in range(count):
            if not i:
                sql = self._source(scope, scope, depth)[0]
                continue
            kind = self.rng.choices(
                [", ", " CROSS JOIN ", " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN "], [3, 1, 6, 4, 2, 2]
            )[0]
            item, source = self._source(scope, scope, depth, lateral_ok=kind in (", ", " CROSS JOIN "))
            sql = sql + kind + item
            if kind in (", ", " CROSS JOIN "):
                # A comma starts a new join tree: keep everything in one by putting commas last.
                if kind == ", ":
                    return sql
                continue
            sql += self._condition(scope, source, kind)
        return sql

    def _condition(self, scope: _Scope, right: _Source, kind: str) -> str:
        left = _Scope(scope.parent, scope.sources[:-1], scope.merged, scope.merges)
        bare = {sql: t for sql, t, level in left.references() if level == 0 and "." not in sql}
        common = [(n, t) for n, t in right.reachable() if bare.get(n) == t and not n.startswith('"')]
        if common and self._maybe(0.35):
            name, type_ = next(((n, t) for n, t in common if n in ("id", "user_id")), common[0])
            scope.merged[name] = type_
            scope.merges[name] = scope.merges.get(name, 0) + 1
            alias = f" AS j{len(scope.sources)}" if self._maybe(0.15) else ""
            return f" USING ({name}){alias}"
        for type_ in (INT, TEXT):
            mine = [s for s, t, level in left.references() if t == type_ and level == 0]
            theirs = [f"{right.name}.{n}" for n, t in right.reachable() if t == type_]
            if mine and theirs:
                extra = "" if kind == " FULL JOIN " or self._maybe(0.7) else f" AND {self._expr(BOOL, scope, 1)}"
                return f" ON {self.rng.choice(mine)} = {self.rng.choice(theirs)}{extra}"
        return " ON true" if kind != " FULL JOIN " else " ON 1 = 1"

    def _alias(self, scope: _Scope) -> str:
        taken = {s.name for s in scope.sources}
        free = [a for a in _ALIASES if a not in taken]
        return self.rng.choice(free)

    def _source(self, scope: _Scope, outer: _Scope, depth: int, *, lateral_ok: bool = False) -> tuple[str, _Source]:
        kind = self.rng.random()
        as_word = self.rng.choice([" AS ", " "])
        if depth > 0 and kind < 0.2:
            lateral = lateral_ok and self._maybe(0.5)
            query = self._with("select", outer if lateral else scope.parent, depth - 1)
            source = _Source(self._alias(scope), list(query.columns))
            sql = f"{'LATERAL ' if lateral else ''}({query.sql}){as_word}{source.name}"
            if self._maybe(0.25) and query.columns:
                names = [f"k{i}" for i in range(self.rng.randint(1, len(query.columns)))]
                source.columns = [(n, t) for n, (_, t) in zip(names, query.columns, strict=False)] + query.columns[
                    len(names) :
                ]
                sql += f" ({', '.join(names)})"
        elif kind < 0.27:
            source = _Source(self._alias(scope), [("k0", INT), ("k1", TEXT)])
            sql = self.rng.choice(
                [
                    "(VALUES (1, 'Ada'), (2, 'Plato'))",
                    "(VALUES (3, NULL), (1, 'x'))",
                    "unnest(ARRAY[1, 2], ARRAY['a', 'Plato'])",
                    "ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b']))",
                ]
            )
            sql += f"{as_word}{source.name} (k0, k1)"
        else:
            names = [*self._tables, "users", "items"]
            ctes = self._ctes[-1]
            names += [*ctes, *ctes]
            name = self.rng.choice(names)
            taken = {s.name for s in scope.sources}
            schema = "public." if (name in self._tables and self._maybe(0.15)) else ""
            columns = self._tables[name] if schema or name not in ctes else ctes[name]
            alias = None if name not in taken and self._maybe(0.5) else self._alias(scope)
            is_table = bool(schema) or name not in ctes
            source = _Source(alias or name, list(columns), "public" if schema and not alias else None, is_table)
            only = "ONLY " if (schema or name not in ctes) and self._maybe(0.05) else ""
            sql = only + schema + name + (as_word + alias if alias else "")
        scope.sources.append(source)
        return sql, source

    # --- SELECT ----------------------------------------------------------------------------------------------

    def _with(self, kind: str, parent: _Scope | None, depth: int) -> _Query:
        """A query, maybe with CTEs in front (those of the top level may write)."""
        make = {
            "select": self._top_select,
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "merge": self._merge,
        }
        if depth < 1 or not self._maybe(0.25):
            return make[kind](parent, depth)
        parts: list[str] = []
        self._ctes.append(dict(self._ctes[-1]))
        recursive = self._maybe(0.1)
        for _ in range(self.rng.randint(1, 2)):
            free = [n for n in ("c", "d", "users", "orders", "full_name") if all(not p.startswith(n) for p in parts)]
            name = self.rng.choice(free)
            if recursive:
                types = [INT, TEXT]
                columns: Columns = [("n", INT), ("full_name", TEXT)]
                base = self._select(parent, 1, types, plain=True)
                parts.append(
                    f"{name}(n, full_name) AS (({base.sql}) UNION SELECT n + 1, full_name FROM {name} WHERE n < 2)"
                )
                self._ctes[-1][name] = columns
                continue
            inner = "select"
            if parent is None and depth == 3 and self._maybe(0.35):
                inner = self.rng.choice(["insert", "update", "delete"])
            query = make[inner](parent, depth - 1)
            if not query.columns:
                parts.append(f"{name} AS ({query.sql})")
                self._ctes[-1].pop(name, None)
                continue
            names = ""
            columns = list(query.columns)
            if self._maybe(0.3):
                aliases: list[str | None] = [
                    self.rng.choice(["k", "full_name", "sku", "z"]) + str(i) for i in range(len(columns))
                ]
                if self._maybe(0.5):
                    aliases[0] = self.rng.choice(["full_name", "first_name", "price"])
                columns = [(a, t) for a, (_, t) in zip(aliases, columns, strict=False)]
                names = f" ({', '.join(str(a) for a in aliases)})"
            hint = self.rng.choice(["", "", "", "MATERIALIZED ", "NOT MATERIALIZED "]) if inner == "select" else ""
            parts.append(f"{name}{names} AS {hint}({query.sql})")
            self._ctes[-1][name] = columns
        query = make[kind](parent, depth - 1)
        self._ctes.pop()
        return _Query(
            f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} {query.sql}", query.columns, query.ordered
        )

    def _top_select(self, parent: _Scope | None, depth: int) -> _Query:
        return self._select(parent, depth)

    def _select(
        self, parent: _Scope | None, depth: int, types: list[str] | None = None, *, plain: bool = False
    ) -> _Query:
        if not plain and depth > 0 and self._maybe(0.12):
            return self._set_operation(parent, depth, types)
        if not plain and self._maybe(0.03):
            types = types or [INT, TEXT]
            rows = ", ".join(
                "(" + ", ".join(self._expr(t, _Scope(parent), depth) for t in types) + ")" for _ in range(2)
            )
            return _Query(f"VALUES {rows}", [(f"column{i + 1}", t) for i, t in enumerate(types)])
        if types is None and not plain and self._maybe(0.02):
            name = self.rng.choice([n for n in self._tables if n not in self._ctes[-1]] or ["people"])
            return _Query(
                f"TABLE {name}", list(self._tables[name]) if name not in self._ctes[-1] else self._ctes[-1][name]
            )
        scope = _Scope(parent)
        from_sql = self._from(scope, depth)
        where = f" WHERE {self._expr(BOOL, scope, min(depth, 2))}" if self._maybe(0.5) else ""
        if self._maybe(0.2):
            return self._grouped(scope, depth, from_sql + where, types)
        targets, columns, labels = self._targets(scope, depth, types, windows=True)
        sql = ", ".join(targets)
        window = ""
        if " OVER w" in sql:
            window = f" WINDOW w AS (PARTITION BY {self._expr(TEXT, scope, 1)})"
        distinct = ""
        head: list[str] = []
        if self._maybe(0.12):
            distinct = "DISTINCT "
        elif self._maybe(0.08) and columns:
            on = self._one(lambda: self._nonconstant(scope), lambda: str(self.rng.randint(1, len(columns))))
            distinct, head = f"DISTINCT ON ({on}) ", [on]
        order, limit = "", ""
        ordered = bool(columns) and (bool(head) or self._maybe(0.45))
        if ordered:
            direction = self.rng.choice(["", " DESC", " NULLS FIRST", " USING <"])
            if labels and self._maybe(0.4) and not head:
                head.append(self.rng.choice(labels))
            elif not distinct and self._maybe(0.6):
                head.append(self._nonconstant(scope))
            order = " ORDER BY " + ", ".join(
                [h + (direction if not distinct else "") for h in head] + [str(i + 1) for i in range(len(columns))]
            )
            limit = self.rng.choice(["", "", "", " LIMIT 3", " OFFSET 1 LIMIT 2", " FETCH FIRST 3 ROWS ONLY"])
        if parent is None and not distinct and not window and self._maybe(0.02):
            limit += " FOR UPDATE" + (f" OF {scope.sources[0].name}" if self._maybe(0.5) else "")
        return _Query(f"SELECT {distinct}{sql} FROM {from_sql}{where}{window}{order}{limit}", columns, ordered)

    def _nonconstant(self, scope: _Scope) -> str:
        """Something to sort or group by: a bare constant would be an error or an ordinal."""
        kind = self.rng.choice([INT, TEXT, TEXT, NUM])
        found = [sql for sql, t, level in scope.references() if t == kind and level == 0]
        if not found:
            return "(1 + 0)"
        reference = self.rng.choice(found)
        wrap = {INT: ["{} + 1", "-{}"], TEXT: ["lower({})", "coalesce({}, 'x')", "{} || 'a'"], NUM: ["round({})"]}[kind]
        return reference if self._maybe(0.6) else self.rng.choice(wrap).format(reference)

    def _targets(
        self, scope: _Scope, depth: int, types: list[str] | None, *, windows: bool = False
    ) -> tuple[list[str], Columns, list[str]]:
        """(items, output columns, names that ORDER BY may use)."""
        items: list[str] = []
        columns: Columns = []
        wanted = types or [self.rng.choice([INT, TEXT, TEXT, NUM, BOOL, TIME]) for _ in range(self.rng.randint(1, 4))]
        for kind in wanted:
            if types is None and self._maybe(0.13):
                star, found = self._star(scope)
                items.append(star)
                columns += found
                continue
            if types is None and self._maybe(0.04) and (rows := scope.rows()):
                row = self.rng.choice(rows)
                if self._maybe(0.3):
                    items.append(f"({row}).*")
                    columns += next(s.columns for s in scope.sources if s.name == row)
                    continue
                items.append(self.rng.choice([row, row, f"ROW({row}.*)"]) + self._label("f(x)")[0])
                columns.append((None, BOOL))
                continue
            if windows and self._maybe(0.06) and kind in (INT, TEXT):
                value = self._window(kind, scope)
            else:
                value = self._expr(kind, scope, min(depth, 3))
            label, name = self._label(value)
            items.append(value + label)
            columns.append((name, kind))
        names = [n for n, _ in columns]
        return items, columns, [n for n in names if n is not None and names.count(n) == 1]

    def _label(self, value: str) -> tuple[str, str | None]:
        bare = value.rsplit(".", 1)[-1]
        is_reference = all(c.isalnum() or c in "._" for c in value) and not value[0].isdigit() and bare != "true"
        own = bare if is_reference and bare not in ("true", "false") else None
        choice = self.rng.random()
        if choice < (0.55 if own else 0.35):
            return "", own
        if choice < 0.85:
            label = self.rng.choice(_LABELS)
            return f" AS {label}", label
        if choice < 0.93:
            return f" AS {self.rng.choice(_KEYWORD_LABELS)}", None
        return f" {self.rng.choice([*_BARE_LABELS, *_LABELS])}", None

    def _star(self, scope: _Scope) -> tuple[str, Columns]:
        if self._maybe(0.5):
            source = self.rng.choice(scope.sources)
            return f"{source.schema + '.' if source.schema else ''}{source.name}.*", source.columns
        if scope.merged:
            # The order of merged columns is the server's business; their number is what matters here.
            total = [c for s in scope.sources for c in s.columns]
            extra = sum(scope.merges.values())
            return "*", [(None, BOOL)] * (len(total) - extra)
        return "*", [c for s in scope.sources for c in s.columns]

    def _window(self, kind: str, scope: _Scope) -> str:
        key, sort = self._nonconstant(scope), self._nonconstant(scope)
        over = self.rng.choice(
            [f"(PARTITION BY {key})", f"(ORDER BY {sort})", f"(PARTITION BY {key} ORDER BY {sort})", "w"]
        )
        if kind == TEXT:
            return f"max({self._expr(TEXT, scope, 1)}) OVER {over}"
        if over != "w" and "ORDER" in over and self._maybe(0.5):
            return f"rank() OVER {over}::int"
        filtered = f" FILTER (WHERE {self._expr(BOOL, scope, 1)})" if self._maybe(0.4) else ""
        return f"(count({self._expr(TEXT, scope, 1)}){filtered} OVER {over})::int"

    def _grouped(self, scope: _Scope, depth: int, body: str, types: list[str] | None) -> _Query:
        keys: list[tuple[str, str]] = []
        found = [(sql, t) for sql, t, level in scope.references() if level == 0]
        for _ in range(self.rng.randint(1, 2)):
            sql, kind = self.rng.choice(found) if found else ("(1 + 0)", INT)
            if kind == TEXT and self._maybe(0.3):
                sql = f"lower({sql})"
            if all(sql != k for k, _ in keys):
                keys.append((sql, kind))
        items: list[str] = []
        columns: Columns = []
        groups: list[str] = []
        wanted = list(types) if types else None
        for sql, kind in keys:
            if wanted is not None and kind not in wanted[len(columns) : len(columns) + 1]:
                groups.append(sql)
                continue
            label, name = (
                self._label(sql) if self._maybe(0.6) else ("", sql if "." not in sql and "(" not in sql else None)
            )
            items.append(sql + label)
            columns.append((name, kind))
            by_name = (
                label.startswith(" AS ")
                and name is not None
                and not any(s.rsplit(".", 1)[-1] == name for s, _ in found)
            )
            groups.append(self.rng.choice([sql, str(len(items)), name if by_name and name else sql]))
        rest = wanted[len(columns) :] if wanted is not None else [self.rng.choice([INT, TEXT, NUM])]
        for kind in rest:
            value = self._expr(kind, scope, 1)
            if kind == INT:
                sql = f"count({self.rng.choice(['DISTINCT ', ''])}{value})::int"
            elif kind == BOOL:
                sql = f"bool_and({value})"
            elif kind == TEXT and self._maybe(0.4):
                sql = f"string_agg({value}, '/' ORDER BY {value})"
            elif kind == TEXT and self._maybe(0.2):
                sql = f"max({value}) FILTER (WHERE {self._expr(BOOL, scope, 1)})"
            elif kind == TEXT and self._maybe(0.2):
                sql = f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {value})"
            else:
                sql = f"max({value})"
            label, name = self._label("f(x)")
            items.append(sql + label)
            columns.append((name, kind))
        group = ", ".join(groups)
        if all(not g.isdigit() for g in groups) and self._maybe(0.25):
            group = self.rng.choice([f"ROLLUP ({group})", f"CUBE ({group})", f"GROUPING SETS (({group}), ())"])
            if types is None:
                items.append(f"grouping({groups[0]})" if groups[0] == keys[0][0] else "1")
                columns.append((None, INT))
        having = f" HAVING count({self._expr(TEXT, scope, 1)}) > 0" if self._maybe(0.25) else ""
        order = ""
        ordered = self._maybe(0.5)
        if ordered:
            head = [self.rng.choice([keys[0][0], "count(*)"])] if "DISTINCT" not in group and self._maybe(0.5) else []
            order = " ORDER BY " + ", ".join([*head, *(str(i + 1) for i in range(len(columns)))])
        return _Query(f"SELECT {', '.join(items)} FROM {body} GROUP BY {group}{having}{order}", columns, ordered)

    def _set_operation(self, parent: _Scope | None, depth: int, types: list[str] | None) -> _Query:
        types = types or [self.rng.choice([INT, TEXT, TEXT, NUM]) for _ in range(self.rng.randint(1, 3))]
        left = self._select(parent, depth - 1, types)
        right = self._select(parent, depth - 1, types)
        word = self.rng.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL"])
        sql = f"({left.sql}) {word} ({right.sql})"
        names = [n for n, _ in left.columns]
        ordered = self._maybe(0.4)
        if ordered:
            named = [n for n in names if n is not None and names.count(n) == 1]
            head = [self.rng.choice(named)] if named and self._maybe(0.5) else []
            sql += " ORDER BY " + ", ".join([*head, *(str(i + 1) for i in range(len(types)))])
        return _Query(sql, list(left.columns), ordered)

    # --- writing ---------------------------------------------------------------------------------------------

    def _target(self) -> str | None:
        """A table to write that this statement does not write yet."""
        free = [t for t in ("users", "items", "users", "items", "orders") if t not in self._written]
        if not free:
            return None
        name = self.rng.choice(free)
        self._written.add(name)
        return name

    def _value(self, column: str, scope: _Scope, *, depth: int = 2) -> str:
        """A value that obeys the migrations' laws."""
        rng = self.rng
        if self._takes_parameters and len(self._parameters) < 6 and self._maybe(0.5):
            known = {
                "full_name": "Par Ameter", "first_name": "Par", "last_name": "Am eter", "sku": "P-1", "code": "sku:P-1",
                "price_cents": "205", "price": "2.05", "qty": "3", "age": "30", "note": "par", "user_id": "2",
            }  # fmt: skip
            if column in known:
                self._parameters.append(known[column])
                return f"${len(self._parameters)}"
        simple = self._maybe(0.45)
        kind = next(t for cols in self._tables.values() for n, t in cols if n == column)

        def e() -> str:
            return self._expr(kind, scope, depth)

        match column:
            case "first_name":
                if simple:
                    return rng.choice(["'Neu'", "'Émile'", "'a'::varchar", "$$b$$", "text 'Q'", "E'c'"])
                return f"coalesce(replace({e()}, ' ', ''), 'n')"
            case "last_name" | "full_name" | "note":
                if simple:
                    return rng.choice(["'Last One'", "NULL", "'Żółw żywy'", "$$in $ quotes$$", "''", "U&'\\0041 b'"])
                return e()
            case "sku":
                return rng.choice(["'S-1'", "'ż'", "varchar 'T'", "''"]) if simple else f"left(coalesce({e()}, 'q'), 8)"
            case "code":
                if simple:
                    return rng.choice(["'sku:S-1'", "'sku:'", "'sku:ż'::varchar(12)"])
                return f"'sku:' || left(coalesce({e()}, 'q'), 8)"
            case "price_cents":
                return rng.choice(["7", "'12'", "NULL", "-3", "2.5", "1000::bigint"]) if simple else f"({e()}) % 100000"
            case "price":
                if simple:
                    return rng.choice(["7", "'12.34'", "NULL", "-3.10", "1.005", "0.5::float8"])
                return f"round(({e()}) % 10000, 2)"
            case "id":
                self._ids += 1
                return str(self._ids)
            case "nick":
                # Never one that is there: whether its row gives it up before another one takes it, is up to the plan.
                return f"'nick{rng.randint(1, 9)}'" if simple else f"left('new' || {e()}, 20)"
            case "qty":
                return f"coalesce({e()}, 1)"
            case "created":
                return f"coalesce({e()}, '2026-01-01 00:00:00+00')"
            case _:
                return e()

    def _chosen(self, table: str) -> list[str]:
        """Columns to write, such that a part of a new name is never written without the first one."""
        columns = [str(n) for n, _ in self._tables[table] if n != "id"]
        some = [c for c in columns if self._maybe(0.45)] or [self.rng.choice(columns)]
        if table == "users" and "last_name" in some and "first_name" not in some:
            some.append("first_name")
        self.rng.shuffle(some)
        return some

    def _returning(self, scope: _Scope, star: list[_Source], depth: int) -> tuple[str, Columns]:
        if not self._maybe(0.5):
            return "", []
        if self._maybe(0.3):
            return " RETURNING *", [c for s in star for c in s.columns]
        items, columns, _ = self._targets(scope, min(depth, 2), None)
        return f" RETURNING {', '.join(items)}", columns

    def _insert(self, parent: _Scope | None, depth: int) -> _Query:
        table = self._target()
        if table is None:
            return self._select(parent, depth)
        alias = self.rng.choice(["t", "full_name", "users"]) if self._maybe(0.2) else None
        target = _Source(alias or table, list(self._tables[table]), is_table=True)
        names = ["id", *self._chosen(table)]
        if self._maybe(0.05):
            names = [n for n in names if n != "id"]
        nothing = _Scope(parent)
        head = f"INSERT INTO {'public.' if self._maybe(0.1) else ''}{table}{f' AS {alias}' if alias else ''}"
        listed = f" ({', '.join(names)})"
        if self._maybe(0.2):
            every = [str(n) for n, _ in self._tables[table]]
            width = len(every) if self.shape is Shape.NEW and table == "users" else self.rng.randint(1, len(every))
            names, listed = every[:width], ""
        if self._maybe(0.01):
            names, listed = names[:-1] or names, listed
        if table == "users" and "last_name" in names and "first_name" not in names:
            names = [n for n in names if n != "last_name"]
            listed = f" ({', '.join(names)})"
        has_conflict = self._maybe(0.25)
        body = self._insert_body(table, names, nothing, depth, in_order=has_conflict)
        conflict = self._conflict(table, target, depth) if has_conflict else ""
        scope = _Scope(None, [target])
        returning, columns = self._returning(scope, [target], depth)
        return _Query(head + listed + body + conflict + returning, columns)

    def _insert_body(self, table: str, names: list[str], scope: _Scope, depth: int, *, in_order: bool) -> str:
        """VALUES or SELECT; `in_order`: which row comes first can be seen, as it is the one without a conflict."""
        if self._maybe(0.35) and "id" in names:
            inner = _Scope(scope.parent)
            kind = self.rng.choice(["orders", "people", "items", "users"])
            self._ctes.append({})
            source = _Source(self._alias(inner), list(self._tables[kind]), is_table=True)
            inner.sources.append(source)
            values = [
                f"{source.name}.id + {self.rng.choice(['300', '400'])}" if n == "id" else self._value(n, inner)
                for n in names
            ]
            self._ctes.pop()
            labelled = [v + (self._label(v)[0] if self._maybe(0.3) else "") for v in values]
            distinct = "DISTINCT " if self._maybe(0.1) and not in_order else ""
            where = f" WHERE {self._expr(BOOL, inner, 1)}" if self._maybe(0.5) else ""
            order = f" ORDER BY {source.name}.id" if in_order or (self._maybe(0.2) and not distinct) else ""
            sql = f"SELECT {distinct}{', '.join(labelled)} FROM public.{kind} AS {source.name}{where}{order}"
            return self.rng.choice([f" {sql}", f" {sql}", f" ({sql})"])
        rows = []
        for i in range(self.rng.choice([1, 1, 1, 2, 3])):
            values = []
            for n in names:
                default_ok = n not in ("first_name", "id")
                if n == "id" and self._maybe(0.2):
                    values.append(str(i + 1))  # conflicts with a row that is there
                else:
                    values.append("DEFAULT" if default_ok and self._maybe(0.07) else self._value(n, scope))
            rows.append(f"({', '.join(values)})")
        return " VALUES " + ", ".join(rows)

    def _conflict(self, table: str, target: _Source, depth: int) -> str:
        if self._maybe(0.3):
            return " ON CONFLICT DO NOTHING"
        scope = _Scope(None, [target, _Source("excluded", list(self._tables[table]))])
        where = f" WHERE {self._expr(BOOL, scope, 1)}" if self._maybe(0.3) else ""
        arbiter = self.rng.choice(["(id)", "(id)", f"ON CONSTRAINT {table}_pkey"])
        return f" ON CONFLICT {arbiter} DO UPDATE SET {self._set_list(table, target, scope, depth)}{where}"

    def _set_list(self, table: str, target: _Source, scope: _Scope, depth: int) -> str:
        names = self._chosen(table)
        items: list[str] = []
        pairs = {"users": ("first_name", "last_name") if self.shape is Shape.NEW else ("full_name", "age")}.get(table)
        if pairs and self._maybe(0.15) and set(pairs) <= set(names):
            names = [n for n in names if n not in pairs]
            first = "replace(coalesce(note, 'z'), ' ', '')" if self.shape is Shape.NEW else "note"
            second = "note" if self.shape is Shape.NEW else "s.user_id"
            items.append(
                f"({', '.join(pairs)}) = (SELECT {first}, {second} FROM public.orders s WHERE s.id = {target.name}.id)"
            )
        while names:
            if len(names) > 1 and self._maybe(0.2):
                some, names = names[:2], names[2:]
                word = self.rng.choice(["", "ROW"])
                items.append(f"({', '.join(some)}) = {word}({', '.join(self._value(n, scope) for n in some)})")
            else:
                name = names.pop()
                default_ok = name != "first_name"
                items.append(
                    f"{name} = " + ("DEFAULT" if default_ok and self._maybe(0.05) else self._value(name, scope))
                )
        return ", ".join(items)

    def _update(self, parent: _Scope | None, depth: int) -> _Query:
        table = self._target()
        if table is None:
            return self._select(parent, depth)
        alias = self.rng.choice(["t", "full_name", '"Users"']) if self._maybe(0.3) else None
        target = _Source(alias or table, list(self._tables[table]), is_table=True)
        scope = _Scope(parent, [target])
        star = [target]
        from_sql, join = "", ""
        if self._maybe(0.25):
            other = self.rng.choice(["orders", "people", "items", "users"])
            source = _Source(self._alias(scope), list(self._tables[other]), is_table=True)
            scope.sources.append(source)
            star.append(source)
            from_sql, join = f" FROM public.{other} AS {source.name}", f"{source.name}.id = {target.name}.id"
        sets = self._set_list(table, target, scope, depth)
        conditions = [c for c in [join, self._expr(BOOL, scope, 2) if self._maybe(0.6) else ""] if c]
        where = f" WHERE {' AND '.join(f'({c})' for c in conditions)}" if conditions else ""
        returning, columns = self._returning(scope, star, depth)
        return _Query(
            f"UPDATE {table}{f' AS {alias}' if alias else ''} SET {sets}{from_sql}{where}{returning}", columns
        )

    def _merge(self, parent: _Scope | None, depth: int) -> _Query:
        """Each row of the target matches at most one of the source."""
        table = self._target()
        if table is None:
            return self._select(parent, depth)
        target = _Source(self.rng.choice(["t", "full_name"]), list(self._tables[table]), is_table=True)
        other = self.rng.choice(["orders", "people", "items", "users"])
        source = _Source("s", list(self._tables[other]), is_table=True)
        matched, missing = _Scope(None, [target, source]), _Scope(None, [source])
        clauses = []
        for _ in range(self.rng.choice([1, 1, 2])):
            condition = f" AND {self._expr(BOOL, matched, 1)}" if self._maybe(0.4) else ""
            update = f"UPDATE SET {self._set_list(table, target, matched, 1)}"
            action = self.rng.choice([update, update, update, "DELETE", "DO NOTHING"])
            clauses.append(f" WHEN MATCHED{condition} THEN {action}")
        if self._maybe(0.7):
            names = ["id", *self._chosen(table)]
            values = ["s.id + 500" if n == "id" else self._value(n, missing, depth=1) for n in names]
            condition = f" AND {self._expr(BOOL, missing, 1)}" if self._maybe(0.3) else ""
            row = f"({', '.join(names)}) VALUES ({', '.join(values)})"
            clauses.append(f" WHEN NOT MATCHED{condition} THEN INSERT {row}")
        on = self.rng.choice([f"s.id = {target.name}.id", f"s.id + 2 = {target.name}.id"])
        head = f"MERGE INTO {table} AS {target.name} USING public.{other} AS s ON {on}"
        return _Query(head + "".join(clauses), [])

    def _delete(self, parent: _Scope | None, depth: int) -> _Query:
        table = self._target()
        if table is None:
            return self._select(parent, depth)
        target = _Source(table, list(self._tables[table]), is_table=True)
        scope = _Scope(parent, [target])
        star = [target]
        using, join = "", ""
        if self._maybe(0.3):
            other = self.rng.choice(["orders", "people", "items", "users"])
            source = _Source(self._alias(scope), list(self._tables[other]), is_table=True)
            scope.sources.append(source)
            star.append(source)
            using, join = f" USING public.{other} AS {source.name}", f"{source.name}.id = {target.name}.id AND "
        returning, columns = self._returning(scope, star, depth)
        return _Query(f"DELETE FROM {table}{using} WHERE {join}({self._expr(BOOL, scope, 2)}){returning}", columns)


def _decorated(sql: str, rng: random.Random) -> str:
    """The same statement with other spacing, comments, quotes and capitals."""
    out: list[str] = []
    at = 0
    for token in scan(sql):
        out.append(sql[at : token.start])
        text = sql[token.start : token.end + 1]
        at = token.end + 1
        draw = rng.random()
        if token.name == "IDENT" and not text.startswith('"') and text.isascii():
            if draw < 0.08:
                text = f'"{text}"'
            elif draw < 0.12:
                text = text.upper()
            elif draw < 0.14:
                text = f'U&"\\{ord(text[0]):04x}{text[1:]}"'
        elif draw < 0.05 and token.name not in ("SCONST", "IDENT", "USCONST", "PARAM", "Op") and text[-1].isalnum():
            text = text.swapcase() if token.name.isupper() and "CONST" not in token.name else text
        if rng.random() < 0.05:
            text += rng.choice(["/* , FROM ) */ ", " -- ORDER BY ż\n", "\n\t", " /* a /* nested */ ' */ "])
        out.append(text)
    out.append(sql[at:])
    return rng.choice(["", "", "/* żółć */ ", "\n"]) + "".join(out) + rng.choice(["", "", ";", " -- end"])
