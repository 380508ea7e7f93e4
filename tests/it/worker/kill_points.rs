//! `kill -9` at each point of a lead's way. The worker is held up there from outside, by a row that it needs or by
//! bytes that do not arrive, and what it leaves behind shows that it stood there. Then another worker takes over.

use crate::services::Call;
use crate::services::Config;
use crate::services::Proxy;
use crate::services::Received;
use crate::services::RowLock;
use crate::services::Session;
use crate::services::Stop;
use crate::services::WorkerProcess;
use crate::services::eventually;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::RESULT;
use crate::worker::told::count_of;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::metric;
use crate::worker::told::price;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// All leads are at work at once, in one slice.
const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "leads_in_flight = 8\nslice_size = 10",
    every_provider: "",
    more: "",
};

const JOB: &str = "job-1";
/// All of them are found and verified; so many calls are in flight when the worker is killed.
const LEADS: usize = 4;
/// Undisturbed: each lead is found and verified, at 0.0125 and 0.0039.
const CALLS: usize = 2 * LEADS;
const COST: &str = "0.0656";
const WALLET: &str = "5";

const SLICES: &str = "weir.slices";
const LEADMAGIC_URL: &str = "WEIR__PROVIDERS__LEADMAGIC__BASE_URL";
const BROKER_URL: &str = "WEIR__BROKER__URL";
const ANSWERS: &str = r#"weir_call_seconds_count{provider="leadmagic""#;
const REPEATED: &str = "weir_calls_repeated_total{";

// Rows of the store. A worker has the first locked to hold or settle, the second to close a slice.
const WALLET_ROW: &str = "accounts WHERE workspace = 'acme'";
const JOB_ROW: &str = "jobs WHERE job_id = 'job-1'";
const ATTEMPTS: &str = "attempts";
const AWAITED: &str = "attempts WHERE hold = 'open' AND outcome IS NULL";
const PAID: &str = "attempts WHERE hold = 'settled' AND charged > 0";
const ENDED: &str = "leads WHERE ended";
const OPEN: &str = "slices WHERE open";

/// What a killed worker leaves behind.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    attempts: usize,
    /// Attempts with a hold, and without an answer.
    awaited: usize,
    /// Leads that have their status.
    ended: usize,
    /// Slices that are not closed.
    open: usize,
    /// Calls that the providers have had.
    calls: usize,
}

/// A plant with a full wallet, and a look into its store.
struct Trial {
    stage: Stage,
    store: Session,
}

impl Trial {
    async fn new() -> Self {
        let stage = Stage::new(CONFIG, &[]).await;
        stage.top_up("acme", WALLET).await;
        let store = Session::with(&stage.database).await;
        Self { stage, store }
    }

    /// A worker that is to be killed: what this variable names it reaches by way of the proxy.
    async fn worker_behind(&self, proxy: &Proxy, variable: &str) -> WorkerProcess {
        let mut worker = WorkerProcess::start(&self.stage.folder, &[(variable, proxy.url())]);
        worker.wait_ready().await;
        worker
    }

    async fn submit(&self) {
        self.stage.submit(&job(JOB, &[(LEADS, "hit")])).await;
    }

    async fn lock(&self, row: &str) -> RowLock {
        RowLock::on(&self.stage.database, row).await
    }

    /// Waits until there is such a row for every lead.
    async fn until_all_are_among(&self, rows: &str) {
        let all = async || (self.store.rows(rows).await == LEADS).then_some(());
        eventually(rows, PATIENCE, all).await;
    }

    /// How many messages lie in a queue that nobody has received.
    async fn depth(&self, queue: &str) -> usize {
        usize::try_from(self.stage.broker.queue_depth(queue).await.unwrap()).unwrap()
    }

    async fn until_lying_in(&self, queue: &str, messages: usize) {
        let lying = async || (self.depth(queue).await >= messages).then_some(());
        eventually(queue, PATIENCE, lying).await;
    }

    /// Waits until the killed worker's transactions are over and the broker has its slice again. Then this is left.
    async fn assert_left(&self, expected: &Left) {
        self.store.until_alone().await;
        self.until_lying_in(SLICES, 1).await;
        let left = Left {
            attempts: self.store.rows(ATTEMPTS).await,
            awaited: self.store.rows(AWAITED).await,
            ended: self.store.rows(ENDED).await,
            open: self.store.rows(OPEN).await,
            calls: self.stage.sandbox.calls().len(),
        };
        assert_eq!(left, *expected, "it was killed elsewhere");
    }

