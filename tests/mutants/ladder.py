"""Treatments of a phase change: who is waited for, what is proved, who writes around the proxy, how rows are moved."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LADDER = "tests/system/test_ladder.py::"
_ROLLOUT = "tests/system/test_rollout.py::"
_GUARD = "tests/system/test_guard.py::"
_BACKFILL = "tests/system/test_backfill.py::"
_PROOF = "tests/system/test_verify_proof.py::"
_PREFLIGHT = "tests/system/test_preflight.py::"

LADDER = (
    # Steps
    Mutant(
        "a step does not wait for the proxies",
        "proxy.ladder.operator:Operator.wait_for_proxies",
        "p.is_live and p.epoch_acked < epoch",
        "False",
        f"{_ROLLOUT}test_a_transaction_keeps_its_snapshot_and_the_operator_waits_for_it_by_name",
    ),
    Mutant(
        "columns are added before the proxies know of them",
        "proxy.ladder.lowest:expand_table",
        "await operator.wait_for_proxies(await registry.read_epoch(connection))",
        "pass",
        f"{_ROLLOUT}test_an_announcement_that_nobody_acknowledges_is_taken_back",
    ),
    Mutant(
        "an epoch is acknowledged while transactions run at an earlier one",
        "proxy.control.rollout:Rollout._lowest_pinned",
        "if lowest is None else lowest",
        "if True else lowest",
        f"{_ROLLOUT}test_a_transaction_keeps_its_snapshot_and_the_operator_waits_for_it_by_name",
    ),
    Mutant(
        "the epoch of the youngest transaction is acknowledged",
        "proxy.control.pinned:PinnedTransactions.lowest_epoch",
        "min(",
        "max(",
        "tests/proxy/test_pinned.py"
        "::test_the_lowest_epoch_is_that_of_the_oldest_transaction_whatever_the_order_of_their_ends",
    ),
    Mutant(
        "a lease never ends for the proxy that holds it",
        "proxy.control.rollout:Rollout.may_serve_managed",
        " and leases.now() < self._lease_until",
        "",
        f"{_ROLLOUT}test_managed_tables_are_closed_before_the_lease_ends_and_open_again_afterwards",
    ),
    Mutant(
        "a transaction from before the lease ran out goes on",
        "proxy.control.rollout:Rollout._register",
        "self._pinned.fence_all_but(epoch)",
        "pass",
        f"{_ROLLOUT}test_a_transaction_from_before_the_lease_ran_out_never_serves_again",
    ),
    Mutant(
        "an epoch that goes back is believed",
        "proxy.control.rollout:Rollout._adopt_state",
        "state.epoch < current.epoch",
        "False",
        f"{_ROLLOUT}test_an_epoch_that_goes_back_closes_managed_tables",
    ),
    Mutant(
        "nobody is held while the old columns go",
        "proxy.control.rollout:Rollout.try_pin",
        "self._held_since is not None or ",
        "",
        f"{_ROLLOUT}test_contracting_holds_new_transactions_briefly_and_none_runs_across_it",
    ),
    Mutant(
        "an operator whose hold has run out contracts",
        "proxy.ladder.contract:_attempt",
        "if not await registry",
        "if False and not await registry",
        f"{_ROLLOUT}test_an_operator_whose_hold_has_run_out_does_not_contract",
    ),
    Mutant(
        "a lock is waited for as long as it takes",
        "rules.ddl.locking:at_once",
        "SET LOCAL statement_timeout = {ALL_LOCKS_TIMEOUT_MS}",
        "SET LOCAL lock_timeout = 9000",
        f"{_LADDER}test_writers_get_through_while_an_operator_waits_for_the_lock",
    ),
    Mutant(
        "old rows stay when reads go to the other format",
        "proxy.ladder.climb:_step",
        "if step.empties is not None:",
        "if False:",
        f"{_LADDER}test_each_phase_has_the_gate_that_its_reads_need",
    ),
    Mutant(
        "a gate that stands in the next phase's way stays",
        "proxy.ladder.climb:_step",
        "for s in step.drops if s",
        "for s in () if s",
        f"{_LADDER}test_each_phase_has_the_gate_that_its_reads_need",
    ),
    Mutant(
        "reads go over although the two formats differ",
        "proxy.ladder.climb:_step",
        "if before.policy.reads is not after.policy.reads else None",
        "if False else None",
        f"{_LADDER}test_reads_do_not_go_over_while_the_two_formats_differ",
    ),
    Mutant(
        "what depends on an old column is left to stale values",
        "proxy.ladder.dependants:require_no_dependants",
        "if found:",
        "if False:",
        f"{_LADDER}test_what_depends_on_an_old_column_refuses_new_only_and_is_named",
    ),
    Mutant(
        "NOT NULL of an old column stays when nobody writes it",
        "proxy.ladder.dependants:relax",
        "if not columns:",
        "if True:",
        f"{_LADDER}test_up_to_the_top_down_again_and_up_to_the_end_loses_nothing",
    ),
    Mutant(
        "NOT NULL of an old column does not come back",
        "proxy.ladder.climb:_step",
        "await restore(operator, managed, row.relaxed)",
        "pass",
        f"{_LADDER}test_up_to_the_top_down_again_and_up_to_the_end_loses_nothing",
    ),
    Mutant(
        "columns that an interrupted abort left are taken over",
        "proxy.ladder.lowest:_leftovers",
        "if managed.relation.column(STATE_COLUMN) is None:",
        "if True:",
        "tests/system/test_ladder_crash.py::test_an_abort_that_dies_is_finished_by_start_or_abort_without_using_stale_columns",
    ),
    Mutant(
        "privileges on a column do not reach the new ones",
        "proxy.ladder.grants:_wanted",
        "return (*found, *",
        "return tuple(",
        f"{_LADDER}test_column_grants_reach_the_new_columns",
    ),
    # Indexes
    Mutant(
        "an index is over another expression than reads are",
        "rules.ddl.counterparts:_by_row_state",
        'expression = by_row_state(change, column, shape, "")',
        'expression = by_row_state(change, column, shape, "") + "::" + column.type',
        "tests/rules/test_counterparts.py::test_an_index_is_over_exactly_the_expression_that_is_read",
    ),
    Mutant(
        "an index that could not be made stays invalid",
        "proxy.ladder.indexes:_make",
        'await operator.execute_briefly(f"taking the {index} back", index.table, [index.drop])',
        "pass",
        "tests/system/test_transition.py::test_duplicates_refuse_the_step_and_leave_no_invalid_index_behind",
    ),
    Mutant(
        "the planner knows nothing of a new index's expression",
        "proxy.ladder.indexes:ensure_indexes",
        "if any(i.name in bare for i in wanted) or not all(measured.get(s.name) for s in statistics):",
        "if False:",
        "tests/system/test_transition.py::test_each_phase_has_the_indexes_that_its_reads_need_up_and_down",
    ),
    # Writers without a proxy
    Mutant(
        "writers under session_replication_role = replica pass the guard",
        "rules.ddl.guard:guard_ddl",
        "ENABLE ALWAYS TRIGGER",
        "ENABLE TRIGGER",
        f"{_GUARD}test_cascades_functions_and_replicas_are_writers_too",
    ),
    Mutant(
        "the guard minds what comes through the proxy",
        "rules.ddl.guard:_changed_behind_our_back",
        "OLD.{_STATE} = NEW.{_STATE} AND ",
        "",
        f"{_GUARD}test_proxied_writes_and_unrelated_updates_pass_unseen",
    ),
    Mutant(
        "the guard goes by the phase, not by the row state",
        "rules.ddl.guard:_heal_update",
        "if old:",
        "if False:",
        "tests/rules/test_model.py::test_no_state_of_a_ladder_is_wrong",
    ),
    Mutant(
        "an inserted row is none of the guard's business",
        "rules.ddl.guard:_minds_inserts",
        "return managed.policy.writes is not Writes.OLD",
        "return False",
        f"{_GUARD}test_heal_completes_an_inserted_row_as_the_phase_writes",
    ),
    Mutant(
        "another trigger has the last word",
        "rules.ddl.guard:guard_ddl",
        "trigger = quote_identifier(name)",
        'trigger = quote_identifier("a" + name)',
        f"{_GUARD}test_what_another_trigger_changes_is_healed_too",
    ),
    # Proof
    Mutant(
        "a pass trusts its cursor",
        "rules.agreement:close_sql",
        " WHERE {changed_since(1)})",
        " WHERE false)",
        f"{_PROOF}test_a_row_that_moves_behind_the_cursor_is_found",
    ),
    Mutant(
        "values are compared by their equality",
        "rules.agreement:agrees",
        "OPERATOR(pg_catalog.*=)",
        "OPERATOR(pg_catalog.=)",
        "tests/system/test_verify_planted.py::test_each_planted_divergence_is_found_and_mended[18-one]",
    ),
    Mutant(
        "a proof is taken as it was",
        "proxy.verify.runner:prove",
        "if last.part is Part.DONE:",
        "if False:",
        f"{_PROOF}test_a_proof_is_brought_up_to_date_and_a_phase_that_is_left_takes_it_away",
    ),
    # Backfill
    Mutant(
        "a batch writes what it read before it waited",
        "rules.batches:batch_sql",
        'columns = ", ".join(dict.fromkeys([*key_columns(key, "t"), *key_columns(by, "t")]))',
        'columns, by = "t.*", key',
        f"{_BACKFILL}test_concurrent_writers_lose_nothing",
        more=(
            ("FOR NO KEY UPDATE{'' if wait else ' SKIP LOCKED'}", ""),
            (
                "{_assignments(migration, target_shape(state))}",
                "{_assignments(migration, target_shape(state)).replace('t.', 'batch.')}",
            ),
            (" AND {in_state(state)} RETURNING", " RETURNING"),
        ),
    ),
    Mutant(
        "a batch does not ask for the state of the row that it writes",
        "rules.batches:batch_sql",
        " AND {in_state(state)} RETURNING",
        " RETURNING",
        "tests/rules/test_batches.py::test_a_batch_computes_from_the_row_it_updates_and_asks_for_its_state_again",
    ),
    Mutant(
        "the end of a walk is the end of the backfill",
        "proxy.backfill.rounds:turn",
        "if left == 0:",
        "if left == 0 or under_way:",
        f"{_BACKFILL}test_a_locked_row_is_gone_around_and_then_waited_for",
    ),
    Mutant(
        "row security hides rows from the backfill",
        "proxy.backfill.session:open_session",
        "in _SETTINGS.items():",
        'in ((k, v) for k, v in _SETTINGS.items() if k != "row_security"):',
        f"{_BACKFILL}test_row_security_is_an_error_and_not_zero_rows",
    ),
    Mutant(
        "the users' triggers see the backfill",
        "proxy.backfill.session:open_session",
        "_PRIVILEGED_SETTINGS.items()",
        '{"deadlock_timeout": "50ms"}.items()',
        f"{_BACKFILL}test_users_triggers_do_not_see_the_backfill",
    ),
    # Before the start
    Mutant(
        "an expression may be another one in each session",
        "proxy.preflight.expressions:_check_all",
        'f"CREATE INDEX ON {quote_table(_COPY)} ((1)) WHERE ({sql}) IS NOT NULL"',
        'f"SELECT 1 FROM {quote_table(_COPY)} WHERE ({sql}) IS NOT NULL"',
        f"{_PREFLIGHT}test_expressions_that_postgresql_does_not_take",
    ),
    Mutant(
        "rows need not come back as they were",
        "proxy.preflight.verdicts:_Verdict.give",
        "case Ask.ROUND_TRIP:",
        "case Ask.ROUND_TRIP:\n            return\n        case Ask.ROUND_TRIP:",
        f"{_PREFLIGHT}test_rows_that_do_not_come_back_as_they_were",
    ),
    Mutant(
        "a partition is migrated by itself",
        "proxy.preflight.table:check_kind",
        'if row["relispartition"]:',
        "if False:",
        f"{_PREFLIGHT}test_kinds_of_relations_that_cannot_be_migrated",
        more=(('elif row["parents"]:', "elif False:"),),
    ),
)
