//! The list of promises, and how they are tried: several at once, each on a store of its own, whose books are
//! audited at the end.

use crate::conformance::Lab;
use crate::conformance::askings;
use crate::conformance::cache;
use crate::conformance::campaigns;
use crate::conformance::copy;
use crate::conformance::happenings;
use crate::conformance::holds;
use crate::conformance::keys;
use crate::conformance::leads;
use crate::conformance::loads;
use crate::conformance::owed;
use crate::conformance::recharges;
use crate::conformance::runs;
use crate::conformance::settlements;
use crate::conformance::slices;
use crate::conformance::slices_close;
use crate::conformance::stale;
use crate::conformance::waits;
use crate::conformance::wallets;
use std::any::type_name_of_val;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::Id;
use tokio::task::JoinSet;
use weir::store::Store;

/// Stores in use at a time: a server has not connections for all of them.
const AT_ONCE: usize = 8;

/// Tries every promise on stores that `open` makes, each empty. Names those that are broken.
pub(crate) async fn exercise(open: impl AsyncFn() -> Arc<dyn Store>) {
    let mut suite = Suite { promises: Vec::new() };
    add_money(&mut suite);
    add_campaigns(&mut suite);
    add_jobs(&mut suite);
    add_work(&mut suite);
    add_copy(&mut suite);
    let mut trials = Trials { running: JoinSet::new(), names: HashMap::new(), broken: Vec::new() };
    for promise in suite.promises {
        if trials.running.len() >= AT_ONCE {
            trials.end_one().await;
        }
        trials.begin(promise, open().await);
    }
    while !trials.running.is_empty() {
        trials.end_one().await;
    }
    assert!(trials.broken.is_empty(), "broken promises: {:#?}", trials.broken);
}

fn add_money(suite: &mut Suite) {
    suite.add(holds::one_asked_for_again_gives_its_first_answer_and_price);
    suite.add(holds::other_content_is_a_conflict_and_the_rest_of_its_batch_commits);
    suite.add(holds::a_boundary_is_committed_whole_or_not_at_all);
    suite.add(holds::a_refused_one_is_an_ended_attempt_and_binds_nothing);
    suite.add(holds::a_refusal_stands_when_it_is_asked_for_again);
    suite.add(holds::an_own_key_binds_no_money);
    suite.add(holds::a_cancelled_job_begins_nothing_and_still_settles);
    suite.add(holds::an_older_owner_writes_nothing);

    suite.add(owed::its_own_owner_pays_what_was_held);
    suite.add(owed::an_attempt_that_was_taken_up_costs_its_hold_whatever_the_price_is_today);
    suite.add(owed::what_was_held_is_paid_at_a_cap_and_from_the_last_cent);
    suite.add(owed::what_was_held_is_owed_also_when_it_has_been_given_back);
    suite.add(owed::what_was_held_is_the_houses_loss_where_the_step_was_paid_since);
    suite.add(owed::what_an_overtaken_owner_was_not_told_is_handed_on_as_what_was_held);
    suite.add(owed::what_was_not_told_of_an_expired_hold_is_counted_once);
    suite.add(owed::that_nobody_said_it_stands_in_the_trail);
    suite.add(owed::what_is_begun_and_dropped_costs_the_customer_nothing_and_the_house_perhaps_its_hold);
    suite.add(owed::what_is_dropped_and_was_learned_has_cost_what_was_learned);

    suite.add(settlements::a_step_settled_twice_is_charged_once);
    suite.add(settlements::what_is_not_owed_is_given_back);
    suite.add(settlements::beyond_the_hold_the_wallet_is_the_limit);
    suite.add(settlements::beyond_the_hold_the_caps_are_the_limit);
    suite.add(settlements::expiry_gives_back_only_what_is_due_and_nobodys);
    suite.add(settlements::a_hold_of_a_leased_slice_does_not_expire);
    suite.add(settlements::an_own_keys_hold_is_counted_and_expires_too);
    suite.add(settlements::an_expired_attempt_is_tried_again);
    suite.add(settlements::a_late_one_charges_what_the_wallet_still_allows);
    suite.add(settlements::a_late_one_counts_what_the_lead_has_paid_since);
    suite.add(settlements::a_late_one_never_charges_a_step_again);

    suite.add(stale::what_an_overtaken_owner_learned_is_handed_to_its_successor);
    suite.add(stale::of_two_calls_the_customer_pays_the_successors_and_the_house_the_other);
    suite.add(stale::what_comes_after_the_successors_answer_costs_the_customer_nothing);
    suite.add(stale::an_overtaken_owner_records_no_attempt_of_its_own);
    suite.add(stale::that_an_overtaken_owner_gave_up_is_no_answer);
    suite.add(stale::two_calls_cost_both_however_alike_their_answers);
    suite.add(stale::an_answer_under_a_handle_is_one_whoever_reads_it);
    suite.add(stale::what_was_learned_of_an_expired_hold_is_counted_once);

    suite.add(waits::a_hold_is_granted_when_another_gives_its_money_back);
    suite.add(waits::a_hold_is_refused_when_the_balance_can_no_longer_pay);
    suite.add(waits::holds_are_served_in_order_of_arrival);
    suite.add(waits::a_hold_waits_for_its_jobs_cap);
    suite.add(waits::a_job_at_its_cap_holds_up_no_other_job);
    suite.add(waits::what_had_ended_is_settled_before_the_wait);
    suite.add(waits::a_cancelled_job_waits_for_nothing);
    suite.add(waits::an_older_owner_waits_for_nothing);

    suite.add(cache::an_answer_is_taken_within_its_age_and_not_beyond_it);
    suite.add(cache::a_known_answer_is_recalled_without_a_hold_and_an_unknown_one_leaves_no_trace);
    suite.add(cache::an_answer_does_not_cross_workspaces);

    suite.add(wallets::a_top_up_is_booked_once_by_its_reference);
    suite.add(wallets::an_adjustment_never_takes_what_is_held);
    suite.add(wallets::a_budget_tops_up_by_its_excess_alone);
    suite.add(wallets::a_cap_is_raised_without_money_and_never_lowered);
    suite.add(wallets::entries_tell_every_change_in_order);
    suite.add(wallets::the_audit_counts_what_it_looked_at);
    suite.add(wallets::a_wallet_burns_what_it_has_settled);
}

