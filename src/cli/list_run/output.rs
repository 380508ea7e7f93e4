//! The list written back, from the store's results.

use crate::domain::Draft;
use crate::domain::Operation;
use crate::domain::Product;
use crate::domain::Status;
use crate::jobs::Jobs;
use crate::jobs::LeadResult;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::lists;
use crate::lists::Drafted;
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
    fn result(&mut self, number: u64) -> Result<Option<LeadResult>, WriteError> {
        while self.page.is_empty() && u64::from(self.read_to) < number {
            let results = Jobs::results(&*self.store, self.job, LeadNo(self.read_to), PAGE);
            self.page = self.runtime.block_on(results)?.into();
            self.read_to = self.read_to.saturating_add(PAGE);
        }
        Ok(match self.page.front() {
            Some(result) if u64::from(result.n.0) == number => self.page.pop_front(),
            Some(_) | None => None,
        })
    }

    fn enrichment(&mut self, number: u64) -> Result<Option<Enrichment>, WriteError> {
        let Some(LeadResult { ending, cost, called, .. }) = self.result(number)? else { return Ok(None) };
        Ok(ending.map(|ending| Enrichment { ending, cost, attempts: called }))
    }

    fn drafted(&mut self, number: u64) -> Result<Option<Drafted>, WriteError> {
        let Some(LeadResult { n, ending: Some(ending), cost, called, .. }) = self.result(number)? else {
            return Ok(None);
        };
        let draft = match ending.status {
            Status::Written => self.draft(n)?,
            // The others have none, so their trails need not be read.
            Status::Verified
            | Status::Risky
            | Status::Unverified
            | Status::NotFound
            | Status::Skipped
            | Status::Failed => None,
        };
        Ok(Some(Drafted { status: ending.status, reason: ending.reason, draft, cost, attempts: called }))
    }

    fn draft(&self, lead: LeadNo) -> Result<Option<Arc<Draft>>, WriteError> {
        let trail = self.runtime.block_on(Jobs::trail(&*self.store, self.job, lead))?;
        Ok(last_draft(&trail))
    }
}

/// What the last attempt to write brought.
fn last_draft(trail: &[StoredAttempt]) -> Option<Arc<Draft>> {
    let attempts = trail.iter().rev().map(|stored| &stored.attempt);
    let mut written = attempts.filter(|attempt| attempt.step.operation == Operation::WriteCopy);
    match written.find_map(|attempt| attempt.end())?.product.as_ref()? {
        Product::Copy { draft, .. } => draft.clone(),
        Product::Text(_) => None,
    }
}

/// Writes the list whole, or not at all.
pub(super) async fn write(
    store: Arc<dyn Store>,
    job: &StoredJob,
    input: Input,
    scan: Scan,
    out: Out,
) -> anyhow::Result<()> {
    let runtime = Handle::current();
    let mut pages = Pages { store, job: job.key, runtime, page: VecDeque::new(), read_to: 0 };
    let writing = match job.work {
        Work::Enrich(_) => tokio::task::spawn_blocking(move || {
            lists::write_enriched(&input, &scan, &out, |number| pages.enrichment(number))
        }),
        Work::Copy(_) => tokio::task::spawn_blocking(move || {
            lists::write_enriched(&input, &scan, &out, |number| pages.drafted(number))
        }),
    };
    Ok(writing.await??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attempt;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::ConfigVersion;
    use crate::domain::KeySource;
    use crate::domain::Outcome;
    use crate::domain::ProviderName;
    use crate::domain::Run;
    use crate::domain::Step;
    use crate::domain::Unwritten;

    fn attempt(operation: Operation, state: AttemptState) -> StoredAttempt {
        let attempt = Attempt {
            n: AttemptNo::FIRST,
            run: Run::FIRST,
            step: Step::new(ProviderName::new("openai"), operation),
            about: None,
            key_source: KeySource::House,
            state,
        };
        StoredAttempt { attempt, began_ms: 0, config_version: ConfigVersion::new("0123456789ab"), held: None }
    }

    fn ended(outcome: Outcome, product: Option<Product>) -> AttemptState {
        AttemptState::Ended(AttemptEnd { product, ..AttemptEnd::not_asked(outcome) })
    }

    fn copy(subject: &str) -> Option<Product> {
        let draft = Draft { subject: subject.to_owned(), body: "Hi".to_owned() };
        Some(Product::Copy { draft: Some(Arc::new(draft)), tokens: None })
    }

    #[test]
    fn the_copy_of_a_lead_is_what_the_last_attempt_to_write_brought() {
        let scraped = || attempt(Operation::Scrape, ended(Outcome::Scraped, Some(Product::Text(Arc::from("A page")))));
        let written = |subject| attempt(Operation::WriteCopy, ended(Outcome::Written, copy(subject)));
        let refused = Outcome::Unwritten(Unwritten::Refused);
        let refusal = ended(refused, Some(Product::Copy { draft: None, tokens: None }));
        let begun = || attempt(Operation::WriteCopy, AttemptState::Begun);
        let subject = |trail: &[StoredAttempt]| last_draft(trail).map(|draft| draft.subject.clone());
        assert_eq!(subject(&[scraped()]), None);
        assert_eq!(subject(&[scraped(), written("one")]).as_deref(), Some("one"));
        assert_eq!(subject(&[written("one"), written("two"), scraped(), begun()]).as_deref(), Some("two"));
        assert_eq!(subject(&[written("one"), attempt(Operation::WriteCopy, refusal)]), None);
    }
}