    /// Another worker. The dead one's lease lapses at once, not after half a minute.
    async fn successor(&self) -> WorkerProcess {
        self.store.run("UPDATE slices SET lease_until = 0").await;
        self.stage.worker().await
    }

    /// Another worker ends the job. Each finder's question was called for `finds` times then; `counted` says how many
    /// calls the other worker takes for repeated. All else is as if nobody had been killed. Gives what was heard.
    async fn assert_a_successor_ends_it(&self, finds: usize, counted: usize) -> Vec<Received> {
        let worker = self.successor().await;
        let heard = self.stage.until_completed(&[JOB]).await;
        assert_eq!(metric(&worker.metrics().await, REPEATED).to_string(), counted.to_string());
        self.assert_paid_once(finds).await;
        self.assert_told_once(worker, heard).await
    }

    /// Every lead has its one status, and every step was paid once, however often its provider was called.
    async fn assert_paid_once(&self, finds: usize) {
        let stage = &self.stage;
        let shown = stage.job(JOB).await;
        assert_eq!((&shown["state"], &shown["by_status"]), (&json!("completed"), &json!({"verified": LEADS})));
        let spent = (stage.spent("acme").await, stage.balance("acme").await);
        assert_eq!(spent, (usd(COST), usd(WALLET) - usd(COST)));
        assert_eq!((self.store.rows(ATTEMPTS).await, self.store.rows(PAID).await), (CALLS, CALLS));

        let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
        for Call { provider, question, .. } in stage.sandbox.calls() {
            *times.entry((provider, question)).or_default() += 1;
        }
        assert_eq!(times.len(), CALLS, "{times:?}");
        for ((provider, question), times) in times {
            let expected = if provider == "leadmagic" { finds } else { 1 };
            assert_eq!(times, expected, "{provider} {question}");
        }
        // The house pays for the rest.
        let repeated = Decimal::from(LEADS * (finds - 1)) * price("leadmagic");
        assert_eq!(stage.billed(), usd(COST) + repeated);
    }