fn add_campaigns(suite: &mut Suite) {
    suite.add(campaigns::one_is_activated_by_who_can_pay_alone);
    suite.add(campaigns::an_answer_is_one_event_however_often_it_is_asked_for);
    suite.add(campaigns::one_is_deactivated_once_and_told_each_time);
    suite.add(campaigns::an_empty_wallet_stops_each_of_its_workspace_once);
    suite.add(campaigns::they_are_listed_by_name_with_their_jobs);
    suite.add(campaigns::resume_activates_one_that_can_be_paid_again_and_tells_it);
    suite.add(campaigns::a_job_that_resumes_by_itself_activates_its_own);
    suite.add(campaigns::one_that_a_command_stopped_stays_so_when_a_top_up_resumes_its_job);
    suite.add(campaigns::of_many_who_resume_at_once_one_activates_it);

    suite.add(recharges::of_many_who_ask_at_once_one_does);
    suite.add(recharges::a_wallet_asks_below_its_threshold_alone);
    suite.add(recharges::a_request_is_paid_once_by_its_own_reference);
    suite.add(recharges::three_declines_in_a_row_turn_the_asking_off);
    suite.add(recharges::money_after_all_turns_the_asking_on);
    suite.add(recharges::the_next_request_waits_for_the_cool_off);
    suite.add(recharges::no_more_is_asked_for_than_a_day_and_a_month_allow);
    suite.add(recharges::of_many_changes_at_once_none_is_lost);
    suite.add(recharges::a_change_leaves_the_rest_alone_and_a_refused_one_everything);
}

