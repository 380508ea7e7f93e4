//! The shared store: the promises of every store, on a real PostgreSQL, and several workers on one wallet.

use crate::conformance::exercise;
use crate::conformance::race;
use crate::conformance::race_for_a_page;
use crate::conformance::requests_in_time;
use crate::services::Postgres;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use weir::store::Nature;
use weir::store::PostgresStore;
use weir::store::Store;

async fn open(database: &Postgres) -> Arc<dyn Store> {
    let url = SecretString::from(database.url());
    Arc::new(PostgresStore::open(&url, Nature::Sandbox).await.unwrap())
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
