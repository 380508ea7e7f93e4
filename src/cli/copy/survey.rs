//! What the leads of a list come to, as far as the cost of copy goes.

use crate::cli::copy::cost::Cost;
use crate::cli::copy::cost::LeadCost;
use crate::cli::copy::cost::Prices;
use crate::cli::list_run::List;
use crate::lists::LeadIds;
use crate::lists::ListError;
use crate::lists::rows;

/// One more reading of a list, for an estimate: each lead by itself, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Survey {
    /// All rows.
    pub(super) rows: u64,
    /// Rows that copy is written for.
    pub(super) leads: u64,
    /// Pages that those ask for; one that several ask for counts for each.
    pub(super) pages: u64,
    /// The reading of the pages.
    pub(super) scraping: Cost,
    /// The model's answers.
    pub(super) writing: Cost,
}

/// Reads the list.
pub(super) fn survey(list: &List, prices: &Prices<'_>) -> Result<Survey, ListError> {
    let mut survey = Survey::of_rows(list.scan.counts.rows);
    for row in rows(&list.input, &list.scan, LeadIds::FromColumn)? {
        let row = row?;
        if let Ok(lead) = row.lead {
            survey.add(prices.of(lead, &row.lead_id));
        }
    }
    Ok(survey)
}

impl Survey {
    /// Of so many rows, none of which was looked at.
    pub(super) const fn of_rows(rows: u64) -> Self {
        Self { rows, leads: 0, pages: 0, scraping: Cost::NOTHING, writing: Cost::NOTHING }
    }

    /// Counts one more lead.
    pub(super) const fn add(&mut self, lead: LeadCost) {
        let LeadCost { pages, scraping, writing } = lead;
        self.leads = self.leads.saturating_add(1);
        self.pages = self.pages.saturating_add(pages);
        self.scraping = self.scraping.plus(scraping);
        self.writing = self.writing.plus(writing);
    }
}
