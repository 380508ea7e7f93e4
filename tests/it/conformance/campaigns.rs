//! Campaigns: active while somebody can pay for them, and told of each time that changes.

use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::Job;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::booking;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use crate::conformance::lab::usd;
use std::sync::Arc;
use tokio::task::JoinSet;
use weir::domain::CampaignId;
use weir::domain::Reason;
use weir::domain::Status;
use weir::domain::Usd;
use weir::domain::WorkspaceId;
use weir::jobs::Activation;
use weir::jobs::Closing;
use weir::jobs::NewJob;

fn spring() -> CampaignId {
    CampaignId::new("spring")
}

fn globex() -> WorkspaceId {
    WorkspaceId::new("globex")
}

async fn activate(lab: &Lab, answer: Option<&str>) -> Activation {
    lab.store.activate_campaign(&acme(), &spring(), answer).await.unwrap()
}

async fn deactivate(lab: &Lab) -> bool {
    lab.store.deactivate_campaign(&acme(), &spring()).await.unwrap()
}

fn refused(balance: &str) -> Activation {
    Activation::Refused { balance: usd(balance) }
}

/// A job of a workspace's campaign, claimed.
async fn job_in(lab: &Lab, new: NewJob, campaign: &str, leads: u32) -> Job {
    let new = NewJob { campaign: Some(CampaignId::new(campaign)), ..new };
    let job = lab.sealed(new, (1..=leads).map(new_lead).collect()).await;
    lab.claim(&job).await.0
}

/// The campaigns of a workspace as `spring: active, 1 jobs`.
async fn listed(lab: &Lab, workspace: &WorkspaceId) -> Vec<String> {
    let campaigns = lab.store.campaigns(workspace).await.unwrap();
    assert!(campaigns.iter().all(|campaign| campaign.workspace == *workspace));
    let told = campaigns.iter().map(|campaign| {
        let state = if campaign.active { "active" } else { "inactive" };
        format!("{}: {state}, {} jobs", campaign.id, campaign.jobs)
    });
    told.collect()
}

/// Kind and key of what waits to be told; then it is.
async fn tell(lab: &Lab) -> Vec<(&'static str, String)> {
    let taken = lab.store.take_happenings(100, HOUR).await.unwrap();
    lab.store.forget_happenings(taken.iter().map(|stored| stored.seq).collect()).await.unwrap();
    taken.into_iter().map(|stored| (stored.what.kind(), stored.key)).collect()
}

pub(super) async fn one_is_activated_by_who_can_pay_alone(lab: Lab) {
    assert_eq!(activate(&lab, None).await, refused("0"));
    assert_eq!(lab.store.balance(&acme()).await.unwrap(), None);
    let job = lab.job("list", 1).await;
    assert_eq!(activate(&lab, None).await, refused("0"));
    assert!(listed(&lab, &acme()).await.is_empty());

    lab.top_up("2").await;
    assert_eq!(activate(&lab, None).await, Activation::Active);
    assert_eq!(activate(&lab, None).await, Activation::Active);
    assert_eq!(listed(&lab, &acme()).await, ["spring: active, 0 jobs"]);
    // What is left pays for no step.
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(activate(&lab, None).await, refused("2"));
    assert_eq!(listed(&lab, &acme()).await, ["spring: inactive, 0 jobs"]);

    lab.top_up("0.5").await;
    assert_eq!(activate(&lab, None).await, Activation::Active);
    assert_eq!(listed(&lab, &acme()).await, ["spring: active, 0 jobs"]);
    assert!(lab.store.adjust(booking("-2.5", "correction")).await.unwrap());
    assert_eq!(activate(&lab, None).await, refused("0"));
}

pub(super) async fn an_answer_is_one_event_however_often_it_is_asked_for(lab: Lab) {
    assert_eq!(activate(&lab, Some("m-1")).await, refused("0"));
    assert_eq!(activate(&lab, Some("m-1")).await, refused("0"));
    let first = tell(&lab).await;
    assert_eq!((first.len(), first[0].0), (1, "weir.campaign_refused.v1"));
    assert_eq!(activate(&lab, Some("m-1")).await, refused("0"));
    assert_eq!(tell(&lab).await, first);

    // Another's message of that name is another's.
    let theirs = lab.store.activate_campaign(&globex(), &spring(), Some("m-1")).await.unwrap();
    assert_eq!(theirs, Activation::Refused { balance: Usd::ZERO });
    assert_ne!(tell(&lab).await, first);

    lab.top_up("5").await;
    let mut keys = Vec::new();
    for message in ["m-2", "m-2", "m-3"] {
        assert_eq!(activate(&lab, Some(message)).await, Activation::Active);
        let told = tell(&lab).await;
        assert_eq!((told.len(), told[0].0), (1, "weir.campaign_activated.v1"));
        keys.push(told[0].1.clone());
    }
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
    assert_eq!(activate(&lab, None).await, Activation::Active);
    assert!(tell(&lab).await.is_empty());
}

