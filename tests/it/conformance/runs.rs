//! Runs: how leads end, and how they are taken up again.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Job;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::booking;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use crate::conformance::lab::usd;
use weir::domain::Reason;
use weir::domain::Run;
use weir::domain::Status;
use weir::jobs::Closing;
use weir::jobs::JobState;
use weir::jobs::NewJob;
use weir::ledger::LeadNo;
use weir::ledger::SliceNo;

pub(super) async fn a_lead_ends_once_a_run(lab: Lab) {
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.finish(1, Status::NotFound, Reason::None)).await, "done");
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::JobCap)).await, "done");
    assert_eq!(lab.results(&job).await, ["lead-1: not_found none, 0, 0 called", "lead-2: open, 0, 0 called"]);
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 1);
}

pub(super) async fn resume_counts_exactly_what_can_have_changed_and_keeps_answers(lab: Lab) {
    lab.top_up("10").await;
    let reasons = || (1..).zip(Reason::ALL.iter().copied());
    let job = lab.job("list", u32::try_from(Reason::ALL.len()).unwrap()).await;
    for (lead, reason) in reasons() {
        let answered = Call { price: "0.5", ..call(lead, 1) };
        assert_eq!(lab.tell(job.begin(answered)).await, "granted");
        assert_eq!(lab.tell(job.end(answered, "0.5")).await, "charged 0.5; done");
        assert_eq!(lab.tell(job.finish(lead, Status::Unverified, reason)).await, "done");
    }

    // CONTRACTS §2, and what a model was paid for: it would be asked the same again.
    let finals = [Reason::None, Reason::NoVerifier, Reason::InvalidInput, Reason::Refused, Reason::Truncated];
    let is_final = |reason| finals.contains(&reason);
    let again: Vec<u32> = reasons().filter(|(_, reason)| !is_final(*reason)).map(|(lead, _)| lead).collect();
    let resumed = lab.store.resume_job(job.stored.key).await.unwrap();
    assert_eq!(resumed, u64::try_from(again.len()).unwrap());
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 5);
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 0);

    let stored = lab.store.find_job(&job.stored.id).await.unwrap().unwrap();
    assert_eq!((stored.run, stored.state), (Run::new(2), JobState::Queued));
    let (job, work) = lab.claim(&job).await;
    assert_eq!(work.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), again);
    for lead in again {
        assert_eq!(lab.trail(&job, lead).await, ["leadmagic: found, called, 0.5"]);
    }
}

pub(super) async fn a_cancelled_job_is_opened_again_by_resume_alone(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 3).await;
    let key = job.stored.key;
    assert_eq!(lab.tell(job.finish(1, Status::NotFound, Reason::None)).await, "done");
    assert!(lab.store.cancel_job(key).await.unwrap());
    assert!(lab.store.cancel_job(key).await.unwrap());
    let (job, _) = lab.claim(&job).await;
    assert_eq!(lab.tell(job.finish(2, Status::Skipped, Reason::Cancelled)).await, "done");
    assert_eq!(lab.state(&job).await, JobState::Cancelled);

    // The third had not ended, and so is not counted; it is worked all the same.
    assert_eq!(lab.store.resume_job(key).await.unwrap(), 1);
    assert_eq!(lab.state(&job).await, JobState::Queued);
    let (job, work) = lab.claim(&job).await;
    assert_eq!(work.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
}

pub(super) async fn the_lead_cap_counts_every_run(lab: Lab) {
    lab.top_up("10").await;
    let mut job = lab.job("list", 1).await;
    job.lead_cap = Some(usd("5"));
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.finish(1, Status::Unverified, Reason::VerifiersUnavailable)).await, "done");
    lab.store.resume_job(job.stored.key).await.unwrap();
    let (job, _) = lab.claim(&job).await;
    assert_eq!(lab.tell(job.begin(Call { provider: "prospeo", ..call(1, 2) })).await, "refused capped lead");
    assert_eq!(lab.tell(job.begin(Call { provider: "prospeo", price: "2", ..call(1, 3) })).await, "granted");
}

pub(super) async fn a_submission_is_handed_to_the_next_owner(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.submit(call(1, 1), "h-1")).await, "done");
    let (job, work) = lab.claim(&job).await;
    assert_eq!(work[0].attempts.len(), 1);
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: submitted h-1"]);
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
}

