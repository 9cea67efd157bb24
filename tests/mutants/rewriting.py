"""Treatments of the pure side: how statements are rewritten."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TRAPS = "tests/system/test_write_traps.py::"

REWRITING = (
    # Writes
    Mutant(
        "a volatile value is written twice",
        "rules.statements.mirror:is_simple",
        '"ColumnRef"',
        '"ColumnRef", "FuncCall"',
        f"{TRAPS}test_a_volatile_value_is_evaluated_once_for_each_row",
    ),
    Mutant(
        "the sub-select of a row assignment is not correlated",
        "rules.statements.update:SetList._row",
        " WHERE {self._qualifier}ctid IS NOT NULL",
        "",
        f"{TRAPS}test_a_volatile_value_is_evaluated_once_for_each_row",
    ),
    Mutant(
        "no row from a sub-select assigns nothing",
        "rules.statements.update:SetList._collect",
        " LEFT JOIN LATERAL ",
        " JOIN LATERAL ",
        f"{TRAPS}test_no_row_from_a_sub_select_assigns_null_and_converts_null",
    ),
    Mutant(
        "the mirror sees what was written, not what is stored",
        "rules.statements.mirror:Value.typed",
        'f")::{type_name})"',
        '"))"',
    ),
    Mutant(
        "a cast in VALUES keeps the modifier and cuts",
        "rules.statements.insertion:base_type",
        "if opening < 0 or '\"' in type_name:",
        "if True:",
    ),
    Mutant(
        "an INSERT without a column list gets none",
        "rules.statements.insertion:Insertion.edit_list",
        "if layout.columns is None:",
        "if layout.columns is None:\n        return\n    if False:",
    ),
    Mutant(
        "an omitted column's default is not mirrored",
        "rules.statements.mirror:default_value",
        'f"({column.default})"',
        'f"NULL::{column.type}"',
    ),
    Mutant(
        "DEFAULT among values is taken as it stands",
        "rules.statements.insert_values:ValuesRewriting._row_values",
        'if "SetToDefault" in row.nodes[at]:',
        "if False:",
    ),
    Mutant(
        "DO UPDATE is not mirrored",
        "rules.statements.insert:rewrite_insert",
        'if conflict.get("targetList"):',
        "if False:",
    ),
    Mutant(
        "an arbiter names the bare column",
        "rules.statements.arbiter:_key",
        "if found is None else",
        "if True else",
        "tests/system/test_arbiter.py::test_the_arbiter_is_the_unique_index_on_what_the_client_reads",
    ),
    Mutant(
        "the mirror of an UPDATE is computed from the stored values",
        "rules.statements.update:SetList._value",
        "if name in self._values:",
        "if False:",
    ),
    Mutant(
        "the first write of a part leaves the rest of the row's format as it was",
        "rules.statements.update:SetList._mirrored",
        "if self._writes.includes(shape) and not is_stored(self._table, shape):",
        "if False:",
    ),
    Mutant(
        "a write of one change leaves the other changes' format as it was",
        "rules.statements.update:SetList._mirrored",
        "elif not is_stored(self._table, other):",
        "elif False:",
        f"{TRAPS}test_a_write_of_one_change_makes_the_other_one_whole_too",
    ),
    Mutant(
        "an UPDATE does not say which format is true",
        "rules.statements.update:SetList._mirrors",
        "self._state(self._writes.leaves),",
        "",
    ),
    Mutant(
        "an UPDATE says the wrong format",
        "rules.statements.update:SetList._mirrors",
        "self._writes.leaves",
        "RowState.OLD",
    ),
    Mutant(
        "the stored code of the row state does not change",
        "rules.statements.update:SetList._state",
        "state.next_code(stored)",
        "state.lowest",
        f"{TRAPS}test_the_state_code_changes_with_each_proxied_write_and_only_then",
    ),
    Mutant(
        "an INSERT does not say which format is true",
        "rules.statements.insertion:Insertion._adds_state",
        "self.table.phase.expanded and",
        "False and",
    ),
    Mutant(
        "a lossy pair is rounded though its source did not change",
        "rules.statements.update:SetList._converted",
        "or not change.lossy",
        "or True",
        f"{TRAPS}test_an_orm_that_saves_all_columns_does_not_round_the_other_format",
    ),
    Mutant(
        "a lossy value is kept in the other format only",
        "rules.statements.mirror:refuse_lossy",
        "if change.lossy and",
        "if False and",
        f"{TRAPS}test_a_lossy_value_is_refused_where_only_the_other_format_is_kept",
    ),
    Mutant(
        "a default that draws from a sequence draws twice",
        "rules.statements.mirror:default_value",
        "simple=column.default_volatility is not Volatility.VOLATILE",
        "simple=True",
        f"{TRAPS}test_a_default_that_draws_from_a_sequence_draws_once",
    ),
    Mutant(
        "the value of an identity column is asked for",
        "rules.statements.insertion:Insertion._unmark_what_cannot_be_computed",
        "if self.column(name).identity and",
        "if False and",
        "tests/system/test_parts.py::test_an_identity_that_an_added_column_is_computed_from_is_left_to_postgresql",
    ),
    Mutant(
        "a part of a column is taken for the whole",
        "rules.statements.update:SetList._sets_part",
        "return any(",
        "return False and any(",
        "tests/system/test_parts.py",
    ),
    Mutant(
        "a cast stands in the client's own place and hides its error",
        "rules.statements.insert_values:ValuesRewriting._from_row",
        "raw[name] = value.pieces if value.simple",
        'raw[name] = ("(", *value.pieces, f")::{insertion.column(name).type}") if value.simple',
    ),
    Mutant(
        "a lossy value of COPY is kept in the other format only",
        "rules.statements.copy:_Copy.rewrite_from",
        "refuse_lossy(change, self._table, self._shape, writes, self._position)",
        "pass",
    ),
    Mutant(
        "COPY without a column list means the columns of the table",
        "rules.statements.copy:_Copy.rewrite_from",
        '"attlist" not in self._node or ',
        "",
    ),
    Mutant(
        "the rows of a COPY are not marked as a proxied client's",
        "rules.planner:_Planner._marks_rows",
        "return needed and",
        "return False and",
    ),
    Mutant(
        "MERGE's UPDATE is not mirrored",
        "rules.statements.merge:_rewrite_updates",
        "if not update.concern_us:",
        "if True:",
    ),
    Mutant(
        "MERGE's INSERT is not mirrored",
        "rules.statements.merge:rewrite_merge",
        'elif action.command == "CMD_INSERT":',
        "elif False:",
    ),
    # Reads
    Mutant(
        "every row is read in the client's own format",
        "rules.reads:is_stored",
        "table.policy.reads.is_always_valid(shape)",
        "True",
    ),
    Mutant(
        "NULL stands for a format that is not there",
        "rules.reads:by_row_state",
        'valid, invalid = f"{state} >= {NEW_IS_VALID_FROM}", f"{state} < {NEW_IS_VALID_FROM}"',
        'valid, invalid = f"{own} IS NOT NULL", f"{own} IS NULL"',
    ),
    Mutant(
        "ELSE in place of the second WHEN",
        "rules.reads:by_row_state",
        " WHEN {invalid} THEN {other}{modified} END)",
        " ELSE {other} END)",
        f"{TRAPS}test_a_missing_row_of_an_outer_join_is_null_and_not_a_converted_null",
    ),
    Mutant(
        "a rewritten output column loses its name",
        "rules.statements.reads:rewrite_reads",
        "for label in analysis.labels:",
        "for label in ():",
    ),
    Mutant(
        "stars reach the server",
        "rules.statements.reads:rewrite_reads",
        "for star in analysis.stars:",
        "for star in ():",
    ),
    Mutant(
        "the description of a rewritten column is the expression's",
        "rules.statements.reads:result_patch",
        "if not any(o and o[1] for o in outputs):",
        "if True:",
    ),
    Mutant(
        "an output name of GROUP BY is taken for a hidden column",
        "rules.statements.reads:rewrite_reads",
        "for place in analysis.places:",
        "for place in ():",
    ),
    Mutant(
        "ORDER BY does not prefer output names",
        "rules.analysis.scope:Analyser._select",
        "if bare_name(body) not in names:",
        "if True:",
    ),
    Mutant(
        "columns of the other shape can be named",
        "rules.analysis.names:Lookup.table_entry",
        "if c.name not in columns and",
        "if False and",
    ),
    Mutant(
        "a hidden column takes another table's name",
        "rules.analysis.names:Lookup.column",
        "return Found(owners[0], captured)",
        "return Found(owners[0], False)",
    ),
    Mutant(
        "a missing row as one value is a row of NULLs",
        "rules.statements.reads:row_sql",
        "if entry.has_ctid else",
        "if False else",
    ),
    Mutant(
        "reserved names can be used",
        "rules.planner:_Planner._check_names",
        "HIDDEN_PREFIX in word.lower()",
        "False",
    ),
    # Text and positions
    Mutant(
        "error positions are the rewritten text's",
        "rules.plan:PositionMap.to_client",
        "if at < 0:",
        "if True:",
    ),
    Mutant(
        "an insertion on the edge of a span is rendered twice",
        "rules.text.fragments:Edits._render",
        "if excluded is not None and edit.start == edit.end and edit.start in (start, end):",
        "if False:",
    ),
    Mutant(
        "definitions that collide with the migration are forwarded",
        "rules.planner:_Planner._other",
        "tables = self._named_tables(node)",
        "tables: list[ManagedTable] = []",
    ),
)
