//! The real ledger under load: jobs in a store, each with a wallet, its leads visited in turn.

use crate::cli::bench::books::check_books;
use crate::cli::bench::database;
use crate::cli::bench::load::FUNDED;
use crate::cli::bench::load::Load;
use crate::cli::bench::load::owed;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::Tally;
use crate::cli::bench::measure::measure;
use crate::cli::bench::visit::Turn;
use crate::cli::bench::visit::Visit;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::jobs::Claimant;
use crate::jobs::Claimed;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Tenure;
use crate::jobs::Work;
use crate::ledger::AccountId;
use crate::ledger::Booking;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::SliceNo;
use crate::store::Nature;
use crate::store::PostgresStore;
use crate::store::SqliteStore;
use crate::store::Store;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// In the database, over all wallets; when all have been visited, the first is visited again.
const LEADS: u32 = 200_000;
/// Stored in one transaction.
const LOAD_BATCH: usize = 10_000;
/// Longer than any measurement.
const LEASE: Duration = Duration::from_secs(60 * 60);

/// Where the ledger is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In this new file.
    File(&'a Path),
    /// In the database at this address.
    Database(&'a SecretString),
}

/// A job, the wallet that pays for it, and the claims of its slices: one for each store.
struct Purse {
    account: AccountId,
    job: JobKey,
    epochs: Vec<Epoch>,
}

/// A store as a worker has it, and the visits it has seen.
struct Branch {
    store: Arc<dyn Store>,
    visits: AtomicU32,
}

/// Branches that share a database full of purses; each works on a slice of every job.
struct Wallets {
    branches: Vec<Branch>,
    purses: Vec<Purse>,
    workspaces: Vec<WorkspaceId>,
    /// Of a wallet, at each branch.
    leads_each: u32,
}

/// Visits new leads with these turns, through `count` stores at the same time.
pub(super) async fn run(place: Place<'_>, turns: &'static [Turn], load: Load, count: u32) -> Result<Measured> {
    let loops = load.in_flight * count;
    let stores = open(place, count).await?;
    let wallets = Arc::new(Wallets::create(stores, load.wallets, LEADS.max(loops)).await?);
    if let Place::Database(url) = place {
        database::calm(&database::reach(url)?).await?;
    }
    let pressed = Arc::clone(&wallets);
    let begun = AtomicU32::new(0);
    let start = move |tally| {
        let branch = begun.fetch_add(1, Ordering::Relaxed) % count;
        press(Arc::clone(&pressed), branch, turns, tally)
    };
    let measured = measure(loops, load.seconds, None, start).await?;
    wallets.check().await?;
    Ok(measured)
}

async fn press(wallets: Arc<Wallets>, branch: u32, turns: &'static [Turn], tally: Tally) -> Result<()> {
    while tally.goes_on() {
        wallets.visit_next(branch, turns, &tally).await?;
    }
    Ok(())
}

async fn open(place: Place<'_>, count: u32) -> Result<Vec<Arc<dyn Store>>> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..count {
        stores.push(match place {
            Place::File(path) => Arc::new(SqliteStore::open(path, Nature::Sandbox)?),
            Place::Database(url) => Arc::new(PostgresStore::open(url, Nature::Sandbox).await?),
        });
    }
    Ok(stores)
}

impl Wallets {
    async fn create(stores: Vec<Arc<dyn Store>>, wallets: u32, leads: u32) -> Result<Self> {
        let leads_each = leads.div_ceil(wallets * u32::try_from(stores.len())?);
        // A database may hold those of earlier runs.
        let tag = Uuid::now_v7().simple();
        let workspaces: Vec<_> = (0..wallets).map(|n| WorkspaceId::new(format!("bench-{tag}-{n}"))).collect();
        let mut purses = Vec::with_capacity(workspaces.len());
        for workspace in &workspaces {
            purses.push(fill_purse(&stores, workspace, leads_each).await?);
        }
        let branches = stores.into_iter().map(|store| Branch { store, visits: AtomicU32::new(0) }).collect();
        Ok(Self { branches, purses, workspaces, leads_each })
    }

    /// Takes all turns of one visit; a lead that was begun is ended, whatever the time.
    async fn visit_next(&self, branch: u32, turns: &[Turn], tally: &Tally) -> Result<()> {
        let Branch { store, visits } = self.branches.get(usize::try_from(branch)?).context("there is no such store")?;
        let visit = self.visit(branch, visits.fetch_add(1, Ordering::Relaxed))?;
        for turn in turns {
            let boundary = visit.boundary(*turn);
            let sent = Instant::now();
            let committed = store.commit(boundary).await?;
            tally.answered(sent, turn.operations());
            ensure!(visit.is_answered_by(*turn, &committed), "the ledger answered {turn:?} with {committed:?}");
        }
        Ok(())
    }