pub(super) async fn one_is_deactivated_once_and_told_each_time(lab: Lab) {
    assert!(!deactivate(&lab).await);
    lab.top_up("5").await;
    let mut told = Vec::new();
    for _ in 0..2 {
        assert_eq!(activate(&lab, None).await, Activation::Active);
        assert!(deactivate(&lab).await);
        assert!(!deactivate(&lab).await);
        told.extend(tell(&lab).await);
    }
    assert!(told.iter().all(|(kind, _)| *kind == "weir.campaign_deactivated.v1"), "{told:?}");
    assert!(told.len() == 2 && told[0] != told[1], "{told:?}");
    assert_eq!(listed(&lab, &acme()).await, ["spring: inactive, 0 jobs"]);
}

pub(super) async fn an_empty_wallet_stops_each_of_its_workspace_once(lab: Lab) {
    let job = job_in(&lab, new_job(acme(), "1st"), "spring", 2).await;
    job_in(&lab, new_job(acme(), "2nd"), "summer", 1).await;
    job_in(&lab, new_job(globex(), "3rd"), "spring", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    let mut happenings = lab.happenings().await;
    happenings.sort();
    let stopped = ["campaign_deactivated acme: spring", "campaign_deactivated acme: summer"];
    assert_eq!(happenings, [stopped[0], stopped[1], "wallet_empty acme: 0 left"]);
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "refused unaffordable");
    assert!(!deactivate(&lab).await);
    assert!(lab.happenings().await.is_empty());
    assert_eq!(listed(&lab, &globex()).await, ["spring: active, 1 jobs"]);
}

pub(super) async fn they_are_listed_by_name_with_their_jobs(lab: Lab) {
    for (id, campaign) in [("1st", "spring"), ("2nd", "Winter"), ("3rd", "spring")] {
        job_in(&lab, new_job(acme(), id), campaign, 1).await;
    }
    lab.job("4th", 1).await;
    job_in(&lab, new_job(globex(), "5th"), "spring", 1).await;
    assert_eq!(listed(&lab, &acme()).await, ["Winter: active, 1 jobs", "spring: active, 2 jobs"]);
    assert!(listed(&lab, &WorkspaceId::new("initech")).await.is_empty());
}

pub(super) async fn resume_activates_one_that_can_be_paid_again_and_tells_it(lab: Lab) {
    let job = job_in(&lab, new_job(acme(), "list"), "spring", 2).await;
    let key = job.stored.key;
    lab.top_up("2").await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::WalletEmpty)).await, "done");
    tell(&lab).await;
    // Two dollars are left, and have paid for nothing since.
    assert_eq!(lab.store.resume_job(key).await.unwrap(), 1);
    assert!(tell(&lab).await.is_empty());

    lab.top_up("10").await;
    let mut told = Vec::new();
    for _ in 0..2 {
        assert_eq!(lab.store.resume_job(key).await.unwrap(), 0);
        assert_eq!(listed(&lab, &acme()).await, ["spring: active, 1 jobs"]);
        told.extend(tell(&lab).await);
        assert_eq!(lab.store.resume_job(key).await.unwrap(), 0);
        assert!(tell(&lab).await.is_empty());
        assert!(deactivate(&lab).await);
        tell(&lab).await;
    }
    assert!(told.iter().all(|(kind, _)| *kind == "weir.campaign_activated.v1"), "{told:?}");
    assert!(told.len() == 2 && told[0] != told[1], "{told:?}");
}

pub(super) async fn a_job_that_resumes_by_itself_activates_its_own(lab: Lab) {
    let new = NewJob { auto_resume: true, campaign: Some(spring()), ..new_job(acme(), "list") };
    let job = lab.sealed(new, vec![new_lead(1)]).await;
    let (job, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::WalletEmpty)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    tell(&lab).await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), None);
    assert_eq!(listed(&lab, &acme()).await, ["spring: inactive, 1 jobs"]);

    lab.top_up("10").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), Some(job.stored.key));
    assert_eq!(lab.happenings().await, ["campaign_activated acme: spring"]);
    assert_eq!(listed(&lab, &acme()).await, ["spring: active, 1 jobs"]);
}

pub(super) async fn one_that_a_command_stopped_stays_so_when_a_top_up_resumes_its_job(lab: Lab) {
    let new = NewJob { auto_resume: true, campaign: Some(spring()), ..new_job(acme(), "list") };
    let job = lab.sealed(new, vec![new_lead(1)]).await;
    let (job, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(lab.tell(job.finish(1, Status::Skipped, Reason::WalletEmpty)).await, "done");
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
    // It was stopped already, by the wallet: now the command counts.
    assert!(!deactivate(&lab).await);

    lab.top_up("10").await;
    assert_eq!(lab.store.auto_resume().await.unwrap(), Some(job.stored.key));
    assert_eq!(listed(&lab, &acme()).await, ["spring: inactive, 1 jobs"]);
    lab.store.resume_job(job.stored.key).await.unwrap();
    assert_eq!(listed(&lab, &acme()).await, ["spring: active, 1 jobs"]);
}

pub(super) async fn of_many_who_resume_at_once_one_activates_it(lab: Lab) {
    let job = job_in(&lab, new_job(acme(), "list"), "spring", 1).await;
    assert!(deactivate(&lab).await);
    lab.top_up("10").await;
    tell(&lab).await;
    let mut resuming = JoinSet::new();
    for _ in 0..6 {
        let (store, key) = (Arc::clone(&lab.store), job.stored.key);
        resuming.spawn(async move { store.resume_job(key).await.unwrap() });
    }
    resuming.join_all().await;
    assert_eq!(lab.happenings().await, ["campaign_activated acme: spring"]);
}
