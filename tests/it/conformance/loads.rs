//! Loads: one at a time, whole or begun anew, and sealed once.

use crate::conformance::Lab;
use crate::conformance::lab::Job;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use weir::domain::LeadId;
use weir::domain::Reason;
use weir::domain::Status;
use weir::jobs::Closing;
use weir::jobs::JobState;
use weir::jobs::LoadError;
use weir::jobs::NewLead;
use weir::ledger::JobKey;
use weir::ledger::LeadNo;
use weir::ledger::SliceNo;

/// A job that is still loading.
async fn loading(lab: &Lab) -> JobKey {
    lab.store.create_job(new_job(acme(), "list")).await.unwrap().key
}

fn named(n: u32, id: &str) -> NewLead {
    NewLead { id: LeadId::new(id), ..new_lead(n) }
}

fn is_superseded(loaded: &Result<(), LoadError>) -> bool {
    matches!(loaded, Err(LoadError::Superseded))
}

pub(super) async fn a_repeated_id_is_named_and_row_numbers_load_instead(lab: Lab) {
    let job = loading(&lab).await;
    let load = lab.store.begin_load(job).await.unwrap().unwrap();
    let refused = lab.store.load_leads(load, vec![named(1, "ada"), named(2, "bob"), named(3, "ada")]).await;
    assert!(matches!(refused, Err(LoadError::RepeatedId(id)) if id.as_str() == "ada"));

    lab.load(job, vec![named(1, "1"), named(2, "2"), named(3, "3")]).await;
    assert_eq!(lab.store.progress(job).await.unwrap().leads, 3);
    assert_eq!(lab.store.find_lead(job, &LeadId::new("3")).await.unwrap(), Some(LeadNo(3)));
    assert_eq!(lab.store.find_lead(job, &LeadId::new("ada")).await.unwrap(), None);
}

pub(super) async fn a_batch_with_a_repeated_id_stores_nothing(lab: Lab) {
    let job = loading(&lab).await;
    let load = lab.store.begin_load(job).await.unwrap().unwrap();
    lab.store.load_leads(load, vec![named(1, "ada")]).await.unwrap();
    let refused = lab.store.load_leads(load, vec![named(2, "bob"), named(3, "ada")]).await;
    assert!(matches!(refused, Err(LoadError::RepeatedId(id)) if id.as_str() == "ada"));
    assert_eq!(lab.store.find_lead(job, &LeadId::new("bob")).await.unwrap(), None);
    lab.store.load_leads(load, vec![named(2, "bob")]).await.unwrap();
    lab.store.seal_job(load).await.unwrap();
    assert_eq!(lab.store.progress(job).await.unwrap().leads, 2);
}

pub(super) async fn a_newer_load_begins_anew_and_ends_the_older(lab: Lab) {
    let job = loading(&lab).await;
    let older = lab.store.begin_load(job).await.unwrap().unwrap();
    lab.store.load_leads(older, (1..=3).map(new_lead).collect()).await.unwrap();
    let newer = lab.store.begin_load(job).await.unwrap().unwrap();
    assert_eq!(lab.store.find_lead(job, &LeadId::new("lead-1")).await.unwrap(), None);

    assert!(is_superseded(&lab.store.load_leads(older, vec![new_lead(4)]).await));
    assert!(is_superseded(&lab.store.seal_job(older).await));
    lab.store.load_leads(newer, vec![new_lead(1), new_lead(2)]).await.unwrap();
    lab.store.seal_job(newer).await.unwrap();
    assert_eq!(lab.store.progress(job).await.unwrap().leads, 2);
}

pub(super) async fn a_sealed_job_is_loaded_no_more(lab: Lab) {
    let job = loading(&lab).await;
    let load = lab.load(job, vec![new_lead(1)]).await;
    assert_eq!(lab.store.begin_load(job).await.unwrap(), None);
    assert!(is_superseded(&lab.store.load_leads(load, vec![new_lead(2)]).await));
    assert!(is_superseded(&lab.store.seal_job(load).await));
    assert_eq!(lab.store.progress(job).await.unwrap().leads, 1);
}