    /// A branch's `n`th visit: the next wallet's next lead.
    fn visit(&self, branch: u32, n: u32) -> Result<Visit> {
        let wallets = u32::try_from(self.purses.len())?;
        let (round, wallet) = (n / wallets, n % wallets);
        let (lap, lead) = (round / self.leads_each, round % self.leads_each);
        let purse = self.purses.get(usize::try_from(wallet)?).context("there is no such wallet")?;
        let epoch = *purse.epochs.get(usize::try_from(branch)?).context("there is no such slice")?;
        let lead = LeadNo(branch * self.leads_each + lead + 1);
        let key = LeadKey { job: purse.job, lead, slice: SliceNo(branch), epoch };
        Ok(Visit::new(key, purse.account, self.ticket(branch, n)?, lap))
    }

    /// No two visits have the same.
    fn ticket(&self, branch: u32, n: u32) -> Result<u32> {
        Ok(n * u32::try_from(self.branches.len())? + branch)
    }

    /// Every visit has paid for two calls.
    async fn check(&self) -> Result<()> {
        let mut cost = 0;
        for (number, branch) in (0..).zip(&self.branches) {
            for n in 0..branch.visits.load(Ordering::Relaxed) {
                cost += 2 * owed(self.ticket(number, n)?);
            }
        }
        let branch = self.branches.first().context("there is no store")?;
        check_books(&*branch.store, &self.workspaces, cost).await
    }
}

/// A job with a slice for each store, sealed and claimed, and money in its wallet.
async fn fill_purse(stores: &[Arc<dyn Store>], workspace: &WorkspaceId, leads_each: u32) -> Result<Purse> {
    let store = stores.first().context("there is no store")?;
    let new = NewJob {
        id: JobId::new(workspace.as_str()),
        workspace: workspace.clone(),
        work: Work::Enrich(WaterfallName::new("bench")),
        content: Fingerprint::of("bench", [Some(workspace.as_str())]),
        slice_size: leads_each,
        campaign: None,
        max_spend: None,
        auto_resume: false,
        reply: None,
    };
    let job = store.create_job(new).await?;
    let load = store.begin_load(job.key).await?.context("the job is sealed")?;
    let leads: Vec<NewLead> = (1..=leads_each * u32::try_from(stores.len())?).map(new_lead).collect();
    for batch in leads.chunks(LOAD_BATCH) {
        store.load_leads(load, batch.to_vec()).await?;
    }
    store.seal_job(load).await?;
    let booking = Booking {
        workspace: workspace.clone(),
        amount: Usd::from_nanos(FUNDED),
        reference: "bench".to_owned(),
        note: None,
    };
    store.top_up(booking).await?;
    let mut epochs = Vec::with_capacity(stores.len());
    for (slice, store) in (0..).zip(stores) {
        epochs.push(claim(&**store, job.key, SliceNo(slice)).await?);
    }
    Ok(Purse { account: job.account, job: job.key, epochs })
}

async fn claim(store: &dyn Store, job: JobKey, slice: SliceNo) -> Result<Epoch> {
    let worker = WorkerId::new(format!("bench-{}", slice.0));
    match store.claim_slice(job, slice, &Claimant { worker, tenure: Tenure::Lease(LEASE) }).await? {
        Claimed::Taken(claim) => Ok(claim.epoch),
        refused @ (Claimed::Leased | Claimed::Closed) => bail!("a new slice cannot be claimed: {refused:?}"),
    }
}

fn new_lead(n: u32) -> NewLead {
    let lead =
        Lead { full_name: Some("Ada Sample".to_owned()), domain: Some(format!("c{n}.hit.test")), ..Lead::default() };
    NewLead { n: LeadNo(n), id: LeadId::new(n.to_string()), lead: Some(lead) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::visit::APART;
    use crate::cli::bench::visit::TOGETHER;

    #[tokio::test]
    async fn the_money_adds_up_in_both_ways_lap_after_lap_through_one_store_and_several() {
        for (turns, count) in [(APART, 1), (TOGETHER, 1), (TOGETHER, 2)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("weir.db");
            let stores = open(Place::File(&path), count).await.unwrap();
            let wallets = Wallets::create(stores, 2, 6).await.unwrap();
            let tally = Tally::begin(1).unwrap();
            for n in 0..20 {
                wallets.visit_next(n % count, turns, &tally).await.unwrap();
            }
            wallets.check().await.unwrap();
        }
    }
}
