//! Leads: counted, copied, cut into slices, and shown as results.

use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use weir::domain::CampaignId;
use weir::domain::JobId;
use weir::domain::LeadId;
use weir::domain::Reason;
use weir::domain::Status;
use weir::domain::Usd;
use weir::jobs::JobState;
use weir::jobs::NewJob;
use weir::jobs::NewLead;
use weir::jobs::Reply;
use weir::ledger::LeadNo;
use weir::ledger::LedgerError;
use weir::ledger::SliceNo;

pub(super) async fn a_job_is_found_as_it_was_created(lab: Lab) {
    let new = new_job(acme(), "list");
    assert!(lab.store.find_job(&new.id).await.unwrap().is_none());
    let created = lab.store.create_job(new.clone()).await.unwrap();
    assert_eq!(created.state, JobState::Loading);
    lab.load(created.key, vec![new_lead(1), new_lead(2)]).await;

    let found = lab.store.find_job(&new.id).await.unwrap().unwrap();
    assert_eq!((found.key, found.state, found.leads), (created.key, JobState::Queued, 2));
    assert_eq!((found.workspace, found.work, found.content), (acme(), new.work, new.content));
    assert_eq!((found.max_spend, found.account), (None, created.account));
    assert_eq!((found.campaign, found.reply), (None, None));
    assert_eq!(lab.store.read_job(created.key).await.unwrap().unwrap().id, new.id);
    lab.job("another", 1).await;
    let ids: Vec<JobId> = lab.store.list_jobs().await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(ids, [new.id, JobId::new("another")]);
}

pub(super) async fn a_job_keeps_what_its_sender_wants(lab: Lab) {
    let campaign = Some(CampaignId::new("spring"));
    let reply = Some(Reply { to: "answers".to_owned(), correlation_id: Some("7".to_owned()) });
    let max_spend = Some(Usd::from_nanos(25));
    let new = NewJob { campaign, reply, max_spend, ..new_job(acme(), "list") };
    let created = lab.store.create_job(new.clone()).await.unwrap();
    assert_eq!((created.campaign, created.reply, created.max_spend), (new.campaign, new.reply, new.max_spend));
}

pub(super) async fn a_job_is_created_once(lab: Lab) {
    let created = lab.store.create_job(new_job(acme(), "list")).await.unwrap();
    let again = lab.store.create_job(new_job(acme(), "list")).await;
    assert!(matches!(again, Err(LedgerError::Conflict { .. })), "{again:?}");
    assert_eq!(lab.store.find_job(&created.id).await.unwrap().unwrap().key, created.key);
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

pub(super) async fn copies_are_listed_by_what_they_copy(lab: Lab) {
    let copy = |n: u32| NewLead { lead: new_lead(1).lead, ..new_lead(n) };
    let job = lab.job_of(acme(), "list", vec![new_lead(1), copy(2), new_lead(3), copy(4)]).await;
    let copies = lab.store.copies(job.stored.key, LeadNo(1)).await.unwrap();
    assert_eq!(copies, [(LeadNo(2), LeadId::new("lead-2")), (LeadNo(4), LeadId::new("lead-4"))]);
    assert!(lab.store.copies(job.stored.key, LeadNo(3)).await.unwrap().is_empty());
}

pub(super) async fn an_unusable_row_has_ended_before_it_began(lab: Lab) {
    let unusable = |n: u32| NewLead { lead: None, ..new_lead(n) };
    let job = lab.job_of(acme(), "list", vec![unusable(1), new_lead(2), unusable(3)]).await;
    let (job, claim) = lab.own(&job, LEASE).await;
    assert_eq!(claim.leads.iter().map(|lead| lead.n).collect::<Vec<_>>(), [LeadNo(2)]);
    assert_eq!(claim.unannounced, [LeadNo(1), LeadNo(3)]);
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 2);
    assert!(lab.store.copies(job.stored.key, LeadNo(1)).await.unwrap().is_empty());
    let told = [
        "lead-1: skipped invalid_input, 0, 0 called",
        "lead-2: open, 0, 0 called",
        "lead-3: skipped invalid_input, 0, 0 called",
    ];
    assert_eq!(lab.results(&job).await, told);
}

pub(super) async fn slices_are_cut_in_order(lab: Lab) {
    let unusable = NewLead { lead: None, ..new_lead(5) };
    let leads = (1..=4).map(new_lead).chain([unusable, new_lead(6), new_lead(7)]).collect();
    let job = lab.sealed(NewJob { slice_size: 2, ..new_job(acme(), "list") }, leads).await;
    let open = lab.store.open_slices(job.stored.key).await.unwrap();
    assert_eq!(open, [SliceNo(0), SliceNo(1), SliceNo(2), SliceNo(3)]);
    for (slice, leads) in [(1, vec![3, 4]), (2, vec![6]), (3, vec![7])] {
        let (_, work) = lab.claim(&job.at(slice)).await;
        assert_eq!(work.iter().map(|lead| lead.n.0).collect::<Vec<_>>(), leads);
    }
    assert_eq!(lab.tell_claim(&job.at(4), LEASE).await, "closed");
}

pub(super) async fn a_page_of_results_begins_after_its_lead(lab: Lab) {
    let job = lab.job("list", 5).await;
    let page = lab.store.results(job.stored.key, LeadNo(2), 2).await.unwrap();
    assert_eq!(page.iter().map(|result| result.n).collect::<Vec<_>>(), [LeadNo(3), LeadNo(4)]);
}

/// A copy with its original, an unusable row when it was stored.
pub(super) async fn results_say_when_a_lead_has_ended(lab: Lab) {
    let unusable = NewLead { lead: None, ..new_lead(3) };
    let copy = NewLead { lead: new_lead(2).lead, ..new_lead(4) };
    let job = lab.job_of(acme(), "list", vec![new_lead(1), new_lead(2), unusable, copy]).await;
    assert_eq!(lab.tell(job.finish(2, Status::NotFound, Reason::None)).await, "done");
    let results = lab.store.results(job.stored.key, LeadNo(0), 10).await.unwrap();
    let ended: Vec<Option<i64>> = results.iter().map(|result| result.ended_ms).collect();
    assert_eq!(ended.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(ended[1], ended[3]);
}
