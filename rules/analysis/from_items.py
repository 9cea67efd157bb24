"""Items of FROM: tables, sub-selects, functions and joins. The middle layer of the analysis, see `scope`."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from rules.analysis.join_text import JoinTexts
from rules.analysis.merging import Side, common_names, merge
from rules.analysis.names import Entry, Level, Lookup, Merged
from rules.analysis.references import References
from rules.analysis.values import (
    CatalogRead,
    Ctes,
    OnClause,
    StarItem,
    alias,
    alias_columns,
    derived,
    renamed,
    star_outputs,
    without,
)
from rules.errors import Refusal
from rules.text.source import CLOSE, STAR, Node, string, unwrap

#: What PostgreSQL calls them where the statement does not.
_TABLE_NAMES = {"JsonTable": "json_table", "RangeTableFunc": "xmltable"}


class FromItems(References):
    """Adds the items of a FROM clause to a level."""

    @cached_property
    def _join_texts(self) -> JoinTexts:
        return JoinTexts(self._source)

    def _from(self, item: Node, level: Level, ctes: Ctes) -> tuple[list[Entry], list[StarItem]]:
        """Add an item of FROM to `level`; returns its entries and what a star takes from it."""
        kind, body = unwrap(item)
        match kind:
            case "JoinExpr":
                return self._join(body, level, ctes)
            case "RangeTableSample":
                self._expressions([body.get("args"), body.get("repeatable")], level, ctes)
                return self._from(body["relation"], level, ctes)
            case "RangeVar":
                entry = self._range_var(body, ctes)
            case "RangeSubselect":
                parent = level if body.get("lateral") else level.parent
                query_kind, query = unwrap(body["subquery"])
                outputs = self._query(query_kind, query, parent, ctes)
                entry = derived(alias(body), renamed(outputs, alias_columns(body)))
            case "RangeFunction":
                self._expressions(body.get("functions"), level, ctes)
                entry = function_entry(self._lookup, body)
            case _:  # XMLTABLE, JSON_TABLE
                self._expressions({k: v for k, v in body.items() if k != "alias"}, level, ctes)
                outputs = [(name, None) for name in _table_columns(body["columns"])]
                entry = derived(alias(body) or _TABLE_NAMES.get(kind), renamed(outputs, alias_columns(body)))
        level.entries.append(entry)
        return [entry], [StarItem(entry)]

    def _range_var(self, body: Node, ctes: Ctes) -> Entry:
        name, schema, own = body["relname"], body.get("schemaname"), alias(body)
        names = alias_columns(body)
        if schema is None and name in ctes:
            return derived(own or name, renamed(ctes[name], names))
        entry = self._note(self._lookup.table_entry(schema, name, own))
        if entry.managed is not None:
            if names:
                self._remove_column_aliases(body)
                return entry.column_aliases(names)
            return entry
        if entry.catalog is not None:
            self.result.catalogs.append(CatalogRead(body, entry.catalog))
        if names and entry.columns is not None:
            found = derived(entry.name, renamed(list(entry.columns.items()), names))
            types = dict(zip(found.columns or (), (entry.types.get(c) for c in entry.columns), strict=False))
            return replace(found, types={c: t for c, t in types.items() if t is not None})
        return entry

    def _remove_column_aliases(self, body: Node) -> None:
        source = self._source
        index = source.reference_end(source.token_at(source.location(body)))
        while source.kind(index) in (CLOSE, STAR, "AS"):
            index += 1
        end = source.tokens[source.closing(index + 1)].end
        self.result.removed.append((source.tokens[index].end, end))

    def _join(self, body: Node, level: Level, ctes: Ctes) -> tuple[list[Entry], list[StarItem]]:
        left, left_star = self._from(body["larg"], level, ctes)
        right, right_star = self._from(body["rarg"], level, ctes)
        entries, star = left + right, left_star + right_star
        if "alias" in body and any(e.managed for e in entries):
            raise Refusal(
                "an alias on a join of a managed table is not supported yet",
                "Alias the tables instead.",
                position=self._source.location(unwrap(body["larg"])[1]),
            )
        if "quals" in body:
            self._expressions(body["quals"], Level(level.parent, entries, dict(level.merged)), ctes)
        using = self._merge_columns(body, level, Side.of(left_star, left), Side.of(right_star, right))
        if using is not None:
            level.merged |= {m.name: m for m in using}
            star = [StarItem(None, m.name, m) for m in using] + without(star, {m.name for m in using})
        elif body.get("isNatural"):
            star = [StarItem(Entry(None, None))]
        if "alias" in body:
            for entry in entries:
                level.entries.remove(entry)
            joined = derived(alias(body), renamed(star_outputs(star), alias_columns(body)))
            level.entries.append(joined)
            return [joined], [StarItem(joined)]
        if "join_using_alias" in body:
            name = body["join_using_alias"]["aliasname"]
            level.entries.append(Entry(name, dict.fromkeys(m.name for m in using or []), qualified_only=True))
        return entries, star

    def _merge_columns(self, body: Node, level: Level, left: Side, right: Side) -> list[Merged] | None:
        """The columns that USING or NATURAL merges, None if there is neither or it is not known which.

        A join that cannot stay as it is, is written with ON.
        """
        natural = bool(body.get("isNatural"))
        names: list[str] | None = [string(n) for n in body.get("usingClause", [])]
        if natural:
            names = common_names(left, right)
        elif not names:
            return None
        managed = left.is_managed or right.is_managed
        if names is None:
            if managed or any(e.is_patched for e in left.entries + right.entries):
                raise Refusal(
                    "it is not known which columns this NATURAL JOIN compares: those of one side are not known",
                    "Use JOIN … ON.",
                    position=self._position(body),
                )
            return None
        for name in names:
            if managed:
                left.check_has(name, "left")
                right.check_has(name, "right")
            if left.is_row(name) or right.is_row(name):
                raise Refusal("JOIN … USING on a whole row is not supported", "Use JOIN … ON.")
        shape = self._lookup.client.shape
        renames = any(side.cannot_name(n, shape) for side in (left, right) for n in names)
        rewrites = managed and (natural or renames)
        if rewrites:
            self._write_on(body, names, left, right)
        return [merge(n, left, right, str(body["jointype"]), level.merged.get(n), rewrites) for n in names]

    def _write_on(self, body: Node, names: list[str], left: Side, right: Side) -> None:
        position = self._position(body)
        text = self._join_texts.find(body)
        if text is None or "join_using_alias" in body:
            raise Refusal(
                "an alias of JOIN … USING on a managed column is not supported", "Use JOIN … ON.", position=position
            )
        pairs = tuple((left.sources(n, "left"), right.sources(n, "right")) for n in names)
        tokens = self._source.tokens
        end = tokens[text.after - 1].end
        if text.natural >= 0:
            word = tokens[text.natural]
            self.result.joins.append(OnClause(end, end, pairs, (word.start, word.end)))
        else:
            self.result.joins.append(OnClause(tokens[text.using].start, end, pairs))

    def _position(self, body: Node) -> int:
        return self._source.location(unwrap(body["larg"])[1])

    def _note(self, entry: Entry) -> Entry:
        if entry.managed is not None:
            self.result.touched.append(entry)
        return entry


def _table_columns(columns: list[Node]) -> list[str]:
    """The columns of JSON_TABLE or XMLTABLE; those of a NESTED PATH come behind the others."""
    bodies = [unwrap(column)[1] for column in columns]
    own = [str(c.get("name") or c["colname"]) for c in bodies if "columns" not in c]
    return own + [name for c in bodies if "columns" in c for name in _table_columns(c["columns"])]


def function_entry(lookup: Lookup, body: Node) -> Entry:
    """The entry of a function in FROM."""
    name, names = alias(body), alias_columns(body)
    names += [c["ColumnDef"]["colname"] for c in body.get("coldeflist", [])]
    calls = [unwrap(f["List"]["items"][0]) for f in body["functions"]]
    if (
        len(calls) != 1
        or calls[0][0] != "FuncCall"
        or any("List" in f and f["List"]["items"][1:] != [{}] for f in body["functions"])
    ):
        return Entry(name, None)
    function = string(calls[0][1]["funcname"][-1])
    columns = lookup.snapshot.catalog.function_columns.get(function, frozenset())
    arguments = calls[0][1].get("args", [])
    if function == "unnest" and len(arguments) > 1:
        if len(names) < len(arguments):
            return Entry(name or function, None)
        columns = frozenset()  # with several arguments they are arrays, never a tsvector
    found = [*names, *columns, *(["ordinality"] if body.get("ordinality") else [])]
    if not names and not columns:
        found.insert(0, name or function)
    return Entry(name or function, dict.fromkeys(found), open_ended=bool(columns))