    /// Ends the worker. Then no work and no held money is left, and every lead has one result, whatever was told
    /// twice. Gives all that was heard.
    async fn assert_told_once(&self, worker: WorkerProcess, mut heard: Vec<Received>) -> Vec<Received> {
        self.stage.assert_all_end_well(&mut [worker]).await;
        self.stage.assert_audit_is_clean().await;
        heard.extend(self.stage.take_rest(RESULTS).await);
        let results = results(&heard);
        let leads: BTreeSet<&str> = results.iter().map(|result| result["lead_id"].as_str().unwrap()).collect();
        assert_eq!((results.len(), leads.len()), (LEADS, LEADS), "a lead has no result, or two different ones");
        assert_eq!(endings(&results), format!("{LEADS} verified/none"));
        assert_eq!(told(&heard, COMPLETED).len(), 1);
        heard
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_hold_a_lead_is_called_and_paid_once() {
    let trial = Trial::new().await;
    let mut worker = trial.stage.worker().await;
    let wallet = trial.lock(WALLET_ROW).await;
    trial.submit().await;
    wallet.until_waited_for().await;
    worker.kill9();
    wallet.release().await;

    trial.assert_left(&Left { attempts: 0, awaited: 0, ended: 0, open: 1, calls: 0 }).await;
    trial.assert_a_successor_ends_it(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_hold_a_lead_is_called_under_that_hold_and_paid_once() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.sandbox.url("leadmagic"), Stop::Requests).await;
    let mut worker = trial.worker_behind(&proxy, LEADMAGIC_URL).await;
    trial.submit().await;
    trial.until_all_are_among(AWAITED).await;
    worker.kill9();
    drop(proxy);

    trial.assert_left(&Left { attempts: LEADS, awaited: LEADS, ended: 0, open: 1, calls: 0 }).await;
    // That nothing was sent nobody can know: the calls count as repeated.
    trial.assert_a_successor_ends_it(1, LEADS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_send_a_lead_is_called_once_more_and_paid_once() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.sandbox.url("leadmagic"), Stop::Replies).await;
    let mut worker = trial.worker_behind(&proxy, LEADMAGIC_URL).await;
    trial.submit().await;
    trial.stage.until_called(LEADS).await;
    worker.kill9();
    drop(proxy);

    trial.assert_left(&Left { attempts: LEADS, awaited: LEADS, ended: 0, open: 1, calls: LEADS }).await;
    trial.assert_a_successor_ends_it(2, LEADS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_answer_a_lead_is_called_once_more_and_paid_once() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.sandbox.url("leadmagic"), Stop::Replies).await;
    let mut worker = trial.worker_behind(&proxy, LEADMAGIC_URL).await;
    trial.submit().await;
    trial.stage.until_called(LEADS).await;
    let wallet = trial.lock(WALLET_ROW).await;
    proxy.let_through();
    let all = LEADS.to_string();
    let answered = async || (metric(&worker.metrics().await, ANSWERS).to_string() == all).then_some(());
    eventually("every answer", PATIENCE, answered).await;
    wallet.until_waited_for().await;
    worker.kill9();
    wallet.release().await;
    drop(proxy);

    trial.assert_left(&Left { attempts: LEADS, awaited: LEADS, ended: 0, open: 1, calls: LEADS }).await;
    trial.assert_a_successor_ends_it(2, LEADS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_settlement_a_result_is_told_and_nothing_is_called_again() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.broker.url(), Stop::Publish("lead_result")).await;
    let mut worker = trial.worker_behind(&proxy, BROKER_URL).await;
    trial.submit().await;
    trial.until_all_are_among(ENDED).await;
    proxy.until_holding().await;
    worker.kill9();
    drop(proxy);

    trial.assert_left(&Left { attempts: CALLS, awaited: 0, ended: LEADS, open: 1, calls: CALLS }).await;
    assert_eq!(trial.depth(RESULTS).await, 0);
    trial.assert_a_successor_ends_it(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_publish_a_result_is_told_again_as_it_was_and_nothing_is_called_again() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.broker.url(), Stop::Publish("lead_result")).await;
    let mut worker = trial.worker_behind(&proxy, BROKER_URL).await;
    trial.submit().await;
    trial.until_all_are_among(ENDED).await;
    // What it still needs this row for is the closing alone, and that waits for the results.
    let closing = trial.lock(JOB_ROW).await;
    proxy.let_through();
    trial.until_lying_in(RESULTS, LEADS).await;
    closing.until_waited_for().await;
    worker.kill9();
    closing.release().await;
    drop(proxy);

    trial.assert_left(&Left { attempts: CALLS, awaited: 0, ended: LEADS, open: 1, calls: CALLS }).await;
    let heard = trial.assert_a_successor_ends_it(1, 0).await;
    assert!(count_of(&heard, RESULT) >= 2 * LEADS, "what may not have been told was not told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_ack_a_slice_comes_again_and_is_only_acknowledged() {
    let trial = Trial::new().await;
    let proxy = Proxy::before(trial.stage.broker.url(), Stop::Ack(SLICES)).await;
    let mut worker = trial.worker_behind(&proxy, BROKER_URL).await;
    trial.submit().await;
    let heard = trial.stage.until_completed(&[JOB]).await;
    proxy.until_holding().await;
    worker.kill9();
    drop(proxy);

    trial.assert_left(&Left { attempts: CALLS, awaited: 0, ended: LEADS, open: 0, calls: CALLS }).await;
    trial.assert_paid_once(1).await;
    let successor = trial.successor().await;
    // Its slice stands behind the one that came again.
    trial.stage.submit(&job("job-2", &[(1, "miss")])).await;
    let later = trial.stage.until_completed(&["job-2"]).await;
    assert_eq!(count_of(&later, RESULT), 1, "what had been told was told again");
    assert_eq!(trial.stage.sandbox.calls().len(), CALLS + 1, "what had been done was done again");
    assert_eq!(metric(&successor.metrics().await, REPEATED).to_string(), "0");
    assert_eq!(trial.stage.spent("acme").await, usd(COST));
    trial.assert_told_once(successor, heard).await;
}