pub(super) async fn identical_leads_are_found_across_batches(lab: Lab) {
    let job = loading(&lab).await;
    let copy = |n: u32| NewLead { lead: new_lead(1).lead, ..new_lead(n) };
    let load = lab.store.begin_load(job).await.unwrap().unwrap();
    lab.store.load_leads(load, vec![new_lead(1), copy(2)]).await.unwrap();
    lab.store.load_leads(load, vec![copy(3), new_lead(4)]).await.unwrap();
    lab.store.seal_job(load).await.unwrap();
    let copies = lab.store.copies(job, LeadNo(1)).await.unwrap();
    assert_eq!(copies.iter().map(|(n, _)| n.0).collect::<Vec<_>>(), [2, 3]);
}

pub(super) async fn a_job_without_leads_is_complete_at_once(lab: Lab) {
    let job = lab.sealed(new_job(acme(), "empty"), Vec::new()).await;
    assert_eq!(lab.state(&job).await, JobState::Completed);
    assert_eq!(lab.happenings().await, ["job_completed acme: empty/1"]);
    assert_eq!(lab.tell_claim(&job, LEASE).await, "closed");
}

/// Every lead needs its ending, the cancelled ones too.
pub(super) async fn a_job_that_is_cancelled_while_it_loads_is_loaded_to_its_end(lab: Lab) {
    let job = lab.store.create_job(new_job(acme(), "list")).await.unwrap();
    let given_up = lab.store.begin_load(job.key).await.unwrap().unwrap();
    lab.store.load_leads(given_up, vec![new_lead(1)]).await.unwrap();
    assert!(lab.store.cancel_job(job.key).await.unwrap());
    assert!(lab.store.cancel_job(job.key).await.unwrap());

    // Whoever loads it next does not hear of it either.
    let load = lab.store.begin_load(job.key).await.unwrap().unwrap();
    assert!(is_superseded(&lab.store.seal_job(given_up).await));
    lab.store.load_leads(load, vec![new_lead(1), new_lead(2)]).await.unwrap();
    assert!(lab.happenings().await.is_empty());
    lab.store.seal_job(load).await.unwrap();
    assert_eq!(lab.store.read_job(job.key).await.unwrap().unwrap().state, JobState::Cancelled);
    assert!(lab.happenings().await.is_empty());

    assert_eq!(lab.store.announce_slices(job.key, 10).await.unwrap(), [SliceNo(0)]);
    let (job, claim) = lab.own(&Job::of(job), LEASE).await;
    assert_eq!((claim.state, claim.leads.len()), (JobState::Cancelled, 2));
    for lead in [1, 2] {
        assert_eq!(lab.tell(job.finish(lead, Status::Skipped, Reason::Cancelled)).await, "done");
    }
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Cancelled);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1"]);
}

pub(super) async fn a_cancellation_is_lifted_by_resume_before_the_job_is_loaded(lab: Lab) {
    let job = loading(&lab).await;
    assert!(lab.store.cancel_job(job).await.unwrap());
    assert_eq!(lab.store.resume_job(job).await.unwrap(), 0);
    lab.load(job, vec![new_lead(1)]).await;
    assert_eq!(lab.store.read_job(job).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(lab.store.open_slices(job).await.unwrap(), [SliceNo(0)]);
}

pub(super) async fn an_empty_job_that_was_cancelled_while_it_loaded_has_ended(lab: Lab) {
    let job = loading(&lab).await;
    assert!(lab.store.cancel_job(job).await.unwrap());
    lab.load(job, Vec::new()).await;
    assert_eq!(lab.store.read_job(job).await.unwrap().unwrap().state, JobState::Cancelled);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1"]);
}

pub(super) async fn more_leads_than_can_be_numbered_are_refused(lab: Lab) {
    let job = loading(&lab).await;
    let load = lab.store.begin_load(job).await.unwrap().unwrap();
    let refused = lab.store.load_leads(load, vec![new_lead(1), new_lead(u32::MAX)]).await;
    let Err(LoadError::TooMany { most }) = refused else { panic!("{refused:?}") };
    assert!(most > 10_000_000);
    assert_eq!(lab.store.find_lead(job, &LeadId::new("lead-1")).await.unwrap(), None);
    let refused = lab.store.load_leads(load, vec![new_lead(most + 1)]).await;
    assert!(matches!(refused, Err(LoadError::TooMany { .. })));
    lab.store.load_leads(load, vec![new_lead(most)]).await.unwrap();
}
