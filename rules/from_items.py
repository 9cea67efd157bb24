"""Items of FROM: tables, sub-selects, functions and joins. The middle layer of the analysis, see `scope`."""

from __future__ import annotations

from collections.abc import Mapping

from rules.analysis import CatalogRead, Columns, StarItem, alias, alias_columns, renamed, star_outputs, without
from rules.errors import Refusal
from rules.names import Entry, Level, Lookup
from rules.reads import find_column, is_stored
from rules.references import References
from rules.source import Node, SourceText, string, unwrap


class FromItems(References):
    """Adds the items of a FROM clause to a level."""

    def _from(self, item: Node, level: Level, ctes: Mapping[str, Columns]) -> tuple[list[Entry], list[StarItem]]:
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
                entry = Entry(alias(body), renamed(outputs, alias_columns(body)))
            case "RangeFunction":
                self._expressions(body.get("functions"), level, ctes)
                entry = function_entry(self._lookup, body)
            case _:  # XMLTABLE, JSON_TABLE
                self._expressions({k: v for k, v in body.items() if k != "alias"}, level, ctes)
                entry = Entry(alias(body), None)
        level.entries.append(entry)
        return [entry], [StarItem(entry)]

    def _range_var(self, body: Node, ctes: Mapping[str, Columns]) -> Entry:
        name, schema, own = body["relname"], body.get("schemaname"), alias(body)
        names = alias_columns(body)
        if schema is None and name in ctes:
            columns = ctes[name]
            if names and columns is not None:
                columns = renamed(list(columns.items()), names)
            return Entry(own or name, columns)
        entry = self._note(self._lookup.table_entry(schema, name, own))
        if entry.managed is not None:
            if names:
                raise Refusal(
                    "column aliases on a managed table are not supported yet",
                    "Name the columns in a sub-select instead.",
                    position=self._source.location(body),
                )
            return entry
        if entry.catalog is not None:
            self.result.catalogs.append(CatalogRead(body, entry.catalog))
        if names and entry.columns is not None:
            return Entry(entry.name, renamed(list(entry.columns.items()), names))
        return entry

    def _join(self, body: Node, level: Level, ctes: Mapping[str, Columns]) -> tuple[list[Entry], list[StarItem]]:
        left, left_star = self._from(body["larg"], level, ctes)
        right, right_star = self._from(body["rarg"], level, ctes)
        entries, star = left + right, left_star + right_star
        managed = [e for e in entries if e.managed]
        using = [string(n) for n in body.get("usingClause", [])]
        if managed:
            check_join(self._source, self._lookup, body, managed, using)
        if "quals" in body:
            self._expressions(body["quals"], Level(level.parent, entries, dict(level.merged)), ctes)
        if using:
            for name in using:
                level.merged[name] = level.merged.get(name, 0) + 1
            star = [StarItem(None, name) for name in using] + without(star, set(using))
        elif body.get("isNatural"):
            star = [StarItem(Entry(None, None))]
        if "alias" in body:
            for entry in entries:
                level.entries.remove(entry)
            joined = Entry(alias(body), renamed(star_outputs(star), alias_columns(body)))
            level.entries.append(joined)
            return [joined], [StarItem(joined)]
        if "join_using_alias" in body:
            name = body["join_using_alias"]["aliasname"]
            level.entries.append(Entry(name, dict.fromkeys(using), qualified_only=True))
        return entries, star

    def _note(self, entry: Entry) -> Entry:
        if entry.managed is not None:
            self.result.touched.append(entry)
        return entry


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


def check_join(source: SourceText, lookup: Lookup, body: Node, managed: list[Entry], using: list[str]) -> None:
    """Refuse joins that compare or rename columns by name where the names are not the physical ones."""
    table = managed[0].managed
    assert table is not None
    position = source.location(unwrap(body["larg"])[1])
    if body.get("isNatural"):
        raise Refusal("NATURAL JOIN with a managed table is not supported yet", "Use JOIN … ON.", position=position)
    if "alias" in body:
        raise Refusal(
            "an alias on a join of a managed table is not supported yet",
            "Alias the tables instead.",
            position=position,
        )
    shape = lookup.client.shape
    for entry in managed:
        assert entry.managed is not None
        for name in using:
            found = find_column(entry.managed, shape, name)
            hidden = found is None and name in entry.hidden
            if hidden or (found is not None and not (is_stored(entry.managed, shape) and found[1].physical == name)):
                raise Refusal(
                    f'JOIN … USING on the managed column "{name}" is not supported yet',
                    "Use JOIN … ON.",
                    position=position,
                )