/// The lead of that slice ends, and its slice is closed.
async fn end(lab: &Lab, job: &Job, slice: u32, reason: Reason) {
    let (job, _) = lab.own(&job.at(slice), LEASE).await;
    assert_eq!(lab.tell(job.finish(slice + 1, Status::Skipped, reason)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
}

pub(super) async fn resume_opens_again_what_was_closed(lab: Lab) {
    let job = lab.sliced("list", 3).await;
    let key = job.stored.key;
    for (slice, reason) in [(0, Reason::InvalidInput), (1, Reason::WalletEmpty), (2, Reason::InvalidInput)] {
        end(&lab, &job, slice, reason).await;
    }
    assert_eq!(lab.state(&job).await, JobState::Completed);
    assert!(!lab.store.cancel_job(key).await.unwrap());

    assert_eq!(lab.store.resume_job(key).await.unwrap(), 1);
    assert_eq!(lab.state(&job).await, JobState::Queued);
    assert_eq!(lab.store.open_slices(key).await.unwrap(), [SliceNo(1)]);
    assert_eq!(lab.store.announce_slices(key, 10).await.unwrap(), [SliceNo(1)]);
    assert_eq!(lab.tell_claim(&job.at(0), LEASE).await, "closed");
    end(&lab, &job, 1, Reason::InvalidInput).await;
    assert_eq!(lab.state(&job).await, JobState::Completed);
    assert_eq!(lab.store.progress(key).await.unwrap().done, 3);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1", "job_completed acme: list/2"]);
}

pub(super) async fn a_slice_at_work_is_told_at_its_close_that_leads_were_resumed(lab: Lab) {
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::WalletEmpty)).await, "done");
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Reopened);
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!((claim.run, claim.leads.len()), (Run::new(2), 1));
    assert_eq!(lab.tell(job.finish(1, Status::NotFound, Reason::None)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
}

pub(super) async fn a_job_resumes_by_itself_after_a_top_up_alone(lab: Lab) {
    let by_itself = NewJob { auto_resume: true, ..new_job(acme(), "by-itself") };
    let by_itself = lab.sealed(by_itself, vec![new_lead(1)]).await;
    let other = lab.sealed(new_job(acme(), "other"), vec![new_lead(1)]).await;
    end(&lab, &by_itself, 0, Reason::WalletEmpty).await;
    end(&lab, &other, 0, Reason::WalletEmpty).await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    assert!(lab.store.adjust(booking("1", "courtesy")).await.unwrap());
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);

    lab.top_up("10").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), Some(by_itself.stored.key));
    assert_eq!(lab.state(&by_itself).await, JobState::Queued);
    assert_eq!(lab.state(&other).await, JobState::Completed);
    assert!(!lab.store.top_up(booking("10", "10")).await.unwrap());
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
}

/// Nor one that has nothing to resume.
pub(super) async fn a_cancelled_job_does_not_resume_by_itself(lab: Lab) {
    let new = |id| NewJob { auto_resume: true, ..new_job(acme(), id) };
    let cancelled = lab.sealed(new("cancelled"), vec![new_lead(1)]).await;
    lab.sealed(new("at-work"), vec![new_lead(1)]).await;
    lab.top_up("10").await;
    assert!(lab.store.cancel_job(cancelled.stored.key).await.unwrap());
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    lab.top_up("5").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    assert_eq!(lab.state(&cancelled).await, JobState::Cancelled);
}

pub(super) async fn jobs_resume_by_themselves_one_at_a_time(lab: Lab) {
    let mut keys = Vec::new();
    for id in ["1st", "2nd"] {
        let job = lab.sealed(NewJob { auto_resume: true, ..new_job(acme(), id) }, vec![new_lead(1)]).await;
        end(&lab, &job, 0, Reason::WalletEmpty).await;
        keys.push(job.stored.key);
    }
    lab.top_up("10").await;
    for key in keys {
        assert_eq!(lab.store.auto_resume().await.unwrap(), Some(key));
    }
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
}

async fn skip(lab: &Lab, job: &Job, lead: u32, reason: Reason) {
    assert_eq!(lab.tell(job.finish(lead, Status::Skipped, reason)).await, "done");
}

pub(super) async fn what_was_refused_before_a_top_up_and_ends_after_it_is_resumed_once_more(lab: Lab) {
    let new = NewJob { auto_resume: true, ..new_job(acme(), "list") };
    let job = lab.sealed(new, vec![new_lead(1), new_lead(2)]).await;
    let key = job.stored.key;
    let (job, _) = lab.own(&job, LEASE).await;
    skip(&lab, &job, 1, Reason::WalletEmpty).await;
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "refused unaffordable");
    lab.top_up("10").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), Some(key));
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);

    skip(&lab, &job, 2, Reason::WalletEmpty).await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Reopened);
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!(claim.leads.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), [1]);
    skip(&lab, &job, 1, Reason::InvalidInput).await;
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);

    assert_eq!(lab.store.auto_resume().await.unwrap(), Some(key));
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!(claim.leads.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), [2]);
    skip(&lab, &job, 2, Reason::WalletEmpty).await;
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
}

pub(super) async fn a_job_that_lacks_no_money_has_no_second_turn(lab: Lab) {
    let job = lab.sealed(NewJob { auto_resume: true, ..new_job(acme(), "list") }, vec![new_lead(1)]).await;
    let (job, _) = lab.own(&job, LEASE).await;
    lab.top_up("10").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    skip(&lab, &job, 1, Reason::KeyRejected).await;
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    assert_eq!(lab.state(&job).await, JobState::Completed);
}

pub(super) async fn whoever_ends_a_cancelled_job_is_refused_once_it_is_resumed(lab: Lab) {
    let job = lab.sliced("list", 2).await;
    let key = job.stored.key;
    let (ender, _) = lab.own(&job, LEASE).await;
    assert!(lab.store.cancel_job(key).await.unwrap());
    assert_eq!(lab.store.resume_job(key).await.unwrap(), 0);
    assert_eq!(lab.tell(ender.finish(1, Status::Skipped, Reason::Cancelled)).await, "fenced");
    assert_eq!(lab.store.announce_slices(key, 10).await.unwrap(), [SliceNo(0), SliceNo(1)]);
    let (_, claim) = lab.own(&job, LEASE).await;
    assert_eq!((claim.state, claim.leads.len()), (JobState::Running, 1));
}

/// Also when it is other leads that began that run.
pub(super) async fn a_lead_is_the_runs_that_works_on_it(lab: Lab) {
    let job = lab.job("list", 2).await;
    skip(&lab, &job, 1, Reason::WalletEmpty).await;
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!(claim.run, Run::new(2));
    skip(&lab, &job, 2, Reason::WalletEmpty).await;
    let results = lab.store.results(job.stored.key, LeadNo(0), 10).await.unwrap();
    assert!(results.iter().all(|result| result.run == claim.run));
}