fn add_jobs(suite: &mut Suite) {
    suite.add(leads::a_job_is_found_as_it_was_created);
    suite.add(leads::a_job_keeps_what_its_sender_wants);
    suite.add(leads::a_job_is_created_once);
    suite.add(leads::identical_leads_are_worked_once_and_counted_all);
    suite.add(leads::copies_are_listed_by_what_they_copy);
    suite.add(leads::an_unusable_row_has_ended_before_it_began);
    suite.add(leads::slices_are_cut_in_order);
    suite.add(leads::a_page_of_results_begins_after_its_lead);
    suite.add(leads::results_say_when_a_lead_has_ended);

    suite.add(loads::a_repeated_id_is_named_and_row_numbers_load_instead);
    suite.add(loads::a_batch_with_a_repeated_id_stores_nothing);
    suite.add(loads::a_newer_load_begins_anew_and_ends_the_older);
    suite.add(loads::a_sealed_job_is_loaded_no_more);
    suite.add(loads::identical_leads_are_found_across_batches);
    suite.add(loads::a_job_without_leads_is_complete_at_once);
    suite.add(loads::a_job_that_is_cancelled_while_it_loads_is_loaded_to_its_end);
    suite.add(loads::a_cancellation_is_lifted_by_resume_before_the_job_is_loaded);
    suite.add(loads::an_empty_job_that_was_cancelled_while_it_loaded_has_ended);
    suite.add(loads::more_leads_than_can_be_numbered_are_refused);

    suite.add(runs::a_lead_ends_once_a_run);
    suite.add(runs::resume_counts_exactly_what_can_have_changed_and_keeps_answers);
    suite.add(runs::a_cancelled_job_is_opened_again_by_resume_alone);
    suite.add(runs::the_lead_cap_counts_every_run);
    suite.add(runs::a_submission_is_handed_to_the_next_owner);
    suite.add(runs::resume_opens_again_what_was_closed);
    suite.add(runs::a_slice_at_work_is_told_at_its_close_that_leads_were_resumed);
    suite.add(runs::a_job_resumes_by_itself_after_a_top_up_alone);
    suite.add(runs::a_cancelled_job_does_not_resume_by_itself);
    suite.add(runs::jobs_resume_by_themselves_one_at_a_time);
    suite.add(runs::what_was_refused_before_a_top_up_and_ends_after_it_is_resumed_once_more);
    suite.add(runs::a_job_that_lacks_no_money_has_no_second_turn);
    suite.add(runs::whoever_ends_a_cancelled_job_is_refused_once_it_is_resumed);
    suite.add(runs::a_lead_is_the_runs_that_works_on_it);
}

fn add_work(suite: &mut Suite) {
    suite.add(slices_close::of_slices_that_close_at_once_the_last_completes_their_job);
    suite.add(slices_close::a_hold_that_is_left_behind_expires_however_its_job_has_ended);
    suite.add(slices_close::a_hold_of_a_job_that_goes_on_is_counted_once);
    suite.add(slices_close::slices_of_a_cancelled_job_are_announced_again_until_it_has_ended);

    suite.add(slices::a_running_lease_keeps_others_off);
    suite.add(slices::a_lapsed_lease_is_taken_over);
    suite.add(slices::a_running_lease_keeps_off_whoever_has_the_jobs_lock);
    suite.add(slices::a_claim_sets_the_job_to_work);
    suite.add(slices::renewing_names_what_is_lost_and_keeps_the_rest);
    suite.add(slices::a_slice_that_was_given_up_is_anybodys);
    suite.add(slices::the_last_slice_to_close_completes_its_job_once);
    suite.add(slices::a_slice_with_leads_to_decide_stays_open);
    suite.add(slices::an_older_owner_closes_nothing);
    suite.add(slices::a_cancelled_job_ends_with_its_last_slice_and_stays_cancelled);
    suite.add(slices::slices_are_announced_in_order_and_once);
    suite.add(slices::stranded_slices_are_announced_again);
    suite.add(slices::a_job_of_which_nothing_was_announced_is_found);
    suite.add(slices::an_ended_lead_is_handed_on_until_its_slice_is_closed);
    suite.add(slices::a_result_is_told_again_while_its_slice_is_held);
    suite.add(slices::a_slice_set_aside_is_nobodys_until_its_job_is_resumed);
    suite.add(slices::a_slice_set_aside_keeps_its_job_open_and_no_money);
    suite.add(slices::a_slice_set_aside_is_ended_when_its_job_is_cancelled);
    suite.add(slices::an_older_owner_sets_nothing_aside);

    suite.add(happenings::a_low_wallet_is_told_once_per_crossing);
    suite.add(happenings::an_empty_wallet_is_told_once_per_top_up_and_stops_campaigns);
    suite.add(happenings::resume_activates_the_campaign_if_the_wallet_has_money);
    suite.add(happenings::a_rejected_key_is_told_once_until_it_works_again);
    suite.add(happenings::an_own_key_and_the_houses_account_are_told_apart);
    suite.add(happenings::happenings_are_taken_once_in_order_and_forgotten);
    suite.add(happenings::what_nobody_told_in_time_is_taken_again_as_it_was);

    suite.add(keys::a_workspace_keeps_its_settings);
    suite.add(keys::a_key_is_kept_in_place_of_the_earlier_one);
    suite.add(keys::every_change_of_a_workspace_or_key_is_counted);
    suite.add(keys::workers_are_known_from_heartbeat_to_farewell);
    suite.add(keys::a_configuration_is_stored_once_a_request);
}

