//! What copy for a list could cost: the worst case, and what it would cost by some assumptions.

use crate::cli::copy::survey::Survey;
use crate::cli::list_run;
use crate::cli::list_run::times;
use crate::cli::output;
use crate::config::Live;
use crate::domain::Brief;
use crate::domain::Consumed;
use crate::domain::PageUrl;
use crate::domain::Query;
use crate::domain::Step;
use crate::domain::Tokens;
use crate::domain::Usd;
use crate::domain::Writing;
use crate::domain::fill_text;
use crate::worker::Route;
use crate::worker::Routes;
use crate::worker::StepRoutes;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::fmt;
use std::sync::Arc;

/// Characters of a page that a model is given at most (`providers/firecrawl`), and tokens that one of them can
/// come to: a character has four bytes at most, and a token at least one.
const PAGE_CHARACTERS: u64 = 12_000;
const TOKENS_A_CHARACTER: u64 = 4;
/// Tokens around a page: its frame in the request.
const PAGE_FRAME: u64 = 64;

/// A page is assumed to have so many tokens, and its reading to take one credit.
const ASSUMED_PAGE_TOKENS: u64 = 1_500;
/// A model is assumed to write so many tokens, where it may.
const ASSUMED_OUTPUT_TOKENS: u64 = 250;
/// A token of what it is told is assumed to have so many bytes.
const ASSUMED_TOKEN_BYTES: u64 = 4;
/// What is sent besides instructions, lead and pages is assumed to have so many tokens.
const ASSUMED_FRAME_TOKENS: u64 = 300;

/// Costs of copy for one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Estimate {
    rows: u64,
    leads: u64,
    pages: u64,
    /// Each step's worst case and assumed cost.
    by_step: Vec<(Step, Usd, Usd)>,
}

/// Adds up. Every lead is taken to be as long as the longest, and every page to be one that nobody has read.
pub(super) fn estimate(survey: &Survey, brief: &Brief, routes: &Routes, live: &Live) -> Estimate {
    let scrape = routes.scrape.as_ref();
    let pages = if scrape.is_some() { survey.pages } else { 0 };
    let writing = writing(survey, brief, live);
    let scraping = scrape.map(|step| scraping_cost(step, pages, survey.longest_page.as_ref()));
    let copywriting = routes.write.as_ref().map(|step| writing_cost(step, survey, pages, &writing));
    let by_step = scraping.into_iter().chain(copywriting).collect();
    Estimate { rows: survey.rows, leads: survey.leads, pages, by_step }
}

/// What is asked of the model for the longest lead, without its pages.
fn writing(survey: &Survey, brief: &Brief, live: &Live) -> Arc<Writing> {
    Arc::new(Writing {
        model: brief.model.clone(),
        max_output_tokens: brief.max_output_tokens,
        instructions: fill_text(&brief.instructions, &survey.longest, &survey.longest_id),
        lead: survey.longest.clone(),
        pages: Vec::new(),
        dialect: live.model(&brief.model).map(|(_, provider)| provider.dialect.clone()).unwrap_or_default(),
    })
}

fn scraping_cost(step: &StepRoutes, pages: u64, longest: Option<&PageUrl>) -> (Step, Usd, Usd) {
    let query = longest.cloned().map(Query::Scrape);
    let worst = query.map_or(Usd::ZERO, |query| dearest(step, |route| route.worst_price(&query).ok()));
    let usual = usual(step, |route| route.price.of(Consumed::Credits(Decimal::ONE)).ok());
    let count = Decimal::from(pages);
    (step.step.clone(), times(worst, count), times(usual, count))
}

