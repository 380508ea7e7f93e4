//! The enriched list, from the store's results.

use crate::jobs::Jobs;
use crate::jobs::LeadResult;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::lists;
use crate::lists::Enrichment;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Out;
use crate::lists::Scan;
use crate::store::Store;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Results read from the store at a time.
const PAGE: u32 = 2_000;

/// Why the list was not written; OUT is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Store(#[from] LedgerError),
}

/// The results of a job in order of rows, a page at a time.
struct Pages {
    store: Arc<dyn Store>,
    job: JobKey,
    runtime: Handle,
    page: VecDeque<LeadResult>,
    read_to: u32,
}

impl Pages {
    fn row(&mut self, number: u64) -> Result<Option<Enrichment>, WriteError> {
        while self.page.is_empty() && u64::from(self.read_to) < number {
            let results = Jobs::results(&*self.store, self.job, LeadNo(self.read_to), PAGE);
            self.page = self.runtime.block_on(results)?.into();
            self.read_to = self.read_to.saturating_add(PAGE);
        }
        let result = match self.page.front() {
            Some(result) if u64::from(result.n.0) == number => self.page.pop_front(),
            Some(_) | None => None,
        };
        Ok(result.and_then(|LeadResult { ending, cost, called, .. }| {
            Some(Enrichment { ending: ending?, cost, attempts: called })
        }))
    }
}

/// Writes the list whole, or not at all.
pub(super) async fn write(
    store: Arc<dyn Store>,
    job: JobKey,
    input: Input,
    scan: Scan,
    out: Out,
) -> anyhow::Result<()> {
    let runtime = Handle::current();
    let mut pages = Pages { store, job, runtime, page: VecDeque::new(), read_to: 0 };
    let write = move || lists::write_enriched(&input, &scan, &out, |number| pages.row(number));
    Ok(tokio::task::spawn_blocking(write).await??)
}
