"""SELECT, and the reading half of every other statement: references, stars and output names.

    SELECT full_name, u.* FROM users u
    SELECT (CASE WHEN u._pgjanus_state < 6 THEN … END) AS "full_name", "u"."id", (CASE …) AS "full_name" FROM users u

Columns are replaced one by one and not through a sub-query, which would lose GROUP BY's functional dependency,
system columns and row locks. A label is added because the name would otherwise become `case`. Only a whole row as one
value needs a sub-query, of its own:

    SELECT to_jsonb(u) FROM users u
    SELECT to_jsonb((SELECT r FROM (SELECT "u"."id" AS "id", (CASE …) AS "full_name") AS r WHERE "u".ctid IS NOT NULL))
"""

from __future__ import annotations

from rules.analysis.names import Entry, Output
from rules.analysis.values import Analysis, Reference, Sources, Star, visible_name
from rules.changes import quote_identifier
from rules.errors import Refusal
from rules.phases import Shape
from rules.plan import FieldPatch, ResultPatch
from rules.reads import find_column, physical, read_column
from rules.text.fragments import At, Edits
from rules.text.source import SourceText

_ROW = "_pgjanus_row"


def read_sql(entry: Entry, column: str, shape: Shape) -> str:
    """SQL of one visible column of a managed entry."""
    assert entry.managed is not None
    column = entry.real.get(column, column)
    found = find_column(entry.managed, shape, column)
    if found is None:
        return physical(entry.qualifier, column)
    return read_column(entry.managed, *found, shape, entry.qualifier)


def sources_sql(sources: Sources, shape: Shape) -> str:
    """SQL of a column that JOIN USING merged of these."""
    found = [_output(entry, column, shape, labelled=False) for entry, column in sources]
    return found[0] if len(found) == 1 else f"COALESCE({', '.join(found)})"


def row_sql(entry: Entry, shape: Shape) -> str:
    """SQL of the whole row of a managed entry: a record with the client's columns, under their names.

    An outer join's missing row is NULL as a whole, and so is the row before an INSERT: none of them has a ctid.
    """
    assert entry.columns is not None
    names = {c: entry.real.get(c, c) for c in entry.columns}  # a row has the names of its type
    columns = ", ".join(f"{read_sql(entry, c, shape)} AS {quote_identifier(names[c])}" for c in names)
    exists = f" WHERE {entry.qualifier}ctid IS NOT NULL" if entry.has_ctid else ""
    return f"(SELECT {_ROW} FROM (SELECT {columns}) AS {_ROW}{exists})"


def rewrite_reads(source: SourceText, edits: Edits, analysis: Analysis, shape: Shape) -> None:
    """Add the edits of everything that a statement reads."""
    replaced = {r.start for r in analysis.references if _rewrite_reference(edits, r, shape)}
    for row in analysis.rows:
        edits.replace(row.start, row.end, row_sql(row.entry, shape))
        replaced.add(row.start)
    for merged in analysis.merged:
        edits.replace(merged.start, merged.end, sources_sql(merged.merged.sources, shape))
        replaced.add(merged.start)
    for join in analysis.joins:
        pairs = [f"{sources_sql(left, shape)} = {sources_sql(right, shape)}" for left, right in join.pairs]
        edits.replace(join.start, join.end, f" ON ({' AND '.join(pairs) or 'true'})")
        if join.natural is not None:
            edits.replace(*join.natural)
    for start, end in analysis.removed:
        edits.replace(start, end)
    for star in analysis.stars:
        sql = _star_sql(star, shape)
        edits.replace(star.start, star.end, At(f"SELECT {sql} FROM" if star.from_table else sql, star.position))
    for place in analysis.places:
        edits.replace(place.start, place.end, str(place.number))
    for label in analysis.labels:
        if label.reference_start in replaced:
            end = source.expression_end(label.first_token)
            edits.insert(source.tokens[end - 1].end, f" AS {quote_identifier(label.name)}")


def _rewrite_reference(edits: Edits, reference: Reference, shape: Shape) -> bool:
    entry = reference.entry
    if entry.managed is None:  # a hidden column of an inner scope would take the name
        edits.replace(reference.start, reference.end, entry.qualifier + quote_identifier(reference.column))
        return False
    sql = read_sql(entry, reference.column, shape)
    if sql == physical(entry.qualifier, reference.column):
        return False  # the client's own text already says it
    edits.replace(reference.start, reference.end, sql)
    if reference.field is not None:
        edits.replace(*reference.field)
    return True


def _star_sql(star: Star, shape: Shape) -> str:
    several = len(star.items) > 1
    items: list[str] = []
    for item in star.items:
        entry = item.entry
        if entry is None:
            name = quote_identifier(item.column)
            items.append(f"{sources_sql(item.merged.sources, shape)} AS {name}" if item.merged else name)
        elif item.column and not visible_name(item.column)[1]:
            raise Refusal(
                f'this * stands for two columns "{visible_name(item.column)[0]}" beside a column of JOIN … USING',
                "Name the columns, or write alias.* for each table.",
                position=star.position,
            )
        elif item.column:
            items.append(_output(entry, item.column, shape))
        elif entry.managed is not None:
            assert entry.columns is not None
            items += [_output(entry, column, shape, labelled=star.labelled) for column in entry.columns]
        elif entry.columns is not None and not entry.columns:
            continue
        elif entry.name is None or (
            (entry.columns is None or entry.open_ended) and several and any(i.entry is None for i in star.items)
        ):
            raise Refusal(
                "this * stands for columns of which not all are known",
                "Name the columns, or write alias.* for each table.",
                position=star.position,
            )
        else:
            items.append(entry.qualifier + "*")
    return ", ".join(items)


def _output(entry: Entry, column: str, shape: Shape, *, labelled: bool = True) -> str:
    if entry.managed is None:
        return entry.qualifier + quote_identifier(column)
    sql = read_sql(entry, column, shape)
    if sql == physical(entry.qualifier, column) or not labelled:
        return sql
    return f"{sql} AS {quote_identifier(column)}"


def result_patch(outputs: list[Output]) -> ResultPatch | None:
    """What the RowDescription of a statement with these outputs needs; None if nothing."""
    if not any(o and o[1] for o in outputs):
        return None
    unknown = [i for i, o in enumerate(outputs) if o is None]
    if not unknown:
        return ResultPatch(head=_patches(outputs))
    if any(o and o[1] for o in outputs[unknown[0] : unknown[-1]]):
        raise Refusal(
            "the place of a managed column in the result is not known: it stands between two * of unknown width",
            "Name the columns.",
        )
    return ResultPatch(_patches(outputs[: unknown[0]]), _patches(outputs[unknown[-1] + 1 :]))


def _patches(outputs: list[Output]) -> tuple[FieldPatch | None, ...]:
    return tuple(o[1] if o else None for o in outputs)
