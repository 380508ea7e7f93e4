//! The embedded store: the promises of every store, and what SQLite alone can be asked.

use crate::conformance::Lab;
use crate::conformance::askings_in_time;
use crate::conformance::call;
use crate::conformance::exercise;
use crate::conformance::race;
use crate::conformance::race_for_a_page;
use crate::conformance::requests_in_time;
use crate::conformance::told_to_a_second;
use rusqlite::Connection;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use weir::domain::Run;
use weir::domain::WorkerId;
use weir::jobs::Claimant;
use weir::jobs::Claimed;
use weir::jobs::JobState;
use weir::jobs::Tenure;
use weir::ledger::LeadNo;
use weir::ledger::SliceNo;
use weir::store::Nature;
use weir::store::OpenError;
use weir::store::SqliteStore;
use weir::store::Store;
use weir::store::this_process;

/// A copy of the one charged hold, under an id of its own.
const SECOND_CHARGE: &str = "INSERT INTO attempts (id, run, step, fingerprint, key_source, config, \
                             began_at, account, hold, charged, outcome) \
                             SELECT id + 7, run, step, fingerprint, key_source, config, began_at, account, hold, \
                             charged, outcome FROM attempts WHERE charged > 0";

/// Two requests for money in flight, of one wallet.
const SECOND_REQUEST: &str =
    "INSERT INTO recharges VALUES (1, 'a', 1, 5, 'asked', 0, 0, NULL), (1, 'b', 2, 5, 'asked', 0, 0, NULL)";

/// A store as version 1 left it: a job in its third run, the first of its two slices decided.
const VERSION_1: &str = concat!(
    include_str!("../../src/store/sqlite/migrations/001.sql"),
    "INSERT INTO accounts (workspace, bucket, balance) VALUES ('acme', 'metered', 0);
     INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, content, run, slice_size, leads, done,
       created_at, updated_at)
       VALUES ('list', 'acme', 1, 'enrich', 'running', 'default', zeroblob(16), 3, 1, 2, 1, 0, 0);
     INSERT INTO leads (job, n, lead_id, fields, fingerprint, run, ended, status, reason) VALUES
       (1, 1, 'lead-1', '[null,null,null,null,null,\"in/1\",null]', zeroblob(16), 1, 1, 'not_found', 'none'),
       (1, 2, 'lead-2', '[null,null,null,null,null,\"in/2\",null]', zeroblob(16), 3, 0, 'failed', 'deadline');
     INSERT INTO slices (job, n, epoch, pending) VALUES (1, 0, 4, 0), (1, 1, 4, 1);
     PRAGMA user_version = 1;"
);

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, Nature::Sandbox).unwrap())
}

