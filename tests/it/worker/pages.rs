//! Pages that e-mails are personalized with: each is read and paid once in a workspace, those that cannot be had stop
//! nothing, and none gives orders.

use crate::services::CLAUDE;
use crate::services::Config;
use crate::services::GPT;
use crate::worker::stage::Stage;
use crate::worker::told::amount;
use crate::worker::told::endings;
use crate::worker::told::metric;
use crate::worker::told::usd;
use crate::worker::written::HAS_READ;
use crate::worker::written::at;
use crate::worker::written::attempt;
use crate::worker::written::copies;
use crate::worker::written::live;
use crate::worker::written::of;
use crate::worker::written::of_job;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "slice_size = 5",
    every_provider: "",
    more: "",
};

/// What a company's site does, what the trail says of it, and what the page costs.
const SITES: [(&str, &str, &str); 8] = [
    ("hit", "scraped", "0.005"),
    // What a site says when it does not have a page is its page.
    ("gone", "scraped", "0.005"),
    ("dear", "scraped", "0.025"),
    ("unsaid", "scraped", "0.005"),
    ("nodns", "not_found", "0.005"),
    ("blocked", "bad_request", "0"),
    ("slow", "bad_request", "0"),
    ("broken", "bad_request", "0"),
];

/// Where many leads work.
const SHARED: &str = "shared.hit.test";

/// Job, lead and operation of everything that was paid, and the amount.
type Paid = BTreeMap<[String; 3], Decimal>;

/// By the ledger; nothing may stand in it twice.
fn paid_by_ledger(ledger: &[Value]) -> Paid {
    let mut paid = Paid::new();
    for entry in ledger.iter().filter(|entry| entry["kind"] == "settle") {
        let what = ["job_id", "lead_id", "operation"].map(|field| entry[field].as_str().unwrap().to_owned());
        assert_eq!(paid.insert(what, -amount(&entry["amount"])), None, "paid twice: {entry}");
    }
    paid
}

/// By the results of a workspace's leads.
fn paid_by_results(results: &[Value], workspace: &str) -> Paid {
    let mut paid = Paid::new();
    for result in results.iter().filter(|result| result["workspace_id"] == workspace) {
        let steps = result["trail"].as_array().unwrap().iter().filter(|step| !amount(&step["cost"]).is_zero());
        for step in steps {
            let [job, lead] = ["job_id", "lead_id"].map(|field| result[field].as_str().unwrap().to_owned());
            let (_, operation) = step["step"].as_str().unwrap().split_once('.').unwrap();
            paid.insert([job, lead, operation.to_owned()], amount(&step["cost"]));
        }
    }
    paid
}

/// How many of these have read their page themselves, and how many took what another had read.
fn readers(results: &[&Value]) -> (usize, usize) {
    let took = |is_cached: bool| {
        let scrapes = results.iter().map(|result| attempt(result, "scrape"));
        scrapes.filter(|scrape| scrape["outcome"] == "scraped" && scrape["cached"] == is_cached).count()
    };
    (took(false), took(true))
}

fn assert_has_the_page_of_its_site(result: &Value, (site, outcome, cost): (&str, &str, &str)) {
    let scrape = attempt(result, "scrape");
    assert_eq!((&scrape["outcome"], &scrape["cached"]), (&json!(outcome), &json!(false)), "{site}: {result}");
    assert_eq!(amount(&scrape["cost"]), usd(cost), "{site}: {result}");
    let has_read = result["body"].as_str().unwrap().contains(HAS_READ);
    assert_eq!(has_read, outcome == "scraped", "{site}: {result}");
}

