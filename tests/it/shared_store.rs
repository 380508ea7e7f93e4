//! The shared store: the promises of every store, on a real PostgreSQL, and several workers on one wallet.

use crate::conformance::Lab;
use crate::conformance::askings_in_time;
use crate::conformance::call;
use crate::conformance::exercise;
use crate::conformance::overtake_a_close;
use crate::conformance::race;
use crate::conformance::race_for_a_page;
use crate::conformance::renew_what_is_locked;
use crate::conformance::requests_in_time;
use crate::services::Postgres;
use crate::services::Proxy;
use crate::services::RowLock;
use crate::services::Session;
use crate::services::Stop;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use weir::domain::Outcome;
use weir::domain::Unwritten;
use weir::ledger::rules::Owed;
use weir::store::Nature;
use weir::store::PostgresStore;
use weir::store::Store;

/// The schema of the first version.
const FIRST: &str = include_str!("../../src/store/postgres/migrations/001.sql");
/// Two jobs as the first version left them: a lead of one has an address, found for 3 USD; a lead of the other is
/// being asked about, and 3 USD are held for it.
const WORKED: &str = "INSERT INTO store VALUES ('schema', '1'), ('nature', 'sandbox'); \
    INSERT INTO accounts (workspace, bucket, balance, held) VALUES ('acme', 'metered', 7000000000, 3000000000); \
    INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, content, slice_size, leads, done, spent, held, \
        created_at, updated_at) \
      VALUES ('done', 'acme', 1, 'enrich', 'completed', 'default', 'a', 100, 1, 1, 3000000000, 0, 1, 1), \
             ('begun', 'acme', 1, 'enrich', 'running', 'default', 'b', 100, 1, 0, 0, 3000000000, 1, 1); \
    INSERT INTO slices (job, n, epoch, pending, open, queued_at) VALUES (1, 0, 1, 0, false, 1), (2, 0, 1, 1, true, 1); \
    INSERT INTO leads (job, n, lead_id, fields, fingerprint, ended, status, reason, ended_at) \
      VALUES (1, 1, 'l-1', '[]', 'x', true, 'not_found', 'none', 1), (2, 1, 'l-1', '[]', 'x', false, NULL, NULL, NULL); \
    INSERT INTO attempts (id, run, step, fingerprint, key_source, config, began_at, account, hold, amount, expires_at, \
        charged, outcome, source, ended_at, reusable) \
      VALUES ((1::int8 << 36) + (1 << 12) + 1, 1, 'leadmagic.find_email', '0123456789abcdef', 'house', 'c', 1, 1, 'settled', \
              3000000000, 1, 3000000000, 'not_found', 'called', 1, true), \
             ((2::int8 << 36) + (1 << 12) + 1, 1, 'leadmagic.find_email', 'fedcba9876543210', 'house', 'c', 1, 1, 'open', \
              3000000000, 4000000000000, 0, NULL, NULL, NULL, false); \
    INSERT INTO entries (account, at, kind, amount, balance, reference, attempt) \
      VALUES (1, 1, 'top_up', 10000000000, 10000000000, 'r', NULL), \
             (1, 1, 'settle', -3000000000, 7000000000, NULL, (1::int8 << 36) + (1 << 12) + 1);";

async fn open(database: &Postgres) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(&url(database), Nature::Sandbox).await.unwrap())
}

