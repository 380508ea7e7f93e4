//! Money in, and the books.

use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::acme;
use crate::conformance::lab::booking;
use crate::conformance::lab::new_lead;
use crate::conformance::lab::usd;
use crate::conformance::told::short;
use weir::domain::LeadId;
use weir::domain::WorkspaceId;
use weir::ledger::Burn;
use weir::ledger::LedgerError;

pub(super) async fn a_top_up_is_booked_once_by_its_reference(lab: Lab) {
    assert_eq!(lab.store.balance(&acme()).await.unwrap(), None);
    assert!(lab.store.top_up(booking("10", "invoice 7")).await.unwrap());
    assert!(!lab.store.top_up(booking("10", "invoice 7")).await.unwrap());
    let other_amount = lab.store.top_up(booking("11", "invoice 7")).await;
    assert!(matches!(other_amount, Err(LedgerError::Conflict { .. })));
    let other_kind = lab.store.adjust(booking("10", "invoice 7")).await;
    assert!(matches!(other_kind, Err(LedgerError::Conflict { .. })));
    assert_eq!(lab.wallet().await, "10, 0 held");
}

pub(super) async fn an_adjustment_never_takes_what_is_held(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let too_much = lab.store.adjust(booking("-7.01", "correction")).await;
    assert!(matches!(too_much, Err(LedgerError::Insufficient { available }) if available == usd("7")));
    assert!(lab.store.adjust(booking("-7", "correction")).await.unwrap());
    assert!(!lab.store.adjust(booking("-7", "correction")).await.unwrap());
    assert_eq!(lab.wallet().await, "3, 3 held");
}

pub(super) async fn a_budget_tops_up_by_its_excess_alone(lab: Lab) {
    let job = lab.job("list", 1).await;
    for (budget, balance) in [("5", "5"), ("5", "5"), ("8", "8"), ("3", "8"), ("8", "8")] {
        let wallet = lab.store.set_budget(job.stored.key, usd(budget)).await.unwrap();
        assert_eq!(short(wallet.balance), balance, "a budget of {budget}");
        let stored = lab.store.find_job(&job.stored.id).await.unwrap().unwrap();
        assert_eq!((stored.max_spend, stored.funded), (Some(usd(budget)), usd(balance)));
    }
}

pub(super) async fn a_cap_is_raised_without_money_and_never_lowered(lab: Lab) {
    let job = lab.job("list", 1).await;
    lab.store.set_budget(job.stored.key, usd("5")).await.unwrap();
    assert!(!lab.store.raise_cap(job.stored.key, usd("4")).await.unwrap());
    assert!(lab.store.raise_cap(job.stored.key, usd("8")).await.unwrap());
    let stored = lab.store.find_job(&job.stored.id).await.unwrap().unwrap();
    assert_eq!((stored.max_spend, stored.funded), (Some(usd("8")), usd("5")));
    assert_eq!(lab.wallet().await, "5, 0 held");
}

pub(super) async fn entries_tell_every_change_in_order(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    lab.store.adjust(booking("1", "courtesy")).await.unwrap();

    let entries = lab.store.entries(&acme(), 0, 100).await.unwrap();
    let lines = entries.iter().map(|entry| format!("{} {}: {}", entry.kind, short(entry.amount), short(entry.balance)));
    assert_eq!(lines.collect::<Vec<_>>(), ["top_up 10: 10", "settle -3: 7", "adjust 1: 8"]);
    let (paid_job, paid_lead, paid_step) = entries[1].paid.clone().unwrap();
    assert_eq!((paid_job, paid_lead), (job.stored.id, LeadId::new("lead-1")));
    assert_eq!(paid_step.to_string(), "leadmagic.find_email");
    assert_eq!(entries[2].reference.as_deref(), Some("courtesy"));
    assert_eq!(lab.store.entries(&acme(), entries[0].seq, 1).await.unwrap(), [entries[1].clone()]);
}

pub(super) async fn the_audit_counts_what_it_looked_at(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    for workspace in [None, Some(&acme())] {
        let audit = lab.store.audit(workspace).await.unwrap();
        assert_eq!((audit.accounts, audit.entries, audit.open_holds), (1, 2, 1));
    }
}

pub(super) async fn a_wallet_burns_what_it_has_settled(lab: Lab) {
    let globex = WorkspaceId::new("globex");
    assert_eq!(lab.store.burn(&acme()).await.unwrap(), None);
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    lab.job_of(globex.clone(), "other", vec![new_lead(1)]).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.store.burn(&acme()).await.unwrap(), None);
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(2, 1), "1.5")).await, "charged 1.5; done");
    assert!(lab.store.adjust(booking("-1", "correction")).await.unwrap());

    let burn = lab.store.burn(&acme()).await.unwrap().unwrap();
    assert_eq!(burn.spent, usd("4.5"));
    assert!((Burn::LEAST..=Burn::WINDOW).contains(&burn.over), "{:?}", burn.over);
    assert_eq!(lab.store.burn(&globex).await.unwrap(), None);
}
