//! Whose key is used for whose lead, by the providers' own record.

use crate::services::Call;
use crate::services::Config;
use crate::services::Sandbox;
use crate::services::eventually;
use crate::worker::dice::Dice;
use crate::worker::stage::EVENTS;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::Stage;
use crate::worker::told::cost;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use crate::worker::told::with;
use reqwest::Client;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

const SEED: u64 = 3;
const PROVIDERS: [&str; 2] = ["leadmagic", "millionverifier"];

/// So long after it was taken away, an own key may still be called with.
const GRACE: Duration = Duration::from_secs(5);

/// A workspace, its settings, and the key of its own that it has at both providers.
struct Customer {
    id: String,
    plan: &'static str,
    fallback: &'static str,
    own_key: Option<String>,
    hits: usize,
    misses: usize,
}

/// Whose keys may be called with for a customer's leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    House,
    Own,
    /// Its own, which is rejected.
    OwnInVain,
    /// Its own, which is rejected, and then the house's.
    OwnThenHouse,
}

impl Customer {
    fn due(&self) -> Due {
        match (self.plan, self.own_key.as_deref(), self.fallback) {
            ("metered", ..) | (_, None, _) => Due::House,
            (_, Some(key), _) if !key.starts_with("bad-key") => Due::Own,
            (_, Some(_), "house") => Due::OwnThenHouse,
            (_, Some(_), _) => Due::OwnInVain,
        }
    }

    /// Is the key of this call, by its last four characters, one that may be used for this customer?
    fn may_use(&self, call: &Call) -> bool {
        let is_own = self.own_key.as_deref().is_some_and(|key| key.ends_with(&call.key));
        match self.due() {
            Due::House => is_of_the_house(call),
            Due::Own | Due::OwnInVain => is_own,
            Due::OwnThenHouse => is_own || is_of_the_house(call),
        }
    }

    fn endings(&self) -> String {
        match self.due() {
            Due::OwnInVain => format!("{} skipped/key_rejected", self.hits + self.misses),
            Due::House | Due::Own | Due::OwnThenHouse => {
                format!("{} not_found/none, {} verified/none", self.misses, self.hits)
            }
        }
    }

    /// The providers that reject its own key: a verifier is asked only about what was found.
    fn rejections(&self) -> &'static [&'static str] {
        match self.due() {
            Due::House | Due::Own => &[],
            Due::OwnInVain => &["leadmagic"],
            Due::OwnThenHouse => &PROVIDERS,
        }
    }

    fn job(&self) -> Value {
        with(job(&self.id, &[(self.hits, "hit"), (self.misses, "miss")]), "workspace_id", self.id.as_str())
    }

    async fn set_up(&self, stage: &Stage) {
        let Self { id, plan, fallback, .. } = self;
        let set = ["workspace", "set", id, "--plan", plan, "--own-key-fallback", fallback];
        stage.folder.weir(&set).await.done();
        for provider in PROVIDERS {
            if let Some(key) = &self.own_key {
                stage.folder.weir_on(key, &["key", "set", id, provider]).await.done();
            }
        }
        stage.top_up(id, "5").await;
    }
}

/// A house key ends as its provider's name does.
fn is_of_the_house(call: &Call) -> bool {
    call.provider.ends_with(&call.key)
}

/// One of every kind, in an order and with lists by chance.
fn customers(dice: &mut Dice) -> Vec<Customer> {
    let mut customers = Vec::new();
    for plan in ["metered", "unlimited"] {
        for fallback in ["never", "house"] {
            for key in [None, Some("own-key"), Some("bad-key")] {
                let n = customers.len() + 1;
                let own_key = key.map(|word| format!("{word}-{n:04}"));
                let (hits, misses) = (5 + dice.below(10), 1 + dice.below(8));
                customers.push(Customer { id: format!("ws-{n}"), plan, fallback, own_key, hits, misses });
            }
        }
    }
    dice.shuffle(&mut customers);
    customers
}

/// Whose lead each question is about: the sandbox is asked as the providers are, and its record shows the question.
async fn owners<'c>(sandbox: &Sandbox, customers: &'c [Customer]) -> BTreeMap<String, &'c Customer> {
    let client = Client::builder().no_proxy().build().unwrap();
    let [finder, verifier] = PROVIDERS.map(|provider| sandbox.url(provider));
    let mut owners = BTreeMap::new();
    for customer in customers {
        for lead in customer.job()["leads"].as_array().unwrap() {
            let search = client.post(format!("{finder}/v1/people/email-finder")).header("x-api-key", "asker-0000");
            let answer = search.header("content-type", "application/json").body(lead.to_string()).send().await.unwrap();
            owners.insert(last_question(sandbox), customer);
            let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            if let Some(email) = answer["email"].as_str() {
                client.get(format!("{verifier}/?api=asker-0000&email={email}")).send().await.unwrap();
                owners.insert(last_question(sandbox), customer);
            }
        }
    }
    owners
}