/// A store with a wallet of 10 USD and a job of which one lead has paid 3 and another holds 3. It is gone with
/// the directory.
async fn used_store() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let lab = Lab::new(open(&path));
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    lab.assert_sound().await;
    (folder, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let made = AtomicU32::new(0);
    exercise(|| async { open(&folder.path().join(format!("{}.db", made.fetch_add(1, Ordering::Relaxed)))) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_leads_race_for_the_last_cent() {
    let folder = tempfile::tempdir().unwrap();
    race(&[open(&folder.path().join("weir.db"))], 1_000).await;
}

/// Two handles share nothing but the file, as two processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_race_for_the_last_cent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    race(&[open(&path), open(&path)], 150).await;
}

#[tokio::test]
async fn what_was_committed_is_there_when_it_is_opened_again() {
    let (_folder, path) = used_store().await;
    let lab = Lab::new(open(&path));
    assert_eq!(lab.wallet().await, "7, 3 held");
    lab.assert_sound().await;
}

#[tokio::test]
async fn a_store_of_version_1_is_upgraded_and_its_work_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    Connection::open(&path).unwrap().execute_batch(VERSION_1).unwrap();
    let store = open(&path);
    let jobs = store.list_jobs().await.unwrap();
    let key = jobs[0].key;
    assert_eq!((jobs.len(), jobs[0].run, jobs[0].state), (1, Run::new(3), JobState::Running));
    assert_eq!(store.open_slices(key).await.unwrap(), [SliceNo(1)]);
    let claimant = Claimant { worker: WorkerId::new("worker-1"), tenure: Tenure::Lock };
    let claimed = store.claim_slice(key, SliceNo(1), &claimant).await.unwrap();
    let Claimed::Taken(claim) = claimed else { panic!("{claimed:?}") };
    assert_eq!(claim.leads.iter().map(|lead| lead.n).collect::<Vec<_>>(), [LeadNo(2)]);
    assert_eq!((claim.epoch.0, claim.unannounced), (5, Vec::new()));
    Lab::new(store).assert_sound().await;
}

#[tokio::test]
async fn the_audit_finds_every_damage() {
    let not_open = "an attempt whose hold is open and its answer known, or the reverse, of job list:";
    let not_booked = "the settlements of job, against what its attempts were charged, list:";
    let charged_twice = format!("DROP INDEX attempts_charged_once; {SECOND_CHARGE}");
    for (damage, found) in [
        ("UPDATE accounts SET balance = balance + 1", "the balance of wallet acme: recorded 7.000000001,"),
        (
            "INSERT INTO recharges VALUES (1, 'r', 1, 5, 'paid', 0, 0, 0)",
            "a request for money that is paid without its top-up, or the reverse, of wallet acme:",
        ),
        (
            "DROP TRIGGER entries_keep; INSERT INTO accounts (workspace, bucket) VALUES ('beta', 'metered'); \
             UPDATE entries SET account = 2 WHERE kind = 'settle'",
            "what entries took from another wallet than that of job list:",
        ),
        ("UPDATE slices SET pending = 3", "what is pending in slice 0 of job list: recorded 3, recomputed 2"),
        ("UPDATE jobs SET done = 1", "what is done of job list: recorded 1, recomputed 0"),
        ("UPDATE slices SET open = 0", "how many slices are open, one at least, of unfinished job list:"),
        ("UPDATE accounts SET held = held - 1", "the held amount of wallet acme: recorded 2.999999999,"),
        ("UPDATE jobs SET spent = spent + 1", "what job has spent list: recorded 3.000000001,"),
        ("UPDATE jobs SET held = held + 1", "what job holds list: recorded 3.000000001,"),
        ("UPDATE attempts SET charged = 2 WHERE lead = 1", "a settlement that is not what its attempt was charged"),
        ("UPDATE attempts SET charged = 2 WHERE lead = 1", not_booked),
        ("DROP TRIGGER entries_stay; DELETE FROM entries WHERE kind = 'settle'", not_booked),
        (
            "DROP TRIGGER entries_keep; UPDATE entries SET balance = 6 WHERE seq = 2",
            "the balance after entry 2 of wallet",
        ),
        ("UPDATE attempts SET hold = 'open' WHERE lead = 1", not_open),
        ("UPDATE attempts SET outcome = NULL WHERE lead = 1", not_open),
        (charged_twice.as_str(), "a step charged more than once, of job list:"),
    ] {
        let (_folder, path) = used_store().await;
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let audit = open(&path).audit(None).await.unwrap();
        assert!(audit.problems.iter().any(|problem| problem.starts_with(found)), "{damage}: {:#?}", audit.problems);
    }
}

/// Were the rules wrong or passed by, the database itself would still refuse.
#[tokio::test]
async fn the_database_itself_refuses() {
    let (_folder, path) = used_store().await;
    let connection = Connection::open(&path).unwrap();
    let second_top_up = "INSERT INTO entries (account, at, kind, amount, balance, reference) \
                         SELECT account, at, kind, amount, balance, reference FROM entries WHERE kind = 'top_up'";
    for (statement, refused) in [
        ("UPDATE accounts SET balance = held - 1", "CHECK constraint failed"),
        ("UPDATE accounts SET held = balance + 1", "CHECK constraint failed"),
        ("UPDATE accounts SET held = -1", "CHECK constraint failed"),
        ("UPDATE attempts SET charged = -1", "CHECK constraint failed"),
        ("UPDATE entries SET amount = 0", "the ledger is append-only"),
        ("DELETE FROM entries", "the ledger is append-only"),
        (second_top_up, "UNIQUE constraint failed"),
        (SECOND_CHARGE, "UNIQUE constraint failed"),
        (SECOND_REQUEST, "UNIQUE constraint failed"),
    ] {
        let error = connection.execute(statement, []).unwrap_err().to_string();
        assert!(error.contains(refused), "{statement}: {error}");
    }
}

#[tokio::test]
async fn sandbox_and_real_money_never_share_a_store() {
    let (_folder, path) = used_store().await;
    let refused = SqliteStore::open(&path, Nature::Paid).err().unwrap();
    assert!(matches!(refused, OpenError::OtherNature { .. }), "{refused}");
}

#[tokio::test]
async fn a_newer_programs_store_is_left_alone() {
    let (_folder, path) = used_store().await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 1_000).unwrap();
    let refused = SqliteStore::open(&path, Nature::Sandbox).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 1_000, .. }), "{refused}");
}

#[test]
fn a_store_that_must_be_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    assert!(matches!(SqliteStore::open_existing(&path, Nature::Sandbox), Err(OpenError::Missing(_))));
    assert!(!path.exists());
}

#[tokio::test]
async fn requests_for_money_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    requests_in_time(open(&path), async |time: Duration| {
        let sql =
            "UPDATE recharges SET asked_at = asked_at - ?1, told_at = told_at - ?1, answered_at = answered_at - ?1";
        let ms = i64::try_from(time.as_millis()).unwrap();
        Connection::open(&path).unwrap().execute(sql, [ms]).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_ask_for_a_page_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    race_for_a_page(&[open(&path), open(&path)]).await;
}

#[tokio::test]
async fn askings_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    askings_in_time(open(&path), async |time: Duration| {
        let sql = "UPDATE attempts SET began_at = began_at - ?1, ended_at = ended_at - ?1";
        let ms = i64::try_from(time.as_millis()).unwrap();
        Connection::open(&path).unwrap().execute(sql, [ms]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_asking_of_this_process_counts_however_long_its_call_waits() {
    for (owner, told) in [(this_process().as_str(), "asked elsewhere"), ("process-0", "granted")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.db");
        let five_minutes_later =
            format!("UPDATE slices SET worker = '{owner}'; UPDATE attempts SET began_at = began_at - 300000");
        let answer = told_to_a_second(open(&path), async || {
            Connection::open(&path).unwrap().execute_batch(&five_minutes_later).unwrap();
        });
        assert_eq!(answer.await, told, "{owner}");
    }
}
