//! `kill -9` while copy is written: one result for each lead, and every page and every token paid once.

use crate::services::Config;
use crate::services::GPT;
use crate::worker::dice::Dice;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::endings;
use crate::worker::told::told;
use crate::worker::written::HAS_READ;
use crate::worker::written::at;
use crate::worker::written::copies;
use crate::worker::written::live;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

const SEED: u64 = 4;
const KILLS: usize = 3;
const WORKERS: usize = 3;
/// Leads in flight, and so the calls that one kill may cost the house.
const IN_FLIGHT: usize = 16;
/// Leads with a company of their own, and those who share one.
const LEADS: [usize; 2] = [120, 30];
/// Between two kills, and as many more by chance.
const CALLS_APART: usize = 25;

const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "leads_in_flight = 16\nslice_size = 10\nslices_per_job = 30",
    every_provider: "",
    more: "",
};

/// Slow: what a killed worker had in hand is another's after half a minute, when its lease has lapsed.
#[tokio::test(flavor = "multi_thread")]
async fn three_kills_among_150_emails_lose_none_and_charge_the_pages_and_tokens_of_an_undisturbed_run() {
    let mut stage = Stage::new(CONFIG, &["--latency", "100"]).await;
    // A killed worker has little in hand, and the others have enough to go on with.
    stage.folder.set("WEIR__BROKER__PREFETCH", "2");
    stage.folder.set("WEIR__PROVIDERS__OPENAI__REQUESTS_PER_SECOND", "15");
    stage.top_up("acme", "20").await;
    let mut workers = [stage.worker().await, stage.worker().await, stage.worker().await];
    let [own, shared] = LEADS;
    stage.submit_copy(&live("own", GPT, &[(own, "hit")])).await;
    stage.submit_copy(&at(live("shared", GPT, &[(shared, "hit")]), "shared.hit.test")).await;

    let mut dice = Dice::new(SEED);
    for _ in 0..KILLS {
        let enough = stage.sandbox.calls().len() + CALLS_APART + dice.below(CALLS_APART);
        stage.until_called(enough).await;
        let victim = dice.below(WORKERS);
        workers[victim].kill9();
        workers[victim] = stage.worker().await;
    }
    let mut heard = stage.until_completed(&["own", "shared"]).await;

    // An answer is a function of its question: what a repeated call brought, the first one had brought.
    let calls = stage.sandbox.calls();
    let answers: BTreeMap<&str, Decimal> = calls.iter().map(|call| (call.question.as_str(), call.cost())).collect();
    assert_eq!(answers.len(), 2 * own + shared + 1, "seed {SEED}: other questions than an undisturbed run asks");
    let undisturbed: Decimal = answers.values().sum();
    assert_eq!(stage.spent("acme").await, undisturbed, "seed {SEED}: not what an undisturbed run costs");
    let (repeated, allowed) = (calls.len() - answers.len(), KILLS * IN_FLIGHT);
    assert!(repeated <= allowed, "seed {SEED}: {repeated} calls were repeated, {allowed} may be");

    stage.assert_no_work_is_left().await;
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
    heard.extend(stage.take_rest(RESULTS).await);
    let results = copies(&heard);
    assert_eq!(results.len(), own + shared, "seed {SEED}: a lead has no result, or two different ones");
    assert_eq!(endings(&results), format!("{} written/none", own + shared));
    assert!(results.iter().all(|result| result["body"].as_str().unwrap().contains(HAS_READ)));
    assert_eq!(told(&heard, COMPLETED).len(), 2);
}
