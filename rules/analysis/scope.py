"""Analysis: walks a statement once, depth first, and says what every name in it means. It edits nothing.

Three layers, each of which knows only what is below it: queries (here), items of FROM (`from_items`), and the names in
expressions (`references`), where a sub-select leads back up to the queries.

The result is an `Analysis`: which column references are managed columns, where stars stand and what they stand for,
which output columns would lose their name, which INSERT/UPDATE nodes write to a managed table, and what the
statement returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rules.analysis.from_items import FromItems
from rules.analysis.labels import label_of, label_reference
from rules.analysis.names import Entry, Level, Merged, Output
from rules.analysis.values import (
    Analysis,
    Ctes,
    Label,
    Place,
    Star,
    StarItem,
    Write,
    bare_name,
    cast_patch,
    check_width,
    in_order,
    names_of_query,
    refuse_rows,
    renamed,
    star_outputs,
    united,
)
from rules.errors import Refusal
from rules.text.source import CLOSE, OPEN, STAR, Node, string, unwrap, walk

_ROW_CLAUSES = ("sortClause", "limitCount", "limitOffset")


class Analyser(FromItems):
    """One statement of a text; `analyse` may be called once."""

    def analyse(self, kind: str, node: Node) -> Analysis:
        """`kind` is one of QUERIES."""
        self.result.outputs = self._query(kind, node, None, {})
        return self.result

    # --- queries ---------------------------------------------------------------------------------------------

    def _query(self, kind: str, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        ctes = self._with(node.get("withClause"), parent, ctes)
        match kind:
            case "SelectStmt":
                return self._select(node, parent, ctes)
            case "InsertStmt":
                return self._insert(node, parent, ctes)
            case "UpdateStmt" | "DeleteStmt":
                return self._update_or_delete(kind, node, parent, ctes)
            case "MergeStmt":
                return self._merge(node, parent, ctes)
        raise Refusal(f"{kind} is not known here")

    def _with(self, clause: Node | None, parent: Level | None, ctes: Ctes) -> Ctes:
        if not clause:
            return ctes
        known = dict(ctes)
        recursive = clause.get("recursive", False)
        if recursive:  # every CTE of the list is visible in all of them
            for item in clause["ctes"]:
                cte = item["CommonTableExpr"]
                known[cte["ctename"]] = names_of_query(cte)
        for cte in in_order(clause):
            kind, body = unwrap(cte["ctequery"])
            outputs = self._query(kind, body, parent, known)
            known[cte["ctename"]] = renamed(outputs, [string(n) for n in cte.get("aliascolnames", [])])
            if recursive:
                refuse_rows(outputs, "WITH RECURSIVE")
        return known

    def _select(self, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        if node.get("op", "SETOP_NONE") != "SETOP_NONE":
            left = self._query("SelectStmt", node["larg"], parent, ctes)
            right = self._query("SelectStmt", node["rarg"], parent, ctes)
            # ORDER BY of a set operation can name output columns only.
            self._expressions([node.get(k) for k in ("limitCount", "limitOffset")], Level(parent), ctes)
            return united(left, right)
        level = Level(parent)
        star: list[StarItem] = []
        for item in node.get("fromClause", []):
            star += self._from(item, level, ctes)[1]
        if "valuesLists" in node:
            self._expressions([node["valuesLists"], *(node.get(k) for k in _ROW_CLAUSES)], level, ctes)
            width = len(node["valuesLists"][0]["List"]["items"])
            return [(f"column{i + 1}", None) for i in range(width)]
        grouped_by = _grouped_by(node)
        level.grouped_by = grouped_by
        if self._is_table_command(node):
            outputs = self._table_command(node, star)
        else:
            outputs = self._targets(node.get("targetList", []), level, star, ctes)
        if "intoClause" in node:
            refuse_rows(outputs, "SELECT INTO")
        names = {o[0] for o in outputs if o}
        level.grouped_by = None
        self._expressions([node.get(k) for k in ("whereClause", "limitCount", "limitOffset")], level, ctes)
        for clause in node.get("groupClause", []):
            self._group_item(clause, level, outputs, ctes)
        level.grouped_by = grouped_by
        self._expressions(node.get("havingClause"), level, ctes)
        for clause in [*node.get("sortClause", []), *node.get("distinctClause", [])]:
            body = clause.get("SortBy", {}).get("node", clause)
            if bare_name(body) not in names:  # an output name goes first, as in SQL92
                self._expressions(clause, level, ctes)
        self._expressions(node.get("windowClause"), level, ctes)
        return outputs

    @staticmethod
    def _is_table_command(node: Node) -> bool:
        """`TABLE t` has a star without a place of its own."""
        targets = node.get("targetList", [])
        return len(targets) == 1 and targets[0]["ResTarget"].get("location", 0) < 0

    def _table_command(self, node: Node, star: list[StarItem]) -> list[Output]:
        relation = node["fromClause"][0]["RangeVar"]
        index = self._source.find_back(self._source.token_before(self._source.location(relation)), "TABLE")
        token = self._source.tokens[index]
        if any(i.entry is not None and i.entry.managed for i in star):
            self.result.stars.append(Star(token.start, token.end, token.start, tuple(star), from_table=True))
        return star_outputs(star)

    def _group_item(self, clause: Node, level: Level, outputs: list[Output], ctes: Ctes) -> None:
        """GROUP BY prefers an input column, then an output name: the reverse of ORDER BY."""
        kind, body = unwrap(clause)
        if kind == "GroupingSet":
            for item in body.get("content", []):
                self._group_item(item, level, outputs, ctes)
            return
        if kind == "RowExpr" and body.get("row_format") == "COERCE_IMPLICIT_CAST":
            for item in body.get("args", []):  # `(a, b)` is taken apart, unlike `ROW(a, b)`
                self._group_item(item, level, outputs, ctes)
            return
        name = bare_name(clause)
        places = [i for i, o in enumerate(outputs) if o and o[0] == name]
        if name is not None and places:
            if name not in level.merged and not any(e.columns is None or name in e.columns for e in level.entries):
                if any(name in e.hidden for e in level.entries):
                    self._group_by_place(body, name, places, outputs)
                return
        self._expressions(clause, level, ctes)

    def _group_by_place(self, reference: Node, name: str, places: list[int], outputs: list[Output]) -> None:
        """A hidden column would take the name of an output column, which is named by its number then."""
        start = self._source.location(reference)
        if len(places) > 1 or None in outputs[: places[0]]:
            raise Refusal(
                f'GROUP BY "{name}" means an output column that cannot be named any more',
                "Give the output column another name.",
                position=start,
            )
        end = self._source.name_span(start)[1]
        self.result.places.append(Place(start, end, places[0] + 1))

    def _insert(self, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        target = self._target(node)
        outputs: list[Output] = []
        self._expressions(node.get("cols"), Level(parent), ctes)  # a subscript may hold anything
        if "selectStmt" in node:
            select = node["selectStmt"]["SelectStmt"]
            outputs = self._query("SelectStmt", select, parent, ctes)
            refuse_rows(outputs, "INSERT")
        level = Level(parent, [target])
        conflict = node.get("onConflictClause", {})
        if conflict:
            inner = Level(parent, [target, target.proposed()])
            self._expressions([conflict.get("targetList"), conflict.get("whereClause")], inner, ctes)
            # Expressions of the arbiter cannot name the table; its bare columns are names and not references.
            columns = Entry(None, target.columns, target.managed, None, target.hidden)
            self._expressions(conflict.get("infer"), Level(parent, [columns]), ctes)
        if target.managed is not None:
            self.result.writes.append(Write("InsertStmt", node, target, tuple(outputs)))
        return self._returning(node, level, [StarItem(target)], ctes)

    def _update_or_delete(self, kind: str, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        target = self._target(node)
        level = Level(parent)
        star = [StarItem(target)]
        items: list[Node] = node.get("fromClause") or node.get("usingClause") or []
        for item in items:
            star += self._from(item, level, ctes)[1]
        level.entries.insert(0, target)
        self._expressions([node.get("targetList"), node.get("whereClause")], level, ctes)
        if kind == "UpdateStmt" and target.managed is not None:
            self.result.writes.append(Write(kind, node, target))
        return self._returning(node, level, star, ctes)

    def _merge(self, node: Node, parent: Level | None, ctes: Ctes) -> list[Output]:
        target = self._target(node)
        level = Level(parent)
        _, star = self._from(node["sourceRelation"], level, ctes)
        source = list(level.entries)
        level.entries.insert(0, target)
        self._expressions(node.get("joinCondition"), level, ctes)
        visible = {
            "MERGE_WHEN_NOT_MATCHED_BY_TARGET": Level(parent, source, dict(level.merged)),
            "MERGE_WHEN_NOT_MATCHED_BY_SOURCE": Level(parent, [target]),
        }
        for clause in node["mergeWhenClauses"]:
            body = clause["MergeWhenClause"]
            self._expressions(body, visible.get(body.get("matchKind", ""), level), ctes)
        if target.managed is not None:
            self.result.writes.append(Write("MergeStmt", node, target))
        return self._returning(node, level, [*star, StarItem(target)], ctes)

    def _target(self, node: Node) -> Entry:
        relation = node["relation"]
        alias = relation.get("alias", {}).get("aliasname")
        # The target of a DML statement is never a CTE.
        return self._note(self._lookup.table_entry(relation.get("schemaname"), relation["relname"], alias))

    def _returning(self, node: Node, level: Level, star: list[StarItem], ctes: Ctes) -> list[Output]:
        clause = node.get("returningClause")
        if not clause:
            return []
        target = star[0].entry if node.get("sourceRelation") is None else star[-1].entry
        assert target is not None
        names = {"RETURNING_OPTION_OLD": "old", "RETURNING_OPTION_NEW": "new"}
        for option in clause.get("options", []):
            body = option["ReturningOption"]
            names[body.get("option", "RETURNING_OPTION_OLD")] = body["value"]
        taken = {e.name for e in level.entries}
        scope = Level(level.parent, list(level.entries), level.merged)
        if self._lookup.snapshot.catalog.server_version >= 180000:
            scope.entries += [target.renamed(n, qualified_only=True) for n in names.values() if n not in taken]
        return self._targets(clause["exprs"], scope, star, ctes)

    # --- target lists ----------------------------------------------------------------------------------------

    def _targets(self, targets: Sequence[Node], level: Level, star: list[StarItem], ctes: Ctes) -> list[Output]:
        outputs: list[Output] = []
        for item in targets:
            check_width(outputs)
            target = item["ResTarget"]
            kind, body = unwrap(target.get("val", {}))
            fields = body.get("fields", []) if kind == "ColumnRef" else []
            if fields and "A_Star" in fields[-1]:
                outputs += self._star(body, target, level, star)
                continue
            if kind == "A_Indirection" and "A_Star" in body["indirection"][-1]:
                outputs += self._star_of_row(body, target, level, ctes)
                continue
            found = self._expressions(target.get("val"), level, ctes)
            name = label_of(target)
            reference = label_reference(target)
            if reference is not None:
                start = self._source.location(reference)
                first = self._source.token_at(self._source.location(target))
                self.result.labels.append(Label(first, start, name))
            patch = found.row
            if patch is None and found.column is not None:
                column = found.column.described() if isinstance(found.column, Merged) else found.column
                patch = cast_patch(column, target["val"])
            outputs.append((name, patch and replace(patch, name=name)))
        check_width(outputs)
        return outputs

    def _star_of_row(self, body: Node, target: Node, level: Level, ctes: Ctes) -> list[Output]:
        """`(u).*` among the output columns is `u.*`; of any other composite value the width is not known."""
        kind, reference = unwrap(body["arg"])
        if kind != "ColumnRef" or len(body["indirection"]) > 1:
            self._expressions({"A_Indirection": body}, level, ctes)
            return [None]
        entry = self._row_entry(reference, level)
        if entry is not None and entry.managed is not None:
            self._check_version(entry, reference)
            span = self._star_span(target)
            self.result.stars.append(Star(*span, self._source.location(reference), (StarItem(entry),)))
        if entry is None:
            self._expressions({"A_Indirection": body}, level, ctes)
            entry = self._named_row(reference, level) if level.is_known else None
        return star_outputs([StarItem(entry)]) if entry is not None else [None]

    def _star_span(self, target: Node) -> tuple[int, int]:
        """A star among the output columns, with the label that it may have and that PostgreSQL ignores."""
        source = self._source
        start = source.location(target)
        last = source.token_at(start)
        opened = 0
        while source.kind(last) != STAR:
            opened += (source.kind(last) == OPEN) - (source.kind(last) == CLOSE)
            last += 1
        last += opened  # `(u.*)` is `u.*`
        if "name" in target:
            last += 2 if source.kind(last + 1) == "AS" else 1
        return start, source.tokens[last].end

    def _star(self, reference: Node, target: Node, level: Level, star: list[StarItem]) -> list[Output]:
        start, end = self._star_span(target)
        fields = [string(f) for f in reference["fields"][:-1]]
        items = star
        if fields:
            entry = self._lookup.entry(level, fields[-1], fields[-2] if len(fields) > 1 else None)
            items = [StarItem(entry)] if entry is not None else []
            if entry is None:
                return [None]
        if any(entry.managed for i in items for entry in i.entries):
            items = [i if i.entry is not None else self._merged_item(i, level, start) for i in items]
            self.result.stars.append(Star(start, end, self._source.location(reference), tuple(items)))
        return star_outputs(items)

    @staticmethod
    def _merged_item(item: StarItem, level: Level, position: int) -> StarItem:
        """A merged column of a star: by its bare name, if that is still its name and no other table has it."""
        merged = item.merged
        owners = [e for e in level.entries if item.column in (e.columns or ()) and not e.qualified_only]
        if merged is not None and not merged.rewritten and len(owners) <= merged.joins + 1:
            return StarItem(None, item.column)
        if merged is None or merged.type is None:
            raise Refusal(
                f'this * stands for a column "{item.column}" of JOIN … USING that cannot be named here',
                "Name the columns, or write alias.* for each table.",
                position=position,
            )
        return item


def _grouped_by(node: Node) -> frozenset[str] | None:
    """The columns that a query's GROUP BY names, without what stands in front of them; None if it has none."""
    if "groupClause" not in node:
        return None
    references = [body for key, body in walk(node["groupClause"]) if key == "ColumnRef"]
    return frozenset(string(r["fields"][-1]) for r in references if "String" in r["fields"][-1])
