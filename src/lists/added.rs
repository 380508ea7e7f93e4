//! What is written behind each row of a list, by what was done for it.

use crate::domain::Address;
use crate::domain::Draft;
use crate::domain::Ending;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::lists::columns::DRAFTED;
use crate::lists::columns::DRAFTED_TOO;
use crate::lists::columns::ENRICHED;
use crate::lists::columns::ENRICHED_TOO;
use std::sync::Arc;

/// What is added to a row.
pub trait Added {
    /// The columns that are added, in order; the last one holds the attempts, a number.
    const COLUMNS: &'static [&'static str];

    /// The same for a list that the other command has written, whose columns pass through.
    const COLUMNS_TOO: &'static [&'static str];

    /// The cells under them, as many.
    fn cells(&self) -> Vec<String>;

    /// Attempts that called a provider.
    fn attempts(&self) -> u32;
}

/// What was found for a lead.
#[derive(Debug, Clone)]
pub struct Enrichment {
    /// How the lead ended.
    pub ending: Ending,
    /// What it cost in this job.
    pub cost: Usd,
    /// Attempts that called a provider.
    pub attempts: u32,
}

/// What was written for a lead.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// How the lead ended.
    pub status: Status,
    /// Why it ended so.
    pub reason: Reason,
    /// The copy, if there is one.
    pub draft: Option<Arc<Draft>>,
    /// What it cost in this job.
    pub cost: Usd,
    /// Attempts that called a provider.
    pub attempts: u32,
}

impl Added for Enrichment {
    const COLUMNS: &'static [&'static str] = ENRICHED;
    const COLUMNS_TOO: &'static [&'static str] = ENRICHED_TOO;

    fn cells(&self) -> Vec<String> {
        let Ending { status, reason, address, verdict, found_by, verified_by } = &self.ending;
        let word = |text: Option<&str>| text.unwrap_or_default().to_owned();
        vec![
            status.to_string(),
            reason.to_string(),
            word(address.as_ref().map(Address::as_str)),
            word(verdict.map(Verdict::as_str)),
            word(found_by.as_ref().map(ProviderName::as_str)),
            word(verified_by.as_ref().map(ProviderName::as_str)),
            self.cost.to_string(),
            self.attempts.to_string(),
        ]
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Added for Drafted {
    const COLUMNS: &'static [&'static str] = DRAFTED;
    const COLUMNS_TOO: &'static [&'static str] = DRAFTED_TOO;

    fn cells(&self) -> Vec<String> {
        let draft = self.draft.as_deref();
        vec![
            self.status.to_string(),
            self.reason.to_string(),
            draft.map(|draft| draft.subject.clone()).unwrap_or_default(),
            draft.map(|draft| draft.body.clone()).unwrap_or_default(),
            self.cost.to_string(),
            self.attempts.to_string(),
        ]
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }
}
