//! The real ledger under load: jobs in a fresh store, each with a wallet, its leads visited in turn.

use crate::cli::bench::books::check_books;
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
use crate::domain::WorkspaceId;
use crate::jobs::Jobs;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::ledger::AccountId;
use crate::ledger::Booking;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::Ledger;
use crate::ledger::SliceNo;
use crate::store::Nature;
use crate::store::SqliteStore;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// In the store, over all wallets; when all have been visited, the first is visited again.
const LEADS: u32 = 200_000;

/// A job, the wallet that pays for it, and the claim of its one slice.
struct Purse {
    account: AccountId,
    job: JobKey,
    epoch: Epoch,
}

/// A store full of purses.
struct Wallets {
    store: SqliteStore,
    purses: Vec<Purse>,
    workspaces: Vec<WorkspaceId>,
    leads_each: u32,
    /// Visits so far.
    tickets: AtomicU32,
}

/// Visits leads of a new store at `path` with these turns.
pub(super) async fn run(path: &Path, turns: &'static [Turn], load: Load) -> Result<Measured> {
    let leads = LEADS.max(load.in_flight);
    let wallets = Arc::new(Wallets::create(path, load.wallets, leads).await?);
    let pressed = Arc::clone(&wallets);
    let start = move |tally| press(Arc::clone(&pressed), turns, tally);
    let measured = measure(load.in_flight, load.seconds, None, start).await?;
    wallets.check().await?;
    Ok(measured)
}

async fn press(wallets: Arc<Wallets>, turns: &'static [Turn], tally: Tally) -> Result<()> {
    while tally.goes_on() {
        wallets.visit_next(turns, &tally).await?;
    }
    Ok(())
}

impl Wallets {
    async fn create(path: &Path, wallets: u32, leads: u32) -> Result<Self> {
        let store = SqliteStore::open(path, Nature::Sandbox)?;
        let leads_each = leads.div_ceil(wallets);
        let workspaces: Vec<_> = (0..wallets).map(|n| WorkspaceId::new(format!("bench-{n}"))).collect();
        let mut purses = Vec::with_capacity(workspaces.len());
        for workspace in &workspaces {
            purses.push(fill_purse(&store, workspace, leads_each).await?);
        }
        Ok(Self { store, purses, workspaces, leads_each, tickets: AtomicU32::new(0) })
    }

    /// Takes all turns of one visit; a lead that was begun is ended, whatever the time.
    async fn visit_next(&self, turns: &[Turn], tally: &Tally) -> Result<()> {
        let visit = self.next_visit()?;
        for turn in turns {
            let boundary = visit.boundary(*turn);
            let sent = Instant::now();
            let committed = self.store.commit(boundary).await?;
            tally.answered(sent, turn.operations());
            ensure!(visit.is_answered_by(*turn, &committed), "the ledger answered {turn:?} with {committed:?}");
        }
        Ok(())
    }

    /// The next wallet's next lead.
    fn next_visit(&self) -> Result<Visit> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let wallets = u32::try_from(self.purses.len())?;
        let (round, wallet) = (ticket / wallets, ticket % wallets);
        let (lap, lead) = (round / self.leads_each, round % self.leads_each);
        let purse = self.purses.get(usize::try_from(wallet)?).context("there is no such wallet")?;
        let key = LeadKey { job: purse.job, lead: LeadNo(lead + 1), slice: SliceNo(0), epoch: purse.epoch };
        Ok(Visit::new(key, purse.account, ticket, lap))
    }

    /// Every visit has paid for two calls.
    async fn check(&self) -> Result<()> {
        let visits = self.tickets.load(Ordering::Relaxed);
        let cost = (0..visits).map(|ticket| 2 * owed(ticket)).sum();
        check_books(&self.store, &self.workspaces, cost).await
    }
}

/// A job with leads, sealed and claimed, and money in its wallet.
async fn fill_purse(store: &SqliteStore, workspace: &WorkspaceId, leads: u32) -> Result<Purse> {
    let new = NewJob {
        id: JobId::new(workspace.as_str()),
        workspace: workspace.clone(),
        waterfall: WaterfallName::new("bench"),
        content: Fingerprint::of("bench", [Some(workspace.as_str())]),
        slice_size: leads,
    };
    let job = store.create_job(new).await?;
    store.load_leads(job.key, (1..=leads).map(new_lead).collect()).await?;
    store.seal_job(job.key).await?;
    let booking = Booking {
        workspace: workspace.clone(),
        amount: Usd::from_nanos(FUNDED),
        reference: "bench".to_owned(),
        note: None,
    };
    store.top_up(booking).await?;
    let claim = store.claim_slice(job.key, SliceNo(0)).await?.context("the job has no slice")?;
    Ok(Purse { account: job.account, job: job.key, epoch: claim.epoch })
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
    async fn the_money_adds_up_in_both_ways_lap_after_lap() {
        for turns in [APART, TOGETHER] {
            let directory = tempfile::tempdir().unwrap();
            let wallets = Wallets::create(&directory.path().join("weir.db"), 2, 6).await.unwrap();
            let tally = Tally::begin(1).unwrap();
            for _ in 0..20 {
                wallets.visit_next(turns, &tally).await.unwrap();
            }
            wallets.check().await.unwrap();
        }
    }
}
