//! Slices: whose they are, how they are announced, and when they are done with.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::Job;
use crate::conformance::lab::LAPSED;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_lead;
use std::time::Duration;
use weir::domain::Reason;
use weir::domain::Run;
use weir::domain::Status;
use weir::jobs::Closing;
use weir::jobs::JobState;
use weir::jobs::NewLead;
use weir::jobs::Renewal;
use weir::jobs::Tenure;
use weir::ledger::LeadNo;
use weir::ledger::SliceNo;

async fn announced(lab: &Lab, job: &Job, at_most: u32) -> Vec<u32> {
    let slices = lab.store.announce_slices(job.stored.key, at_most).await.unwrap();
    slices.into_iter().map(|slice| slice.0).collect()
}

async fn find_nothing(lab: &Lab, job: &Job, lead: u32) {
    assert_eq!(lab.tell(job.finish(lead, Status::NotFound, Reason::None)).await, "done");
}

pub(super) async fn a_running_lease_keeps_others_off(lab: Lab) {
    let job = lab.sliced("list", 2).await;
    assert_eq!(lab.tell_claim(&job, LEASE).await, "taken");
    assert_eq!(lab.tell_claim(&job, LEASE).await, "leased");
    assert_eq!(lab.tell_claim(&job.at(1), LEASE).await, "taken");
}

pub(super) async fn a_lapsed_lease_is_taken_over(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    let (older, _) = lab.own(&job, LAPSED).await;
    let (newer, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.tell(older.finish(1, Status::NotFound, Reason::None)).await, "fenced");
    find_nothing(&lab, &newer, 1).await;
}

pub(super) async fn a_running_lease_keeps_off_whoever_has_the_jobs_lock(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    let (leased, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.tell_claim(&job, Tenure::Lock).await, "leased");
    lab.store.release_slice(leased.held()).await.unwrap();
    assert_eq!(lab.tell_claim(&job, Tenure::Lock).await, "taken");
    assert_eq!(lab.tell_claim(&job, Tenure::Lock).await, "taken");
    assert_eq!(lab.tell_claim(&job, LEASE).await, "taken");
}

pub(super) async fn a_claim_sets_the_job_to_work(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    assert_eq!(lab.state(&job).await, JobState::Queued);
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!((claim.state, lab.state(&job).await), (JobState::Running, JobState::Running));
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    lab.store.release_slice(job.held()).await.unwrap();
    let (job, claim) = lab.own(&job, Tenure::Lock).await;
    assert_eq!((claim.state, lab.state(&job).await), (JobState::Cancelled, JobState::Cancelled));
}

pub(super) async fn renewing_names_what_is_lost_and_keeps_the_rest(lab: Lab) {
    let job = lab.sliced("list", 3).await;
    let (kept, _) = lab.own(&job.at(0), LAPSED).await;
    let (lost, _) = lab.own(&job.at(1), LAPSED).await;
    let (closed, _) = lab.own(&job.at(2), LAPSED).await;
    assert_eq!(lab.tell_claim(&lost, LEASE).await, "taken");
    find_nothing(&lab, &closed, 3).await;
    assert_eq!(lab.store.close_slice(closed.held()).await.unwrap(), Closing::Closed);

    let held = vec![kept.held(), lost.held(), closed.held()];
    let told = [(kept.held(), Renewal::Renewed), (lost.held(), Renewal::Lost), (closed.held(), Renewal::Lost)];
    assert_eq!(lab.store.renew_slices(held, HOUR).await.unwrap(), told);
    assert_eq!(lab.tell_claim(&kept, LEASE).await, "leased");
}

pub(super) async fn a_slice_that_was_given_up_is_anybodys(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    let (older, _) = lab.own(&job, LEASE).await;
    lab.store.release_slice(older.held()).await.unwrap();
    assert_eq!(lab.tell_claim(&job, LEASE).await, "taken");
    // It is another's by now.
    lab.store.release_slice(older.held()).await.unwrap();
    assert_eq!(lab.tell_claim(&job, LEASE).await, "leased");
}

