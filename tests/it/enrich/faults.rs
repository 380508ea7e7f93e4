//! Providers that fail, that refuse the key, that answer later.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::folder::key_variable;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::lists::rows;
use crate::enrich::lists::usd;
use crate::enrich::running::until;
use crate::enrich::sandbox_process::SandboxProcess;
use serde_json::json;

const CONFIG: Config<'_> = Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };

/// Enriches 40 leads with a key that contains `word`: calls made, endings, and the outcomes on the first lead's trail.
fn with_key(word: &str, concurrency: &str) -> (usize, String, Vec<String>) {
    let sandbox = SandboxProcess::start(&[]);
    let mut folder = Folder::new(Config { worker: "lead_deadline = \"2s\"", ..CONFIG }, &sandbox);
    folder.set(&key_variable("leadmagic"), &format!("a-{word}-key"));
    folder.write("leads.csv", list_of(&[(40, "hit")]));
    folder.run(&["enrich", "leads.csv", "--budget", "5", "--concurrency", concurrency]).done();
    assert_eq!((folder.spent(), folder.balance()), (usd("0"), usd("5")));
    folder.assert_audit_is_clean();
    let results = folder.json(&["jobs", "results", &folder.job()]);
    let trail = results[0]["trail"].as_array().unwrap();
    let outcomes = trail.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned());
    (sandbox.count(), endings(&folder.read("leads.enriched.csv")), outcomes.collect())
}

#[test]
fn a_provider_that_is_down_for_a_while_costs_time_and_neither_leads_nor_money() {
    let sandbox = SandboxProcess::start(&["--latency", "5"]);
    let folder = Folder::new(Config { every_provider: "breaker_open = \"1s\"", ..CONFIG }, &sandbox);
    folder.write("leads.csv", list_of(&[(200, "hit"), (100, "miss")]));
    let running = folder.start(&["enrich", "leads.csv", "--budget", "20", "--concurrency", "16"]);
    until("calls", || sandbox.count() >= 100);
    sandbox.fault(&json!({"provider": "leadmagic", "down": true}));
    // The breaker opens at ten; its probes must find it down as well.
    until("refused calls", || sandbox.calls().iter().filter(|call| call.status == 503).count() >= 14);
    sandbox.fault(&json!({"provider": "leadmagic", "down": false}));
    running.finish().done();

    let failed = rows(&folder.read("leads.enriched.csv")).iter().filter(|row| row["weir_status"] == "failed").count();
    assert!(failed <= 16, "{failed} leads failed");
    assert_eq!(endings(&folder.enrich("20")), "100 not_found/none, 200 verified/none");
    assert_eq!(folder.spent(), usd("5.08"));
    folder.assert_audit_is_clean();
}

#[test]
fn what_is_known_costs_nothing_while_its_provider_is_down() {
    let sandbox = SandboxProcess::start(&[]);
    let both = Config { find: &["leadmagic", "prospeo"], worker: "lead_deadline = \"2s\"", ..CONFIG };
    let folder = Folder::new(both, &sandbox);
    let known = list_of(&[(60, "hit")]);
    folder.write("leads.csv", &known);
    folder.enrich("20");
    let spent = folder.spent();

    // New leads come first: they find out that the provider is down.
    let (header, leads) = known.split_once('\n').unwrap();
    let new = list_of(&[(20, "miss")]);
    folder.write("more.csv", format!("{header}\n{}{leads}", new.split_once('\n').unwrap().1));
    sandbox.fault(&json!({"provider": "leadmagic", "down": true}));
    folder.run(&["enrich", "more.csv", "--budget", "5", "--concurrency", "8"]).done();
    assert_eq!(folder.spent(), spent);
    assert!(endings(&folder.read("more.enriched.csv")).contains("60 verified/none"));
    folder.assert_audit_is_clean();
}

#[test]
fn a_rejected_key_is_not_tried_again_and_costs_nothing() {
    let (calls, endings, outcomes) = with_key("bad-key", "4");
    assert_eq!((endings.as_str(), outcomes), ("40 failed/providers_unavailable", vec!["key_rejected".to_owned()]));
    assert!(calls <= 8, "{calls} calls");
}

#[test]
fn an_account_without_credits_is_told_apart_from_a_rejected_key_and_costs_nothing() {
    let (calls, endings, outcomes) = with_key("no-credits", "4");
    assert_eq!(endings, "40 failed/providers_unavailable");
    assert_eq!(outcomes, ["provider_out_of_credits"]);
    assert!(calls <= 8, "{calls} calls");
}

#[test]
fn a_throttled_key_ends_with_the_deadline_of_the_leads_and_costs_nothing() {
    let (_, endings, outcomes) = with_key("throttled", "40");
    assert!(endings.split(", ").all(|ending| ending.contains(" failed/")), "{endings}");
    assert_eq!(outcomes.first().map(String::as_str), Some("rate_limited"));
}

#[test]
fn a_pause_longer_than_the_deadline_is_not_waited_for() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(Config { worker: "lead_deadline = \"1s\"", ..CONFIG }, &sandbox);
    folder.write("leads.csv", list_of(&[(10, "hit")]));
    sandbox.fault(&json!({"provider": "leadmagic", "throttle_seconds": 300}));
    // `enrich` waits twenty seconds at most.
    let enriched = folder.enrich("5");
    assert!(endings(&enriched).split(", ").all(|ending| ending.contains(" failed/")), "{}", endings(&enriched));
    assert_eq!(folder.spent(), usd("0"));
    folder.assert_audit_is_clean();
}

#[test]
fn a_provider_that_answers_later_is_paid_once_a_lead_and_read_for_all_leads_at_once() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(Config { find: &["leadmagic", "icypeas"], ..CONFIG }, &sandbox);
    folder.write("leads.csv", list_of(&[(40, "only-icypeas")]));
    assert_eq!(endings(&folder.enrich("5")), "40 verified/none");
    assert_eq!(sandbox.count_of("icypeas", "find_email"), 40);
    assert!(sandbox.count_of("icypeas", "read") <= 4, "{} reads", sandbox.count_of("icypeas", "read"));
    assert_eq!(folder.spent(), usd("1.276"), "40 times 0.019 and 0.0129");
    folder.assert_audit_is_clean();
}