fn url(database: &Postgres) -> SecretString {
    SecretString::from(database.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_store_keeps_every_promise() {
    let databases = Mutex::new(Vec::new());
    exercise(async || {
        let database = Postgres::fresh().await;
        let store = open(&database).await;
        databases.lock().unwrap().push(database);
        store
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_on_one_hot_wallet_spend_its_last_cent_exactly_once() {
    let database = Postgres::fresh().await;
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(open(&database).await);
    }
    race(&stores, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_answer_and_no_cent() {
    let database = Postgres::fresh().await;
    let stores = [open(&database).await, open(&database).await];
    let cut = async {
        for _ in 0..5 {
            database.cut_connections().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(race(&stores, 300), cut);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_ask_for_a_page_once() {
    let database = Postgres::fresh().await;
    race_for_a_page(&[open(&database).await, open(&database).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_money_take_their_time() {
    let database = Postgres::fresh().await;
    let store = open(&database).await;
    requests_in_time(store, async |time: Duration| {
        let ms = time.as_millis();
        let sql = format!(
            "UPDATE recharges SET asked_at = asked_at - {ms}, told_at = told_at - {ms}, answered_at = answered_at - {ms}"
        );
        database.run(&sql).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_version_is_upgraded_by_command_with_all_that_is_in_it() {
    let database = Postgres::fresh().await;
    database.run(FIRST).await;
    database.run(WORKED).await;
    let opened = PostgresStore::open(&url(&database), Nature::Sandbox).await;
    let refused = opened.err().unwrap().to_string();
    assert!(refused.contains("run `weir migrate`"), "{refused}");

    assert!(PostgresStore::migrate(&url(&database), Nature::Sandbox).await.unwrap());
    assert!(!PostgresStore::migrate(&url(&database), Nature::Sandbox).await.unwrap());
    let lab = Lab::new(open(&database).await);
    assert_eq!(lab.wallet().await, "7, 3 held");
    let audit = lab.store.audit(None).await.unwrap();
    assert_eq!((audit.open_holds, audit.problems), (1, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_job_locked_keeps_the_leads_of_no_other_waiting() {
    let database = Postgres::fresh().await;
    let lab = Lab::new(open(&database).await);
    lab.top_up("10").await;
    let (long, other) = (lab.job("long", 1).await, lab.job("other", 1).await);
    for row in ["jobs WHERE job_id = 'long'", "slices WHERE job = 1"] {
        let lock = RowLock::on(&database, row).await;
        let mut stopped = lab.store.commit(long.begin(call(1, 1)));
        let goes_on = async {
            assert_eq!(lab.finally(other.begin(call(1, 1))).await, "granted");
            assert_eq!(lab.finally(other.begin(call(1, 1))).await, "granted");
        };
        tokio::select! {
            biased;
            answered = &mut stopped => panic!("{row}: {answered:?}"),
            () = goes_on => {}
        }
        lock.release().await;
        stopped.await.unwrap();
    }
    assert_eq!(lab.wallet().await, "10, 6 held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_another_overtakes_completes_its_job() {
    let database = Postgres::fresh().await;
    let store = open(&database).await;
    // The first words of a close after it has looked at the other slices.
    let proxy = Proxy::before(database.url(), Stop::Text("SELECT open, pending FROM slices")).await;
    let slow = PostgresStore::open(&SecretString::from(proxy.url()), Nature::Sandbox).await.unwrap();
    let until_holding = async || proxy.until_holding().await;
    overtake_a_close(Arc::new(slow), store, until_holding, || proxy.let_through()).await;
}

/// Slow: a lock is waited for, half a second.
#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_locked_slice_is_left_as_it_is() {
    let database = Postgres::fresh().await;
    let store = open(&database).await;
    let lock = async || RowLock::on(&database, "slices WHERE n = 1").await;
    renew_what_is_locked(store, lock, async |lock: RowLock| lock.release().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_what_does_not_add_up_beside_the_money() {
    for (damage, found) in [
        (
            "WITH other AS (INSERT INTO accounts (workspace, bucket) VALUES ('beta', 'metered') RETURNING id) \
             INSERT INTO entries (account, at, kind, amount, balance, attempt, asked) \
             SELECT id, 1, 'settle', 0, 0, (1::int8 << 36) + (1 << 12) + 1, 'x' FROM other",
            "what entries took from another wallet than that of job list:",
        ),
        ("UPDATE slices SET pending = 3", "what is pending in slice 0 of job list: recorded 3, recomputed 2"),
        ("UPDATE jobs SET done = 1", "what is done of job list: recorded 1, recomputed 0"),
        ("UPDATE slices SET open = false", "how many slices are open, one at least, of unfinished job list:"),
    ] {
        let database = Postgres::fresh().await;
        let lab = Lab::new(open(&database).await);
        lab.job("list", 2).await;
        database.run(damage).await;
        let audit = lab.store.audit(None).await.unwrap();
        assert!(audit.problems.iter().any(|problem| problem.starts_with(found)), "{damage}: {:#?}", audit.problems);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn askings_take_their_time() {
    let database = Postgres::fresh().await;
    let store = open(&database).await;
    askings_in_time(store, async |time: Duration| {
        let ms = time.as_millis();
        database.run(&format!("UPDATE attempts SET began_at = began_at - {ms}, ended_at = ended_at - {ms}")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_in_vain_for_an_overtaken_owner_is_the_houses_loss_once() {
    let database = Postgres::fresh().await;
    let lab = Lab::new(open(&database).await);
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    for _ in 0..2 {
        let mut in_vain = older.end_as(call(1, 1), Outcome::Unwritten(Unwritten::NoEmail), "0");
        in_vain.ended[0].owed = Owed::ByHouse;
        assert_eq!(lab.tell(in_vain).await, "fenced");
    }
    let lost = "attempts WHERE lost = 3000000000 AND learned IS NOT NULL";
    assert_eq!(Session::with(&database).await.rows(lost).await, 1);
    assert_eq!(
        lab.tell(newer.end_as(call(1, 1), Outcome::Unwritten(Unwritten::NoEmail), "0")).await,
        "charged 0; done"
    );
    assert_eq!(lab.wallet().await, "10, 0 held");
}
