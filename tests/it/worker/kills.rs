//! `kill -9` among several workers, and connections that are cut: nothing is lost, nothing is paid twice.

use crate::services::Config;
use crate::worker::dice::Dice;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use rust_decimal::Decimal;

/// Leads in flight, and so the calls that one kill may cost the house.
const IN_FLIGHT: usize = 16;
const WORKERS: usize = 3;
const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "leads_in_flight = 16\nslice_size = 10\nslices_per_job = 30",
    every_provider: "",
    more: "",
};

/// What is done to the workers, and to how much work.
struct Ordeal {
    seed: u64,
    kills: usize,
    /// Found and verified; found and rejected; not found.
    leads: [usize; 3],
    finds_per_second: u32,
    /// Between two kills, and as many more by chance.
    calls_apart: usize,
}

async fn assert_nothing_is_lost_or_paid_twice(ordeal: Ordeal) {
    let Ordeal { seed, kills, leads: [hits, invalid, misses], finds_per_second, calls_apart } = ordeal;
    let mut stage = Stage::new(CONFIG, &["--latency", "100"]).await;
    // A killed worker has little in hand, and the others have enough to go on with.
    stage.folder.set("WEIR__BROKER__PREFETCH", "2");
    stage.limit_finds(finds_per_second);
    stage.top_up("acme", "100").await;
    let mut workers = [stage.worker().await, stage.worker().await, stage.worker().await];
    stage.submit(&job("job-1", &[(hits, "hit"), (invalid, "invalid"), (misses, "miss")])).await;

    let mut dice = Dice::new(seed);
    let mut cuts = 0;
    for kill in 1..=kills {
        let enough = stage.sandbox.calls().len() + calls_apart + dice.below(calls_apart);
        stage.until_called(enough).await;
        let victim = dice.below(WORKERS);
        workers[victim].kill9();
        match kill % 3 {
            1 => assert!(stage.broker.close_connections_of("weir/").await > 0, "seed {seed}, kill {kill}"),
            2 => cuts += usize::from(stage.database.cut_connections().await > 0),
            _ => {}
        }
        workers[victim] = stage.worker().await;
    }
    let mut heard = stage.until_completed(&["job-1"]).await;

    let found = hits + invalid;
    let cost = Decimal::from(found) * usd("0.0164");
    assert_eq!(stage.spent("acme").await, cost, "seed {seed}: not what an undisturbed run costs");
    let shown = stage.job("job-1").await;
    let all = hits + invalid + misses;
    assert_eq!((shown["state"].as_str(), shown["done"].as_u64()), (Some("completed"), u64::try_from(all).ok()));
    let repeated = stage.sandbox.calls().len() - (misses + 2 * found);
    let allowed = IN_FLIGHT * (kills + WORKERS * cuts);
    assert!(repeated <= allowed, "seed {seed}: {repeated} calls were repeated, {allowed} may be");

    stage.assert_no_work_is_left().await;
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
    heard.extend(stage.take_rest(RESULTS).await);
    let decided = results(&heard);
    assert_eq!(decided.len(), all, "seed {seed}: a lead has no result, or two different ones");
    assert_eq!(endings(&decided), format!("{} not_found/none, {hits} verified/none", invalid + misses));
    assert_eq!(told(&heard, COMPLETED).len(), 1);
}

/// Slow: what a killed worker had in hand is another's after half a minute, when its lease has lapsed.
#[tokio::test(flavor = "multi_thread")]
async fn three_workers_killed_and_cut_off_among_300_leads_lose_nothing_and_charge_what_an_undisturbed_run_does() {
    let leads = [180, 40, 80];
    let ordeal = Ordeal { seed: 1, kills: 3, leads, finds_per_second: 15, calls_apart: 20 };
    assert_nothing_is_lost_or_paid_twice(ordeal).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: ./scripts/test --run-ignored all soak"]
async fn soak_twenty_kills_among_3000_leads_lose_nothing_and_charge_what_an_undisturbed_run_does() {
    let leads = [1_800, 400, 800];
    let ordeal = Ordeal { seed: 2, kills: 20, leads, finds_per_second: 20, calls_apart: 50 };
    assert_nothing_is_lost_or_paid_twice(ordeal).await;
}