pub(super) async fn the_last_slice_to_close_completes_its_job_once(lab: Lab) {
    let job = lab.sliced("list", 2).await;
    let (first, _) = lab.own(&job.at(0), LEASE).await;
    let (last, _) = lab.own(&job.at(1), LEASE).await;
    find_nothing(&lab, &first, 1).await;
    find_nothing(&lab, &last, 2).await;
    assert_eq!(lab.store.close_slice(first.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Running);
    assert!(lab.happenings().await.is_empty());

    assert_eq!(lab.store.close_slice(last.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Completed);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1"]);
    assert_eq!(lab.store.close_slice(last.held()).await.unwrap(), Closing::Closed);
    assert!(lab.happenings().await.is_empty());
    assert!(lab.store.open_slices(job.stored.key).await.unwrap().is_empty());
    assert_eq!(lab.tell_claim(&last, Tenure::Lock).await, "closed");
}

pub(super) async fn a_slice_with_leads_to_decide_stays_open(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    let (job, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Reopened);
    assert_eq!(lab.store.open_slices(job.stored.key).await.unwrap(), [SliceNo(0)]);
    assert_eq!(lab.tell_claim(&job, LEASE).await, "taken");
}

pub(super) async fn an_older_owner_closes_nothing(lab: Lab) {
    let older = lab.job("list", 1).await;
    find_nothing(&lab, &older, 1).await;
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.store.close_slice(older.held()).await.unwrap(), Closing::Fenced);
    assert_eq!(lab.store.close_slice(newer.held()).await.unwrap(), Closing::Closed);
}

pub(super) async fn a_cancelled_job_ends_with_its_last_slice_and_stays_cancelled(lab: Lab) {
    let job = lab.job("list", 1).await;
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert!(lab.happenings().await.is_empty());
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::Cancelled)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Cancelled);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1"]);
}

pub(super) async fn slices_are_announced_in_order_and_once(lab: Lab) {
    let job = lab.sliced("list", 5).await;
    assert_eq!(lab.tell_claim(&job.at(1), LEASE).await, "taken");
    assert_eq!(announced(&lab, &job, 2).await, [0, 2]);
    assert_eq!(announced(&lab, &job, 10).await, [3, 4]);
    assert!(announced(&lab, &job, 10).await.is_empty());
}

pub(super) async fn stranded_slices_are_announced_again(lab: Lab) {
    let job = lab.sliced("list", 5).await;
    assert_eq!(announced(&lab, &job, 4).await, [0, 1, 2, 3]);
    let (leased, _) = lab.own(&job.at(0), LEASE).await;
    let (left, _) = lab.own(&job.at(1), LEASE).await;
    assert_eq!(lab.tell_claim(&job.at(2), LAPSED).await, "taken");
    lab.store.release_slice(left.held()).await.unwrap();
    assert!(lab.store.stranded_slices(HOUR, 10).await.unwrap().is_empty());
    assert_eq!(lab.stranded(10, 3).await, [1, 2, 3]);

    lab.store.release_slice(leased.held()).await.unwrap();
    assert_eq!(lab.stranded(10, 4).await, [0, 1, 2, 3]);
}

pub(super) async fn a_job_of_which_nothing_was_announced_is_found(lab: Lab) {
    let job = lab.sliced("list", 3).await;
    assert!(lab.store.stranded_slices(HOUR, 2).await.unwrap().is_empty());
    assert_eq!(lab.stranded(2, 2).await, [0, 1]);
    assert_eq!(announced(&lab, &job, 10).await, [2]);
}

