//! A worker that stands still for longer than its lease, and wakes.

use crate::services::Config;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::usd;
use crate::worker::told::with;

const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "leads_in_flight = 8\nslice_size = 10",
    every_provider: "",
    more: "",
};

/// Slow: it takes a lease, half a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_paused_past_its_lease_changes_nothing_when_it_wakes_and_goes_on_with_other_work() {
    let stage = Stage::new(CONFIG, &["--latency", "500"]).await;
    stage.top_up("acme", "5").await;
    stage.top_up("beta", "5").await;
    let mut sleeper = stage.worker().await;
    stage.submit(&job("job-1", &[(60, "hit")])).await;
    stage.until_called(12).await;
    // Calls are in flight, and their answers will lie in its sockets.
    sleeper.pause();
    let mut other = stage.worker().await;
    let mut heard = stage.until_completed(&["job-1"]).await;
    assert_eq!(stage.spent("acme").await, usd("0.984"), "60 times 0.0164");
    let seen = async || {
        let results = stage.folder.weir(&["jobs", "results", "job-1"]).await.done();
        (stage.ledger("acme").await, results, stage.job("job-1").await)
    };
    let before = seen().await;

    sleeper.wake();
    other.terminate();
    assert_eq!(other.ended().await, Some(0), "{}", other.log());
    // Nobody else is there to do this.
    sleeper.wait_ready().await;
    stage.submit(&with(job("job-2", &[(10, "hit")]), "workspace_id", "beta")).await;
    heard.extend(stage.until_completed(&["job-2"]).await);
    assert_eq!(stage.spent("beta").await, usd("0.164"));
    // Its end waits for all that it still had in hand.
    stage.assert_all_end_well(&mut [sleeper]).await;

    assert!(seen().await == before, "what woke up wrote where it had no right any more");
    heard.extend(stage.take_rest(RESULTS).await);
    assert_eq!(endings(&results(&heard)), "70 verified/none");
    stage.assert_audit_is_clean().await;
}
