//! How the plan comes into the store.

use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Load;
use crate::keys::StoredKey;
use crate::ledger::Booking;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::store::Store;
use crate::worker::simulation::leads::Person;
use crate::worker::simulation::plan::Customer;
use crate::worker::simulation::plan::JobPlan;
use crate::worker::simulation::plan::OwnKeyPlan;
use crate::worker::simulation::plan::Plan;
use crate::worker::simulation::providers::BAD_KEY;
use crate::worker::simulation::workers::master_key;
use secrecy::SecretString;
use std::collections::BTreeMap;

/// Stores customers and jobs; says who each lead is.
pub(super) async fn set_up(store: &dyn Store, plan: &Plan) -> BTreeMap<(JobKey, LeadNo), Person> {
    for customer in &plan.customers {
        open_account(store, customer).await;
    }
    let mut people = BTreeMap::new();
    for job in &plan.jobs {
        load(store, job, &mut people).await;
    }
    people
}

async fn open_account(store: &dyn Store, customer: &Customer) {
    let Customer { id, settings, wallet, keys } = customer;
    store.set_workspace(id, settings.clone()).await.unwrap();
    for OwnKeyPlan { provider, works } in keys {
        let ending = if *works { "" } else { BAD_KEY };
        put_key(store, id, provider, &own_key(id, provider, 0, ending)).await;
    }
    assert!(top_up(store, id, *wallet, "first").await);
}

async fn load(store: &dyn Store, job: &JobPlan, people: &mut BTreeMap<(JobKey, LeadNo), Person>) {
    let stored = store.create_job(job.new.clone()).await.unwrap();
    let load: Load = store.begin_load(stored.key).await.unwrap().unwrap();
    let leads = job.list.iter().map(|(lead, _)| lead.clone()).collect();
    store.load_leads(load, leads).await.unwrap();
    store.seal_job(load).await.unwrap();
    for (lead, person) in &job.list {
        if let Some(person) = person {
            people.insert((stored.key, lead.n), person.clone());
        }
    }
}

/// A key that says whose it is, where, and which of several.
pub(super) fn own_key(workspace: &WorkspaceId, provider: &str, number: u32, ending: &str) -> String {
    format!("own-{workspace}-{provider}-{number}{ending}")
}

/// Stores a key in place of the earlier one.
pub(super) async fn put_key(store: &dyn Store, workspace: &WorkspaceId, provider: &str, key: &str) {
    let secret = SecretString::from(key);
    let provider = ProviderName::new(provider);
    // The key names itself: each of this world is another.
    let sealed = master_key().seal(workspace, &provider, key, &secret).unwrap();
    let last4 = StoredKey::last4_of(&secret);
    let workspace = workspace.clone();
    let key = StoredKey { workspace, provider, key_id: key.to_owned(), sealed, last4, stored_ms: 0 };
    store.put_key(key).await.unwrap();
}

/// Books money in; `false` when this reference was booked before.
pub(super) async fn top_up(store: &dyn Store, workspace: &WorkspaceId, amount: Usd, reference: &str) -> bool {
    let booking = Booking { workspace: workspace.clone(), amount, reference: reference.to_owned(), note: None };
    store.top_up(booking).await.unwrap()
}
