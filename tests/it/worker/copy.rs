//! E-mails written by models: what they cost, on whose key, and what becomes of answers that are none.

use crate::services::CLAUDE;
use crate::services::Call;
use crate::services::Config;
use crate::services::GPT;
use crate::services::output_price;
use crate::services::price_of;
use crate::worker::stage::EVENTS;
use crate::worker::stage::Stage;
use crate::worker::told::amount;
use crate::worker::told::count_of;
use crate::worker::told::endings;
use crate::worker::told::metric;
use crate::worker::told::told;
use crate::worker::told::usd;
use crate::worker::written::MOST_OUTPUT;
use crate::worker::written::attempt;
use crate::worker::written::copies;
use crate::worker::written::of;
use crate::worker::written::of_job;
use crate::worker::written::usage;
use crate::worker::written::warm_up;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "slice_size = 20",
    every_provider: "",
    more: "",
};

/// Workspaces with an OpenAI key of their own, on each plan. There is no money in their wallets.
const OWN_KEYS: [(&str, &str, &str); 2] = [("beta", "metered", "own-key-7001"), ("gamma", "unlimited", "own-key-8001")];

/// What a lead's domain has a model do; how the lead ends with OpenAI and with Anthropic, and what is paid for each:
/// the `tokens` that were counted, the `hold`, or `nothing`; by the `house`, what was counted.
const SCENES: [(&str, [(&str, &str); 2]); 10] = [
    ("hit", [("written/none", "tokens"); 2]),
    ("fenced", [("written/none", "tokens"); 2]),
    ("nousage", [("written/none", "hold"); 2]),
    ("refuse", [("failed/refused", "tokens"); 2]),
    ("filtered", [("failed/refused", "tokens"); 2]),
    ("truncate", [("failed/truncated", "tokens"); 2]),
    ("ponder", [("failed/truncated", "tokens"); 2]),
    // OpenAI does not even begin: no model has declined anything.
    ("window", [("failed/providers_unavailable", "nothing"), ("failed/truncated", "tokens")]),
    ("missing", [("failed/providers_unavailable", "nothing"); 2]),
    // It is billed, and the house's loss: the customer has nothing of it.
    ("prose", [("failed/refused", "house"); 2]),
];

/// One more server that speaks OpenAI's format, and its models: one that tells what it costs, one without details.
const ROUTER: &str = r#"
[providers.router]
kind = "openai"
base_url = "http://127.0.0.1:9"
house_key = "env:OPENAI_API_KEY"
output_cap = "max_tokens"
trust_reported_cost = true
[models.sandbox-cost]
provider = "router"
input_per_million = "100"
output_per_million = "100"
[models.sandbox-plain]
provider = "router"
input_per_million = "2.5"
output_per_million = "10.1"
[models."acme/writer"]
provider = "router"
input_per_million = "1"
output_per_million = "1"
"#;

/// A house key ends as its provider's name does.
fn is_of_the_house(call: &Call) -> bool {
    call.provider.ends_with(&call.key)
}

fn ending(result: &Value) -> String {
    endings([result]).split_off(2)
}