pub(super) async fn an_ended_lead_is_handed_on_until_its_slice_is_closed(lab: Lab) {
    let copy = NewLead { lead: new_lead(1).lead, ..new_lead(3) };
    let job = lab.job_of(acme(), "list", vec![new_lead(1), new_lead(2), copy]).await;
    find_nothing(&lab, &job, 1).await;
    let (job, claim) = lab.own(&job, Tenure::Lock).await;
    assert_eq!(claim.leads.iter().map(|lead| lead.n).collect::<Vec<_>>(), [LeadNo(2)]);
    assert_eq!(claim.unannounced, [LeadNo(1)]);
    assert_eq!(lab.tell(job.finish(2, Status::Failed, Reason::Deadline)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);

    // The result of the first is out since the earlier run.
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
    let (job, claim) = lab.own(&job, Tenure::Lock).await;
    assert!(claim.unannounced.is_empty());
    find_nothing(&lab, &job, 2).await;
    let (_, claim) = lab.own(&job, Tenure::Lock).await;
    assert_eq!((claim.leads.len(), claim.unannounced), (0, vec![LeadNo(2)]));
}

pub(super) async fn a_result_is_told_again_while_its_slice_is_held(lab: Lab) {
    let older = lab.job("list", 2).await;
    assert!(lab.store.telling(older.held(), LeadNo(1)).await.unwrap().is_none());
    find_nothing(&lab, &older, 1).await;
    let told = lab.store.telling(older.held(), LeadNo(1)).await.unwrap().unwrap();
    assert_eq!(
        (told.n, told.run, told.ending.map(|ending| ending.status)),
        (LeadNo(1), Run::FIRST, Some(Status::NotFound))
    );
    assert!(told.ended_ms.is_some());

    let (job, _) = lab.claim(&older).await;
    assert!(lab.store.telling(older.held(), LeadNo(1)).await.unwrap().is_none());
    let again = lab.store.telling(job.held(), LeadNo(1)).await.unwrap().unwrap();
    assert_eq!((again.id, again.ended_ms), (told.id, told.ended_ms));

    assert_eq!(lab.tell(job.finish(2, Status::Failed, Reason::Deadline)).await, "done");
    assert!(lab.store.telling(job.held(), LeadNo(2)).await.unwrap().is_some());
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
    assert!(lab.store.telling(job.held(), LeadNo(2)).await.unwrap().is_none());
    assert!(lab.store.telling(job.held(), LeadNo(1)).await.unwrap().is_some());
}

pub(super) async fn a_slice_set_aside_is_nobodys_until_its_job_is_resumed(lab: Lab) {
    let job = lab.sliced("list", 2).await;
    let key = job.stored.key;
    assert_eq!(announced(&lab, &job, 1).await, [0]);
    let (broken, _) = lab.own(&job, LEASE).await;
    lab.store.set_aside_slice(broken.held(), "it breaks").await.unwrap();
    assert_eq!(lab.store.set_aside().await.unwrap(), 1);
    assert_eq!(lab.tell_claim(&job, LEASE).await, "closed");
    assert_eq!(lab.tell_claim(&job, Tenure::Lock).await, "closed");
    assert_eq!(lab.stranded(10, 1).await, [1]);
    assert!(announced(&lab, &job, 10).await.is_empty());

    assert_eq!(lab.store.resume_job(key).await.unwrap(), 0);
    assert_eq!(lab.store.set_aside().await.unwrap(), 0);
    assert_eq!(lab.state(&job).await, JobState::Queued);
    assert_eq!(announced(&lab, &job, 10).await, [0, 1]);
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!((claim.run, claim.leads.len()), (Run::FIRST, 1));
    assert_eq!(lab.tell(broken.finish(1, Status::NotFound, Reason::None)).await, "fenced");
    find_nothing(&lab, &job, 1).await;
}

/// Leads that were at work when it was set aside may still end.
pub(super) async fn a_slice_set_aside_keeps_its_job_open_and_no_money(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.sliced("list", 2).await;
    let (broken, _) = lab.own(&job, LEASE).await;
    let (other, _) = lab.own(&job.at(1), LEASE).await;
    assert_eq!(lab.tell(broken.begin(Call { expires_in: Duration::ZERO, ..call(1, 1) })).await, "granted");
    lab.store.set_aside_slice(broken.held(), "it breaks").await.unwrap();
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.wallet().await, "10, 0 held");

    find_nothing(&lab, &broken, 1).await;
    find_nothing(&lab, &other, 2).await;
    assert_eq!(lab.store.close_slice(other.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Running);
    assert_eq!(lab.store.open_slices(job.stored.key).await.unwrap(), [SliceNo(0)]);
    assert!(lab.happenings().await.is_empty());
}

/// To end its leads calls nothing.
pub(super) async fn a_slice_set_aside_is_ended_when_its_job_is_cancelled(lab: Lab) {
    let job = lab.sliced("list", 1).await;
    let (broken, _) = lab.own(&job, LEASE).await;
    lab.store.set_aside_slice(broken.held(), "it breaks").await.unwrap();
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert_eq!(lab.store.set_aside().await.unwrap(), 0);
    assert_eq!(announced(&lab, &job, 10).await, [0]);
    let (_, claim) = lab.own(&job, LEASE).await;
    assert_eq!((claim.state, claim.leads.len()), (JobState::Cancelled, 1));
}

pub(super) async fn an_older_owner_sets_nothing_aside(lab: Lab) {
    let older = lab.job("list", 1).await;
    let (newer, _) = lab.claim(&older).await;
    lab.store.set_aside_slice(older.held(), "it breaks").await.unwrap();
    assert_eq!(lab.store.set_aside().await.unwrap(), 0);
    find_nothing(&lab, &newer, 1).await;
    assert_eq!(lab.store.close_slice(newer.held()).await.unwrap(), Closing::Closed);
}