/// `sites` leads at companies of their own, one at each company whose site is odd, and many at one company.
async fn assert_live_emails_pay_for_tokens_and_for_each_page_once(sites: usize) {
    let stage = Stage::new(CONFIG, &["--latency", "50"]).await;
    stage.top_up("acme", "100").await;
    stage.top_up("beta", "5").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    let scenes: Vec<(usize, &str)> =
        SITES.into_iter().enumerate().map(|(n, (site, ..))| (if n == 0 { sites } else { 1 }, site)).collect();
    let mut job = live("own", GPT, &scenes);
    job["leads"].as_array_mut().unwrap().push(json!({"lead_id": "nowhere", "first_name": "Bea"}));
    stage.submit_copy(&at(live("shared", GPT, &[(40, "hit")]), SHARED)).await;
    stage.submit_copy(&job).await;
    stage.submit_copy(&of(at(live("beta", CLAUDE, &[(5, "hit")]), SHARED), "beta")).await;
    let mut results = copies(&stage.until_completed(&["own", "shared", "beta"]).await);
    stage.submit_copy(&at(live("again", CLAUDE, &[(5, "hit")]), SHARED)).await;
    results.extend(copies(&stage.until_completed(&["again"]).await));

    let own: BTreeMap<&str, &Value> =
        of_job(&results, "own").into_iter().map(|result| (result["lead_id"].as_str().unwrap(), result)).collect();
    assert_eq!(own.len(), sites + SITES.len());
    assert_eq!(endings(&results), format!("{} written/none", own.len() + 40 + 5 + 5));
    let site_of_each = scenes.iter().zip(SITES).flat_map(|((count, _), site)| vec![site; *count]);
    for (lead, site) in (1..).zip(site_of_each) {
        assert_has_the_page_of_its_site(own[format!("{lead}").as_str()], site);
    }
    assert_eq!(attempt(own["nowhere"], "scrape")["outcome"], "not_applicable");

    let readers = |job: &str| readers(&of_job(&results, job));
    assert_eq!([readers("shared"), readers("beta"), readers("again")], [(1, 39), (1, 4), (0, 5)]);
    assert_eq!(stage.sandbox.count_of("firecrawl", "scrape"), sites + SITES.len() - 1 + 1 + 1);
    for workspace in ["acme", "beta"] {
        assert_eq!(paid_by_ledger(&stage.ledger(workspace).await), paid_by_results(&results, workspace));
    }
    assert_eq!(stage.spent("acme").await + stage.spent("beta").await, stage.billed());
    let mut counted = 0.0;
    for worker in &workers {
        counted += metric(&worker.metrics().await, r#"weir_copies_total{purpose="live",status="written""#);
    }
    assert_eq!(counted.to_string(), results.len().to_string());
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_emails_pay_for_their_tokens_and_for_each_page_once_in_a_workspace_whatever_the_page() {
    assert_live_emails_pay_for_tokens_and_for_each_page_once(60).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./scripts/test --run-ignored all soak"]
async fn soak_five_thousand_live_emails_pay_for_their_tokens_and_for_each_page_once() {
    assert_live_emails_pay_for_tokens_and_for_each_page_once(5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_gives_orders_is_read_and_not_obeyed() {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    for (job, model) in [("gpt", GPT), ("claude", CLAUDE)] {
        stage.submit_copy(&live(job, model, &[(5, "hostile"), (5, "hit")])).await;
    }
    let results = copies(&stage.until_completed(&["gpt", "claude"]).await);
    assert_eq!(endings(&results), "20 written/none");
    for result in &results {
        let [subject, body] = ["subject", "body"].map(|field| result[field].as_str().unwrap());
        assert!(body.contains(HAS_READ), "the page was not among what the model was given: {result}");
        assert!(!subject.contains("OBEYED") && !body.contains("OBEYED"), "{result}");
    }
    stage.assert_all_end_well(&mut workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_read_pages_copy_is_written_without_and_the_trail_says_why() {
    let mut stage = Stage::new(CONFIG, &[]).await;
    stage.folder.set("FIRECRAWL_API_KEY", "no-credits-of-the-house");
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    stage.submit_copy(&live("job-1", GPT, &[(20, "hit")])).await;
    let results = copies(&stage.until_completed(&["job-1"]).await);
    assert_eq!(endings(&results), "20 written/none");
    for result in &results {
        assert_eq!(attempt(result, "scrape")["outcome"], "provider_out_of_credits", "{result}");
        assert!(!result["body"].as_str().unwrap().contains(HAS_READ), "{result}");
    }
    assert_eq!(stage.spent("acme").await, stage.billed());
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_is_asked_for_once_by_all_who_want_it_and_the_trail_says_why() {
    let stage = Stage::new(CONFIG, &["--latency", "300"]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.submit_copy(&at(live("job-1", GPT, &[(20, "hit")]), "slow.hit.test")).await;
    let results = copies(&stage.until_completed(&["job-1"]).await);
    assert_eq!(endings(&results), "20 written/none");
    for result in &results {
        assert_eq!(attempt(result, "scrape")["outcome"], "bad_request", "{result}");
        assert!(!result["body"].as_str().unwrap().contains(HAS_READ), "{result}");
    }
    let called = results.iter().filter(|result| attempt(result, "scrape")["cached"] == false);
    assert_eq!((called.count(), stage.sandbox.count_of("firecrawl", "scrape")), (1, 1));
    assert_eq!(stage.spent("acme").await, stage.billed());
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

/// More of them than open its breaker, were they its own failures.
#[tokio::test(flavor = "multi_thread")]
async fn pages_too_large_to_be_read_say_nothing_of_who_reads_pages() {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    stage.submit_copy(&live("large", GPT, &[(12, "huge")])).await;
    let large = copies(&stage.until_completed(&["large"]).await);
    stage.submit_copy(&live("usual", GPT, &[(3, "hit")])).await;
    let usual = copies(&stage.until_completed(&["usual"]).await);
    assert_eq!([endings(&large), endings(&usual)], ["12 written/none", "3 written/none"]);
    for result in &large {
        let scrape = attempt(result, "scrape");
        assert_eq!((&scrape["outcome"], amount(&scrape["cost"])), (&json!("bad_request"), Decimal::ZERO), "{result}");
    }
    assert_eq!(readers(&usual.iter().collect::<Vec<_>>()), (3, 0));
    // Each was billed, and nobody can say how much: at most five credits.
    let lost = metric(&workers[0].metrics().await, r#"weir_house_loss_usd_total{provider="firecrawl"}"#);
    assert_eq!(lost.to_string(), "0.3");
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