fn last_question(sandbox: &Sandbox) -> String {
    sandbox.calls().pop().unwrap().question
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_used_for_another_workspaces_lead_and_no_own_key_call_is_charged() {
    let stage = Stage::new(Config { worker: "slice_size = 5", ..Config::default() }, &["--latency", "5"]).await;
    let mut dice = Dice::new(SEED);
    let customers = customers(&mut dice);
    for customer in &customers {
        customer.set_up(&stage).await;
    }
    let owners = owners(&stage.sandbox, &customers).await;
    let asked = stage.sandbox.calls().len();
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    for customer in &customers {
        stage.submit(&customer.job()).await;
    }
    let jobs: Vec<&str> = customers.iter().map(|customer| customer.id.as_str()).collect();
    let events = stage.until_all_is_told(&jobs).await;

    let mut calls = stage.sandbox.calls().split_off(asked);
    // The last is the witness's.
    calls.pop();
    for call in &calls {
        let owner = owners[&call.question];
        assert!(owner.may_use(call), "seed {SEED}: {call:?} for {}, where {:?} is due", owner.id, owner.due());
    }
    let (results, rejected) = (results(&events), told(&events, "weir.key_rejected.v1"));
    let mut rejections = BTreeSet::new();
    for customer in &customers {
        let of_customer = results.iter().filter(|result| result["workspace_id"] == customer.id);
        assert_eq!(endings(of_customer), customer.endings(), "{}: {:?}", customer.id, customer.due());
        let by_the_house =
            calls.iter().filter(|call| owners[&call.question].id == customer.id && is_of_the_house(call));
        let billed: Decimal = by_the_house.map(cost).sum();
        assert_eq!(stage.spent(&customer.id).await, billed, "{}: {:?}", customer.id, customer.due());
        rejections.extend(customer.rejections().iter().map(|provider| [customer.id.as_str(), *provider, "own"]));
    }
    let fields = |event: &Value| ["workspace_id", "provider", "key_source"].map(|field| event[field].clone());
    let told: BTreeSet<String> = rejected.iter().map(|event| json!(fields(event)).to_string()).collect();
    let expected: BTreeSet<String> = rejections.iter().map(|rejection| json!(rejection).to_string()).collect();
    assert_eq!((rejected.len(), told), (expected.len(), expected));
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_seconds_after_a_key_is_removed_or_replaced_nobody_is_called_with_it_any_more() {
    let mut stage = Stage::new(Config::default(), &["--latency", "20"]).await;
    stage.limit_finds(40);
    for (id, key) in [("removed", "own-key-7001"), ("replaced", "own-key-8001")] {
        stage.folder.weir(&["workspace", "set", id, "--plan", "unlimited"]).await.done();
        stage.folder.weir_on(key, &["key", "set", id, "leadmagic"]).await.done();
        stage.top_up(id, "5").await;
    }
    let mut workers = [stage.worker().await, stage.worker().await];
    for id in ["removed", "replaced"] {
        stage.submit(&with(job(id, &[(400, "miss")]), "workspace_id", id)).await;
    }
    let called_with = |key: &str| stage.sandbox.calls().iter().filter(|call| call.key == key).count();
    let both = async || (called_with("7001") > 20 && called_with("8001") > 20).then_some(());
    eventually("calls with both keys", PATIENCE, both).await;
    stage.folder.weir(&["key", "remove", "removed", "leadmagic"]).await.done();
    stage.folder.weir_on("own-key-8002", &["key", "set", "replaced", "leadmagic"]).await.done();
    let until = Instant::now() + GRACE;
    eventually("five seconds later", PATIENCE, async || (Instant::now() >= until).then_some(())).await;
    let [removed, replaced] = ["7001", "8001"].map(called_with);
    let calls = stage.sandbox.calls().len();

    let heard = stage.until_completed(&["removed", "replaced"]).await;
    assert_eq!(endings(&results(&heard)), "800 not_found/none");
    assert_eq!(["7001", "8001"].map(called_with), [removed, replaced], "a key that is gone was called with");
    assert!(stage.sandbox.calls().len() > calls, "all was done already");
    assert_eq!(["agic", "8002"].map(called_with), [400 - removed, 400 - replaced]);
    assert_eq!((stage.spent("removed").await, stage.spent("replaced").await), (usd("0"), usd("0")));
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
