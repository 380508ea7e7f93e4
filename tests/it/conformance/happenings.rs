//! Happenings: once per crossing, in the commit that caused them, and theirs who takes them.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::keys::stored_key;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::Job;
use crate::conformance::lab::PATIENCE;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use crate::conformance::lab::usd;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::timeout;
use weir::domain::CampaignId;
use weir::domain::KeySource;
use weir::domain::Outcome;
use weir::domain::ProviderName;
use weir::domain::Reason;
use weir::domain::Status;
use weir::jobs::NewJob;

async fn pay(lab: &Lab, job: &Job, lead: u32, price: &'static str) {
    let paid = Call { price, ..call(lead, 1) };
    assert_eq!(lab.tell(job.begin(paid)).await, "granted");
    assert_eq!(lab.tell(job.end(paid, price)).await, format!("charged {price}; done"));
}

pub(super) async fn a_low_wallet_is_told_once_per_crossing(lab: Lab) {
    lab.top_up("10").await;
    let mut job = lab.job("list", 5).await;
    job.low_balance = usd("5");
    pay(&lab, &job, 1, "3").await;
    assert!(lab.happenings().await.is_empty());
    pay(&lab, &job, 2, "3").await;
    assert_eq!(lab.happenings().await, ["wallet_low acme: 4 below 5"]);
    pay(&lab, &job, 3, "1").await;
    assert!(lab.happenings().await.is_empty());

    lab.top_up("2").await;
    pay(&lab, &job, 4, "1").await;
    assert_eq!(lab.happenings().await, ["wallet_low acme: 4 below 5"]);
    lab.top_up("0.5").await;
    pay(&lab, &job, 5, "1").await;
    assert!(lab.happenings().await.is_empty());
}

/// A job with the campaign `spring`, claimed.
async fn in_campaign(lab: &Lab, leads: u32) -> Job {
    let new = NewJob { campaign: Some(CampaignId::new("spring")), ..new_job(acme(), "list") };
    let job = lab.sealed(new, (1..=leads).map(new_lead).collect()).await;
    lab.claim(&job).await.0
}

/// What happens when the wallet cannot pay a lead's first step, in the order of the alphabet.
async fn run_dry(lab: &Lab, job: &Job, lead: u32) -> Vec<String> {
    assert_eq!(lab.tell(job.begin(call(lead, 1))).await, "refused unaffordable");
    let mut happenings = lab.happenings().await;
    happenings.sort();
    happenings
}

pub(super) async fn an_empty_wallet_is_told_once_per_top_up_and_stops_campaigns(lab: Lab) {
    let job = in_campaign(&lab, 3).await;
    lab.top_up("2").await;
    assert_eq!(run_dry(&lab, &job, 1).await, ["campaign_deactivated acme: spring", "wallet_empty acme: 2 left"]);
    assert!(run_dry(&lab, &job, 2).await.is_empty());
    lab.top_up("0.5").await;
    assert_eq!(run_dry(&lab, &job, 3).await, ["wallet_empty acme: 2.5 left"]);
}

async fn give_up_and_resume(lab: &Lab, job: &Job, lead: u32) {
    assert_eq!(lab.tell(job.finish(lead, Status::Skipped, Reason::WalletEmpty)).await, "done");
    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
}

pub(super) async fn resume_activates_the_campaign_if_the_wallet_has_money(lab: Lab) {
    let job = in_campaign(&lab, 4).await;
    assert_eq!(run_dry(&lab, &job, 1).await, ["campaign_deactivated acme: spring", "wallet_empty acme: 0 left"]);
    give_up_and_resume(&lab, &job, 1).await;
    lab.top_up("1").await;
    assert_eq!(run_dry(&lab, &job, 2).await, ["wallet_empty acme: 1 left"]);
    // A dollar is left, but not enough for the last step that was asked for.
    give_up_and_resume(&lab, &job, 2).await;
    assert!(lab.happenings().await.is_empty());
    lab.top_up("1.5").await;
    give_up_and_resume(&lab, &job, 3).await;
    assert_eq!(lab.happenings().await, ["campaign_activated acme: spring"]);
    assert_eq!(run_dry(&lab, &job, 4).await, ["campaign_deactivated acme: spring", "wallet_empty acme: 2.5 left"]);
}

