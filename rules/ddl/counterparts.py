"""Which transition indexes a migration needs: the counterparts of the table's own indexes, for either shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from rules.catalog import Relation
from rules.changes import ColumnChange, ManagedColumn, quote_identifier, quote_table
from rules.ddl.index_text import IndexText, NotDerivable, Replacement, SourceIndex
from rules.ddl.totality import is_value_kept, may_fail
from rules.ddl.transition import BY_HAND, Gap, Season, Transition, TransitionIndex, TransitionStatistics, Use
from rules.migration import Migration
from rules.phases import STATE_COLUMN, Shape
from rules.reads import by_row_state


def transition(migration: Migration, relation: Relation, sources: Iterable[SourceIndex]) -> Transition:
    """What the migration needs for `sources`, the table's own indexes, and for the attributes of its new columns."""
    found = list(_of_attributes(migration, relation))
    gaps: list[Gap] = []
    for source in sources:
        derived, missing = _Derivation(migration, relation, source).result()
        found += derived
        gaps += missing
    by_body: dict[tuple[Use, str, str], TransitionIndex] = {}
    for index in found:
        # Of two that are the same but for being unique one is enough, unless they are to stay.
        key = (index.use, index.body, index.readable if index.use is Use.NEW else "")
        known = by_body.get(key)
        if known is None or (index.is_unique and not known.is_unique):
            by_body[key] = index
    indexes = tuple(i for index in by_body.values() for i in _in_seasons(index))
    return Transition(indexes, tuple(_statistics(migration, relation, indexes)), tuple(dict.fromkeys(gaps)))


def _statistics(
    migration: Migration, relation: Relation, indexes: tuple[TransitionIndex, ...]
) -> Iterable[TransitionStatistics]:
    """For the columns that no index measures. Never of an expression that may fail: ANALYZE would fail with it."""
    for use in (Use.OLD_BY_ROW_STATE, Use.NEW_BY_ROW_STATE):
        measured = {name for i in indexes if i.use is use for name in i.measured}
        for change in migration.changes:
            for column in change.side(use.shape):
                if column.physical not in measured and not may_fail(change, column, use.shape, relation):
                    expression = by_row_state(change, column, use.shape, "")
                    yield TransitionStatistics(use, migration.table, column.name, expression)


def _in_seasons(index: TransitionIndex) -> list[TransitionIndex]:
    if index.use is Use.NEW_BY_ROW_STATE and index.is_unique and index.season is Season.THROUGHOUT:
        early = replace(index, is_unique=False, season=Season.EARLY)
        return [early, replace(index, season=Season.LATER)]
    return [index]


def _of_attributes(migration: Migration, relation: Relation) -> Iterable[TransitionIndex]:
    """`index` and `unique` of a new column: what serves its reads before the column itself is read.

    Never unique: a promise to the new shape must not refuse an old application's writes before the new format is read.
    """
    for change in migration.changes:
        for column in change.new:
            if column.index or column.unique:
                key = _new_by_row_state(change, column, relation).in_key
                body = f"ON {quote_table(migration.table)} USING btree ({key})"
                season = Season.LATER if may_fail(change, column, Shape.NEW, relation) else Season.THROUGHOUT
                measured = frozenset({column.physical})
                use = Use.NEW_BY_ROW_STATE
                yield TransitionIndex(use, migration.table, column.name, body, season=season, measured=measured)


