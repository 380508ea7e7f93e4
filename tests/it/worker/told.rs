//! What a test says to the workers, and what it reads in their answers.

use crate::services::Call;
use crate::services::PRICES;
use crate::services::Received;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::iter::repeat_n;

pub(super) const RESULT: &str = "weir.lead_result.v1";
pub(super) const COMPLETED: &str = "weir.job_completed.v1";

/// A job of workspace `acme` with so many leads in each scene of the sandbox (`hit`, `miss`, `only-prospeo`, ...), all
/// different people, of other jobs too.
pub(super) fn job(id: &str, scenes: &[(usize, &str)]) -> Value {
    let scene_of_each = scenes.iter().flat_map(|(count, scene)| repeat_n(scene, *count));
    let lead = |(n, scene): (usize, &&str)| {
        let (first_name, domain) = (format!("Ada{n}"), format!("{id}-{n}.{scene}.test"));
        json!({"lead_id": n.to_string(), "first_name": first_name, "last_name": "Sample", "domain": domain})
    };
    let leads: Vec<Value> = (1..).zip(scene_of_each).map(lead).collect();
    json!({"job_id": id, "workspace_id": "acme", "leads": leads})
}

/// The same message with another value in a field.
pub(super) fn with(mut message: Value, field: &str, value: impl Into<Value>) -> Value {
    message[field] = value.into();
    message
}

/// Everything of this type that was told, each event once. A repeat must say the same under the same id; when a result
/// was told is no part of it.
pub(super) fn told(messages: &[Received], kind: &str) -> Vec<Value> {
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.kind() == kind) {
        let event = with(message.json(), "at", Value::Null);
        assert_eq!(event["event_id"], message.message_id());
        if let Some(before) = events.insert(message.message_id().to_owned(), event.clone()) {
            assert_eq!(before, event, "told twice, and not the same");
        }
    }
    events.into_values().collect()
}

/// The result of every lead, each once.
pub(super) fn results(messages: &[Received]) -> Vec<Value> {
    told(messages, RESULT)
}

/// Are all these jobs among those that have completed? Asked after each message.
pub(super) fn all_completed(jobs: &[&str]) -> impl FnMut(&[Received]) -> bool + use<> {
    let mut open: BTreeSet<String> = jobs.iter().map(|id| (*id).to_owned()).collect();
    move |taken| {
        if let Some(message) = taken.last().filter(|message| message.kind() == COMPLETED) {
            open.remove(message.json()["job_id"].as_str().unwrap());
        }
        open.is_empty()
    }
}

/// How many of this type are among them.
pub(super) fn count_of(messages: &[Received], kind: &str) -> usize {
    messages.iter().filter(|message| message.kind() == kind).count()
}

/// How many leads ended how, like `10 not_found/none, 2 verified/none`.
pub(super) fn endings<'r>(results: impl IntoIterator<Item = &'r Value>) -> String {
    let mut counts = BTreeMap::new();
    for result in results {
        let [status, reason] = ["status", "reason"].map(|field| result[field].as_str().unwrap());
        *counts.entry(format!("{status}/{reason}")).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts.into_iter().map(|(ending, count)| format!("{count} {ending}")).collect();
    counts.join(", ")
}

/// The sum of all samples of a metric whose series begins so: `weir_unroutable_total{type="weir.lead_result.v1"`.
pub(super) fn metric(metrics: &str, series: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(series));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// An amount of USD; equal whatever its places.
pub(super) fn usd(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn amount(value: &Value) -> Decimal {
    usd(value.as_str().unwrap())
}

/// USD of a provider's credit.
pub(super) fn price(provider: &str) -> Decimal {
    let (_, price) = PRICES.into_iter().find(|(name, _)| *name == provider).unwrap();
    usd(price)
}

/// What the provider has billed for a call, at the configured price.
pub(super) fn cost(call: &Call) -> Decimal {
    call.credits * price(&call.provider)
}