fn writing_cost(step: &StepRoutes, survey: &Survey, pages: u64, writing: &Arc<Writing>) -> (Step, Usd, Usd) {
    let (leads, pages) = (Decimal::from(survey.leads), Decimal::from(pages));
    let query = Query::Write(Arc::clone(writing));
    let lead = dearest(step, |route| route.worst_price(&query).ok());
    let most = Consumed::Tokens(page_tokens(survey));
    let page = dearest(step, |route| route.price.of_worst(most).ok());
    let worst = times(lead, leads).saturating_add(times(page, pages));

    let lead = usual(step, |route| route.price.of(Consumed::Tokens(assumed_tokens(writing))).ok());
    let read = Tokens { input: ASSUMED_PAGE_TOKENS, ..Tokens::default() };
    let page = usual(step, |route| route.price.of(Consumed::Tokens(read)).ok());
    (step.step.clone(), worst, times(lead, leads).saturating_add(times(page, pages)))
}

/// The most that one page adds to what a model is given.
fn page_tokens(survey: &Survey) -> Tokens {
    let address = survey.longest_page.as_ref().map_or(0, |page| size(page.as_str()));
    let text = PAGE_CHARACTERS.saturating_mul(TOKENS_A_CHARACTER);
    Tokens { input: text.saturating_add(address).saturating_add(PAGE_FRAME), ..Tokens::default() }
}

fn assumed_tokens(writing: &Writing) -> Tokens {
    let lead = &writing.lead;
    let email = lead.email.as_ref().map_or(0, |address| size(address.as_str()));
    let fields = [&lead.first_name, &lead.last_name, &lead.full_name, &lead.company, &lead.domain, &lead.linkedin_url];
    let told = fields.into_iter().flatten().map(|text| size(text)).sum::<u64>();
    let bytes = told.saturating_add(email).saturating_add(size(&writing.instructions));
    let input = bytes.div_ceil(ASSUMED_TOKEN_BYTES).saturating_add(ASSUMED_FRAME_TOKENS);
    let output = ASSUMED_OUTPUT_TOKENS.min(u64::from(writing.max_output_tokens));
    Tokens { input, output, ..Tokens::default() }
}

/// By the dearest of a step's keys: an own one may give way to the house's.
fn dearest(step: &StepRoutes, price: impl Fn(&Route) -> Option<Usd>) -> Usd {
    let prices = step.routes.iter().map(|route| price(route).unwrap_or(Usd::MAX));
    prices.max().unwrap_or(Usd::ZERO)
}

/// By the key that is tried first.
fn usual(step: &StepRoutes, price: impl Fn(&Route) -> Option<Usd>) -> Usd {
    step.first().map_or(Usd::ZERO, |route| price(route).unwrap_or(Usd::MAX))
}

fn size(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

impl Estimate {
    fn sum(&self, of: impl Fn(&(Step, Usd, Usd)) -> Usd) -> Usd {
        self.by_step.iter().map(of).fold(Usd::ZERO, Usd::saturating_add)
    }

    fn worst(&self) -> Usd {
        self.sum(|(_, worst, _)| *worst)
    }

    fn assumed(&self) -> Usd {
        self.sum(|(_, _, assumed)| *assumed)
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, leads, pages, by_step } = self;
        writeln!(f, "{rows} rows, {leads} of them usable, {pages} pages to read")?;
        let each = "every lead as long as the longest, every page new and as long as is read";
        writeln!(f, "worst case: {} USD ({each})", self.worst())?;
        let typical = format!("pages of {ASSUMED_PAGE_TOKENS} tokens, {ASSUMED_OUTPUT_TOKENS} written");
        writeln!(f, "typical: {} USD ({typical}: an assumption, not a promise)", self.assumed())?;
        let rows =
            by_step.iter().map(|(step, worst, assumed)| [step.to_string(), worst.to_string(), assumed.to_string()]);
        f.write_str(&output::table_text(["step", "worst case USD", "assumed USD"], rows))
    }
}

