//! The floor of the shared ledger: what most would write. A row for each wallet, and one transaction for
//! each hold and each settlement: an insert that does nothing the second time, and an update that takes
//! only what is there. In two round trips, the lock on the wallet taken as late as it can be.
//!
//! Left out: all that [`crate::cli::bench::floor_wallet`] leaves out, and the group commit.

use crate::cli::bench::database;
use crate::cli::bench::load::FUNDED;
use crate::cli::bench::load::HELD;
use crate::cli::bench::load::Load;
use crate::cli::bench::load::owed;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::Tally;
use crate::cli::bench::measure::measure;
use anyhow::Result;
use anyhow::ensure;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::Config;
use tokio_postgres::Error;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

/// Connections, each with one transaction under way: a usual pool. With more a hot wallet is slower.
const CLIENTS: u32 = 32;

const SCHEMA: &str = "
DROP SCHEMA IF EXISTS weir_bench_floor CASCADE;
CREATE SCHEMA weir_bench_floor;
CREATE TABLE weir_bench_floor.wallets (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))
  WITH (fillfactor = 50);
CREATE TABLE weir_bench_floor.entries (
  id BIGINT NOT NULL, kind SMALLINT NOT NULL, wallet INTEGER NOT NULL, change BIGINT NOT NULL, PRIMARY KEY (id, kind));
";
const FILL: &str = "INSERT INTO weir_bench_floor.wallets SELECT n, $1::int8 FROM generate_series(0, $2::int4 - 1) n";
const INSERT: &str = "INSERT INTO weir_bench_floor.entries VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE weir_bench_floor.wallets SET balance = balance + $2 WHERE id = $1 AND balance + $2 >= 0";
const SUMS: &str = "SELECT (SELECT count(*) FROM weir_bench_floor.entries), \
                           (SELECT coalesce(sum(change), 0)::int8 FROM weir_bench_floor.entries), \
                           (SELECT sum(balance)::int8 FROM weir_bench_floor.wallets)";
const CLEAR: &str = "DROP SCHEMA weir_bench_floor CASCADE";

/// A hold takes its amount, a settlement gives back what of it is not needed.
const HOLD: i16 = 0;
const SETTLE: i16 = 1;

/// A client's connection, and what it says again and again.
struct Till {
    client: Client,
    insert: Statement,
    update: Statement,
}

/// Holds and settles on new wallets in the database at `url`.
pub(super) async fn run(url: &SecretString, load: Load) -> Result<Measured> {
    let config = Arc::new(database::reach(url)?);
    create(&config, load.wallets).await?;
    database::calm(&config).await?;
    let tickets = Arc::new(AtomicU32::new(0));
    let (reached, counted) = (Arc::clone(&config), Arc::clone(&tickets));
    let start = move |tally| press(Arc::clone(&reached), Arc::clone(&counted), load.wallets, tally);
    let measured = measure(CLIENTS, load.seconds, None, start).await?;
    check(&config, load.wallets, tickets.load(Ordering::Relaxed)).await?;
    Ok(measured)
}

async fn create(config: &Config, wallets: u32) -> Result<()> {
    let (client, line) = database::connect(config).await?;
    let count = i32::try_from(wallets)?;
    let creating = async move {
        client.batch_execute(SCHEMA).await?;
        client.execute(FILL, &[&FUNDED, &count]).await?;
        anyhow::Ok(())
    };
    database::beside(line, creating).await
}

async fn press(config: Arc<Config>, tickets: Arc<AtomicU32>, wallets: u32, tally: Tally) -> Result<()> {
    let (client, line) = database::connect(&config).await?;
    database::beside(line, trade(client, tickets, wallets, tally)).await
}

async fn trade(client: Client, tickets: Arc<AtomicU32>, wallets: u32, tally: Tally) -> Result<()> {
    let till = Till::open(client).await?;
    while tally.goes_on() {
        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
        let wallet = i32::try_from(ticket % wallets)?;
        for (kind, change) in [(HOLD, -HELD), (SETTLE, HELD - owed(ticket))] {
            let sent = Instant::now();
            ensure!(till.book(i64::from(ticket), kind, wallet, change).await?, "the floor's wallet is empty");
            tally.answered(sent, 1);
        }
    }
    Ok(())
}

impl Till {
    async fn open(client: Client) -> Result<Self, Error> {
        let insert = client.prepare(INSERT).await?;
        let update = client.prepare(UPDATE).await?;
        Ok(Self { client, insert, update })
    }

    /// `true` when it is booked, now or before.
    async fn book(&self, ticket: i64, kind: i16, wallet: i32, change: i64) -> Result<bool, Error> {
        let entry: [&(dyn ToSql + Sync); 4] = [&ticket, &kind, &wallet, &change];
        let taken: [&(dyn ToSql + Sync); 2] = [&wallet, &change];
        // Polled, and so sent, in this order.
        let ((), inserted, updated) = tokio::try_join!(
            biased;
            self.client.batch_execute("BEGIN"),
            self.client.execute(&self.insert, &entry),
            self.client.execute(&self.update, &taken),
        )?;
        let is_new = inserted > 0;
        self.client.batch_execute(if is_new && updated > 0 { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(!is_new || updated > 0)
    }
}

/// Every ticket has made one hold and one settlement, and the balances follow from them.
async fn check(config: &Config, wallets: u32, tickets: u32) -> Result<()> {
    let (client, line) = database::connect(config).await?;
    let reading = async move {
        let row = client.query_one(SUMS, &[]).await?;
        client.batch_execute(CLEAR).await?;
        anyhow::Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?, row.try_get::<_, i64>(2)?))
    };
    let (rows, change, balances) = database::beside(line, reading).await?;
    let cost: i64 = (0..tickets).map(owed).sum();
    ensure!(rows == 2 * i64::from(tickets), "the floor kept {rows} rows of {tickets} holds and settlements");
    ensure!(change == -cost, "the floor took {} nano-dollars, {cost} were owed", -change);
    ensure!(balances == i64::from(wallets) * FUNDED - cost, "the floor's balances do not follow from its entries");
    Ok(())
}
