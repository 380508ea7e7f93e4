//! Lists: how they are loaded, cut and counted.

use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use weir::domain::JobId;
use weir::domain::LeadId;
use weir::domain::Reason;
use weir::domain::Status;
use weir::jobs::JobState;
use weir::jobs::LoadError;
use weir::jobs::NewJob;
use weir::jobs::NewLead;
use weir::ledger::LeadNo;
use weir::ledger::SliceNo;

pub(super) async fn a_job_is_found_as_it_was_created(lab: Lab) {
    let new = new_job(acme(), "list");
    assert!(lab.store.find_job(&new.id).await.unwrap().is_none());
    let created = lab.store.create_job(new.clone()).await.unwrap();
    assert_eq!(created.state, JobState::Loading);
    lab.store.load_leads(created.key, vec![new_lead(1), new_lead(2)]).await.unwrap();
    lab.store.seal_job(created.key).await.unwrap();

    let found = lab.store.find_job(&new.id).await.unwrap().unwrap();
    assert_eq!((found.key, found.state, found.leads), (created.key, JobState::Queued, 2));
    assert_eq!((found.workspace, found.waterfall, found.content), (acme(), new.waterfall, new.content));
    assert_eq!((found.max_spend, found.account), (None, created.account));
    lab.job("another", 1).await;
    let ids: Vec<JobId> = lab.store.list_jobs().await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(ids, [new.id, JobId::new("another")]);
}

pub(super) async fn a_repeated_id_is_named_and_row_numbers_load_instead(lab: Lab) {
    let job = lab.store.create_job(new_job(acme(), "list")).await.unwrap().key;
    let named = |n: u32, id: &str| NewLead { id: LeadId::new(id), ..new_lead(n) };
    let refused = lab.store.load_leads(job, vec![named(1, "ada"), named(2, "bob"), named(3, "ada")]).await;
    assert!(matches!(refused, Err(LoadError::RepeatedId(id)) if id.as_str() == "ada"));

    lab.store.unload_leads(job).await.unwrap();
    lab.store.load_leads(job, vec![named(1, "1"), named(2, "2"), named(3, "3")]).await.unwrap();
    lab.store.seal_job(job).await.unwrap();
    assert_eq!(lab.store.progress(job).await.unwrap().leads, 3);
    assert_eq!(lab.store.find_lead(job, &LeadId::new("3")).await.unwrap(), Some(LeadNo(3)));
    assert_eq!(lab.store.find_lead(job, &LeadId::new("ada")).await.unwrap(), None);
}

pub(super) async fn loading_again_passes_over_what_is_there(lab: Lab) {
    let job = lab.store.create_job(new_job(acme(), "list")).await.unwrap().key;
    lab.store.load_leads(job, (1..=3).map(new_lead).collect()).await.unwrap();
    lab.store.load_leads(job, (1..=5).map(new_lead).collect()).await.unwrap();
    lab.store.seal_job(job).await.unwrap();
    let claim = lab.store.claim_slice(job, SliceNo(0)).await.unwrap().unwrap();
    let loaded: Vec<(u32, u32)> = claim.leads.iter().map(|lead| (lead.n.0, lead.copies)).collect();
    assert_eq!(loaded, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
}

pub(super) async fn identical_leads_are_worked_once_and_counted_all(lab: Lab) {
    lab.top_up("10").await;
    let copy = |n: u32| NewLead { lead: new_lead(1).lead, ..new_lead(n) };
    let job = lab.job_of(acme(), "list", vec![new_lead(1), copy(2), new_lead(3), copy(4)]).await;
    let (job, work) = lab.claim(&job).await;
    let to_do: Vec<(u32, u32)> = work.iter().map(|lead| (lead.n.0, lead.copies)).collect();
    assert_eq!(to_do, [(1, 2), (3, 0)]);

    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.finish(1, Status::Verified, Reason::None)).await, "done");
    let progress = lab.store.progress(job.stored.key).await.unwrap();
    assert_eq!((progress.leads, progress.done), (4, 3));
    assert_eq!(progress.by_status, [(Status::Verified, 3)]);
    assert_eq!(progress.by_reason, [(Reason::None, 3)]);
    let told = [
        "lead-1: verified none, 3, 1 called",
        "lead-2: verified none, 0, 0 called",
        "lead-3: open, 0, 0 called",
        "lead-4: verified none, 0, 0 called",
    ];
    assert_eq!(lab.results(&job).await, told);
}

pub(super) async fn an_unusable_row_has_ended_before_it_began(lab: Lab) {
    let unusable = |n: u32| NewLead { lead: None, ..new_lead(n) };
    let job = lab.job_of(acme(), "list", vec![unusable(1), new_lead(2), unusable(3)]).await;
    let (job, work) = lab.claim(&job).await;
    assert_eq!(work.iter().map(|lead| lead.n).collect::<Vec<_>>(), [LeadNo(2)]);
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 2);
    let told = [
        "lead-1: skipped invalid_input, 0, 0 called",
        "lead-2: open, 0, 0 called",
        "lead-3: skipped invalid_input, 0, 0 called",
    ];
    assert_eq!(lab.results(&job).await, told);
}

pub(super) async fn slices_are_cut_in_order_and_close_when_decided(lab: Lab) {
    let small = NewJob { slice_size: 2, ..new_job(acme(), "list") };
    let job = lab.store.create_job(small).await.unwrap().key;
    let unusable = NewLead { lead: None, ..new_lead(5) };
    let leads = (1..=4).map(new_lead).chain([unusable, new_lead(6), new_lead(7)]).collect();
    lab.store.load_leads(job, leads).await.unwrap();
    lab.store.seal_job(job).await.unwrap();
    assert_eq!(lab.store.open_slices(job).await.unwrap(), [SliceNo(0), SliceNo(1), SliceNo(2), SliceNo(3)]);
    for (slice, leads) in [(1, vec![3, 4]), (2, vec![6]), (3, vec![7])] {
        let claim = lab.store.claim_slice(job, SliceNo(slice)).await.unwrap().unwrap();
        assert_eq!(claim.leads.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), leads);
    }
    assert!(lab.store.claim_slice(job, SliceNo(4)).await.unwrap().is_none());

    let decided = lab.job("decided", 1).await;
    assert_eq!(lab.tell(decided.finish(1, Status::NotFound, Reason::None)).await, "done");
    assert!(lab.store.open_slices(decided.stored.key).await.unwrap().is_empty());
    assert!(lab.store.claim_slice(decided.stored.key, SliceNo(0)).await.unwrap().is_none());
}

pub(super) async fn a_page_of_results_begins_after_its_lead(lab: Lab) {
    let job = lab.job("list", 5).await;
    let page = lab.store.results(job.stored.key, LeadNo(2), 2).await.unwrap();
    assert_eq!(page.iter().map(|result| result.n).collect::<Vec<_>>(), [LeadNo(3), LeadNo(4)]);
}