impl list_run::Estimate for Estimate {
    fn to_json(&self) -> Value {
        let steps = self.by_step.iter().map(|(step, worst, assumed)| {
            json!({ "step": step.to_string(), "worst": worst.to_string(), "assumed": assumed.to_string() })
        });
        json!({
            "rows": self.rows,
            "usable": self.leads,
            "pages": self.pages,
            "worst": self.worst().to_string(),
            "assumed": self.assumed().to_string(),
            "assumed_page_tokens": ASSUMED_PAGE_TOKENS,
            "assumed_output_tokens": ASSUMED_OUTPUT_TOKENS,
            "steps": steps.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::domain::Lead;
    use crate::domain::LeadId;
    use crate::domain::Purpose;
    use crate::http::Gates;
    use std::path::Path;

    /// A brief of six letters: 0.75 USD for a million tokens read, 4.50 USD for a million written.
    fn brief(max_output_tokens: u32) -> Brief {
        Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens,
            instructions: "Write.".to_owned(),
            pages: vec!["https://{domain}".to_owned()],
        }
    }

    fn survey(leads: u64, pages: u64) -> Survey {
        Survey {
            rows: leads,
            leads,
            pages,
            longest: Lead { domain: Some("acme.test".to_owned()), ..Lead::default() },
            longest_id: LeadId::new("1"),
            longest_page: PageUrl::parse("https://acme.test"),
        }
    }

    fn estimate_of(survey: &Survey, brief: &Brief, keys: &[&str]) -> Estimate {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let lookup = |name: &str| keys.contains(&name).then(|| "key".to_owned());
        let live = load(Some(&folder), &lookup, &[]).unwrap().live;
        let routes = Routes::for_copy_with_house_keys(&live, brief, &Gates::default());
        estimate(survey, brief, &routes, &live)
    }

    const BOTH: [&str; 2] = ["OPENAI_API_KEY", "FIRECRAWL_API_KEY"];

    fn nanos(estimate: &Estimate, step: &str) -> (i64, i64) {
        let step: Step = step.parse().unwrap();
        let found = estimate.by_step.iter().find(|(known, ..)| *known == step).unwrap();
        (found.1.nanos(), found.2.nanos())
    }

    #[test]
    fn a_page_costs_five_credits_at_worst_and_one_as_assumed() {
        let estimate = estimate_of(&survey(10, 3), &brief(400), &BOTH);
        assert_eq!(nanos(&estimate, "firecrawl.scrape"), (3 * 25_000_000, 3 * 5_000_000));
        let unread = estimate_of(&survey(10, 3), &brief(400), &["OPENAI_API_KEY"]);
        assert_eq!((unread.pages, unread.by_step.len()), (0, 1));
    }

    #[test]
    fn the_output_counts_in_full_at_worst_and_every_page_with_its_most() {
        let worst =
            |leads, pages, most| nanos(&estimate_of(&survey(leads, pages), &brief(most), &BOTH), "openai.write_copy").0;
        let (one, token) = (worst(1, 0, 400), 4_500);
        assert!(one > 400 * token, "{one}");
        assert_eq!(worst(1, 0, 900), one + 500 * token);
        assert_eq!(worst(7, 0, 400), 7 * one);
        // 12,000 characters of four tokens, the page's address of 17, and its frame.
        assert_eq!(worst(7, 2, 400), 7 * one + 2 * (48_000 + 17 + 64) * 750);
    }

    #[test]
    fn the_typical_cost_is_counted_by_the_assumptions_it_names() {
        let estimate = estimate_of(&survey(2, 1), &brief(400), &BOTH);
        // 15 bytes of instructions and lead are four tokens.
        let lead = (4 + 300) * 750 + 250 * 4_500;
        assert_eq!(nanos(&estimate, "openai.write_copy").1, 2 * lead + 1_500 * 750);
        let short = estimate_of(&survey(2, 1), &brief(100), &BOTH);
        assert_eq!(nanos(&short, "openai.write_copy").1, 2 * ((4 + 300) * 750 + 100 * 4_500) + 1_500 * 750);
        assert!(estimate.to_string().contains("an assumption, not a promise"), "{estimate}");
    }
}
