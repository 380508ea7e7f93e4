//! The floor of the ledger: the least program that holds and settles in SQLite, each operation once
//! by its id, durable before it is answered, and many of them with one commit.
//!
//! Left out: jobs, leads, slices and their owners; caps; holds that expire, and who waits for money;
//! the journal of attempts and the answers it gives again; what each entry left in the wallet; a batch
//! that fails (here it ends the program). So it writes one row where the ledger writes two or three.

use crate::cli::bench::load::FUNDED;
use crate::cli::bench::load::HELD;
use crate::cli::bench::load::Load;
use crate::cli::bench::load::owed;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::Tally;
use crate::cli::bench::measure::measure;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::ensure;
use rusqlite::Connection;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Operations that may wait for the writer.
const QUEUED: usize = 16 * 1024;
/// Operations of one transaction, at most.
const MAX_BATCH: usize = 2048;

const SCHEMA: &str = "
PRAGMA journal_mode = wal;
PRAGMA synchronous = full;
PRAGMA cache_size = -65536;
CREATE TABLE wallets (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
CREATE TABLE entries (id BLOB PRIMARY KEY, wallet INTEGER NOT NULL, change INTEGER NOT NULL) WITHOUT ROWID;
";

#[derive(Clone, Copy)]
enum Kind {
    Hold = 0,
    Settle = 1,
}

struct Operation {
    wallet: u32,
    ticket: u32,
    kind: Kind,
    amount: i64,
    reply: oneshot::Sender<bool>,
}

/// Holds and settles on wallets of a new file in `directory`.
pub(super) async fn run(directory: &Path, load: Load) -> Result<Measured> {
    let connection = create(&directory.join("floor.db"), load.wallets)?;
    let (operations, arrivals) = mpsc::channel(QUEUED);
    let writer = thread::spawn(move || write(connection, arrivals));
    let tickets = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tickets);
    let start = move |tally| press(operations.clone(), Arc::clone(&counted), load.wallets, tally);
    let measured = measure(load.in_flight, load.seconds, None, start).await;
    // With the last loop the channel is closed. What stopped the writer says more than what that did to a loop.
    let connection = writer.join().map_err(|_| anyhow!("the floor's writer broke"))??;
    let measured = measured?;
    check(&connection, load.wallets, tickets.load(Ordering::Relaxed))?;
    Ok(measured)
}

async fn press(operations: mpsc::Sender<Operation>, tickets: Arc<AtomicU32>, wallets: u32, tally: Tally) -> Result<()> {
    while tally.goes_on() {
        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
        for (kind, amount) in [(Kind::Hold, HELD), (Kind::Settle, owed(ticket))] {
            let (reply, answer) = oneshot::channel();
            let sent = Instant::now();
            operations.send(Operation { wallet: ticket % wallets, ticket, kind, amount, reply }).await?;
            ensure!(answer.await?, "the floor's wallet is empty");
            tally.answered(sent, 1);
        }
    }
    Ok(())
}

fn create(path: &Path, wallets: u32) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    for wallet in 0..wallets {
        transaction.execute("INSERT INTO wallets VALUES (?1, ?2)", (wallet, FUNDED))?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// Commits whatever has arrived, then answers; meanwhile the next batch collects.
fn write(mut connection: Connection, mut arrivals: mpsc::Receiver<Operation>) -> rusqlite::Result<Connection> {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while arrivals.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let granted = apply(&transaction, &batch)?;
        transaction.commit()?;
        for (operation, granted) in batch.drain(..).zip(granted) {
            // A loop that has gone needs no answer.
            let _ = operation.reply.send(granted);
        }
    }
    Ok(connection)
}

/// Decides in the order of arrival. A hold takes its amount; a settlement gives back what of the hold
/// is not needed; done before, it is granted again.
fn apply(transaction: &Transaction<'_>, batch: &[Operation]) -> rusqlite::Result<Vec<bool>> {
    let mut read = transaction.prepare_cached("SELECT balance FROM wallets WHERE id = ?1")?;
    let mut find = transaction.prepare_cached("SELECT change FROM entries WHERE id = ?1")?;
    let mut insert = transaction.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3)")?;
    let mut update = transaction.prepare_cached("UPDATE wallets SET balance = ?2 WHERE id = ?1")?;

    let mut balances: HashMap<u32, i64> = HashMap::new();
    let mut granted = Vec::with_capacity(batch.len());
    for operation in batch {
        let balance = match balances.entry(operation.wallet) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(read.query_row([operation.wallet], |row| row.get(0))?),
        };
        if find.exists((id(operation.ticket, operation.kind),))? {
            granted.push(true);
            continue;
        }
        let held = match operation.kind {
            Kind::Hold => 0,
            Kind::Settle => -find.query_row((id(operation.ticket, Kind::Hold),), |row| row.get::<_, i64>(0))?,
        };
        let change = held - operation.amount;
        let covered = *balance + change >= 0;
        if covered {
            *balance += change;
            insert.execute((id(operation.ticket, operation.kind), operation.wallet, change))?;
        }
        granted.push(covered);
    }
    for (wallet, balance) in balances {
        update.execute((wallet, balance))?;
    }
    Ok(granted)
}

/// As long as a UUID and a kind, and sorted by time.
fn id(ticket: u32, kind: Kind) -> [u8; 17] {
    let id = u128::from(ticket).to_be_bytes();
    let mut bytes = [kind as u8; 17];
    for (to, from) in bytes.iter_mut().zip(id) {
        *to = from;
    }
    bytes
}

/// Every ticket has made one hold and one settlement, and the balances follow from them.
fn check(connection: &Connection, wallets: u32, tickets: u32) -> Result<()> {
    let (rows, change): (i64, i64) =
        connection.query_row("SELECT count(*), coalesce(sum(change), 0) FROM entries", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let balances: i64 = connection.query_row("SELECT sum(balance) FROM wallets", (), |row| row.get(0))?;
    let cost: i64 = (0..tickets).map(owed).sum();
    ensure!(rows == 2 * i64::from(tickets), "the floor kept {rows} rows of {tickets} holds and settlements");
    ensure!(change == -cost, "the floor took {} nano-dollars, {cost} were owed", -change);
    ensure!(balances == i64::from(wallets) * FUNDED - cost, "the floor's balances do not follow from its entries");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(ticket: u32, kind: Kind, amount: i64) -> Operation {
        Operation { wallet: 0, ticket, kind, amount, reply: oneshot::channel().0 }
    }

    #[test]
    fn an_operation_is_done_once_and_only_with_money_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = create(&directory.path().join("floor.db"), 1).unwrap();
        for (asked, granted, balance) in [
            (operation(0, Kind::Hold, FUNDED + 1), false, FUNDED),
            (operation(0, Kind::Hold, HELD), true, FUNDED - 10),
            (operation(0, Kind::Hold, HELD), true, FUNDED - 10),
            (operation(0, Kind::Settle, owed(0)), true, FUNDED - 7),
            (operation(0, Kind::Settle, owed(0)), true, FUNDED - 7),
        ] {
            let transaction = connection.transaction().unwrap();
            assert_eq!(apply(&transaction, &[asked]).unwrap(), [granted]);
            transaction.commit().unwrap();
            let left: i64 = connection.query_row("SELECT balance FROM wallets", (), |row| row.get(0)).unwrap();
            assert_eq!(left, balance);
        }
        check(&connection, 1, 1).unwrap();
        check(&connection, 1, 2).unwrap_err();
    }
}