class _Derivation:
    """The counterparts of one index of the table."""

    def __init__(self, migration: Migration, relation: Relation, source: SourceIndex) -> None:
        self._migration, self._relation, self._source = migration, relation, source
        self._changes = {c.physical: change for change in migration.changes for c in change.old}
        self._gaps: list[Gap] = []

    def result(self) -> tuple[list[TransitionIndex], list[Gap]]:
        try:
            text = IndexText(self._source.definition)
        except NotDerivable as error:
            return [], [Gap(self._source.name, shape, f"no counterpart, {error}", BY_HAND) for shape in Shape]
        deciding = text.deciding & self._changes.keys()
        touched = deciding | (set(text.included) & self._changes.keys())
        if not touched:
            return [], []
        if self._source.is_exclusion:
            reason = "an exclusion constraint compares values of one format only"
            return [], [Gap(self._source.name, shape, reason, "it has to go before new_only") for shape in Shape]
        found = []
        if deciding:
            found.append(self._build(text, Use.OLD_BY_ROW_STATE, self._is_unique_for_old(text, touched)))
        if self._is_kept_for_new(text, touched):
            unique = self._is_unique_for_new(text, touched)
            if deciding:
                found.append(self._build(text, Use.NEW_BY_ROW_STATE, unique))
            counterpart = self._build(text, Use.NEW, unique)
            if not self._is_an_attribute(counterpart):
                found.append(counterpart)
        return found, self._gaps

    def _build(self, text: IndexText, use: Use, unique: bool) -> TransitionIndex:
        season = Season.THROUGHOUT
        if use is Use.NEW_BY_ROW_STATE:
            changes = [self._changes[name] for name in text.deciding if name in self._changes]
            if any(may_fail(c, c.new[0], Shape.NEW, self._relation) for c in changes):
                season = Season.LATER
        body = text.body(self._migration.table, lambda name: self._replacement(name, use))
        index = TransitionIndex(use, self._migration.table, self._source.name, body, unique, season)
        if use is Use.NEW:
            return replace(index, final=self._final(text), is_constraint=unique and self._becomes_a_constraint())
        keys = [name for name in text.keys if name in self._changes and not text.has_predicate]
        if use is Use.OLD_BY_ROW_STATE:
            return replace(index, measured=frozenset(map(str, keys)))
        measured = frozenset(self._changes[str(name)].new[0].physical for name in keys)
        return replace(index, final=self._final(text), measured=measured)

    def _becomes_a_constraint(self) -> bool:
        if self._source.is_constraint and self._relation.is_partitioned:
            reason = "it stays a unique index: PostgreSQL makes no constraint of an index of a partitioned table"
            hint = "ON CONFLICT ON CONSTRAINT has to name its columns instead"
            self._gaps.append(Gap(self._source.name, Shape.NEW, reason, hint))
        return self._source.is_constraint and not self._relation.is_partitioned

    def _replacement(self, name: str, use: Use) -> Replacement | None:
        change = self._changes.get(name)
        if change is None:
            return None
        match use:
            case Use.OLD_BY_ROW_STATE:
                column = next(c for c in change.old if c.physical == name)
                return _by_row_state(change, column, Shape.OLD, _collation(self._relation, name))
            case Use.NEW_BY_ROW_STATE:
                return _new_by_row_state(change, change.new[0], self._relation)
            case Use.NEW:
                physical = quote_identifier(change.new[0].physical)
                return Replacement(physical, physical, (physical,))

    def _is_unique_for_old(self, text: IndexText, touched: Iterable[str]) -> bool:
        if not text.is_unique or not self._is_watched():
            return False
        # A dropped column has the same value in all rows of the new format.
        return all(
            change.new or all(str(e).strip().upper() == "NULL" for e in change.down.values())
            for change in (self._changes[name] for name in touched)
        )

    def _is_watched(self) -> bool:
        if not self._source.is_immediate:
            reason = "a deferrable constraint has no counterpart that defers: duplicates across formats are not found"
            self._gaps += [Gap(self._source.name, shape, reason, "make it NOT DEFERRABLE") for shape in Shape]
        return self._source.is_immediate

    def _is_kept_for_new(self, text: IndexText, touched: Iterable[str]) -> bool:
        for name in sorted(touched):
            change = self._changes[name]
            if len(change.old) != 1 or len(change.new) != 1:
                self._explain_parting(text, name, change)
                return False
            if name in text.inner and not is_value_kept(change):
                reason = f"no counterpart, its expression or condition is about values of {name}, which change"
                self._gaps.append(Gap(self._source.name, Shape.NEW, reason, _declare(change)))
                return False
        return True

    def _explain_parting(self, text: IndexText, name: str, change: ColumnChange) -> None:
        own = {c.physical for c in change.old}
        alone = {*text.keys, *text.inner, *text.included} <= own
        if alone and (not change.new or any(c.index or c.unique for c in change.new)):
            return
        becomes = f"{name} becomes {', '.join(c.name for c in change.new)}" if change.new else f"{name} goes"
        reason = f"no counterpart, {becomes}; in contracted the index goes with it"
        self._gaps.append(Gap(self._source.name, Shape.NEW, reason, _declare(change)))

    def _is_unique_for_new(self, text: IndexText, touched: Iterable[str]) -> bool:
        if not text.is_unique or not self._source.is_immediate:
            return False
        if any(self._changes[name].lossy for name in touched):
            reason = "not unique, the change is lossy, so different values may become the same"
            hint = "say unique: true in the migration if they shall not"
            self._gaps.append(Gap(self._source.name, Shape.NEW, reason, hint))
            return False
        return True

    def _is_an_attribute(self, index: TransitionIndex) -> bool:
        """Whether an attribute in the migration makes the same index already."""
        for change in self._migration.changes:
            for c in change.new:
                plain = f"ON {quote_table(self._migration.table)} USING btree ({quote_identifier(c.physical)})"
                if index.body == plain and (c.unique or (c.index and not index.is_unique)):
                    return True
        return False

    def _final(self, text: IndexText) -> str:
        """A name that PostgreSQL chose says the column's; one that a person chose stays."""
        names = [*text.keys, *text.included]
        if None in names:
            return self._source.name
        table = self._migration.table.name
        usual = "_".join([table, *map(str, names)])
        found = re.fullmatch(re.escape(usual) + r"_(key|idx)\d*", self._source.name)
        if found is None:
            return self._source.name
        renamed = [self._changes[n].new[0].name if n in self._changes else str(n) for n in names]
        tail = f"_{found[1]}"
        return "_".join([table, *renamed]).encode()[: 63 - len(tail)].decode(errors="ignore") + tail


def _declare(change: ColumnChange) -> str:
    return "give the new columns index: true or unique: true" if change.new else BY_HAND


def _new_by_row_state(change: ColumnChange, column: ManagedColumn, relation: Relation) -> Replacement:
    kept = len(change.old) == 1 and change.old[0].type == column.type and is_value_kept(change)
    collation = _collation(relation, change.old[0].physical) if kept else None
    return _by_row_state(change, column, Shape.NEW, collation)


def _by_row_state(change: ColumnChange, column: ManagedColumn, shape: Shape, collation: str | None) -> Replacement:
    expression = by_row_state(change, column, shape, "")
    names = {c.name: c.physical for c in change.side(shape.other)}
    others = (names.get(name, name) for name in change.into(shape)[column.name].columns)
    stored = tuple(quote_identifier(name) for name in (column.physical, STATE_COLUMN, *others))
    return Replacement(f"({expression})", expression, stored, collation)


def _collation(relation: Relation, name: str) -> str | None:
    column = relation.column(name)
    return column.collation if column is not None else None
