//! What the rows of a list come to, as far as the cost of copy goes.

use crate::cli::list_run::List;
use crate::domain::Address;
use crate::domain::Brief;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::PageUrl;
use crate::domain::fill;
use crate::lists::LeadIds;
use crate::lists::ListError;
use crate::lists::rows;

/// One more reading of a list, for an estimate.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Survey {
    /// All rows.
    pub(super) rows: u64,
    /// Rows that copy is written for.
    pub(super) leads: u64,
    /// Pages that those ask for; one that several ask for counts for each.
    pub(super) pages: u64,
    /// A lead that has the longest text of each field: none is longer.
    pub(super) longest: Lead,
    /// The longest id.
    pub(super) longest_id: LeadId,
    /// The longest address of a page.
    pub(super) longest_page: Option<PageUrl>,
}

/// Reads the list.
pub(super) fn survey(list: &List, brief: &Brief) -> Result<Survey, ListError> {
    let mut survey = Survey {
        rows: list.scan.counts.rows,
        leads: 0,
        pages: 0,
        longest: Lead::default(),
        longest_id: LeadId::new(""),
        longest_page: None,
    };
    for row in rows(&list.input, &list.scan, LeadIds::FromColumn)? {
        let row = row?;
        if let Ok(lead) = row.lead {
            survey.add(lead, row.lead_id, brief);
        }
    }
    Ok(survey)
}

impl Survey {
    fn add(&mut self, lead: Lead, id: LeadId, brief: &Brief) {
        self.leads = self.leads.saturating_add(1);
        let mut pages: Vec<PageUrl> = Vec::new();
        for page in brief.pages.iter().filter_map(|page| PageUrl::parse(&fill(page, &lead, &id)?)) {
            if !pages.contains(&page) {
                pages.push(page);
            }
        }
        for page in pages {
            self.pages = self.pages.saturating_add(1);
            keep_longer(&mut self.longest_page, Some(page), |page| page.as_str().len());
        }
        if id.as_str().len() > self.longest_id.as_str().len() {
            self.longest_id = id;
        }
        let Lead { first_name, last_name, full_name, company, domain, linkedin_url, email } = lead;
        let longest = &mut self.longest;
        for (kept, text) in [
            (&mut longest.first_name, first_name),
            (&mut longest.last_name, last_name),
            (&mut longest.full_name, full_name),
            (&mut longest.company, company),
            (&mut longest.domain, domain),
            (&mut longest.linkedin_url, linkedin_url),
        ] {
            keep_longer(kept, text, String::len);
        }
        keep_longer(&mut longest.email, email, |address: &Address| address.as_str().len());
    }
}

fn keep_longer<T>(kept: &mut Option<T>, other: Option<T>, length: impl Fn(&T) -> usize) {
    if other.as_ref().map(&length) > kept.as_ref().map(&length) {
        *kept = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Purpose;

    #[test]
    fn pages_are_counted_as_the_leads_can_ask_for_them_and_the_longest_of_each_is_kept() {
        let brief = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: ["https://{domain}", "https://{domain}/{first_name}", "https://acme.test"].map(str::to_owned).into(),
        };
        let lead = |first_name: &str, domain: Option<&str>, email: Option<&str>| Lead {
            first_name: Some(first_name.to_owned()),
            domain: domain.map(str::to_owned),
            email: email.and_then(Address::parse),
            ..Lead::default()
        };
        let mut survey = Survey {
            rows: 4,
            leads: 0,
            pages: 0,
            longest: Lead::default(),
            longest_id: LeadId::new(""),
            longest_page: None,
        };
        for (id, lead, pages) in [
            // Its own site is the one that everybody is asked about.
            ("1", lead("Ada", Some("acme.test"), None), 2),
            ("22", lead("Bartholomew", None, Some("b@other.test")), 3),
            ("3", lead("Cy", Some("much-longer.test"), None), 6),
        ] {
            survey.add(lead, LeadId::new(id), &brief);
            assert_eq!(survey.pages, pages, "{id}");
        }
        assert_eq!((survey.rows, survey.leads, survey.longest_id.as_str()), (4, 3, "22"));
        assert!(survey.longest == lead("Bartholomew", Some("much-longer.test"), Some("b@other.test")));
        assert_eq!(survey.longest_page.unwrap().as_str(), "https://much-longer.test/Cy");
    }
}
