//! Many leads after the last cent of one wallet.

use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Job;
use crate::conformance::lab::acme;
use crate::conformance::lab::usd;
use std::sync::Arc;
use tokio::task::JoinSet;
use weir::domain::Usd;
use weir::store::Store;

/// Runs one job of `leads` leads a store, all at once, on a wallet that pays for a third of them; the stores
/// share one database. One call in five misses and is free.
pub(crate) async fn race(stores: &[Arc<dyn Store>], leads: u32) {
    let labs: Vec<Lab> = stores.iter().cloned().map(Lab::new).collect();
    // A call is 3 USD, so one a lead pays for a third of them; the odd one leaves something over.
    let topped_up = (usize::try_from(leads).unwrap() * stores.len() + 1).to_string();
    labs[0].top_up(&topped_up).await;
    let mut entrants = Vec::new();
    for (n, lab) in labs.iter().enumerate() {
        entrants.push((lab, Arc::new(lab.job(&format!("job-{n}"), leads).await)));
    }
    let mut running = JoinSet::new();
    for lead in 1..=leads {
        for (lab, job) in &entrants {
            running.spawn(pay_for((*lab).clone(), Arc::clone(job), lead));
        }
    }
    let paid = running.join_all().await;
    let charged = paid.into_iter().fold(Usd::ZERO, |sum, charged| sum.checked_add(charged).unwrap());

    let wallet = labs[0].store.balance(&acme()).await.unwrap().unwrap();
    assert_eq!(charged.checked_add(wallet.balance), Some(usd(&topped_up)));
    assert!(wallet.balance < usd("3"), "{wallet:?} could pay for another");
    assert_eq!(wallet.held, Usd::ZERO);
    let audit = labs[0].store.audit(None).await.unwrap();
    assert_eq!((audit.open_holds, audit.problems), (0, Vec::new()));
}

/// What the lead was charged.
async fn pay_for(lab: Lab, job: Arc<Job>, lead: u32) -> Usd {
    match lab.finally(job.begin(call(lead, 1))).await.as_str() {
        "granted" => {
            let owed = if lead.is_multiple_of(5) { "0" } else { "3" };
            lab.commit(job.end(call(lead, 1), owed)).await.unwrap().charged[0].paid
        }
        "refused unaffordable" => Usd::ZERO,
        other => panic!("{other}"),
    }
}