async fn assert_warm_up_costs_its_tokens(leads: usize) {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "50").await;
    for (id, plan, key) in OWN_KEYS {
        stage.set_workspace(id, &["--plan", plan]).await;
        stage.set_key(id, "openai", key).await;
    }
    let mut workers = [stage.worker().await, stage.worker().await];
    let fewer = leads / 4;
    for job in [
        warm_up("gpt", GPT, &[(leads, "hit")]),
        warm_up("claude", CLAUDE, &[(fewer, "hit")]),
        of(warm_up("beta", GPT, &[(fewer, "hit")]), "beta"),
        of(warm_up("gamma", GPT, &[(fewer, "hit")]), "gamma"),
    ] {
        stage.submit_copy(&job).await;
    }
    let results = copies(&stage.until_completed(&["gpt", "claude", "beta", "gamma"]).await);
    let all = leads + 3 * fewer;
    assert_eq!(endings(&results), format!("{all} written/none"));

    let calls = stage.sandbox.calls();
    let (house, own): (Vec<&Call>, Vec<&Call>) = calls.iter().partition(|call| is_of_the_house(call));
    assert_eq!((house.len(), own.len()), (leads + fewer, 2 * fewer));
    let billed: Decimal = house.iter().map(|call| call.cost()).sum();
    assert_eq!((stage.spent("acme").await, stage.balance("acme").await), (billed, usd("50") - billed));
    // The top-up, and each call by itself.
    assert_eq!(stage.ledger("acme").await.len(), 1 + house.len());
    for (job, model) in [("gpt", GPT), ("claude", CLAUDE)] {
        for result in of_job(&results, job) {
            assert_eq!(amount(&result["cost"]), price_of(model, usage(result)), "{result}");
        }
    }
    for (id, _, key) in OWN_KEYS {
        assert_eq!((stage.spent(id).await, stage.balance(id).await), (usd("0"), usd("0")), "{id}");
        assert_eq!(own.iter().filter(|call| key.ends_with(&call.key)).count(), fewer, "{id}");
        for result in of_job(&results, id) {
            assert_eq!(
                (&attempt(result, "write_copy")["key_source"], amount(&result["cost"])),
                (&json!("own"), usd("0"))
            );
            assert!(usage(result).output > 0, "{result}");
        }
    }
    let mut counted = 0.0;
    for worker in &workers {
        counted += metric(&worker.metrics().await, r#"weir_copies_total{purpose="warmup",status="written""#);
    }
    assert_eq!(counted.to_string(), all.to_string());
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_up_emails_cost_exactly_their_tokens_and_on_an_own_key_nothing_whatever_the_plan() {
    assert_warm_up_costs_its_tokens(200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./scripts/test --run-ignored all soak"]
async fn soak_ten_thousand_warm_up_emails_cost_exactly_their_tokens() {
    assert_warm_up_costs_its_tokens(10_000).await;
}

/// Checks one lead's result against what its scene is to come to; `calls` are all that were made.
fn assert_ends_as_its_scene(model: &str, result: &Value, scene: (&str, (&str, &str)), calls: &[Call]) {
    let (word, (expected, paid)) = scene;
    let place = format!("{model} {word}: {result}");
    let (cost, write) = (amount(&result["cost"]), attempt(result, "write_copy"));
    assert_eq!((ending(result).as_str(), amount(&write["cost"])), (expected, cost), "{place}");
    for field in ["subject", "body"] {
        let is_there = result[field].as_str().is_some_and(|text| !text.is_empty());
        assert_eq!(is_there, expected == "written/none", "{place}");
    }
    assert_eq!(write["usage_missing"] == true, paid == "hold", "{place}");
    let is_counted = ["tokens", "house"].contains(&paid);
    assert_eq!(result["usage"].is_null(), !is_counted, "{place}");
    let is_billed = || calls.iter().any(|call| call.tokens == usage(result));
    assert!(!is_counted || is_billed(), "{place}: nobody has billed that");
    match paid {
        "tokens" => assert_eq!(cost, price_of(model, usage(result)), "{place}"),
        // All that was held: it writes far less than it may.
        "hold" => assert!(cost > output_price(model, MOST_OUTPUT), "{place}"),
        _ => assert_eq!(cost, usd("0"), "{place}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_copy_end_their_leads_with_a_reason_of_their_own_and_cost_what_the_provider_bills() {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    let scenes = SCENES.map(|(word, _)| (1, word));
    let mut spent = Decimal::ZERO;
    for (of_model, (job, model)) in [("gpt", GPT), ("claude", CLAUDE)].into_iter().enumerate() {
        let before = stage.sandbox.calls().len();
        stage.submit_copy(&warm_up(job, model, &scenes)).await;
        let results = copies(&stage.until_completed(&[job]).await);
        let calls = stage.sandbox.calls().split_off(before);
        assert_eq!((calls.len(), results.len()), (SCENES.len(), SCENES.len()), "a call was repeated: {calls:?}");
        for (lead, (word, by_model)) in (1..).zip(SCENES) {
            let result = results.iter().find(|result| result["lead_id"] == format!("{lead}")).unwrap();
            assert_ends_as_its_scene(model, result, (word, by_model[of_model]), &calls);
            spent += amount(&result["cost"]);
        }
    }
    assert_eq!(stage.spent("acme").await, spent);
    let metrics = workers[0].metrics().await;
    for provider in ["openai", "anthropic"] {
        let lost = metric(&metrics, &format!("weir_house_loss_usd_total{{provider=\"{provider}\"}}"));
        assert!(lost > 0.0, "{provider} was not paid for what is no e-mail");
        let missing = metric(&metrics, &format!("weir_usage_missing_total{{provider=\"{provider}\"}}"));
        assert_eq!(missing.to_string(), "1", "{provider}");
    }

    // What a model declined, did not finish, or got wrong was billed and is not asked for again.
    let before = stage.sandbox.calls().len();
    for job in ["gpt", "claude"] {
        stage.folder.weir(&["jobs", "resume", job]).await.done();
    }
    stage.until_completed(&["gpt", "claude"]).await;
    assert_eq!(stage.sandbox.calls().len() - before, 3, "more was asked than what no model has answered");
    assert_eq!(stage.spent("acme").await, spent);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_of_openais_kind_is_paid_what_it_reports_or_its_own_prices_and_its_errors_are_free() {
    let mut stage = Stage::new(Config { more: ROUTER, ..CONFIG }, &[]).await;
    let url = stage.sandbox.url("openai").to_owned();
    stage.folder.set("WEIR__PROVIDERS__ROUTER__BASE_URL", &url);
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    let errors = [(1, "late"), (1, "hit"), (1, "flat"), (1, "numeric"), (1, "bare")];
    stage.submit_copy(&warm_up("cost", "sandbox-cost", &[(10, "hit")])).await;
    stage.submit_copy(&warm_up("plain", "sandbox-plain", &[(10, "hit")])).await;
    stage.submit_copy(&warm_up("errors", "acme/writer", &errors)).await;
    let results = copies(&stage.until_completed(&["cost", "plain", "errors"]).await);

    let a_millionth = usd("0.000001");
    for result in of_job(&results, "cost") {
        let tokens = usage(result);
        let count = tokens.input + tokens.cached_input + tokens.cache_write + tokens.output;
        assert_eq!(amount(&result["cost"]), Decimal::from(count) * a_millionth, "{result}");
    }
    for result in of_job(&results, "plain") {
        let tokens = usage(result);
        assert_eq!((tokens.cached_input, tokens.cache_write, tokens.reasoning), (0, 0, 0), "it told no details");
        let millionths = Decimal::from(tokens.input) * usd("2.5") + Decimal::from(tokens.output) * usd("10.1");
        assert_eq!(amount(&result["cost"]), millionths * a_millionth, "{result}");
    }
    let of_errors = of_job(&results, "errors");
    assert_eq!(endings(of_errors.clone()), "4 failed/providers_unavailable, 1 written/none");
    for result in of_errors.into_iter().filter(|result| result["status"] == "failed") {
        assert_eq!(amount(&result["cost"]), usd("0"), "{result}");
    }
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_key_without_quota_is_called_once_and_taken_neither_for_a_rate_limit_nor_for_an_empty_wallet() {
    let mut stage = Stage::new(Config { worker: "leads_in_flight = 1", ..CONFIG }, &[]).await;
    stage.folder.set("OPENAI_API_KEY", "no-credits-of-the-house");
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    stage.broker.listen(EVENTS).await;
    stage.submit_copy(&warm_up("job-1", GPT, &[(20, "hit")])).await;
    let events = stage.until_all_is_told(&["job-1"]).await;

    let results = copies(&events);
    assert_eq!(endings(&results), "20 failed/providers_unavailable");
    for result in &results {
        assert_eq!(attempt(result, "write_copy")["outcome"], "provider_out_of_credits", "{result}");
    }
    let asked: Vec<Call> = stage.sandbox.calls().into_iter().filter(|call| call.provider == "openai").collect();
    assert_eq!(asked.iter().map(|call| call.status).collect::<Vec<_>>(), [429], "it was asked again: {asked:?}");
    assert!(events.iter().all(|event| !event.json().to_string().contains("rate_limited")));
    let empty = told(&events, "weir.provider_out_of_credits.v1");
    assert_eq!(empty.len(), 1, "{empty:?}");
    let fields = ["provider", "key_source", "workspace_id"].map(|field| empty[0][field].clone());
    assert_eq!(fields, [json!("openai"), json!("house"), json!(null)]);
    assert_eq!(count_of(&events, "weir.wallet_empty.v1") + count_of(&events, "weir.wallet_low.v1"), 0);
    assert_eq!((stage.spent("acme").await, stage.balance("acme").await), (usd("0"), usd("5")));
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
