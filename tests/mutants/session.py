"""Treatments of a session: how texts are read, and what becomes of prepared statements and transactions."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_REWRITING = "tests/system/test_session_rewriting.py::"
_SNAPSHOTS = "tests/system/test_session_snapshots.py::"
_PLANNER = "tests/rules/test_planner.py::"

SESSION = (
    # What a name and a text mean
    Mutant(
        "the first schema that has a table of that name is taken",
        "rules.analysis.names:Lookup.relation",
        "if self.client.search_path is not None:",
        "if False:",
        f"{_PLANNER}test_an_unqualified_name_is_refused_where_the_schema_cannot_be_told",
    ),
    Mutant(
        "a name in several schemas is taken for the managed table's",
        "rules.analysis.names:Lookup.relation",
        "if len(schemas) > 1 and",
        "if False and",
        f"{_PLANNER}test_an_unqualified_name_is_refused_where_the_schema_cannot_be_told",
    ),
    Mutant(
        "a temporary table of the session's is not thought of",
        "rules.analysis.names:Lookup.relation",
        "if name in self.client.shadowed:",
        "if False:",
        f"{_PLANNER}test_a_temporary_table_may_have_taken_the_name",
    ),
    Mutant(
        "what a text makes does not shadow in the same text",
        "rules.planner:_Planner._shadow",
        "if shadowed:",
        "if False:",
        f"{_PLANNER}test_a_temporary_table_shadows_the_managed_one_within_the_same_text",
    ),
    Mutant(
        "the search path is believed while it is being changed",
        "proxy.conversation.judge:Judge.plan",
        "moving = self._path_moving or self._moves_path(text, snapshot, within=True)",
        "moving = False",
        f"{_REWRITING}test_the_planner_learns_the_search_path_and_that_it_may_be_changing",
    ),
    Mutant(
        "every text is read as UTF-8",
        "proxy.conversation.judge:Judge.plan",
        "sql = decode(text, settings.codec)",
        "sql = text.decode('utf-8', 'replace')",
        f"{_REWRITING}test_a_text_is_read_in_the_sessions_encoding_and_written_in_it",
    ),
    Mutant(
        "what cannot be decoded is forwarded",
        "proxy.conversation.judge:Judge.plan",
        'if plain and not snapshot.may_concern(text.decode("latin-1")):',
        "if True:",
        f"{_REWRITING}test_what_cannot_be_read_is_refused_if_it_may_name_a_managed_table",
    ),
    Mutant(
        "a backslash is never an escape in a plain string",
        "proxy.conversation.judge:Judge._may_misread",
        "or not self.settings.standard_strings",
        "",
        f"{_REWRITING}test_a_backslash_without_standard_conforming_strings_is_refused_on_a_managed_table",
    ),
    Mutant(
        "a text that is too deep is forwarded",
        "rules.planner:_unreadable",
        "return _too_deep(snapshot)",
        "return Untouched()",
        "tests/rules/test_depth.py::test_what_cannot_be_parsed_at_all_is_refused_only_if_it_may_concern_a_managed_table",
    ),
    Mutant(
        "a defect of ours lets the statement through",
        "rules.planner:_plan",
        'what = f"the statement could not',
        'return Untouched()\n        what = f"the statement could not',
        f"{_PLANNER}test_a_defect_of_ours_refuses_the_statement",
    ),
    # Transactions and prepared statements
    Mutant(
        "each message is looked at with the newest snapshot",
        "proxy.conversation.conversation:Conversation._pump_client",
        "snapshot = state.snapshot or self._pin(kind)",
        "snapshot = self._pin(kind)",
        f"{_SNAPSHOTS}test_a_transaction_keeps_its_snapshot_and_the_next_one_gets_the_newest",
    ),
    Mutant(
        "a prepared statement stays what it was in an earlier phase",
        "proxy.conversation.renewals:Renewals.outdated_text",
        "return text if text != statement.server_text else None",
        "return None",
        f"{_SNAPSHOTS}test_a_prepared_statement_is_prepared_again_for_the_next_snapshot",
    ),
    Mutant(
        "a prepared statement keeps its text under another encoding",
        "proxy.conversation.renewals:Renewals.fresh",
        "if not judge.reads_alike(statement.text, statement.lexing):",
        "if False:",
        f"{_REWRITING}test_bytes_that_would_be_other_characters_are_not_prepared_again",
    ),
    Mutant(
        "without a lease managed tables are served",
        "proxy.conversation.judge:Judge.plan",
        "if not self._pins.may_serve_managed(snapshot):",
        "if False:",
        f"{_SNAPSHOTS}test_without_a_lease_managed_tables_are_closed_and_others_are_not",
    ),
    Mutant(
        "a statement that is too long to be read is forwarded",
        "proxy.conversation.judge:Judge.too_long",
        "return refuse(",
        "return UNCONCERNED\n    return refuse(",
        f"{_REWRITING}test_a_statement_that_is_too_long_to_be_kept_is_refused_while_tables_are_managed",
    ),
)
