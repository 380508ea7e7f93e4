//! Runs: how leads end, and how they are taken up again.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Job;
use crate::conformance::lab::usd;
use weir::domain::Reason;
use weir::domain::Run;
use weir::domain::Status;
use weir::jobs::JobState;

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

    let is_final = |reason| [Reason::None, Reason::NoVerifier, Reason::InvalidInput].contains(&reason);
    let again: Vec<u32> = reasons().filter(|(_, reason)| !is_final(*reason)).map(|(lead, _)| lead).collect();
    let resumed = lab.store.resume_job(job.stored.key).await.unwrap();
    assert_eq!(resumed, u64::try_from(again.len()).unwrap());
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 3);
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
    lab.store.cancel_job(key).await.unwrap();
    assert_eq!(lab.tell(job.finish(2, Status::Skipped, Reason::Cancelled)).await, "done");
    lab.store.mark_job(key, JobState::Running).await.unwrap();
    assert_eq!(state(&lab, &job).await, JobState::Cancelled);

    // The third had not ended, and so is not counted; it is worked all the same.
    assert_eq!(lab.store.resume_job(key).await.unwrap(), 1);
    assert_eq!(state(&lab, &job).await, JobState::Queued);
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

async fn state(lab: &Lab, job: &Job) -> JobState {
    lab.store.find_job(&job.stored.id).await.unwrap().unwrap().state
}
