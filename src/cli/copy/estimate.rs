//! What copy for a list could cost: the worst case, and what it would cost by some assumptions.

use crate::cli::copy::cost::ASSUMED_OUTPUT_TOKENS;
use crate::cli::copy::cost::ASSUMED_PAGE_TOKENS;
use crate::cli::copy::cost::Cost;
use crate::cli::copy::survey::Survey;
use crate::cli::list_run;
use crate::cli::output;
use crate::domain::Step;
use crate::worker::Routes;
use serde_json::Value;
use serde_json::json;
use std::fmt;

/// Costs of copy for one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Estimate {
    rows: u64,
    leads: u64,
    pages: u64,
    by_step: Vec<(Step, Cost)>,
}

/// Says what the leads come to by these routes.
pub(super) fn estimate(survey: &Survey, routes: &Routes) -> Estimate {
    let Survey { rows, leads, pages, scraping, writing } = *survey;
    let steps = [(routes.scrape.as_ref(), scraping), (routes.write.as_ref(), writing)];
    let by_step = steps.into_iter().filter_map(|(step, cost)| Some((step?.step.clone(), cost))).collect();
    Estimate { rows, leads, pages, by_step }
}

impl Estimate {
    fn sum(&self) -> Cost {
        self.by_step.iter().map(|(_, cost)| *cost).fold(Cost::NOTHING, Cost::plus)
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, leads, pages, by_step } = self;
        let Cost { worst, assumed } = self.sum();
        writeln!(f, "{rows} rows, {leads} of them usable, {pages} pages to read")?;
        writeln!(
            f,
            "worst case: {worst} USD (every page new, and as long as is read; every answer as long as may be)"
        )?;
        let typical = format!("pages of {ASSUMED_PAGE_TOKENS} tokens, {ASSUMED_OUTPUT_TOKENS} written");
        writeln!(f, "typical: {assumed} USD ({typical}: an assumption, not a promise)")?;
        let rows =
            by_step.iter().map(|(step, cost)| [step.to_string(), cost.worst.to_string(), cost.assumed.to_string()]);
        f.write_str(&output::table_text(["step", "worst case USD", "assumed USD"], rows))
    }
}

impl list_run::Estimate for Estimate {
    fn to_json(&self) -> Value {
        let steps = self.by_step.iter().map(|(step, Cost { worst, assumed })| {
            json!({ "step": step.to_string(), "worst": worst.to_string(), "assumed": assumed.to_string() })
        });
        let Cost { worst, assumed } = self.sum();
        json!({
            "rows": self.rows,
            "usable": self.leads,
            "pages": self.pages,
            "worst": worst.to_string(),
            "assumed": assumed.to_string(),
            "assumed_page_tokens": ASSUMED_PAGE_TOKENS,
            "assumed_output_tokens": ASSUMED_OUTPUT_TOKENS,
            "steps": steps.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::copy::cost::Prices;
    use crate::cli::copy::cost::tests::BOTH;
    use crate::cli::copy::cost::tests::brief;
    use crate::cli::copy::cost::tests::lead;
    use crate::cli::copy::cost::tests::routes;
    use crate::cli::list_run::Estimate as _;
    use crate::domain::LeadId;
    use crate::domain::Usd;

    #[test]
    fn the_worst_case_is_what_each_lead_comes_to_by_itself() {
        let brief = brief(400, &["https://{domain}"]);
        let (routes, live) = routes(&brief, &BOTH);
        let prices = Prices::new(&brief, &routes, &live);
        let (mut survey, mut worst) = (Survey::of_rows(4), Usd::ZERO);
        for company in ["Acme".to_owned(), "a".repeat(400), "\u{13000}".repeat(90)] {
            let cost = prices.of(lead(&company), &LeadId::new("1"));
            worst = worst.saturating_add(cost.scraping.worst).saturating_add(cost.writing.worst);
            survey.add(cost);
        }
        let estimate = estimate(&survey, &routes);
        assert_eq!((estimate.rows, estimate.leads, estimate.pages), (4, 3, 3));
        assert_eq!(estimate.sum().worst, worst);
        assert_eq!(estimate.to_json()["worst"], worst.to_string());
        let shown = estimate.to_string();
        for told in ["4 rows, 3 of them usable, 3 pages to read", "an assumption, not a promise", "firecrawl.scrape"] {
            assert!(shown.contains(told), "no {told:?} in: {shown}");
        }
    }

    #[test]
    fn a_step_that_nobody_can_make_is_not_shown() {
        let brief = brief(400, &["https://{domain}"]);
        let (routes, _) = routes(&brief, &["OPENAI_API_KEY"]);
        let estimate = estimate(&Survey::of_rows(1), &routes);
        let steps: Vec<String> = estimate.by_step.iter().map(|(step, _)| step.to_string()).collect();
        assert_eq!(steps, ["openai.write_copy"]);
    }
}