fn add_copy(suite: &mut Suite) {
    suite.add(askings::where_answers_are_not_reused_nobody_waits);
    suite.add(askings::a_page_that_fails_for_one_fails_for_all_who_want_it);
    suite.add(askings::what_failed_but_for_the_page_is_asked_for_anew);
    suite.add(askings::a_page_that_was_read_is_known_however_it_fails_later);
    suite.add(askings::an_asking_counts_while_its_owner_lives);
    suite.add(askings::an_asking_counts_no_longer_than_its_hold);
    suite.add(askings::a_page_that_another_has_by_now_is_not_called_again);
    suite.add(askings::a_page_that_is_taken_up_is_asked_for_by_its_new_owner);
    suite.add(askings::a_page_that_another_asked_for_in_vain_meanwhile_is_not_called_again_either);

    suite.add(copy::a_copy_job_is_found_as_it_was_created);
    suite.add(copy::each_of_identical_leads_is_written_for);
    suite.add(copy::what_an_attempt_brought_stands_in_its_trail);
    suite.add(copy::a_page_that_is_known_is_taken_with_its_text);
    suite.add(copy::what_an_overtaken_owner_read_is_handed_to_its_successor);
    suite.add(copy::two_readings_that_differ_cost_both);
    suite.add(copy::a_page_is_asked_for_once_at_a_time);
    suite.add(copy::of_many_who_want_a_page_at_once_one_asks);
    suite.add(copy::a_page_that_could_not_be_had_is_asked_for_by_the_next);
    suite.add(copy::an_asking_that_expired_holds_up_nobody);
    suite.add(copy::a_refused_asking_holds_up_nobody);
    suite.add(copy::of_those_who_wait_for_money_one_asks);
    suite.add(copy::an_own_key_asks_once_too);
    suite.add(copy::workspaces_ask_each_for_themselves);
}

type Trial = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Promise {
    name: &'static str,
    keep: Box<dyn FnOnce(Lab) -> Trial>,
}

struct Suite {
    promises: Vec<Promise>,
}

impl Suite {
    fn add<F: Future<Output = ()> + Send + 'static>(&mut self, promise: impl FnOnce(Lab) -> F + 'static) {
        let name = type_name_of_val(&promise);
        self.promises.push(Promise { name, keep: Box::new(move |lab: Lab| -> Trial { Box::pin(promise(lab)) }) });
    }
}

struct Trials {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    broken: Vec<&'static str>,
}

impl Trials {
    fn begin(&mut self, promise: Promise, store: Arc<dyn Store>) {
        let lab = Lab::new(store);
        let trial = (promise.keep)(lab.clone());
        let task = self.running.spawn(async move {
            trial.await;
            lab.assert_sound().await;
        });
        self.names.insert(task.id(), promise.name);
    }

    async fn end_one(&mut self) {
        if let Some(Err(error)) = self.running.join_next().await {
            self.broken.push(self.names[&error.id()]);
        }
    }
}
