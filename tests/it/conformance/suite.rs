//! The list of promises, and how they are tried: all at once, each on a store of its own, whose books are
//! audited at the end.

use crate::conformance::Lab;
use crate::conformance::cache;
use crate::conformance::holds;
use crate::conformance::leads;
use crate::conformance::runs;
use crate::conformance::settlements;
use crate::conformance::waits;
use crate::conformance::wallets;
use std::any::type_name_of_val;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::Id;
use tokio::task::JoinSet;
use weir::store::Store;

/// Tries every promise on stores that `open` makes, each empty. Names those that are broken.
pub(crate) async fn exercise(open: impl Fn() -> Arc<dyn Store>) {
    let mut suite = Suite { open, running: JoinSet::new(), names: HashMap::new() };

    suite.try_out(holds::one_asked_for_again_gives_its_first_answer_and_price);
    suite.try_out(holds::other_content_is_a_conflict_and_the_rest_of_its_batch_commits);
    suite.try_out(holds::a_boundary_is_committed_whole_or_not_at_all);
    suite.try_out(holds::a_refused_one_is_an_ended_attempt_and_binds_nothing);
    suite.try_out(holds::a_refusal_stands_when_it_is_asked_for_again);
    suite.try_out(holds::an_own_key_binds_no_money);
    suite.try_out(holds::a_cancelled_job_begins_nothing_and_still_settles);
    suite.try_out(holds::an_older_owner_writes_nothing);

    suite.try_out(settlements::a_step_settled_twice_is_charged_once);
    suite.try_out(settlements::what_is_not_owed_is_given_back);
    suite.try_out(settlements::beyond_the_hold_the_wallet_is_the_limit);
    suite.try_out(settlements::beyond_the_hold_the_caps_are_the_limit);
    suite.try_out(settlements::expiry_gives_back_only_what_is_due_and_nobodys);
    suite.try_out(settlements::an_expired_attempt_is_tried_again);
    suite.try_out(settlements::a_late_one_charges_what_the_wallet_still_allows);
    suite.try_out(settlements::a_late_one_counts_what_the_lead_has_paid_since);
    suite.try_out(settlements::a_late_one_never_charges_a_step_again);

    suite.try_out(waits::a_hold_is_granted_when_another_gives_its_money_back);
    suite.try_out(waits::a_hold_is_refused_when_the_balance_can_no_longer_pay);
    suite.try_out(waits::holds_are_served_in_order_of_arrival);
    suite.try_out(waits::a_hold_waits_for_its_jobs_cap);
    suite.try_out(waits::a_job_at_its_cap_holds_up_no_other_job);
    suite.try_out(waits::what_had_ended_is_settled_before_the_wait);
    suite.try_out(waits::a_cancelled_job_waits_for_nothing);
    suite.try_out(waits::an_older_owner_waits_for_nothing);

    suite.try_out(cache::an_answer_is_taken_within_its_age_and_not_beyond_it);
    suite.try_out(cache::a_known_answer_is_recalled_without_a_hold_and_an_unknown_one_leaves_no_trace);
    suite.try_out(cache::an_answer_does_not_cross_workspaces);

    suite.try_out(leads::a_job_is_found_as_it_was_created);
    suite.try_out(leads::a_repeated_id_is_named_and_row_numbers_load_instead);
    suite.try_out(leads::loading_again_passes_over_what_is_there);
    suite.try_out(leads::identical_leads_are_worked_once_and_counted_all);
    suite.try_out(leads::an_unusable_row_has_ended_before_it_began);
    suite.try_out(leads::slices_are_cut_in_order_and_close_when_decided);
    suite.try_out(leads::a_page_of_results_begins_after_its_lead);

    suite.try_out(runs::a_lead_ends_once_a_run);
    suite.try_out(runs::resume_counts_exactly_what_can_have_changed_and_keeps_answers);
    suite.try_out(runs::a_cancelled_job_is_opened_again_by_resume_alone);
    suite.try_out(runs::the_lead_cap_counts_every_run);
    suite.try_out(runs::a_submission_is_handed_to_the_next_owner);

    suite.try_out(wallets::a_top_up_is_booked_once_by_its_reference);
    suite.try_out(wallets::an_adjustment_never_takes_what_is_held);
    suite.try_out(wallets::a_budget_tops_up_by_its_excess_alone);
    suite.try_out(wallets::a_cap_is_raised_without_money_and_never_lowered);
    suite.try_out(wallets::entries_tell_every_change_in_order);
    suite.try_out(wallets::the_audit_counts_what_it_looked_at);

    suite.finish().await;
}

struct Suite<O> {
    open: O,
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl<O: Fn() -> Arc<dyn Store>> Suite<O> {
    fn try_out<F: Future<Output = ()> + Send + 'static>(&mut self, promise: impl FnOnce(Lab) -> F) {
        let name = type_name_of_val(&promise);
        let lab = Lab::new((self.open)());
        let trial = promise(lab.clone());
        let task = self.running.spawn(async move {
            trial.await;
            lab.assert_sound().await;
        });
        self.names.insert(task.id(), name);
    }

    async fn finish(mut self) {
        let mut broken = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            broken.extend(ended.err().map(|error| self.names[&error.id()]));
        }
        assert!(broken.is_empty(), "broken promises: {broken:#?}");
    }
}