/// What happens when a call ends so.
async fn fail(lab: &Lab, job: &Job, call: Call, outcome: Outcome) -> Vec<String> {
    assert_eq!(lab.tell(job.begin(call)).await, "granted");
    assert_eq!(lab.tell(job.end_as(call, outcome, "0")).await, "charged 0; done");
    lab.happenings().await
}

pub(super) async fn a_rejected_key_is_told_once_until_it_works_again(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 5).await;
    let told = ["key_rejected nobody: house leadmagic"];
    assert_eq!(fail(&lab, &job, call(1, 1), Outcome::KeyRejected).await, told);
    assert!(fail(&lab, &job, call(2, 1), Outcome::KeyRejected).await.is_empty());
    lab.store.key_works(None, Some(&ProviderName::new("prospeo"))).await.unwrap();
    lab.store.key_works(Some(&acme()), None).await.unwrap();
    assert!(fail(&lab, &job, call(3, 1), Outcome::KeyRejected).await.is_empty());
    lab.store.key_works(None, Some(&ProviderName::new("leadmagic"))).await.unwrap();
    assert_eq!(fail(&lab, &job, call(4, 1), Outcome::KeyRejected).await, told);
    lab.store.key_works(None, None).await.unwrap();
    assert_eq!(fail(&lab, &job, call(5, 1), Outcome::KeyRejected).await, told);
}

pub(super) async fn an_own_key_and_the_houses_account_are_told_apart(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 4).await;
    let own = |lead| Call { key_source: KeySource::Own, price: "0", ..call(lead, 1) };
    let told = ["key_rejected acme: own leadmagic"];
    assert_eq!(fail(&lab, &job, own(1), Outcome::KeyRejected).await, told);
    let credits = Outcome::ProviderOutOfCredits;
    assert_eq!(fail(&lab, &job, call(2, 1), credits).await, ["provider_out_of_credits leadmagic"]);
    assert!(fail(&lab, &job, own(3), credits).await.is_empty());
    lab.store.put_key(stored_key("leadmagic", "key-1")).await.unwrap();
    assert_eq!(fail(&lab, &job, own(4), credits).await, told);
}

pub(super) async fn happenings_are_taken_once_in_order_and_forgotten(lab: Lab) {
    for id in ["1st", "2nd", "3rd"] {
        lab.sealed(new_job(acme(), id), Vec::new()).await;
    }
    let first = lab.store.take_happenings(1, HOUR).await.unwrap();
    let others = lab.store.take_happenings(10, HOUR).await.unwrap();
    assert!(lab.store.take_happenings(10, HOUR).await.unwrap().is_empty());
    let taken: Vec<&str> = first.iter().chain(&others).map(|happening| happening.key.as_str()).collect();
    assert_eq!(taken, ["1st/1", "2nd/1", "3rd/1"]);
    assert!(first[0].seq < others[0].seq && others[0].seq < others[1].seq);

    assert_eq!(lab.store.happenings().await.unwrap(), 3);
    lab.store.forget_happenings(vec![first[0].seq, others[1].seq]).await.unwrap();
    assert_eq!(lab.store.happenings().await.unwrap(), 1);
    lab.store.forget_happenings(vec![others[0].seq]).await.unwrap();
    assert_eq!(lab.store.happenings().await.unwrap(), 0);
}

pub(super) async fn what_nobody_told_in_time_is_taken_again_as_it_was(lab: Lab) {
    lab.sealed(new_job(acme(), "empty"), Vec::new()).await;
    let taken = lab.store.take_happenings(10, Duration::ZERO).await.unwrap();
    assert_eq!(taken.len(), 1);
    // The lease of no length lapses when the store's clock goes on.
    let asking = async {
        loop {
            let again = lab.store.take_happenings(10, HOUR).await.unwrap();
            if !again.is_empty() {
                break again;
            }
            yield_now().await;
        }
    };
    assert_eq!(timeout(PATIENCE, asking).await.unwrap(), taken);
}
